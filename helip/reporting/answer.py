"""The paper's open question, answered first: does refinement beat plain continued training? Markdown, from the verdicts and table 11."""

import csv
from collections.abc import Sequence
from pathlib import Path

from helip.reporting.claims_table import ClaimRow
from helip.reporting.inputs import QUESTION, question
from helip.reporting.rows import CONTRAST
from helip.reporting.statistics import holm
from helip.study import Study, start_seed
from helip.study.resolve import ResolvedRun

CLAIM = "clip_cc3m_beats_continued_training"  # HELIP as printed over its control, on every corpus that the study has
PLUS = "helip_plus"  # the best of what was tried, chosen before, on pre-trainings of its own: one question, asked once
ALPHA = 0.05
SAID = {
    "reproduced": "Yes, for HELIP as printed",
    "not reproduced": "No, not for HELIP as printed",
    "underpowered": "Not shown for HELIP as printed, and not excluded",
    "not run": "This study does not say: it did not run HELIP beside its control",
}


def answer(study: Study, claims: Sequence[ClaimRow]) -> str:
    """Paragraphs of Markdown, from the claims' verdicts and the rows of table11.csv where that was made."""
    lines = [_as_printed(next(r for r in claims if r.claim == CLAIM))] if any(r.claim == CLAIM for r in claims) else []
    return "\n\n".join([*lines, *_others(study, question_rows(study))])


def question_rows(study: Study) -> list[dict[str, str]]:
    """The rows of table 11, none where it was not made."""
    path: Path = study.root / f"{question(study)}.csv"
    if not path.exists():
        return []
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def out_of_reach(study: Study, run: str) -> bool:
    """Whether a run was told the truth about its corpus: a bound, and no method."""
    r = study.runs[run]
    if r.interpolate:
        return out_of_reach(study, r.interpolate.run)
    return (r.select is not None and r.select.score == "truth") or (r.pairs is not None and r.pairs.method == "truth")


def is_pooled(r: dict[str, str]) -> bool:
    """Whether a row is the mean over corpora: `run` and `reference` name them all."""
    return int(r.get("corpora") or 1) > 1  # tables made before had no such column


