"""Before a training starts: what would go wrong hours later is said now, in under a minute."""

import logging
import sys

from open_clip.modified_resnet import ModifiedResNet

from helip.config import Refinement
from helip.data.preflight import preflight
from helip.errors import HelipError
from helip.training.loop import Job, sampler_of
from helip.training.optimisation import total_steps
from helip.training.sampler import Sampler

FIRST_BATCHES = 20
log = logging.getLogger(__name__)


def prepare(job: Job) -> tuple[str, ...]:
    """Looks at the first 1,000 samples, the first batches and the schedule; HelipError for what cannot work, warnings of what may not."""
    steps = total_steps(job.recipe, len(job.corpus))
    sampler = sampler_of(job.recipe, len(job.corpus), job.seed, job.pairs, job.keep)
    _check_hard_pairs(job, sampler, min(steps, FIRST_BATCHES))
    found = preflight(job.corpus, job.clip.tokenize, job.clip.config["text_cfg"].get("vocab_size", 49408))
    schedule = f"{steps} steps of {job.recipe.batch_size}, {job.recipe.warmup_steps} of them warm-up, {sampler.steps_per_epoch} an epoch"
    data = f"{len(job.corpus)} pairs, captions of {found.median_tokens:.0f} tokens in a context of {found.context_length}"
    print(f"{job.name}: {schedule}; {data}", file=sys.stderr, flush=True)
    warnings = [*found.warnings, *_without_effect(job)]
    for warning in warnings:
        log.warning("%s: %s", job.name, warning)
    return tuple(warnings)


def _check_hard_pairs(job: Job, sampler: Sampler, batches: int) -> None:
    """Refuses an arm `helip` that would train without hard pairs."""
    r = job.recipe
    if not isinstance(r, Refinement) or r.arm != "helip" or r.seed_fraction == 0:
        return
    if not any(len(sampler(step).seeds) for step in range(batches)):
        most = max(len(job.pairs.hard(i)) for step in range(batches) for i in sampler(step).ids.tolist())
        set_to = f"p {r.p}, seed_fraction {r.seed_fraction:g}, batch_size {r.batch_size} and lists of at most {most} hard pairs (k)"
        raise HelipError(f"{job.name}: no hard pair is in the first {batches} batches, with {set_to}: lower p, raise seed_fraction or k")


def _without_effect(job: Job) -> list[str]:
    if job.recipe.checkpoint_gradients and isinstance(job.clip.model.visual, ModifiedResNet):
        return ["checkpoint_gradients does nothing for open_clip's ResNet: only the text tower saves memory; use accumulate"]
    return []
