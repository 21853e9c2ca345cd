"""A study's primary contrasts: the comparisons that it is made for, fixed in its YAML before the first run.

Each contrast and metric is one hypothesis, tested two-sided by Student's t over independent trainings and test items, by its own
trainings alone: what else the study measured changes nothing. The corrections are over all declared hypotheses, made yet or not.
"""

import statistics
from dataclasses import dataclass, replace

from helip.config import Column, PrimaryContrast
from helip.reporting.correction import benjamini_hochberg, holm
from helip.reporting.measured import Difference, Measured
from helip.reporting.statistics import NOTHING, Estimate, Interval, estimate, exceeding
from helip.study import Study

HOW = (
    "Fixed in the study's YAML before its first run. Each row is one hypothesis: the difference in percentage points, paired by start seed "
    "and refinement seed; of an interaction the difference between two such differences. The first interval is over trainings and test "
    "items, the second over trainings alone; both 95 %, Student's, uncorrected. p-values are two-sided, over trainings and items, with the "
    "corrections of Benjamini and Hochberg and of Holm over all {declared} beside them."
)


@dataclass(frozen=True)
class ContrastRow:
    """One contrast on one metric; the fields are the columns of contrasts.csv. None: not run, or nothing varies."""

    contrast: str
    question: str
    run: str  # of a mean over pairs, all of them
    against: str
    metric: str  # set.task.metric
    beyond: str  # of an interaction, whose difference the effect is beyond: run - against, of each pair; else empty
    primary: bool
    pairs: int  # that the mean is over
    run_value: float | None = None  # percent; of an interaction points: the difference itself
    against_value: float | None = None  # of an interaction the difference that it is beyond
    effect: float | None = None  # percentage points: the first minus the second
    ci_low: float | None = None  # 95 %, over trainings and items
    ci_high: float | None = None
    seeds_ci_low: float | None = None  # 95 %, over trainings alone
    seeds_ci_high: float | None = None
    p: float | None = None  # two-sided, uncorrected
    p_bh: float | None = None
    p_holm: float | None = None
    n_seeds: int | None = None  # independent trainings of the start that has the fewest
    n_items: int | None = None
    note: str = ""


@dataclass(frozen=True)
class ContrastsContent:
    """All primary contrasts of a study, and in words (Markdown) how they were tested."""

    study: str
    rows: tuple[ContrastRow, ...]
    how: str


def contrasts_content(study: Study, measured: Measured | None = None) -> ContrastsContent:
    """Tests the primary contrasts of a study from its metrics files; what was not run says so and counts in the corrections."""
    measured = measured or Measured(study, [])
    declared = study.declaration.contrasts.items()
    rows = [_row(study, measured, name, contrast, metric) for name, contrast in declared for metric in contrast.metrics]
    families: dict[str, list[ContrastRow]] = {}
    for row in rows:
        families.setdefault(study.declaration.contrasts[row.contrast].family, []).append(row)
    corrected = {(row.contrast, row.metric): row for members in families.values() for row in _corrected(members)}
    sizes = [f"{len(members)} declared hypotheses{f' of the family {name}' if name else ''}" for name, members in families.items()]
    how = HOW.format(declared=", and over all ".join(sizes))
    return ContrastsContent(study.name, tuple(corrected[row.contrast, row.metric] for row in rows), how)


def _row(study: Study, measured: Measured, name: str, contrast: PrimaryContrast, metric: str) -> ContrastRow:
    set_name, _, metric_name = metric.partition(".")
    column = Column(key=set_name, label=metric, set=set_name, metric=metric_name)
    runs, others = (" ".join(names) for names in zip(*((p.run, p.against) for p in contrast.pairs), strict=True))
    beyond = " ".join(f"{p.run} - {p.against}" for p in contrast.beyond)
    row = ContrastRow(name, contrast.question, runs, others, metric, beyond, True, len(contrast.pairs))
    if not all(measured.is_there(run, [column]) for pair in contrast.all_pairs for run in (pair.run, pair.against)):
        return replace(row, note="not run yet")
    ours, theirs = (
        [d for p in pairs if (d := measured.difference(p.run, p.against, [column])) is not None]
        for pairs in (contrast.pairs, contrast.beyond)
    )
    return _tested(row, ours, theirs, study.declaration.meaningless)


def _tested(row: ContrastRow, ours: list[Difference], beyond: list[Difference], meaningless: bool) -> ContrastRow:
    """The row with its numbers. Nothing is tested where nothing varies, or where the study's numbers mean nothing."""
    delta = statistics.fmean(d.delta for d in ours)
    if beyond:
        value, over = delta, statistics.fmean(d.delta for d in beyond)
    else:
        value, over = (statistics.fmean(getattr(d, key) for d in ours) for key in ("value", "over_value"))
    row = replace(row, run_value=value, against_value=over, effect=delta - over if beyond else delta)
    paired = [d.paired for d in (*ours, *beyond) if d.paired is not None]
    if len(paired) < len(ours) + len(beyond):
        return replace(row, note="the metric has no hits per item")
    mean = estimate(paired if not beyond else exceeding(paired[: len(ours)], paired[len(ours) :]))
    row = replace(row, n_seeds=mean.n_trainings, n_items=min(d_Sn.shape[1] for p in paired for _, d_Sn in p.columns))
    if meaningless:
        return replace(row, note="the study declares its numbers meaningless: nothing is tested")
    if mean.n_trainings < 2:
        return replace(row, note="one training tells nothing of how far trainings scatter")
    if mean.variance()[0] < NOTHING**2:
        return replace(row, note="no item and no training differs: no information")
    both, alone = mean.student_interval(), over_trainings(mean)
    p = min(1.0, 2 * min(mean.student_p(0.0, above) for above in (True, False)))
    return replace(row, ci_low=both.low, ci_high=both.high, seeds_ci_low=alone.low, seeds_ci_high=alone.high, p=p)


def over_trainings(mean: Estimate) -> Interval:
    """Returns Student's 95 % interval over trainings alone: what other trainings would show on the same test items."""
    raw = tuple(replace(s, expected=0.0) for s in mean.trainings)
    return Estimate(mean.value, raw, 0.0).student_interval()


def _corrected(rows: list[ContrastRow]) -> list[ContrastRow]:
    """A family with both corrections. A hypothesis that has no p-value counts as one of p 1: the family is what was declared."""
    p_values = [1.0 if row.p is None else row.p for row in rows]
    corrected = zip(rows, benjamini_hochberg(p_values), holm(p_values), strict=True)
    return [row if row.p is None else replace(row, p_bh=bh, p_holm=p_holm) for row, bh, p_holm in corrected]
