"""What one run of a kind found, and what two sizes of it say of the declared one."""

from dataclasses import dataclass, field
from typing import Any

MB = 1 << 20


@dataclass
class Point:
    """One kind at one size, as its own process measured it."""

    size: int  # samples together: rows of a batch, pairs that are mined, items of a set
    units: float = 0.0  # of the kind's cost that were done
    repetitions: list[float] = field(default_factory=list)  # seconds a unit, one for each repetition
    start: float = 0.0  # seconds before the first unit
    bytes: float | None = None  # on disk, for each item that is kept
    host_mb: float = 0.0  # peak of the process, its children left out
    gpu_mb: float | None = None  # peak that torch reserved; None without a GPU
    saved_mb: float | None = None  # most tensors saved at once for the backward pass, where there is no GPU to measure
    fixed_mb: float | None = None  # weights, gradients and optimiser state of a training
    failure: str = ""  # the sentence, with its remedy
    notes: list[str] = field(default_factory=list)  # what was not as in the study
    facts: dict[str, Any] = field(default_factory=dict)  # what later kinds ask for, such as a feature's width
    machine: str = ""  # that it was measured on, its GPU included
    date: str = ""  # as year-month-day
    commit: str = ""  # of the code that was measured

    @property
    def seconds(self) -> float | None:
        """Returns the median seconds a unit; None where nothing was timed."""
        ordered = sorted(self.repetitions)
        return ordered[len(ordered) // 2] if ordered else None


@dataclass
class Measured:
    """What a rehearsal knows of a kind: its points in the order of their size. Failed where one of them is."""

    points: list[Point]
    device: str
    predictions: list[str] = field(default_factory=list)  # what will happen at the declared size
    problems: list[str] = field(default_factory=list)  # predictions that will not fit

    @property
    def failure(self) -> str:
        """Returns the first sentence that says why the kind would fail; empty where it would not."""
        return next((point.failure for point in self.points if point.failure), "") or next(iter(self.problems), "")

    @property
    def largest(self) -> Point:
        """Returns the point of the largest size."""
        return self.points[-1]

    @property
    def seconds(self) -> float | None:
        """Returns seconds a unit at the largest size that was timed."""
        return next((p.seconds for p in reversed(self.points) if p.seconds is not None), None)

    @property
    def spread(self) -> float:
        """Returns the slowest over the fastest repetition, over all sizes: at least 1."""
        all_of_them = [seconds for point in self.points for seconds in point.repetitions if seconds > 0]
        return max(all_of_them) / min(all_of_them) if all_of_them else 1.0

    @property
    def origin(self) -> dict[str, str]:
        """Returns machine, date and commit of the largest size, as an entry of costs has them."""
        return {name: getattr(self.largest, name) or "unknown" for name in ("machine", "date", "commit")}

    @property
    def notes(self) -> list[str]:
        """Returns the notes of all sizes, each once."""
        return list(dict.fromkeys(note for point in self.points for note in point.notes))


def at(sizes: list[tuple[float, float]], declared: float) -> float | None:
    """Returns the value at a declared size on the line through the first and the last of [(size, value)]; None for fewer than two sizes.

    A slope below zero is noise of small sizes, and counts as none.
    """
    if len({size for size, _ in sizes}) < 2:
        return None
    (small, low), (large, high) = sizes[0], sizes[-1]
    slope = max(0.0, (high - low) / (large - small))
    return high + slope * (declared - large)
