"""How long a study takes on so many GPUs: its jobs laid out in time, each as soon as what it needs is there and enough GPUs are free."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helip.planning.jobs import hours_of
from helip.stages import Stage, left_of


@dataclass(frozen=True)
class Job:
    """A job of the schedule: how long it takes, how many of the counted devices it holds, and the jobs that come before it."""

    hours: float
    devices: int
    before: tuple[int, ...]  # places in the list of jobs


def jobs_of(artefacts: Sequence[Stage], gpus: bool) -> list[Job]:
    """Returns the jobs that are left, those of a study without GPUs counted in cores. A job whose cost nobody declared takes no time."""
    to_make = left_of(artefacts)
    left = [one for one in artefacts if one in to_make]
    places: dict[Path, int] = {one.output: i for i, one in enumerate(left)}
    jobs = []
    for one in left:
        asked = one.resources()
        before = tuple({places[need.output] for need in (*one.needs(), *one.awaits()) if need.output in places})
        jobs.append(Job(hours_of(one) or 0.0, asked.gpu if gpus else asked.threads, before))
    return jobs


def wall_clock(jobs: Sequence[Job], devices: int) -> float | None:
    """Returns the hours from the first job to the end of the last; None where one job asks for more devices than there are.

    The job with the most work behind it starts first (list scheduling, Graham 1969): never more than twice the shortest time possible.
    """
    if any(job.devices > devices for job in jobs):
        return None
    after: list[list[int]] = [[] for _ in jobs]
    for i, job in enumerate(jobs):
        for needed in job.before:
            after[needed].append(i)
    behind = _behind(jobs, after)
    waiting = [len(job.before) for job in jobs]
    ready = [(-behind[i], i) for i, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now, free = 0.0, devices
    while ready or running:
        passed = []
        while ready:
            entry = heapq.heappop(ready)
            if jobs[entry[1]].devices <= free:
                free -= jobs[entry[1]].devices
                heapq.heappush(running, (now + jobs[entry[1]].hours, entry[1]))
            else:
                passed.append(entry)
        for entry in passed:
            heapq.heappush(ready, entry)
        now, done = heapq.heappop(running)
        free += jobs[done].devices
        for following in after[done]:
            waiting[following] -= 1
            if not waiting[following]:
                heapq.heappush(ready, (-behind[following], following))
    return now


def _behind(jobs: Sequence[Job], after: Sequence[Sequence[int]]) -> list[float]:
    """For each job the hours of the longest chain that begins with it. Jobs come after what they need in the list, as the plan has them."""
    longest = [0.0] * len(jobs)
    for i in reversed(range(len(jobs))):
        longest[i] = jobs[i].hours + max((longest[j] for j in after[i]), default=0.0)
    return longest


def duration(hours: float) -> str:
    """Returns hours as a person reads them: 42 s, 12 min, 7.5 h, 3.2 days."""
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"
