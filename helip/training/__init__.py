"""The training engine: batches, steps, resume state and distributed processes.

This module imports the standard library only, because `Interrupts` must listen for signals before torch is imported.
"""

import signal
from types import FrameType


class Interrupts:
    """This context remembers whether SIGTERM or SIGUSR2 came, from entering to leaving.

    Either signal asks a training to save its state and leave. `seen` says whether one came; leaving restores the handlers from before.
    """

    def __enter__(self) -> "Interrupts":
        self.seen = False
        self._before = {number: signal.signal(number, self._see) for number in (signal.SIGTERM, signal.SIGUSR2)}
        return self

    def _see(self, number: int, frame: FrameType | None) -> None:
        self.seen = True

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
