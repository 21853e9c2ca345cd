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
    """Returns the seeds to compare row by row: the same ones, a start checkpoint standing for all its refinements; None without any."""
    for longer in (ours, theirs):
        of_ours, of_theirs = ([s if s in pool else start_seed(s) for s in longer] for pool in (ours, theirs))
        if set(of_ours) <= set(ours) and set(of_theirs) <= set(theirs):
            return of_ours, of_theirs
    return None
