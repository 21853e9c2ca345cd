"""SIGTERM and SIGUSR2, which ask a training to save and leave. Standard library only: it must listen before torch is imported."""

import signal
from types import FrameType


class Interrupts:
    """Remembers that one of them came, from entering to leaving."""

    def __enter__(self) -> "Interrupts":
        self.seen = False
        self._before = {number: signal.signal(number, self._see) for number in (signal.SIGTERM, signal.SIGUSR2)}
        return self

    def _see(self, number: int, frame: FrameType | None) -> None:
        self.seen = True

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
