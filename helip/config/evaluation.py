"""Evaluation sets."""

from typing import Annotated, Literal

from pydantic import Field

from helip.config.base import ConfigModel, Name, Seed, WorldKind

RECALLS = (1, 5, 10)  # k of retrieval's recall at k
METRICS = {  # task -> what its files say, for columns of tables and metrics of contrasts; of models, of pair sets, of mining jobs
    "zeroshot": ("acc1", "acc5", "mean_per_class_recall"),
    "probe": ("acc1", "mean_per_class_recall"),
    "retrieval": tuple(f"{side}_recall_at_{k}" for side in ("image", "text") for k in RECALLS),
    "judge": (
        "targets", "hard_pairs", "outlier_share", "auc", "precision", "recall", "megabytes", "similarity", "likely_matches", "recalled",
    ),
    "mine": ("minutes",),
}  # fmt: skip


class GeneratedSet(ConfigModel):
    """This set is an analogue of one of the paper's sets in the generated world, written in CLIP benchmark's wds layout."""

    kind: Literal["generated"] = "generated"
    task: Literal["classification", "retrieval"]  # what it is evaluated for
    probe: bool = False  # whether it has a linear probe too
    items: int = Field(1000, gt=0)  # test images
    train_items: int = Field(0, ge=0)  # for the linear probe
    image_size: int = Field(32, ge=16)  # pixels a side
    world: WorldKind = "first"  # as of the corpora it is meant for
    world_seed: Seed = 0  # as of the corpora
    concepts: int = Field(2500, ge=300)  # as of the corpora
    seed: Seed = 1  # the scenes drawn from them


class Expected(ConfigModel):
    """These are the facts that a published evaluation set is known by; `helip data check` compares them. Digests are sha256 of lines."""

    items: int | None = None  # test images
    train_items: int | None = None  # training images
    classes: int | None = None  # how many
    class_names: str | None = None  # digest
    templates: str | None = None  # digest


class WdsSet(ConfigModel):
    """This set is a folder in CLIP benchmark's wds layout: classnames.txt, templates, {split}/nshards.txt, {split}/0.tar ..."""

    kind: Literal["wds"] = "wds"
    task: Literal["classification", "retrieval"]  # what it is evaluated for
    probe: bool = False  # whether it has a linear probe too
    path: str  # its folder; $VARIABLES are expanded
    split: str = "test"  # that is evaluated
    validation: str | None = None  # split of the authors' own that chooses a probe's strength; None: a fixed fifth of the training split
    obtain: str = ""  # where to get it, for whoever has not
    expected: Expected = Expected()  # what `helip data check` compares it with


class BenchmarkSet(ConfigModel):
    """This set is one that CLIP benchmark builds itself, by its name there."""

    kind: Literal["clip_benchmark"] = "clip_benchmark"
    task: Literal["classification", "retrieval"]  # what it is evaluated for
    probe: bool = False  # whether it has a linear probe too
    name: str  # of CLIP benchmark's data set
    root: str  # its folder; $VARIABLES are expanded
    split: str = "test"  # that is evaluated
    validation: str | None = None  # split of the authors' own that chooses a probe's strength; None: a fixed fifth of the training split
    obtain: str = ""  # where to get it, for whoever has not
    expected: Expected = Expected()  # what `helip data check` compares it with


class HeldOutSet(ConfigModel):
    """This set is the pairs that a corpus of kind `train_part` holds out, written in CLIP benchmark's wds layout: a retrieval set."""

    kind: Literal["held_out"] = "held_out"
    task: Literal["retrieval"] = "retrieval"  # what it is evaluated for
    probe: Literal[False] = False  # it has no classes, so no linear probe
    of: Name  # a corpus of kind train_part
    part: Literal["validation", "test"]  # of what is held out
    split: Literal["test"] = "test"  # that is evaluated
    obtain: str = ""  # nothing: it comes from the corpus
    expected: Expected = Expected()  # what `helip data check` compares it with


EvaluationSet = Annotated[GeneratedSet | WdsSet | BenchmarkSet | HeldOutSet, Field(discriminator="kind")]
