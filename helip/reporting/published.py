"""What the paper printed, from tables.yaml: the numbers that a claim rests on. None is typed in twice."""

import statistics
from dataclasses import dataclass

from helip.config import Claim
from helip.reporting.inputs import is_of_times
from helip.study import BoundStudy


@dataclass(frozen=True)
class Published:
    """Means over the claim's comparisons and columns that the paper has numbers for, in the table's unit."""

    value: float
    over_value: float

    @property
    def difference(self) -> float:
        return self.value - self.over_value

    @property
    def relative(self) -> float:
        """Percent of the compared value: the paper's 8.4 % and 18.6 % are such."""
        return 100 * self.difference / self.over_value


def published(study: BoundStudy, claim: Claim) -> Published | None:
    rows = {row.run: row.published for row in study.tables[claim.table].rows if row.run and row.published}
    columns = [column.key for column in study.tables[claim.table].chosen(claim.columns)]
    if claim.measure == "mining_minutes" and not is_of_times(study.tables[claim.table]):
        return None
    if claim.measure in ("attribute_overlap", "epochs"):
        return None
    known = [(rows[p.run], rows[p.over]) for p in claim.comparisons if p.run in rows and p.over in rows]
    both = [(ours[c], theirs[c]) for ours, theirs in known for c in columns if c in ours and c in theirs]
    if not both:
        return None
    return Published(statistics.fmean(a for a, _ in both), statistics.fmean(b for _, b in both))
