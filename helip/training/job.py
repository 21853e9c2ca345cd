"""One training as a value: everything that it needs, what it draws from, and what it validates on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from helip.config import Refinement, TrainConfig
from helip.models.loading import Clip
from helip.selection.soft import Soft
from helip.training.batches import Corpus
from helip.training.duplicates import Duplicates, cached
from helip.training.frozen import TrunkRows
from helip.training.sampler import HardPairs, Sampler


@dataclass(frozen=True)
class TrainJob:
    """A job is everything that one training needs; `clip` is the model to train, fresh or a start checkpoint, and is changed in place."""

    recipe: TrainConfig | Refinement
    clip: Clip
    corpus: Corpus
    seed: int
    digest: str  # of all that decides the result; names the state
    state_dir: Path
    out: Path
    name: str = "train"
    recovered_share: float | None = None  # of the published corpus, for train.json
    pairs: HardPairs | None = None
    keep: np.ndarray | None = None  # [N] bool: the pairs selected for training; None: all
    soft: Soft | None = None  # how often each is drawn; None: all alike
    duplicates: Duplicates | None = None  # of the corpus; None: looked for, where the recipe asks for them
    duplicates_dir: Path | None = None  # where they are kept for other trainings on the corpus; None: with the state, and as long
    retention_score: Callable[[nn.Module], float] | None = None  # of the recipe's retention set; points, higher is better
    inputs: dict[str, str] = field(default_factory=dict)  # digests, for train.json
    warnings: tuple[str, ...] = ()  # of the preparation, for train.json
    validation: Corpus | None = None  # what early stopping validates on, in place of a held-out share of the corpus
    features: TrunkRows | None = None  # of a model whose trunks are frozen, in place of the corpus' pixels and tokens
    workers: int | None = None  # loader processes; None: none on a CPU, up to 8 beside a GPU
    follow: Callable[[dict[str, float]], None] | None = None  # told each row of the curve; it must neither wait nor raise


def sampler_of(
    recipe: TrainConfig,
    size: int,
    seed: int,
    pairs: HardPairs | None,
    keep: np.ndarray | None = None,
    soft: Soft | None = None,
    duplicates: Duplicates | None = None,
) -> Sampler:
    """Returns the sampler of a recipe; pre-training draws as the control arm does. `keep` [N] is what may be drawn, `soft` how often."""
    if not isinstance(recipe, Refinement):
        return Sampler(size, recipe.batch_size, seed, arm="control", keep=keep, soft=soft)
    r, pairs = recipe, None if recipe.arm == "control" else pairs
    apart = r.duplicates == "separate"
    return Sampler(size, r.batch_size, seed, pairs, r.arm, r.seed_fraction, r.p, r.drop_noise, keep, r.role, soft, duplicates, apart)


def duplicates_of(job: TrainJob) -> Duplicates | None:
    """Returns the duplicates of a job's corpus where its recipe asks for them, looked for once; else None."""
    if not isinstance(job.recipe, Refinement) or job.recipe.duplicates in (None, "ignore"):
        return None
    return job.duplicates or cached(job.corpus, job.duplicates_dir or job.state_dir)
