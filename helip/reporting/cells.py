"""One number of a table, with what it is compared with and how sure the difference is."""

from dataclasses import dataclass
from typing import NamedTuple

FIELDS = (
    "corpus", "data", "recovered", "method", "run", "arm", "column", "metric", "value", "std", "n_seeds", "published", "reference", "delta",
    "delta_ci_low", "delta_ci_high", "delta_p", "minus_published", "published_delta", "at_chance", "ours", "corpora", "machine", "jobs",
)  # fmt: skip
CONTRAST = "contrast"  # the arm of a row that is one refinement beside another, and no value of its own
AVERAGE = "average"  # the column that is the mean of others


class Delta(NamedTuple):
    """A difference in percentage points to a run or, of a mean over corpora, several: its 95 % interval and two-sided p, uncorrected."""

    reference: str
    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Cell:
    """One number of a table. `delta` is against `reference`: a refinement's control, a control's start."""

    corpus: str
    data: str
    recovered: float | None
    method: str
    run: str
    arm: str
    column: str
    metric: str
    value: float
    std: float | None
    n_seeds: int
    published: float | None
    reference: str | None = None
    delta: float | None = None
    delta_ci_low: float | None = None
    delta_ci_high: float | None = None
    delta_p: float | None = None  # two-sided, uncorrected
    ours: bool = False  # a row that the paper does not have
    corpora: int = 1  # that it is the mean over
    machine: str = ""  # of a time
    jobs: int | None = None  # that a time is summed over
    published_delta: float | None = None  # the paper's own gain of this run over its start, beside `delta`
    at_chance: str = ""  # of an average: the columns that it leaves out, whose start is below 3 times chance
    dropped: float | None = None  # share of the pairs that its training leaves out as noise, where the table says it
    ci_low: float | None = None  # of a judgement of pair sets: 95 %, over photographs or draws
    ci_high: float | None = None
    is_analogue: bool = False  # its set stands for the paper's: no level of it can be compared

    @property
    def minus_published(self) -> float | None:
        """Ours minus the published number; None where there is none, or where the set only stands for the paper's."""
        return None if self.published is None or self.is_analogue else self.value - self.published

    @property
    def summed(self) -> str:
        """Of a time, over how many jobs it is summed, in words; empty for one job."""
        return f"summed over {self.jobs} jobs" if self.jobs and self.jobs > 1 else ""

    @property
    def where(self) -> str:
        """The corpus as the paper names it, what stands for it here, and how much of the published one was recovered."""
        share = "" if self.recovered is None or self.recovered >= 1 else f", {100 * self.recovered:.0f} % recovered"
        return f"{self.corpus} ({self.data}{share})" if self.data or share else self.corpus

    @property
    def tone(self) -> str:
        """How a page colours the difference: up or down where p is at most 5 %, uncorrected; else quiet."""
        return "quiet" if self.delta_p is None or self.delta_p > 0.05 else "up" if self.compared().value > 0 else "down"

    def compared(self) -> Delta:
        """Returns the difference with its interval. ValueError for a cell that is compared with nothing, whose `delta_p` is None."""
        reference, value, low, high, p = self.reference, self.delta, self.delta_ci_low, self.delta_ci_high, self.delta_p
        if reference is None or value is None or low is None or high is None or p is None:
            raise ValueError(f"{self.run}: {self.column} is compared with nothing")
        return Delta(reference, value, low, high, p)

    @property
    def is_pooled(self) -> bool:
        """Whether the cell is the mean over corpora: `run` and `reference` name them all."""
        return self.corpora > 1
