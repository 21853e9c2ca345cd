"""How far long work is: a bar on a terminal, a line a minute in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Progress:
    """Progress counts the units of long work that are done, and shows on standard error how fast it goes and how long the rest takes.

    what: the name of the work. total: units of the whole work, None where nobody knows. unit: their name, in the plural. done: units
    that an earlier process did. speed_in: (size, name) where each unit stands for `size` of something else, such as the samples of a
    step, in which the speed is then shown. quiet: nothing is shown. every: seconds between two lines in a log.
    """

    def __init__(self, what: str, total: int | None, unit: str = "items", *, done: int = 0, speed_in: tuple[int, str] | None = None,
                 quiet: bool = False, every: float = 60.0):  # fmt: skip
        self.done = done
        self._what, self._total, self._unit, self._speed_in, self._quiet, self._every = what, total, unit, speed_in, quiet, every
        self._first, self._start = done, time.monotonic()
        self._last_line = self._start
        on_terminal = sys.stderr.isatty() and not quiet
        self._bar = tqdm(initial=done, total=total, desc=what, unit=f" {unit}") if on_terminal else None

    def update(self, count: int = 1, numbers: str = "") -> None:
        """Counts `count` more units and shows them where a line is due, with `numbers`, such as the loss."""
        self.done += count
        now = time.monotonic()
        if self._bar is not None:
            speed = self._speed(now) if self._speed_in else ""
            self._bar.set_postfix_str(", ".join(filter(None, (numbers, speed))), refresh=False)
            self._bar.update(count)
        elif not self._quiet and now - self._last_line >= self._every:
            place = f"{self.done} of {self._total} {self._unit}" if self._total is not None else f"{self.done} {self._unit}"
            self.say(", ".join(filter(None, (place, numbers, self._speed(now), self._rest(now)))))
            self._last_line = now

    def _speed(self, now: float) -> str:
        size, name = self._speed_in or (1, self._unit)
        speed = (self.done - self._first) * size / max(now - self._start, 1e-9)
        return f"{speed:.0f} {name}/s" if speed >= 100 else f"{speed:.1f} {name}/s"

    def _rest(self, now: float) -> str:
        """How long the rest takes at the speed so far; empty where nobody knows."""
        if self._total is None or self.done == self._first:
            return ""
        return f"{(now - self._start) / (self.done - self._first) * (self._total - self.done) / 60:.1f} min left"

    def say(self, text: str) -> None:
        """Writes a line to standard error, above the bar where there is one; nothing when quiet."""
        if not self._quiet:
            tqdm.write(f"{self._what}: {text}", file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        """Ends the bar, where there is one."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def progress(work: Iterable[T], total: int | None, what: str, unit: str = "items", every: float = 60.0) -> Iterator[T]:
    """Yields the items of `work` and shows how many were taken; `total` is how many there are, None where nobody knows."""
    with Progress(what, total, unit, every=every) as meter:
        for item in work:
            yield item
            meter.update()
