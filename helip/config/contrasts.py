"""Primary contrasts: the comparisons that a study is made for, fixed in its YAML before the first run."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from helip.config.base import ConfigModel, Name

MetricName = Annotated[str, Field(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+\.[a-z0-9_]+$")]  # set.task.metric: cifar10.zeroshot.acc1


class ContrastPair(ConfigModel):
    """One run beside another, seed by seed."""

    run: Name  # of which something is asked
    against: Name  # the run that it is compared with


class PrimaryContrast(ConfigModel):
    """A primary contrast asks whether `run` differs from `against`, on each of `metrics` by itself.

    With `pooled` it is the mean over these pairs and its own, which weigh the same: over corpora, draws of mismatches, or starts. With
    `beyond` it is an interaction: that mean minus the mean over the pairs of `beyond`.
    """

    question: str  # as a reader would ask it
    run: Name  # of which something is asked
    against: Name  # the run that it is compared with
    metrics: tuple[MetricName, ...] = Field(min_length=1)  # set.task.metric, as metrics files name them: cifar10.zeroshot.acc1
    family: str = ""  # hypotheses that are corrected together: those declared once others were known are a family of their own
    pooled: tuple[ContrastPair, ...] = ()  # further pairs that the mean is over
    beyond: tuple[ContrastPair, ...] = ()  # pairs whose mean difference is subtracted: what of the effect is there only here

    @model_validator(mode="after")
    def _pairs_and_metrics_once(self) -> Self:
        if metric := next((m for m in self.metrics if self.metrics.count(m) > 1), None):
            raise ValueError(f"metrics names '{metric}' twice, and each is one question")
        if pair := next((p for pairs in (self.pairs, self.beyond) for p in pairs if pairs.count(p) > 1), None):
            raise ValueError(f"{pair.run} against {pair.against} is named twice, and each pair weighs the same")
        return self

    @property
    def pairs(self) -> tuple[ContrastPair, ...]:
        """Returns all pairs that the mean is over, its own first."""
        return (ContrastPair(run=self.run, against=self.against), *self.pooled)

    @property
    def all_pairs(self) -> tuple[ContrastPair, ...]:
        """Returns the pairs of both means."""
        return (*self.pairs, *self.beyond)