def refinements(study: Study, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The averages of what is measured against a control. `p_holm` is corrected over those within a miner's reach, the means over corpora
    and the single corpora each by themselves, None for bounds; helip_plus, asked once, has its own."""
    compared = [r for r in rows if r["column"] == "average" and r["delta_p"] and r["arm"] != CONTRAST]
    compared = [r for r in compared if set(r["run"].split()) <= study.runs.keys()]
    compared = [r for r in compared if study.run(r["reference"].split()[0]).arm != "start"]
    fair = [r for r in compared if r["run"] != PLUS and not out_of_reach(study, r["run"].split()[0])]
    corrected = {}
    for family in ([r for r in fair if is_pooled(r)], [r for r in fair if not is_pooled(r)]):
        corrected |= zip(map(id, family), holm([float(r["delta_p"]) for r in family]), strict=True)
    return [r | {"p_holm": float(r["delta_p"]) if r["run"] == PLUS else corrected.get(id(r))} for r in compared]


def between(r: dict[str, str]) -> str:
    return f"{float(r['delta']):+.2f} [{float(r['delta_ci_low']):+.2f}, {float(r['delta_ci_high']):+.2f}]"


def _as_printed(claim: ClaimRow) -> str:
    verdict = f"**{SAID[claim.verdict]}.**"
    if claim.ci_low is None:
        return verdict
    low, high, value = claim.ci_low, claim.ci_high, claim.estimate
    how_many = f"the mean of {claim.compared} starts" if claim.compared > 1 else "one start"
    excluded = f" A gain of {claim.margin:g} points or more is excluded." if claim.verdict == "not reproduced" else ""
    return (
        f"{verdict} Over plain continued training (the same steps, batch size and data, no hard pairs) it gains {value:+.2f} points "
        f"[{low:+.2f}, {high:+.2f}] on table 1's sets, {how_many}, {claim.n_seeds} trainings of each.{excluded}"
    )


def _others(study: Study, rows: list[dict[str, str]]) -> list[str]:
    found = refinements(study, rows)
    if not found:
        return []
    plus, bounds = [r for r in found if r["run"] == PLUS], [r for r in found if r["p_holm"] is None]
    fair = [r for r in found if r not in plus + bounds]
    pooled, single = ([r for r in fair if is_pooled(r) == together] for together in (True, False))
    asked = (
        f"Table 11 sets {_count(pooled or single)} beside their control, on the average of the classification sets, in points with 95 % "
        f"intervals.{_unfinished(study, rows)}"
    )
    lines = [*(_plus(study, r) for r in plus), asked]
    if pooled:
        lines += [f"**Over corpora together.** {' '.join(_shown(pooled))}", f"On one corpus alone: {_shown(single)[0]}"]
    else:
        lines += _shown(single)
    if beside := [r for r in rows if r["column"] == "average" and r["arm"] == CONTRAST and r["delta_p"]]:
        lines.append(f"One refinement beside another, uncorrected: {_named([r for r in beside if is_pooled(r)] or beside)}.")
    told = [r for r in bounds if is_pooled(r)] or bounds
    return lines + ([f"Out of a miner's reach, told by the generator: {_named(told)}."] if told else [])


def _count(fair: list[dict[str, str]]) -> str:
    return f"{len(fair)} refinement{'s' * (len(fair) != 1)}"


def _shown(fair: list[dict[str, str]]) -> list[str]:
    sides = {
        f"Shown with Holm's correction over {'all ' * (len(fair) > 1)}{len(fair)} at 5 %": [r for r in fair if r["p_holm"] <= ALPHA],
        "Each by itself, uncorrected": [r for r in fair if r["p_holm"] > ALPHA >= float(r["delta_p"])],
    }
    lines = []
    for how, shown in sides.items():
        above, below = ([r for r in shown if (float(r["delta"]) > 0) == up] for up in (True, False))
        lines.append(f"{how}: above the control {_named(above)}; below it {_named(below)}.")
    return lines


def _unfinished(study: Study, rows: list[dict[str, str]]) -> str:
    """How much of the table was made, where that is not all."""
    declared = {run for _, _, run, _, _ in study.table_rows(QUESTION)}
    done = {r["run"] for r in rows if not is_pooled(r)}
    return f" Only {len(done)} of the {len(declared)} rows that the study declares were made; the correction is over these." * (
        done < declared
    )


def _plus(study: Study, r: dict[str, str]) -> str:
    run, over = study.run(r["run"]), "is above" if float(r["delta"]) > 0 else "is below"
    starts = {start_seed(seed) for seed in run.seeds}
    own = "" if starts & set(map(str, study.declaration.seeds)) else " kept for this question"
    said = over if r["p_holm"] <= ALPHA else "cannot be told from"
    return (
        f"**`{PLUS}` {said} plain continued training:** {between(r)} points on {r['corpus']}, {len(run.seeds)} refinements of "
        f"{len(starts)} pre-trainings{own}; p {r['p_holm']:.2g}, asked once and not corrected. It is {_described(run)}."
    )


def _described(run: ResolvedRun) -> str:
    what = {"control": "plain continued training", "cleaned": "continued training without noise targets", "helip": "HELIP"}[run.arm]
    kept = f" on the {100 * run.select.keep:g} % of the pairs that the start scores highest by `{run.select.score}`" if run.select else ""
    return what + kept


def _named(rows: list[dict[str, str]]) -> str:
    rows = sorted(rows, key=lambda r: -float(r["delta"]))
    return ", ".join(f"{r['method']} on {r['corpus']} {between(r)}" for r in rows) or "none"


def matrix(study: Study) -> str:
    """Table 11 in short: its refinements down, corpora across, the difference to the control on average; bold where it is shown."""
    found = refinements(study, question_rows(study))
    if not found:
        return ""
    corpora = list(dict.fromkeys(r["corpus"] for r in sorted(found, key=is_pooled, reverse=True)))
    lines = [f"| {' | '.join(['Refinement', *corpora])} |", f"|{' --- |' * (len(corpora) + 1)}"]
    for method in dict.fromkeys(r["method"] for r in found):
        cells = {r["corpus"]: _cell(r) for r in found if r["method"] == method}
        lines.append(f"| {' | '.join([method, *(cells.get(c, '') for c in corpora)])} |")
    by = "the means over corpora, and over all single corpora, by themselves" if any(map(is_pooled, found)) else "all rows"
    note = f"Bold: shown at 5 %, with Holm's correction over {by}; `{PLUS}` is asked once, and bounds are not asked."
    return "\n".join([*lines, "", note])


def _cell(r: dict[str, str]) -> str:
    return f"**{between(r)}**" if (r["p_holm"] or 1.0) <= ALPHA else between(r)
