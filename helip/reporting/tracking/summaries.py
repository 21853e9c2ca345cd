"""The runs of MLflow that show several trainings: the parent of a run's seeds, and the study itself with its report and tables."""

import statistics
from collections.abc import Iterable
from pathlib import Path

from helip.io import read_json
from helip.reporting.measured import independent, paired_seeds
from helip.reporting.provenance import interval_of_job
from helip.reporting.tracking.runs import ARMS, Point, RunContent, key_of, label, marked, milliseconds, rounded
from helip.reporting.tracking.trainings import AVERAGE, OUTDATED, Trainings
from helip.stages import model_of
from helip.study import Study


def of_seeds(trainings: Trainings, run: str, seeds: list[str]) -> RunContent:
    """Returns the parent of the trainings of one run: mean and standard deviation, gain over the control with its 95 % interval.

    seeds: those that are trained.
    """
    study, resolved = trainings.study, trainings.study.run(run)
    begun, ended = _span(study, ((run, seed) for seed in seeds))
    values = {name: rounded(value) for name, value in _over_seeds(trainings, run, seeds).items()}
    over = study.control_of(run)
    outdated = [seed for seed in seeds if trainings.is_outdated(run, seed)]
    tags = {"helip.arm": resolved.arm, "helip.seeds": f"{len(seeds)} of {len(resolved.seeds)}"} | _source(study)
    tags |= ({} if outdated else {"helip.corpus": resolved.corpus}) | ({"helip.control": over} if over else {})
    note = [resolved.question or ARMS[resolved.arm], f"{len(seeds)} of {len(resolved.seeds)} seeds are trained."]
    note += [OUTDATED.format(f"{len(outdated)} of them were trained", study.file)] if outdated else []
    gain = trainings.gain(run)
    if f"{gain}_low" in values:
        low, high = (f"{values[f'{gain}_{end}']:+.2f}" for end in ("low", "high"))
        note.append(f"Gain over {over}: {values[gain]:+.2f} points, 95 % interval [{low}, {high}].")
    points = tuple(Point(name, value, 0, ended) for name, value in values.items())
    first, *others = (trainings.settings(run, seed) for seed in seeds)
    params = {k: str(v) for k, v in first.items() if all(k in other and other[k] == v for other in others)}
    return RunContent(
        key_of(study, run), marked(label(resolved), bool(outdated)), "seeds", begun, ended, "\n\n".join(note), tags, params, points
    )


def _over_seeds(trainings: Trainings, run: str, seeds: list[str]) -> dict[str, float]:
    each = [trainings.numbers(run, seed) for seed in seeds]
    shared = [name for name in each[0] if all(name in one for one in each)]
    values = {name: statistics.fmean(one[name] for one in each) for name in shared}
    if AVERAGE in values and len(each) > 1:
        values[f"{AVERAGE}_std"] = statistics.stdev(one[AVERAGE] for one in each)
    study, over = trainings.study, trainings.study.control_of(run)
    complete = len(seeds) == len(study.run(run).seeds)
    if trainings.gain(run) in values and over and complete and trainings.measured.is_there(over, trainings.columns):
        values |= _interval(trainings, run, over)
    return values


def _interval(trainings: Trainings, run: str, over: str) -> dict[str, float]:
    """The gain with the ends of its 95 % interval, as the table of the report's question has them; no ends without any spread."""
    study, measured, columns = trainings.study, trainings.measured, trainings.columns
    difference = measured.difference(run, over, columns)
    pairs = paired_seeds(study.run(run).seeds, study.run(over).seeds)
    if difference is None or difference.gain is None or pairs is None or len(set(independent(pairs[0]))) < 2:
        return {}
    low, high = difference.gain.interval(measured.noise([(run, over)], columns))
    gain = trainings.gain(run)
    return {gain: difference.delta} | ({f"{gain}_low": low, f"{gain}_high": high} if high > low else {})


def of_study(study: Study, done: list[tuple[str, str]]) -> RunContent:
    """Returns the run of the study itself: its question, its report and its tables. done: the trainings that are there."""
    begun, ended = _span(study, done)
    wanted = sum(len(run.seeds) for run in study.runs.values())
    tags = {"helip.trainings": f"{len(done)} of {wanted}"} | _source(study)
    note = f"{study.declaration.question}\n\n{len(done)} of {wanted} trainings are done. The artifacts hold report and tables."
    name = f"report and tables · {study.name}"
    return RunContent(key_of(study), name, "study", begun, ended, note, tags, artifacts=study_files(study))


def _source(study: Study) -> dict[str, str]:
    """The tags by which MLflow shows where a run comes from: the study's file."""
    return {"mlflow.source.name": str(study.file), "mlflow.source.type": "LOCAL"}


def _span(study: Study, done: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """When the first of these trainings began, and the last ended."""
    times = [interval_of_job(read_json(model_of(study, run, seed).folder / "train.json")) for run, seed in done]
    return min(milliseconds(begun) for begun, _ in times), max(milliseconds(ended) for _, ended in times)


def study_files(study: Study) -> dict[str, Path]:
    """Returns the report, verdicts, tables and figures that are there: path in the run -> file."""
    root = study.root
    files = {name: root / name for name in ("report.html", "claims.csv", "claims.md")}
    for place in (root, root / "first"):
        names = sorted(p for p in place.glob("*") if p.name.startswith(("table", "figure")) and p.suffix in (".csv", ".md", ".png"))
        files |= {str(path.relative_to(root)): path for path in names}
    return {name: path for name, path in files.items() if path.is_file()}
