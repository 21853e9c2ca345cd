"""Which files a study's pages show, by the names that the pages use; helip.stages says it."""

from pathlib import Path

from helip.config import Table
from helip.stages import DecideClaims, DrawFigure, MakeTable, WriteReport
from helip.stages.figure import SHEETS, figures_of, selection_files
from helip.stages.figure import measurable_pairs as _measurable
from helip.stages.figure import quality_pairs as _quality
from helip.stages.figure import sheet_pairs as _sheet_pairs
from helip.stages.report import QUESTION, ledger, question
from helip.stages.table import TIMES, tables_of
from helip.study import Study

__all__ = [
    "QUESTION",
    "SHEETS",
    "TIMES",
    "claims_inputs",
    "figure_inputs",
    "figures",
    "is_of_times",
    "ledger",
    "measurable_pairs",
    "quality_pairs",
    "question",
    "report_inputs",
    "runs_of",
    "selection_files",
    "sheet_pairs",
    "table_inputs",
    "tables",
]


def runs_of(study: Study, table: str) -> list[str]:
    return MakeTable(study, table).runs()


def is_of_times(table: Table) -> bool:
    return all(c.metric == TIMES for c in table.columns)


def table_inputs(study: Study, table: str) -> list[Path]:
    return MakeTable(study, table).inputs()


def tables(study: Study) -> list[str]:
    return [one.table for one in tables_of(study)]


def figures(study: Study) -> list[str]:
    return [one.figure for one in figures_of(study)]


def sheet_pairs(study: Study, figure: str) -> list[str]:
    return [one.pairs for one in _sheet_pairs(study, figure)]


def quality_pairs(study: Study) -> list[str]:
    return [one.pairs for one in _quality(study)]


def measurable_pairs(study: Study) -> list[str]:
    return [one.pairs for one in _measurable(study)]


def figure_inputs(study: Study, figure: str) -> list[Path]:
    return DrawFigure(study, figure).inputs()


def claims_inputs(study: Study) -> list[Path]:
    return DecideClaims(study).inputs()


def report_inputs(study: Study) -> list[Path]:
    return WriteReport(study).inputs()
