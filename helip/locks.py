"""One process at a time: a lock on a file, which child processes inherit."""

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(lock: Path, waiting: str) -> Iterator[int]:
    """Holds a lock file for one process at a time, and yields its descriptor: a child that inherits the descriptor holds the lock too.

    `waiting` is printed on stderr where another process holds it. On a file system without locks nothing is held.
    """
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield file.fileno()
