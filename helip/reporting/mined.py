"""The measured side of claims about mined pairs, mining times and epochs."""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from helip.config import Claim, Comparison, RunEncoder
from helip.errors import HelipError
from helip.io import read_json
from helip.reporting.effects import Effect, NotRunError, one_sided, weakest
from helip.reporting.measured import mining_minutes, pairs_file
from helip.reporting.quality import intricate, overlap_by_target, pair_overlap_by_target
from helip.reporting.statistics import RESAMPLES, chance, interval
from helip.stages import BuildCorpus, Mine, model_of
from helip.stages.figure import quality_pairs
from helip.study import Study

FEW = 20  # targets: of fewer, a bootstrap is too sure
PAPER_POOL = 6000  # candidates for each hard pair that is kept: pools of 3 million, k 500 (section 4.7)


def overlap(study: Study, claim: Claim, bound: list[Comparison]) -> Effect:
    """Returns how many more attributes the hard pairs of one method share, paired over targets that have hard pairs by both."""
    names = [(study.pairs_name(study.run(c.run)), study.pairs_name(study.run(c.over))) for c in bound]
    known = [one.pairs for one in quality_pairs(study)]
    if any(n not in known or not (Mine(study, n).folder / "pairs.json").exists() for pair in names for n in pair):
        raise NotRunError("some pairs are not mined yet, or their corpus is not a generated one, whose truth is known")
    values = [_of_both(study, claim, ours, theirs) for ours, theirs in names]
    draws = [_draws_of_mean(a - b, seed=i) for i, (a, b) in enumerate(values)]
    each = [float((a - b).mean()) for a, b in values]
    return Effect(
        statistics.fmean(each), interval(np.mean(draws, 0)), *_p_values(claim, draws), statistics.fmean(float(b.mean()) for _, b in values),
        None, len(bound), len(claim.comparisons), weakest=weakest(claim, bound, each), note="over the targets of one mining job",
        caveat="; ".join(_caveats(study, names)),
    )  # fmt: skip


def overlap_p(study: Study, claim: Claim, names: list[tuple[str, str]]) -> float:
    """Returns the p-value that the claim's test gives to pair sets of these names, (ours, theirs) of each comparison."""
    values = [_of_both(study, claim, ours, theirs) for ours, theirs in names]
    return _p_values(claim, [_draws_of_mean(a - b, seed=i) for i, (a, b) in enumerate(values)])[0]


def _p_values(claim: Claim, draws: list[np.ndarray]) -> tuple[float, float]:
    """Of several comparisons all must be so, and any may be the contrary."""
    sides = [tuple(one_sided(claim, partial(chance, d), so) for so in (True, False)) for d in draws]
    return max(p for p, _ in sides), min(1.0, len(sides) * min(q for _, q in sides))


def _of_both(study: Study, claim: Claim, ours: str, theirs: str) -> tuple[np.ndarray, np.ndarray]:
    measure: Callable[[Study, str], np.ndarray] = pair_overlap_by_target if claim.measure == "pair_overlap" else overlap_by_target
    a, b = measure(study, ours), measure(study, theirs)
    both = np.isfinite(a) & np.isfinite(b)
    if claim.targets == "intricate":
        both &= intricate(study, ours)
    if both.sum() < FEW:
        raise NotRunError(f"{both.sum()} targets have hard pairs by both methods, too few to say anything")
    return a[both], b[both]


def _caveats(study: Study, names: list[tuple[str, str]]) -> list[str]:
    """In what the study's pair sets differ from the paper's, so that a difference says nothing against it."""
    specs = {name: study.pairs_entry(name) for pair in names for name in pair}
    caveats = []
    by_image = [spec.image_encoder for _, spec in specs.values() if spec.method == "image"]
    if taught := [encoder for encoder in by_image if isinstance(study.encoder(encoder), RunEncoder)]:
        caveats.append(f"image mining's encoder, {taught[0]}, was trained on captions of the same world, as the paper's was not")
    pools = [(study.declared_size(corpus) or spec.pool, spec.pool, spec.k) for corpus, spec in specs.values() if spec.pool]
    if few := [pool / k for size, pool, k in pools if pool < size and pool < PAPER_POOL * k]:
        caveats.append(f"a pool holds {min(few):.0f} candidates for each hard pair that is kept, and the paper's {PAPER_POOL:,}")
    return caveats


def _draws_of_mean(values_n: np.ndarray, seed: int, resamples: int = RESAMPLES, drawn_one_by_one: int = 2000) -> np.ndarray:
    """Bootstrap draws of a mean; of many values the mean is normal, and it is drawn as such."""
    rng = np.random.default_rng(seed)
    if len(values_n) > drawn_one_by_one:
        return rng.normal(values_n.mean(), values_n.std() / np.sqrt(len(values_n)), resamples)
    return rng.multinomial(len(values_n), np.full(len(values_n), 1 / len(values_n)), resamples) @ values_n / len(values_n)


def minutes(study: Study, claim: Claim, bound: list[Comparison]) -> Effect:
    """Returns how much longer mining took. One timing each: no interval; it decides where the times differ by more than the margin."""
    if missing := [r for c in bound for r in (c.run, c.over) if not pairs_file(study, r).exists()]:
        raise NotRunError(f"the pairs of {missing[0]} are not mined yet")
    try:
        times = [(mining_minutes(study, c.run), mining_minutes(study, c.over)) for c in bound]
    except HelipError as error:
        raise NotRunError(str(error)) from None
    each = [a - b for a, b in times]
    shorter, longer = max(each) < -claim.margin, max(each) > claim.margin
    note = f"{statistics.fmean(a / b for a, b in times):.2f} of the time; one timing each, no interval"
    return Effect(statistics.fmean(each), None, float(not shorter), float(not longer), statistics.fmean(b for _, b in times), None,
                  len(bound), len(claim.comparisons), weakest=weakest(claim, bound, each, lower=True), note=note)  # fmt: skip


RELEASED_EPOCH = 2  # samples for each pair of the corpus: the released sampler takes every pair as base and a hard pair with each


def epochs(study: Study, claim: Claim, bound: list[Comparison]) -> Effect:
    """Returns the epochs, as the released sampler counts them (2 N samples), that the longest of the exported models was trained for.

    Arithmetic, decided from what the trainings recorded: what was trained after the exported step gave that model nothing.
    """
    taken = []
    for run, seed in ((study.run(c.run), seed) for c in bound for seed in study.run(c.run).seeds):
        file, manifest = model_of(study, run.name, seed).folder / "train.json", BuildCorpus(study, run.corpus).output
        if not file.exists() or not manifest.exists():
            raise NotRunError(f"{run.name} is not trained yet")
        taken.append(_exported_step(read_json(file)) * run.recipe.batch_size / (RELEASED_EPOCH * read_json(manifest)["size"]))
    is_so = max(taken) <= claim.margin
    compared = len(bound), len(claim.comparisons)
    return Effect(
        max(taken), None, float(not is_so), float(is_so), None, None, *compared, note="2 N samples an epoch, to the exported step"
    )


def _exported_step(record: dict[str, Any]) -> int:
    """The step whose weights a training exported: before it forgot too much, the best on validation, or the last."""
    return int(next(record[name] for name in ("retained_step", "best_step", "steps") if name in record))
