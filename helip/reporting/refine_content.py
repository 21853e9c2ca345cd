"""What the answer of `helip refine` holds, typed and once for all its forms: the page, the terminal and answer.json."""

from dataclasses import dataclass

from helip.reporting.formats import signed
from helip.reporting.provenance import StageCost


@dataclass(frozen=True)
class Change:
    """A difference in points with its 95 % interval; `is_informative` is false where no item changed, which says nothing."""

    value: float
    low: float
    high: float
    is_informative: bool = True

    @property
    def text(self) -> str:
        """The difference as pages print it: +1.4 [+0.6, +2.1], or in words that there is none on any image."""
        if not self.is_informative:
            return "same on every image"
        return f"{signed(self.value, 1)} [{signed(self.low, 1)}, {signed(self.high, 1)}]"

    def over(self, name: str) -> str:
        """Returns the difference in a sentence, to what is called `name`."""
        return f"{self.text} {'over' if self.is_informative else 'as'} {name}"

    @property
    def verdict(self) -> str:
        """One of: helps, hurts, no difference shown."""
        if not self.is_informative or self.low <= 0 <= self.high:
            return "no difference shown"
        return "helps" if self.low > 0 else "hurts"


@dataclass(frozen=True)
class ModelRow:
    """One model: its recalls in percent, over its trainings, and what it gains over the start and over plain continued training."""

    run: str
    label: str
    trainings: int
    validation: float
    to_text: float  # R@1 on test, image to text
    to_image: float
    over_start: Change | None  # of the mean of both directions
    over_control: Change | None

    @property
    def both(self) -> float:
        """The mean recall at 1 of both directions, on test."""
        return (self.to_text + self.to_image) / 2


@dataclass(frozen=True)
class SetRow:
    """One named set: every model's value in percent, and its change from the start."""

    name: str
    metric: str
    values: tuple[tuple[str, float, Change | None], ...]  # label of the model, value, change


@dataclass(frozen=True)
class Forgotten:
    """Held-out queries that the start answered rightly and a model does not any more."""

    label: str
    right: float  # queries that the start had right, over trainings
    lost: float
    won: float  # that the start had wrong and the model has right


@dataclass(frozen=True)
class SweepRow:
    """The weights of refined models that were tried on validation, averaged over trainings."""

    run: str  # the model at its best weight
    label: str
    scores: tuple[tuple[str, float], ...]
    best: tuple[float, ...]  # the weight that each training took


@dataclass(frozen=True)
class Example:
    """A pair to look at: its picture in base64, its caption, what the user calls its image, and a number about it."""

    picture: str
    caption: str
    key: str
    score: float | None = None
    other: "Example | None" = None  # the hard pair of a target


@dataclass(frozen=True)
class Duplicates:
    """Near-duplicates by perceptual hashes: within the training images, and between them and the images of each set."""

    images: int
    repeated: int | None
    sets: tuple[tuple[str, int, int], ...]  # name, items, items that have one


@dataclass(frozen=True)
class Page:
    """Everything that the page, the terminal and answer.json say."""

    question: str
    sentences: tuple[str, ...]
    best: ModelRow
    model: str  # folder of the best model, within the study's folder
    rows: tuple[ModelRow, ...]
    sets: tuple[SetRow, ...]
    forgotten: tuple[Forgotten, ...]
    sweeps: tuple[SweepRow, ...]
    hard: tuple[Example, ...]
    lowest: tuple[Example, ...]
    duplicates: Duplicates | None
    pairs: int  # trained on
    held_out: dict[str, int]
    left_out: dict[str, int]  # reason -> samples that could not be used
    costs: tuple[StageCost, ...]
    minutes: float
    trainings: int
