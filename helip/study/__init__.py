"""One study: its runs, tables and claims, where every artefact lies and what it stands for. Never imports torch.

A path is readable; what it stands for is a digest: of the resolved declaration, of everything it is made from, and of the
revision of the stage that makes it. The digests go into Snakemake's params, so a changed setting re-runs what depends on it.
"""

import os
from pathlib import Path

from helip.config import Table
from helip.errors import HelipError
from helip.io import digest
from helip.study.checks import check
from helip.study.declared import FILES_ONLY, seed_number, start_seed
from helip.study.digests import REPORTING, REVISIONS
from helip.study.layout import Layout

__all__ = ["FILES_ONLY", "REPORTING", "REVISIONS", "Study", "load", "seed_number", "start_seed"]


class Study(Layout):
    """One study, resolved: its runs, tables and claims, the paths and the digests of everything it can make."""

    def __init__(self, name: str, experiments: Path = Path("experiments"), results: Path = Path("results")):
        super().__init__(name, experiments, results)
        check(self, experiments / "paper")
        self.tables |= {f"first/{n}": t for n, table in self.tables.items() if (t := self._first_rows(table)).rows}

    def _first_rows(self, table: Table) -> Table:
        """The rows of what the study names first: `first/table1` is what `make table1` builds."""
        return table.model_copy(update={"rows": tuple(row for row in table.rows if self._is_first(row.run))})

    def _is_first(self, run: str) -> bool:
        return run in self.runs and (self.runs[run].start or run) in self.declaration.first

    def table_rows(self, name: str) -> list[tuple[str, str, str, dict[str, float], bool]]:
        """(corpus label, method label, run, published, ours) of a table; rows that runs add, after the others of their corpus."""
        table = self.tables[name]
        rows = [(r.corpus, r.label, r.run, dict(r.published), r.ours) for r in table.rows if r.run in self.runs]
        labels = {self.runs[run].corpus: corpus for corpus, _, run, _, _ in rows}
        first, _, whole = name.rpartition("/")
        for run in (r for r in self.runs.values() if whole in r.tables and (not first or self._is_first(r.name))):
            corpus = labels.get(run.corpus, run.corpus)
            end = max((n for n, row in enumerate(rows, 1) if row[0] == corpus), default=len(rows))
            rows.insert(end, (corpus, run.tables[whole], run.name, {}, True))
        return rows

    def table_metrics(self, name: str) -> list[Path]:
        """The metrics files a table is made of."""
        if name not in self.tables:
            raise HelipError(f"{self.file}: there is no '{name}'; the tables are {', '.join(self.tables)}")
        wanted = {(c.set, c.metric.partition(".")[0]) for c in self.tables[name].columns} & {*self.tasks("evaluate"), *self.tasks("probe")}
        runs = {run for _, _, run, _, _ in self.table_rows(name)}
        return [self.metrics_file(r, s, *w) for r in sorted(runs) for s in self.runs[r].seeds for w in sorted(wanted)]

    def table_digest(self, name: str) -> str:
        metrics = [str(path) for path in self.table_metrics(name)]
        return digest([REPORTING, self.tables[name], self.table_rows(name), metrics])


def load(name: str, results: Path | None = None) -> Study:
    """The study of that name under ./experiments; artefacts under ./results or $HELIP_RESULTS."""
    return Study(name, results=results or Path(os.environ.get("HELIP_RESULTS", "results")))
