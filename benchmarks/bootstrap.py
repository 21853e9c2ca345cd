"""The intervals of a table by one matrix of counts a test set, against items drawn anew for each cell. Prints CPU seconds and the ratio.

    python benchmarks/bootstrap.py --rows 20 --trainings 8

The cells are a table of the study flickr8k with its means over three corpora: rows x 4, one retrieval set (1,000 items, in fifths) and one
of classification (5,000). Every contestant draws 10,000 resamples and starts with nothing kept; they take turns.
"""

import argparse
import time

import numpy as np
from _turns import compare, take_turns

from helip.io import machine
from helip.reporting import bootstrap
from helip.reporting.statistics import RESAMPLES, Paired

SETS = {"flickr30k": (1000, 5), "cifar10": (5000, 1)}  # items, and hits that make one


def cells_of(rows: int, trainings: int) -> list[list[Paired]]:
    """For every set and row: three comparisons by themselves, and their mean."""
    rng, cells = np.random.default_rng(0), []
    for name, (items, together) in SETS.items():
        for _ in range(rows):
            hits = [(rng.random((2, trainings, items, together)) < rng.random(items)[:, None]).mean(3, dtype=np.float32) for _ in "abc"]
            three = [Paired(((name, a - b),), tuple(map(str, range(trainings))), start) for start, (a, b) in zip("abc", hits, strict=True)]
            cells += [[one] for one in three] + [three]
    return cells


def anew(compared: list[Paired]) -> np.ndarray:
    """What `bootstrap` gives, with the items of each cell drawn by themselves."""
    ((name, n),) = {(name, d_Sn.shape[1]) for p in compared for name, d_Sn in p.columns}
    weights_RS = np.concatenate([bootstrap._training_draws(p.start, p.clusters, RESAMPLES) for p in compared], 1) / len(compared)
    kinds_SK, count_K = np.unique(np.concatenate([p.columns[0][1] for p in compared]).astype(np.float64), axis=1, return_counts=True)
    rng, room = bootstrap._generator("items", name, str(n)), max(1, bootstrap.BLOCK // len(count_K))
    parts = [weights_RS[first : first + room] for first in range(0, RESAMPLES, room)]
    return 100 * np.concatenate([((w @ kinds_SK) * rng.multinomial(n, count_K / n, size=len(w))).sum(1) / n for w in parts])


def by_counts(compared: list[Paired]) -> np.ndarray:
    return bootstrap.bootstrap(compared, RESAMPLES)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=20)
    p.add_argument("--trainings", type=int, default=8, help="of each of three starts")
    p.add_argument("--rounds", type=int, default=3)
    a = p.parse_args()
    cells, widths = cells_of(a.rows, a.trainings), {}

    def contestant(name, method):
        def timed() -> float:
            bootstrap._kept_counts.cache_clear()
            before = time.process_time()
            widths[name] = [np.ptp(np.quantile(method(cell), (0.025, 0.975))) for cell in cells]
            return len(cells) / (time.process_time() - before)

        return timed

    rates = take_turns({"counts": contestant("counts", by_counts), "items anew": contestant("items anew", anew)}, a.rounds)
    print(f"{machine()}, CPU time; {len(cells)} cells, {RESAMPLES:,} resamples")
    for name, seen in rates.items():
        print(f"{name:24} {len(cells) / np.median(seen):9.1f} s for all cells")
    print(f"widths of the intervals differ by {100 * np.abs(np.divide(*widths.values()) - 1).max():.1f} % at most: chance")
    print(compare(rates, "counts", "items anew", least=10))


if __name__ == "__main__":
    main()
