"""Labels of trainings: '2' is a pre-training, '2r1' the second refinement of its checkpoint."""

from collections.abc import Sequence


def start_seed(seed: str) -> str:
    """Returns the seed of the checkpoint that a refinement begins from: '2r1' is the second refinement of pre-training 2."""
    return seed.partition("r")[0]


def seed_number(seed: str) -> int:
    """Returns the integer that all randomness of a training flows from."""
    pretraining, _, repeat = seed.partition("r")
    return int(pretraining) + 1000 * int(repeat or 0)


def independent(seeds: Sequence[str]) -> list[str]:
    """Returns what each training is a draw of: its pre-training, or its refinement where all refine one published checkpoint."""
    starts = [start_seed(s) for s in seeds]
    return starts if len(set(starts)) > 1 else list(seeds)


def paired_seeds(ours: Sequence[str], theirs: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Returns the seeds to compare row by row: those that both have, a start checkpoint standing for all its refinements; None without."""
    shared = []
    for rows in (ours, theirs):  # either may be the one that has refinements where the other has starts
        of_ours, of_theirs = ([s if s in pool else start_seed(s) for s in rows] for pool in (ours, theirs))
        shared.append([(a, b) for a, b in zip(of_ours, of_theirs, strict=True) if a in ours and b in theirs])
    pairs = max(shared, key=len)
    return ([a for a, _ in pairs], [b for _, b in pairs]) if pairs else None
