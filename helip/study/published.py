"""What the paper printed of a claim, and the margin that follows from it.

The margin of a gain is the smallest gain that would count. It is at most half the published gain: a wider one would call a true
replication "not reproduced". Of a claim of equality the margin is at most half the gain of the method that it is about (`gauge`), and may
in any case be as wide as what the paper's own numbers differ by.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from helip.config import Claim, Column, Comparison, Table
from helip.errors import HelipError

UNPRINTED = ("attribute_overlap", "pair_overlap", "epochs")  # measures that the paper has no numbers for
ROUNDING = 1e-9


@dataclass(frozen=True)
class Published:
    """What the paper printed: means over the claim's comparisons that it has numbers for, in the table's unit."""

    value: float
    over_value: float

    @property
    def difference(self) -> float:
        """The published gain, in the table's unit."""
        return self.value - self.over_value

    @property
    def relative(self) -> float:
        """Percent of the compared value: the paper's 8.4 % and 18.6 % are such."""
        return 100 * self.difference / self.over_value


def published(tables: Mapping[str, Table], claim: Claim) -> Published | None:
    """Returns the numbers of tables.yaml that a claim rests on; None where the paper has none."""
    both = [one for c in claim.comparisons if (one := published_of(tables, claim, c))]
    if not both:
        return None
    whole = Published(statistics.fmean(one.value for one in both), statistics.fmean(one.over_value for one in both))
    beyond = [one.difference for c in claim.than if (one := published_of(tables, claim, c))]
    return Published(whole.difference, max(beyond)) if beyond else whole


def published_of(tables: Mapping[str, Table], claim: Claim, pair: Comparison) -> Published | None:
    """Returns the numbers of one comparison of a claim; None where the paper lacks one of them."""
    table = tables[claim.table]
    if claim.measure in UNPRINTED or (claim.measure == "mining_minutes") != table.is_of_times:
        return None
    rows = {row.run: row.published for row in table.rows if row.published}
    columns = table.chosen(claim.columns)
    if claim.level is not None and pair.run in rows:
        return _both(table, columns, rows[pair.run], {column.key: claim.level for column in columns})
    return _both(table, columns, rows[pair.run], rows[pair.over]) if pair.run in rows and pair.over in rows else None


def published_gain(tables: Mapping[str, Table], claim: Claim, pair: Comparison, column: Column) -> float | None:
    """Returns the published difference on one column of the claim's table; None where the paper lacks it."""
    one = published_of(tables, claim.model_copy(update={"columns": (column.key,)}), pair)
    return one.difference if one else None


def _both(table: Table, columns: tuple[Column, ...], ours: dict[str, float], theirs: dict[str, float]) -> Published | None:
    """Two rows' averages, as printed where they are of these columns; else over those columns that both rows have."""
    if columns == table.averaged:
        a, b = table.printed_average(ours), table.printed_average(theirs)
        if a is not None and b is not None:
            return Published(a, b)
    shared = [c.key for c in columns if c.key in ours and c.key in theirs]
    return Published(statistics.fmean(ours[c] for c in shared), statistics.fmean(theirs[c] for c in shared)) if shared else None


# ---------------------------------------------------------------- margins


def widest_margin(tables: Mapping[str, Table], claim: Claim) -> float | None:
    """Returns the widest margin that a claim may have; None where the paper printed nothing that would bound it."""
    printed = [one.difference for c in claim.comparisons if (one := published_of(tables, claim, c))]
    if claim.expect == "higher":
        if claim.together == "mean" or claim.than:
            whole = published(tables, claim)
            printed = [whole.difference] if whole else []
        return min(map(abs, printed)) / 2 if printed else None
    gauged = _gauged(tables, claim)
    differs = [abs(difference) if claim.expect == "equal" else -difference for difference in printed]
    known = differs + ([gauged.difference / 2] if gauged else [])
    return max(known) if gauged else None


def _gauged(tables: Mapping[str, Table], claim: Claim) -> Published | None:
    """The published gain of the claim's gauge, on the claim's columns: from its own table, else from another that has them."""
    if claim.gauge is None:
        return None
    columns = tuple(column.key for column in tables[claim.table].chosen(claim.columns))
    having = [name for name, table in tables.items() if set(columns) <= {column.key for column in table.columns}]
    asked = [claim.model_copy(update={"table": name, "columns": columns}) for name in sorted(having, key=lambda n: n != claim.table)]
    return next((gain for one in asked if (gain := published_of(tables, one, claim.gauge))), None)


def with_margin(tables: Mapping[str, Table], claim: Claim) -> Claim:
    """Returns the claim with its margin: as declared, else 0.5 or the widest that it may have."""
    widest = widest_margin(tables, claim)
    if "margin" in claim.model_fields_set or widest is None:
        return claim
    return claim.model_copy(update={"margin": min(claim.margin, math.floor(1000 * widest + ROUNDING) / 1000)})


def check_margin(tables: Mapping[str, Table], where: str, claim: Claim) -> None:
    """Raises HelipError for a declared margin that is wider than what the paper printed allows."""
    widest = widest_margin(tables, claim)
    if "margin" in claim.model_fields_set and widest is not None and claim.margin > widest + ROUNDING:
        what = "half the published gain" if claim.expect == "higher" else "half the published gain of its gauge and its own difference"
        raise HelipError(f"{where}: margin {claim.margin:g} is more than {what} allows, {widest:g}; narrow it or leave it out")
    if claim.measure == "accuracy" and claim.expect != "higher" and claim.gauge is None and not claim.undecidable and claim.level is None:
        raise HelipError(f"{where}: expect {claim.expect} needs a gauge, the published gain that its margin is measured by")
