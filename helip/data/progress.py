"""Progress of long work: a bar on a terminal, a line a minute in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(work: Iterable[T], total: int | None, what: str, unit: str = "it", every: float = 60.0) -> Iterator[T]:
    if sys.stderr.isatty():
        yield from tqdm(work, total=total, desc=what, unit=unit)
        return
    start = said = time.monotonic()
    for done, item in enumerate(work, 1):
        yield item
        now = time.monotonic()
        if now - said >= every:
            rate = done / (now - start)
            rest = f" of {total}, {(total - done) / rate / 60:.0f} min left" if total else ""
            print(f"{what}: {done}{rest}, {rate:.1f} {unit}/s", file=sys.stderr, flush=True)
            said = now
