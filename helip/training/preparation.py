"""What would go wrong in a training, said before it starts."""

import logging
import sys

from open_clip.modified_resnet import ModifiedResNet

from helip.config import Refinement
from helip.data.preflight import preflight
from helip.errors import HelipError
from helip.training.job import TrainJob, duplicates_of, sampler_of
from helip.training.optimisation import total_steps
from helip.training.sampler import Sampler

FIRST_BATCHES = 20  # of a job, that `prepare` looks at
log = logging.getLogger(__name__)


def prepare(job: TrainJob) -> tuple[str, ...]:
    """Returns the warnings of a training before it starts, from its first 1,000 samples, its first batches and its schedule.

    It says in under a minute what would go wrong hours later. HelipError is raised for what cannot work; the warnings are of what may
    not.
    """
    steps = total_steps(job.recipe, len(job.corpus))
    sampler = sampler_of(job.recipe, len(job.corpus), job.seed, job.pairs, job.keep, job.soft)  # refuses before anything is written
    if getattr(job.recipe, "duplicates", None) == "separate":
        sampler = sampler_of(job.recipe, len(job.corpus), job.seed, job.pairs, job.keep, job.soft, duplicates_of(job))
    _check_hard_pairs(job, sampler, min(steps, FIRST_BATCHES))
    captions, warnings = "cached features", [*_without_effect(job), *_copies(job)]
    if job.features is None:  # else all images and captions were looked at when they were encoded
        report = preflight(job.corpus, job.clip.tokenize, job.clip.config["text_cfg"].get("vocab_size", 49408))
        captions = f"captions of {report.median_tokens:.0f} tokens in a context of {report.context_length}"
        warnings = [*report.warnings, *warnings]
    schedule = f"{steps} steps of {job.recipe.batch_size}, {job.recipe.warmup_steps} of them warm-up, {sampler.steps_per_epoch} an epoch"
    data = f"{len(job.corpus)} pairs{', drawn in proportion to their scores' if job.soft else ''}, {captions}"
    print(f"{job.name}: {schedule}; {data}", file=sys.stderr, flush=True)
    for warning in warnings:
        log.warning("%s: %s", job.name, warning)
    return tuple(warnings)


def _check_hard_pairs(job: TrainJob, sampler: Sampler, batches: int) -> None:
    """Refuses an arm `helip` that would train without hard pairs."""
    r = job.recipe
    if not isinstance(r, Refinement) or r.arm != "helip" or r.seed_fraction == 0:
        return
    if not any(len(sampler(step).seeds) for step in range(batches)):
        assert job.pairs is not None  # the sampler refuses the arm `helip` without pairs
        most = max(len(job.pairs.hard(i)) for step in range(batches) for i in sampler(step).ids.tolist())
        set_to = f"p {r.p}, seed_fraction {r.seed_fraction:g}, batch_size {r.batch_size} and lists of at most {most} hard pairs (k)"
        raise HelipError(f"{job.name}: no hard pair is in the first {batches} batches, with {set_to}: lower p, raise seed_fraction or k")


def _copies(job: TrainJob) -> list[str]:
    """Counts pairs of one image and caption, as the manifest knows them, where the recipe lets them be each other's negatives."""
    copies = getattr(job.corpus, "manifest", {}).get("duplicates", 0)
    if not copies or not isinstance(job.recipe, Refinement) or job.recipe.duplicates not in (None, "ignore"):
        return []
    return [f"{copies} of {len(job.corpus)} pairs are copies of others and negatives of each other: duplicates mask or separate mends that"]


def _without_effect(job: TrainJob) -> list[str]:
    if job.recipe.checkpoint_gradients and isinstance(job.clip.model.visual, ModifiedResNet):
        return ["checkpoint_gradients does nothing for open_clip's ResNet: only the text tower saves memory; use accumulate"]
    return []
