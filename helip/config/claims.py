"""Claims of the paper, as comparisons that a report decides."""

from typing import Literal, Self

from pydantic import Field, model_validator

from helip.config.base import ConfigModel, Name


class Comparison(ConfigModel):
    """A comparison is of one run with another."""

    run: Name  # of which something is said
    over: Name  # the run that it is compared with


class Claim(ConfigModel):
    """A claim is a sentence of the paper as a comparison of two runs, or of several pairs of them, by what was measured."""

    text: str  # the paper's sentence
    place: str  # where in the paper
    table: Name  # whose rows and columns decide it
    columns: tuple[Name, ...] = ()  # of that table, averaged; none: all of them
    run: Name  # of which it says something
    over: Name | None = None  # None: compared with `level`
    also: tuple[Comparison, ...] = ()  # further pairs that the sentence speaks of
    together: Literal["each", "mean"] = "each"  # with `also`: true of each pair, or of their mean
    expect: Literal["higher", "not_lower", "equal"] = "higher"  # what it says of `run` beside `over`
    margin: float = Field(0.5, ge=0)  # points (minutes, epochs): the smallest difference that counts; see helip/study/published.py
    gauge: Comparison | None = None  # not_lower, equal: the gain whose half the margin may not exceed
    than: tuple[Comparison, ...] = ()  # gains that this gain is to exceed, each
    at_least: int | None = Field(None, gt=0)  # so many of its columns, over all its comparisons, must be higher; instead of their average
    consistent: bool = False  # the sentence says "consistently": more columns must be higher than a coin would have, too
    level: float | None = None  # percent that somebody published, which `run` is compared with
    presumes: tuple[Name, ...] = ()  # claims without which this one says nothing
    ours: bool = False  # a question of this project, which the paper does not ask
    undecidable: str = ""  # why no metric of a study can decide it; then it is listed and not decided
    targets: Literal["all", "intricate"] = "all"  # overlaps: of all targets, or of those that show two kinds of objects
    # accuracy: of the columns. attribute_overlap: share of a generated image's attributes that its hard pairs show too, percent;
    # pair_overlap: mean of that share and of the same of the captions. mining_minutes: wall-clock of the mining job. epochs: of the
    # released sampler (2 N samples), until the step that the refinement exported.
    measure: Literal["accuracy", "attribute_overlap", "pair_overlap", "mining_minutes", "epochs"] = "accuracy"  # what is compared

    @model_validator(mode="after")
    def _is_one_question(self) -> Self:
        if (self.over is None) != (self.level is not None):
            raise ValueError("give over, the run that it is compared with, or level, a published number: one of the two")
        if sum((self.at_least is not None, self.consistent, bool(self.than), self.level is not None)) > 1:
            raise ValueError("at_least, consistent, than and level are four kinds of questions: give one")
        if self.expect != "higher" and (self.at_least is not None or self.consistent or self.than):
            raise ValueError("at_least, consistent and than ask for gains: leave out expect")
        if self.expect == "higher" and self.gauge is not None:
            raise ValueError("gauge measures the margin of not_lower and equal: leave it out")
        if self.also and (self.than or self.level is not None):
            raise ValueError("than and level are asked of one comparison: leave out also, or write a claim for each")
        if self.together == "mean" and (self.at_least is not None or self.consistent):
            raise ValueError("at_least and consistent count the columns of every comparison: leave out together")
        return self

    @model_validator(mode="after")
    def _is_asked_of_its_measure(self) -> Self:
        overlap = self.measure in ("attribute_overlap", "pair_overlap")
        if self.targets != "all" and not overlap:
            raise ValueError(f"targets are those of overlaps, and the measure is {self.measure}: leave them out")
        if self.measure == "accuracy":
            return self
        if self.at_least is not None or self.consistent or self.than or self.level is not None or self.columns:
            raise ValueError(f"columns, at_least, consistent, than and level are asked of accuracy, and the measure is {self.measure}")
        if self.together == "mean":
            raise ValueError(f"together: mean is asked of accuracy, and the measure is {self.measure}: it must be so of each comparison")
        if self.expect != "higher" and not overlap:
            raise ValueError(f"expect {self.expect} is asked of accuracy and overlaps, and the measure is {self.measure}: leave it out")
        return self

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Returns all comparisons that the sentence speaks of, the claim's own first; of a level, the run stands on both sides."""
        return (Comparison(run=self.run, over=self.over or self.run), *self.also)
