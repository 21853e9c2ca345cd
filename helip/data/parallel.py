"""The same work on many jobs, on one or several processes."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from helip.errors import HelipError
from helip.progress import progress

T = TypeVar("T")


def each(work: Callable[..., T], jobs: list[Any], what: str, unit: str, workers: int = 1) -> Iterator[T]:
    """Yields work(job) for each job, in order, on that many processes. Raises HelipError where a process was killed."""
    if workers <= 1 or len(jobs) <= 1:
        yield from progress(map(work, jobs), len(jobs), what, unit)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
            yield from progress(pool.map(work, jobs), len(jobs), what, unit)
    except BrokenProcessPool:
        raise HelipError(f"{what}: one of {workers} worker processes was killed; ask for more memory or for fewer workers") from None
