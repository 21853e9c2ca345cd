"""The one writer of the CSV files beside tables, verdicts and figures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas

from helip.io import atomic_file


def csv_text(value: object) -> str:
    """Returns a value as the CSV files hold it: four decimals, nothing for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"  # p-values may be small
    return str(value)


def write_csv(path: Path, columns: type | Sequence[str], rows: Sequence[Any], text: Callable[[Any], str] = csv_text) -> None:
    """Writes dataclasses as a CSV file. columns: the dataclass, or names of its fields and properties; text: formats a value."""
    names = [field.name for field in fields(columns)] if isinstance(columns, type) else list(columns)
    table = pandas.DataFrame([[text(getattr(row, name)) for name in names] for row in rows], columns=names)
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
