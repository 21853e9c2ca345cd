"""What the paper printed, from tables.yaml: the numbers that a claim rests on. None is typed in twice."""

import statistics
from dataclasses import dataclass

from helip.config import Claim, Column, Table
from helip.reporting.inputs import is_of_times
from helip.study import Study


@dataclass(frozen=True)
class Published:
    """Means over the claim's comparisons that the paper has numbers for, in the table's unit."""

    value: float
    over_value: float

    @property
    def difference(self) -> float:
        return self.value - self.over_value

    @property
    def relative(self) -> float:
        """Percent of the compared value: the paper's 8.4 % and 18.6 % are such."""
        return 100 * self.difference / self.over_value


def printed_average(table: Table, row: dict[str, float]) -> float | None:
    """Of a row's published numbers: as the paper printed it, else of its cells, where it has all of them."""
    cells = [row[column.key] for column in table.averaged if column.key in row]
    whole = bool(cells) and len(cells) == len(table.averaged)
    return row.get("average", round(statistics.fmean(cells), 2) if whole else None)


def published(study: Study, claim: Claim) -> Published | None:
    table = study.tables[claim.table]
    rows = {row.run: row.published for row in table.rows if row.published}
    if claim.measure == "mining_minutes" and not is_of_times(table):
        return None
    if claim.measure in ("attribute_overlap", "epochs"):
        return None
    known = [(rows[p.run], rows[p.over]) for p in claim.comparisons if p.run in rows and p.over in rows]
    both = [pair for ours, theirs in known if (pair := _both(table, table.chosen(claim.columns), ours, theirs))]
    if not both:
        return None
    return Published(statistics.fmean(a for a, _ in both), statistics.fmean(b for _, b in both))


def _both(table: Table, columns: tuple[Column, ...], ours: dict[str, float], theirs: dict[str, float]) -> tuple[float, float] | None:
    """Two rows' averages, as printed where they are of these columns; else over those columns that both rows have."""
    if columns == table.averaged:
        a, b = printed_average(table, ours), printed_average(table, theirs)
        if a is not None and b is not None:
            return a, b
    shared = [c.key for c in columns if c.key in ours and c.key in theirs]
    return (statistics.fmean(ours[c] for c in shared), statistics.fmean(theirs[c] for c in shared)) if shared else None
