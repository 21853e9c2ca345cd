"""A training from a command line to its exit code: in this process, or in one for each GPU.

Light: signals are listened for before torch is imported, so that whenever one comes the exit code asks to be requeued.
"""

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from helip.gpus import torch_device
from helip.training import Interrupts

if TYPE_CHECKING:
    from helip.evaluation.sets import EvaluationSet
    from helip.models.loading import Clip
    from helip.training.distributed import DistributedContext
    from helip.training.job import TrainJob


def run(
    job_factory: "Callable[[DistributedContext], TrainJob]",
    retention_set: "Callable[[str], EvaluationSet]",
    device: str | None = None,
    workers: int | None = None,
    report: Callable[[], None] | None = None,
) -> int:
    """Trains a job to its end; returns 0, or REQUEUE after SIGTERM or SIGUSR2.

    job_factory: makes the job in each process, and imports what is heavy there. retention_set: opens the evaluation set that
    `retention` of the recipe names. device: cpu, cuda or None for cuda where there is one; with several GPUs allotted, the command of this
    process (sys.argv) is run once for each. workers: loader processes; None for none on a CPU and up to 8 beside a GPU.
    report: called once, by the process that leads, when the training has come to its end.
    """
    with Interrupts() as listening:
        from helip.training.processes import processes_wanted, relaunch

        torch_device(device)  # refuses a GPU that is not there
        wanted = 1 if device == "cpu" else processes_wanted()
        if wanted > 1:
            return relaunch(wanted, sys.argv[1:], listening=listening)
        return _train_here(job_factory, retention_set, device, workers, report, listening)


def _train_here(
    job_factory: Any, retention_set: Any, device: str | None, workers: int | None, report: Callable[[], None] | None, listening: Interrupts
) -> int:
    from helip.training.distributed import join, leave
    from helip.training.loop import train
    from helip.training.preparation import prepare

    context = join(device)
    try:
        job = dataclasses.replace(job_factory(context), workers=workers)
        if (watched := getattr(job.recipe, "retention", None)) is not None:
            score = _retention_score(job.clip, retention_set(watched.set), str(context.device))
            job = dataclasses.replace(job, retention_score=score)
        if context.leads:
            job = dataclasses.replace(job, warnings=prepare(job))
        code = train(job, context, listening)
        if code == 0 and context.leads and report is not None:
            report()
        return code
    finally:
        leave()


def _retention_score(clip: "Clip", data: "EvaluationSet", device: str) -> Callable[[Any], float]:
    """model -> accuracy or mean recall at 1 on a small set, in points."""
    from helip.evaluation.extraction import Extractor
    from helip.evaluation.metrics import retrieval, zeroshot
    from helip.evaluation.model import ClipModel
    from helip.training.validation import transform_of

    def score(model: Any) -> float:
        extractor = Extractor(ClipModel(model, transform_of(clip), clip.tokenize, "training", "training", device), cache=None)
        if data.task == "classification":
            return zeroshot(extractor, data).metrics["acc1"]
        recalls = retrieval(extractor, data).metrics
        return (recalls["image_recall_at_1"] + recalls["text_recall_at_1"]) / 2

    return score
