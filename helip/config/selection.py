"""Scores of pairs that have settings of their own."""

from pydantic import Field

from helip.config.base import ConfigModel


class LemonSettings(ConfigModel):
    """These are the hyperparameters of LEMoN (arXiv 2407.18941). Defaults are those its authors give for data without labels."""

    k: int = Field(30, gt=0, description="neighbours in each modality")
    beta: float = Field(5.0, ge=0, description="weight of the captions of the nearest images")
    gamma: float = Field(5.0, ge=0, description="weight of the images of the nearest captions")
    tau1_n: float = Field(0.1, ge=0, description="how fast a neighbour by image counts less with its distance")
    tau2_n: float = Field(5.0, ge=0, description="how fast a neighbour by image counts less with the distance of its image and caption")
    tau1_m: float = Field(0.1, ge=0, description="how fast a neighbour by caption counts less with its distance")
    tau2_m: float = Field(5.0, ge=0, description="how fast a neighbour by caption counts less with the distance of its image and caption")
