"""What a sampler refuses: arguments of another type or out of their range, and a population smaller than a batch. Numpy only."""

from typing import Any

import numpy as np

from helip.errors import HelipError

ARMS, ROLES = ("control", "cleaned", "helip"), ("batch", "negatives")
MANY = 0.5  # share of the corpus that the outliers are, from which they are named as the cause


def check_arguments(
    size: Any, batch_size: Any, seed: Any, arm: Any, role: Any, p: Any, seed_fraction: Any, keep: np.ndarray | None, **switches: Any
) -> None:
    """Raises HelipError, which names the argument and its range."""
    for name, value, least in (("size", size, 1), ("batch_size", batch_size, 1), ("seed", seed, 0), ("p", p, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise HelipError(f"{name} = {value!r}: expected an integer of at least {least}")
    for name, value, choices in (("arm", arm, ARMS), ("role", role, ROLES)):
        if value not in choices:
            raise HelipError(f"{name} = {value!r}: expected one of {', '.join(choices)}")
    if isinstance(seed_fraction, bool) or not isinstance(seed_fraction, int | float | np.number) or not 0 <= seed_fraction <= 1:
        raise HelipError(f"seed_fraction = {seed_fraction!r}: expected a share from 0 to 1 of the base samples")
    for name, value in switches.items():
        if not isinstance(value, bool | np.bool_):
            raise HelipError(f"{name} = {value!r}: expected True or False")
    check_mask("keep", keep, size)


def check_counted(name: str, value: Any) -> None:
    """Raises HelipError for what does not count from 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise HelipError(f"{name} = {value!r}: expected an integer of at least 0")


def check_pairs(pairs: Any) -> None:
    """Raises HelipError for what is no pair set, and for a shard of one, whose ids are of the whole corpus."""
    if not hasattr(pairs, "noise") or not hasattr(pairs, "hard"):
        raise HelipError(f"pairs: expected a pair set, got {type(pairs).__name__}; open one by helip.PairSet.open(folder)")
    if (shard := getattr(pairs, "shard", (0, 1))) != (0, 1):
        raise HelipError(
            f"pairs: are shard {shard[0]}/{shard[1]} of a mining job, and training needs all; join them by `helip merge-pairs`"
        )


def as_array(mask: Any) -> Any:
    """Returns a torch tensor as an array, and anything else as it is: torch is not needed here."""
    return mask.cpu().numpy() if hasattr(mask, "cpu") else mask


def check_mask(name: str, mask: Any, size: int) -> None:
    """Raises HelipError for a mask that is not bool [size]: ids or numbers in its place would select other pairs."""
    if mask is None:
        return
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 1:
        what = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise HelipError(
            f"{name}: expected a bool array [{size}], true for each pair that may be drawn, got {what}; write mask.astype(bool)"
        )
    if len(mask) != size:
        raise HelipError(f"the selection is of {len(mask)} pairs and the corpus has {size}: select from this corpus again")


def check_population(batch_size: int, population: np.ndarray, size: int, selected: int, groups: np.ndarray | None) -> None:
    """Raises HelipError, which names the cause, where fewer pairs are left than a batch holds. groups: [N], one pair each in a batch."""
    left = len(population) if groups is None else len(np.unique(groups[population]))
    if batch_size <= left:
        return
    outliers, causes = selected - len(population), []
    if outliers:
        causes.append(f"{outliers} are outliers of the pair set, with fewer than k hard pairs")
    if size > selected:
        causes.append(f"{size - selected} are left out by the selection or held out")
    if left < len(population):
        causes.append(f"{len(population) - left} are copies of others")
    because = f" ({' and '.join(causes)}, of {size})" if causes else ""
    remedy = "mine with a lower tau or --outliers 0.15, or " if outliers > MANY * size else ""
    raise HelipError(f"a batch of {batch_size} is larger than the {left} pairs left to train on{because}: {remedy}lower batch_size")


def longest_list(pairs: Any) -> float:
    """Returns the length of the longest list of a pair set; infinity for one that does not tell."""
    offsets = getattr(pairs, "offsets", None)
    return np.inf if offsets is None else int(np.diff(offsets).max(initial=0))
