"""Every run of a study with its question, its state, its seeds, what it cost or will cost, and the tables that show it."""

from collections.abc import Iterator
from dataclasses import dataclass

from helip.io import read_json
from helip.planning.jobs import hours_of
from helip.planning.schedule import duration
from helip.stages import BuildEvaluationSet, Evaluate, Train, model_of
from helip.study import Study

SHOWN = 4  # runs that are left out for one reason, named unless all are asked for


@dataclass(frozen=True)
class RunLine:
    """One run. Hours are of trainings alone; `hours` is None where nothing is done and the study declares no cost."""

    run: str
    question: str
    seeds: int
    trained: int
    evaluated: int
    outdated: int  # trainings that are there, of other settings than are declared now
    running: bool  # a resume state is there, of a training that is under way or was stopped
    hours: float | None
    measured: bool  # whether the hours were taken, or are the estimate of `helip plan`
    tables: tuple[str, ...]

    @property
    def state(self) -> str:
        """What is there of it, in a word or two."""
        if self.evaluated == self.seeds:
            return "done"
        if self.trained or self.outdated:
            trained = [f"{self.trained} trained, {self.evaluated} evaluated"] if self.trained else []
            return ", ".join([*trained, *([f"{self.outdated} of other settings"] if self.outdated else [])])
        return "under way" if self.running else "not begun"

    @property
    def cost(self) -> str:
        """Its hours, as a person reads them; an estimate has a tilde."""
        if self.hours is None:
            return "?"
        return duration(self.hours) if self.measured else f"~{duration(self.hours)}"


def runs(study: Study) -> list[RunLine]:
    """Returns the runs that the study can build, in the order of their declaration."""
    current = not any(BuildEvaluationSet(study, set_name).is_outdated for set_name, _ in study.tasks(Evaluate.name))
    return [_line(study, name, current) for name in study.runs]


def _line(study: Study, name: str, current: bool) -> RunLine:
    """One run. current: whether the evaluation sets that are there are those that the study declares now."""
    run = study.run(name)
    models = [model_of(study, name, seed) for seed in run.seeds]
    there = [one for one in models if (one.folder / "train.json").exists()]
    outdated = [one for one in there if one.is_outdated]
    trained = [one for one in there if one not in outdated]
    seeds = [one.seed for one in models if one not in outdated] if current else []
    evaluated = [seed for seed in seeds if all(path.exists() for path in Evaluate(study, name, seed).outputs)]
    running = any(isinstance(one, Train) and one.state.exists() for one in models)
    known = [_measured_hours(one) if one in trained else hours_of(one) for one in models]
    hours = [value for value in known if value is not None]
    total = sum(hours) if len(hours) == len(known) else None
    return RunLine(
        name,
        run.question,
        len(models),
        len(trained),
        len(evaluated),
        len(outdated),
        running,
        total,
        len(trained) == len(models),
        tables_of_run(study, name),
    )


def _measured_hours(model) -> float:
    record = read_json(model.folder / "train.json")
    return (record.get("wall_clock_seconds") or record.get("job", {}).get("wall_clock_seconds", 0.0)) / 3600


def tables_of_run(study: Study, run: str) -> tuple[str, ...]:
    """Returns the tables that have a row of a run."""
    shown = [name for name in study.tables if "/" not in name and any(row[2] == run for row in study.table_rows(name))]
    return tuple(shown)


def runs_text(study: Study, every_name: bool = False) -> str:
    """Returns the runs as a Markdown table, and then what the study leaves out and why: the first names of each reason, or all of them."""
    head = ("run", "state", "seeds", "trainings took", "tables", "question")
    rows = [head, *((r.run, r.state, str(r.seeds), r.cost, ", ".join(r.tables) or "none", r.question) for r in runs(study))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join([*lines, *_left_out(study, every_name)])


def _left_out(study: Study, every_name: bool) -> Iterator[str]:
    if not study.left_out:
        return
    yield ""
    yield f"{len(study.left_out)} of {len(study.declared)} runs are left out, since {study.file} does not bind what they need:"
    reasons: dict[str, list[str]] = {}
    for run, lacking in study.left_out.items():
        reasons.setdefault(", ".join(lacking), []).append(run)
    for reason, left in sorted(reasons.items(), key=lambda entry: len(entry[1])):
        more = 0 if every_name or len(left) <= SHOWN else len(left) - SHOWN
        yield f"  {reason}: {', '.join(left[: len(left) - more])}{f' and {more} more' if more else ''}"
    if not every_name:
        yield f"`helip runs {study.name} --left-out` names all of them"
