"""How far mining is: pairs, pairs/s and time left. Alive on a terminal, a line a minute in a log."""

import sys

from tqdm import tqdm


def bar(total: int, shown: bool) -> tqdm:
    return tqdm(total=total, unit=" pairs", disable=not shown, mininterval=0.2 if sys.stderr.isatty() else 60)
