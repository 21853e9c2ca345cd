"""The stage `table`: a table of the paper, or the numbers of a figure, from metrics files."""

from dataclasses import dataclass
from pathlib import Path

from helip.config import Table
from helip.errors import HelipError
from helip.stages.base import How, Stage, words
from helip.stages.evaluate import Evaluate, Probe, metrics_file
from helip.stages.judge import JudgePairs
from helip.stages.mine import Mine, pairs_of
from helip.study import Study


@dataclass(frozen=True)
class MakeTable(Stage):
    """CSV, Markdown and LaTeX of one table."""

    table: str

    name = "table"
    revision = 5
    path = ""
    files = ("{table}.csv", "{table}.md", "{table}.tex")

    @property
    def declared(self) -> Table:
        """The declaration of the table. HelipError where the study has none of that name."""
        if self.table not in self.study.tables:
            raise HelipError(f"{self.study.file}: there is no '{self.table}'; the tables are {', '.join(self.study.tables)}")
        return self.study.tables[self.table]

    def config(self) -> object:
        table, study = self.declared, self.study
        corpora = dict.fromkeys(study.run(run).corpus for run in self.runs())
        printed = [*words([table.columns, table.contrasts]), *(study.corpus(corpus).label for corpus in corpora)]
        declared = study.declaration.analogues, study.declaration.meaningless
        return [table, study.table_rows(self.table), [str(path) for path in self.metrics()], declared, printed]

    def runs(self) -> list[str]:
        """Returns the runs that its rows show."""
        return list(dict.fromkeys(run for _, _, run, _, _ in self.study.table_rows(self.table)))

    def compared(self) -> set[str]:
        """The runs that its rows show, and what each is measured against: its control, and the control's start."""
        runs = set() if self.declared.is_of_pairs else set(self.runs())
        while more := {over for run in runs if (over := self.study.control_of(run))} - runs:
            runs |= more
        return runs

    def _measured(self) -> dict[Path, Stage]:
        """Each metrics file that a cell or its reference needs, with the artefact that holds it."""
        wanted = {(c.set, c.metric.partition(".")[0]) for c in self.declared.columns}
        stages = [(task, kind) for kind in (Evaluate, Probe) for task in self.study.tasks(kind.name) if task in wanted]
        return {
            metrics_file(self.study, run, seed, *task): kind(self.study, run, seed)
            for run in sorted(self.compared())
            for seed in self.study.runs[run].seeds
            for task, kind in sorted(stages, key=lambda entry: entry[0])
        }

    def metrics(self) -> list[Path]:
        """Returns the metrics files that its cells and their references need."""
        return list(self._measured())

    def timed(self) -> list[Mine]:
        """Returns the pair sets whose mining times it shows."""
        if not self.declared.is_of_times:
            return []
        return list(dict.fromkeys(pairs_of(self.study, run) for run in self.runs() if self.study.run(run).pairs))

    def dropping(self) -> dict[str, Mine]:
        """Returns the pair set of each row that leaves out its noise, where the table shows how much that is."""
        runs = [run for run in self.runs() if self.study.run(run).drops_noise] if self.declared.dropped else []
        return {run: pairs_of(self.study, run) for run in runs}

    def _mined(self) -> list[Mine]:
        return list(dict.fromkeys([*self.timed(), *self.dropping().values()]))

    def needs(self) -> list[Stage]:
        return [*dict.fromkeys(self._measured().values()), *self._mined(), *self.judged()]

    def judged(self) -> list[JudgePairs]:
        """Returns the judgements of pair sets that it shows."""
        if not self.declared.is_of_pairs:
            return []
        return list(dict.fromkeys(JudgePairs(self.study, self.study.pairs_name(self.study.run(run))) for run in self.runs()))

    def inputs(self) -> list[Path]:
        return [*self.metrics(), *(one.output for one in (*self._mined(), *self.judged()))]

    def make(self, how: How) -> str:
        from pkgutil import resolve_name  # reporting stands above the stages

        return str(resolve_name("helip.reporting.pages:write_table")(self.study, self.table))


def tables_of(study: Study) -> list[MakeTable]:
    """Returns the tables that a study has something to put into, as the paper numbers them; not those made by their own name alone."""
    tables = [MakeTable(study, name) for name in study.tables if name != study.report.question.table and not name.startswith("first/")]
    return [table for table in tables if table.inputs()]


def question(study: Study) -> str:
    """Returns the table of the report's question; where that was not made whole, its first rows. A report never waits for it."""
    whole = study.report.question.table
    return f"first/{whole}" if MakeTable(study, f"first/{whole}").is_done and not MakeTable(study, whole).is_done else whole
