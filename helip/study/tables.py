"""What tables, claims and the report name must exist: each mistake is one sentence."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from helip.config import METRICS, AccuracyBySize, Claim, Column, Table
from helip.errors import HelipError, nearest
from helip.study.published import check_margin
from helip.study.resolve import RunResolver

if TYPE_CHECKING:
    from helip.study.study import Study

OF_MODELS = ("zeroshot", "probe", "retrieval")  # tasks of columns that read an evaluation set


def check_tables(study: "Study", resolver: RunResolver, folder: Path) -> None:
    """Checks the names in tables, claims and report, and of runs in tables. HelipError names file, entry and remedy.

    folder: experiments/paper, where they stand.
    """
    for run in study.runs.values():
        for table_name in run.tables:
            if table_name not in study.tables:
                raise HelipError(f"{study.runs_file}: {run.name}: tables names {_no('table', table_name, study.tables)}")
    for name, table in study.tables.items():
        where = f"{folder / 'tables.yaml'}: {name}"
        for column in table.columns:
            _check_column(study, resolver, f"{where}: column '{column.key}'", column)
        _check_rows(study, where, table)
        _check_shown(study, where, name)
        for contrast in table.contrasts:
            for run_name in (contrast.run, contrast.over):
                resolver.check_known("runs", run_name, f"{where}: contrast '{contrast.label}'")
    for name, claim in study.claims.items():
        _check_claim(study, f"{folder / 'claims.yaml'}: {name}", claim)
    _check_report(study, resolver, folder / "report.yaml")


def check_metric(where: str, metric: str) -> None:
    """Raises a HelipError, which begins with `where`, for a task.metric that no file holds."""
    known = [f"{task}.{name}" for task, names in METRICS.items() for name in names]
    if metric not in known:
        choices = "" if nearest(metric, known) else f"; they are {', '.join(known)}"
        raise HelipError(f"{where}: names {_no('metric', metric, known)}{choices}")


def _no(kind: str, name: str, known: Iterable[str]) -> str:
    return f"{kind} '{name}', and there is no such {kind}{nearest(name, known)}"


def _check_column(study: "Study", resolver: RunResolver, where: str, column: Column) -> None:
    check_metric(where, column.metric)
    task = column.metric.partition(".")[0]
    if task not in OF_MODELS:
        return  # of pair sets: the column's set is a word
    resolver.check_known("sets", column.set, where)
    bound = study.declaration.evaluation.get(column.set)
    if bound is not None and task not in {"classification": ("zeroshot", "probe"), "retrieval": ("retrieval",)}[bound.task]:
        raise HelipError(f"{where}: metric {column.metric} is of {task}, and {study.file} declares set '{column.set}' for {bound.task}")


def _check_rows(study: "Study", where: str, table: Table) -> None:
    known = {*(column.key for column in table.columns), "average"}
    for row in table.rows:
        if row.run not in study.declared:
            raise HelipError(f"{where}: row '{row.label}' names {_no('run', row.run, study.declared)}")
        for key in row.published:
            if key not in known:
                raise HelipError(f"{where}: row '{row.label}': published names {_no('column', key, known)}")


def _check_shown(study: "Study", where: str, name: str) -> None:
    """A label says which row a number is of, and a run is one row."""
    labelled: dict[tuple[str, str], str] = {}
    for corpus, label, run, _, _ in study.table_rows(name):
        if run in labelled.values():
            raise HelipError(f"{where}: has two rows of run '{run}', by its rows and by `tables` of the run: leave one of them out")
        if other := labelled.get((corpus, label)):
            raise HelipError(f"{where}: '{label}' is the label of both '{other}' and '{run}' on {corpus}: give one of them another label")
        labelled[corpus, label] = run


def _check_report(study: "Study", resolver: RunResolver, file: Path) -> None:
    question = study.report.question
    if question.table not in study.tables:
        raise HelipError(f"{file}: question: names {_no('table', question.table, study.tables)}")
    if question.claim not in study.claims:
        raise HelipError(f"{file}: question: names {_no('claim', question.claim, study.claims)}")
    resolver.check_known("runs", question.asked_once, f"{file}: question: asked_once")
    for name, figure in study.report.figures.items():
        if isinstance(figure, AccuracyBySize):
            if figure.table not in study.tables:
                raise HelipError(f"{file}: {name}: names {_no('table', figure.table, study.tables)}")
            corpora = dict.fromkeys(row.corpus for row in study.tables[figure.table].rows)
            for corpus in figure.sizes:
                if corpus not in corpora:
                    raise HelipError(f"{file}: {name}: sizes names {_no('corpus', corpus, corpora)} in {figure.table}")


def _check_claim(study: "Study", where: str, claim: Claim) -> None:
    gauge = (claim.gauge,) if claim.gauge else ()
    for key in (run for pair in (*claim.comparisons, *claim.than, *gauge) for run in (pair.run, pair.over)):
        if key not in study.declared:
            raise HelipError(f"{where}: names {_no('run', key, study.declared)}")
    for name in claim.presumes:
        if name not in study.claims:
            raise HelipError(f"{where}: presumes {_no('claim', name, study.claims)}")
    if claim.table not in study.tables:
        raise HelipError(f"{where}: names {_no('table', claim.table, study.tables)}")
    known = {column.key for column in study.tables[claim.table].columns}
    for key in claim.columns:
        if key not in known:
            raise HelipError(f"{where}: names column '{key}', and {claim.table} has {', '.join(sorted(known))}")
    check_margin(study.tables, where, claim)
