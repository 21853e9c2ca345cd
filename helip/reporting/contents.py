"""What a report shows: all that its study declares, or, while the study is under way, what is finished."""

import csv
from dataclasses import dataclass

from helip.reporting.inputs import claims_inputs, figure_inputs, figures, measurable_pairs, runs_of, tables
from helip.study import Study


@dataclass(frozen=True)
class Contents:
    tables: list[str]
    figures: list[str]
    note: str = ""  # Markdown


def everything(study: Study) -> Contents:
    return Contents(tables(study), figures(study))


def finished(study: Study) -> Contents:
    """Makes the tables, claims and figures again, of what is there, and says how much that is."""
    from helip.reporting.claims_table import write_claims
    from helip.reporting.figures import draw
    from helip.reporting.tables import write_table

    for name in tables(study):
        write_table(study, name, finished=True)
    write_claims(study)
    drawn = [name for name in figures(study) if _can_be_drawn(study, name)]
    for name in drawn:
        draw(study, name)
    wanted = claims_inputs(study)
    there = sum(path.exists() for path in wanted)
    note = f"**Under way:** {there:,} of {len(wanted):,} files are there. Rows and figures that wait for others are left out."
    return Contents([name for name in tables(study) if _has_rows(study, name)], drawn, note if there < len(wanted) else "")


def _has_rows(study: Study, name: str) -> bool:
    with open(study.root / f"{name}.csv", newline="") as f:
        return any(csv.DictReader(f))


def _can_be_drawn(study: Study, name: str) -> bool:
    match name:
        case "figure4":
            from helip.reporting.measured import Measured

            measured, columns = Measured(study, []), study.tables[name].columns
            return any(measured.is_there(run, columns) for run in runs_of(study, name))
        case "figure8":
            return bool(measurable_pairs(study))
        case _:
            return all(path.exists() for path in figure_inputs(study, name))
