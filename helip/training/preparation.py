"""Before a training starts: what would go wrong hours later is said now, in under a minute."""

import logging
import sys

from helip.data.preflight import preflight
from helip.training.loop import Job, sampler_of
from helip.training.optimisation import total_steps

log = logging.getLogger(__name__)


def prepare(job: Job) -> tuple[str, ...]:
    """Looks at the first 1,000 samples and at the schedule; HelipError for what cannot work, and the warnings of what may not."""
    steps = total_steps(job.recipe, len(job.corpus))
    sampler = sampler_of(job.recipe, len(job.corpus), job.seed, job.pairs, job.keep)
    found = preflight(job.corpus, job.clip.tokenize, job.clip.config["text_cfg"].get("vocab_size", 49408))
    schedule = f"{steps} steps of {job.recipe.batch_size}, {job.recipe.warmup_steps} of them warm-up, {sampler.steps_per_epoch} an epoch"
    data = f"{len(job.corpus)} pairs, captions of {found.median_tokens:.0f} tokens in a context of {found.context_length}"
    print(f"{job.name}: {schedule}; {data}", file=sys.stderr, flush=True)
    for warning in found.warnings:
        log.warning("%s: %s", job.name, warning)
    return tuple(found.warnings)
