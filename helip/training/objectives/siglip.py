"""SigLIP as an objective: the sigmoid loss with the model's own bias (arXiv 2303.15343)."""

from typing import Any

from torch import Tensor

from helip.errors import HelipError
from helip.losses.siglip import sigmoid_of
from helip.models.architecture import ClipNetwork
from helip.training.objectives.base import Features, ObjectiveModule


class Siglip(ObjectiveModule):
    """This is the sigmoid loss; the margin of hard pairs is over cosines, as in every objective."""

    def encode(self, model: ClipNetwork, batch: dict[str, Any]) -> Features:
        """Returns both towers' features and the model's logit bias in every row [b].

        As a feature the bias takes the way of the towers through processes and micro-batches.
        """
        features = super().encode(model, batch)
        rows_B = model.logit_bias.reshape(1).repeat(len(features["image_features"]))  # a copy: a view would keep its graph
        return features | {"logit_bias": rows_B}

    def contrast(self, features: Features, similarity_BB: Tensor, logit_scale: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the sigmoid loss over the whole batch, by name too."""
        parts = {"siglip": sigmoid_of(logit_scale * similarity_BB + features["logit_bias"].mean())}
        return parts["siglip"], parts


def check_bias(model: ClipNetwork, sigmoid: bool) -> None:
    """Raises HelipError where the objective and the model's start do not both have a logit bias, or both have none."""
    has_bias = getattr(model, "logit_bias", None) is not None
    if sigmoid and not has_bias:
        raise HelipError(
            "objective siglip needs a model made for the sigmoid loss, and this one has no logit_bias: start from a SigLIP, or set "
            "objective clip"
        )
    if has_bias and not sigmoid:
        raise HelipError("the model was made for the sigmoid loss (it has a logit_bias, as a SigLIP): set objective siglip")
