"""How many steps a training may take so that everything ends in time: the first steps are measured, on the real job."""

import dataclasses
import tempfile
import time
from pathlib import Path

from helip.errors import HelipError
from helip.own.arms import ARMS
from helip.stages import Train
from helip.study import Study

MEASURED, FEWEST, SPARE = 8, 10, 0.9  # steps that are timed; steps that are worth an answer; share of the time that is planned for


def seconds_per_step(study: Study, run: str, seed: str, device: str | None) -> float:
    """Returns the seconds of one optimiser step of a run, as it will be trained; the first two steps are not counted."""
    from helip.training.distributed import join, leave
    from helip.training.loop import Trainer

    context = join(device)
    try:
        with tempfile.TemporaryDirectory(prefix="helip-fit-") as place:
            job = Train(study, run, seed).job(context)
            job = dataclasses.replace(job, state_dir=Path(place) / "state", out=Path(place) / "out")
            trainer, times = Trainer(job, context), [time.monotonic()]
            for batch, inputs in trainer.batches():
                trainer.advance(batch, inputs, times[-1])
                times.append(time.monotonic())
                if len(times) > MEASURED + 2:
                    break
        counted = times[min(2, len(times) - 2) :]
        return (counted[-1] - counted[0]) / (len(counted) - 1)
    finally:
        leave()


def steps_in(seconds: float, study: Study, device: str | None) -> int:
    """Returns the steps that every arm may take so that all trainings together take `seconds`.

    Raises HelipError where not even ten steps fit.
    """
    arms = [run for run in study.runs.values() if run.name in ARMS]
    each = sum(seconds_per_step(study, run.name, run.seeds[0], device) * len(run.seeds) for run in arms)
    steps = int(SPARE * seconds / each)
    if steps < FEWEST:
        needed = max(0.0, FEWEST * each / SPARE - seconds) / 60
        raise HelipError(
            f"--minutes: {FEWEST} steps of all trainings take {FEWEST * each:.0f} s and {max(seconds, 0):.0f} s are left for them: give "
            f"{needed + 0.5:.0f} minutes more, fewer --arms, fewer --seeds or a smaller --batch-size"
        )
    return steps
