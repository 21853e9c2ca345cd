"""The stages `claims`, `report` and `track`: what a study's files say, decided, on one page, and in MLflow."""

from dataclasses import dataclass
from pathlib import Path

from helip.io import write_json
from helip.stages.base import How, Stage, words
from helip.stages.contamination import contamination_of
from helip.stages.contrasts import contrasts_of
from helip.stages.evaluate import Evaluate, Probe
from helip.stages.figure import figures_of, shown_if_there
from helip.stages.mine import Mine
from helip.stages.table import MakeTable, tables_of
from helip.study import Study


def ledger(study: Study) -> Path:
    """Returns the page that says where paper, released code and project differ."""
    return study.file.parents[2] / "docs" / "explanation" / "discrepancies.md"


@dataclass(frozen=True)
class DecideClaims(Stage):
    """The paper's claims, each with its verdict."""

    name = "claims"
    revision = 5
    path = ""
    files = ("claims.csv", "claims.md")

    def config(self) -> object:
        declared, tables = self.study.declaration, self.study.tables
        columns = [table.columns for table in tables.values()]  # a verdict that lacks some names them
        return [self.study.claims, tables, declared.analogues, declared.meaningless, words(columns)]

    def looks_at(self) -> list[Path]:
        """Returns what the positive control of a verdict tries: the generator's own hard pairs, and the runs that leave out exactly the
        mismatched pairs, with what those are measured against.
        """
        study = self.study
        pairs = [Mine(study, name).output for name, (_, spec) in study.pairs.items() if spec.method == "truth"]
        removals = [run.name for run in study.runs.values() if run.select is not None and run.select.score == "truth"]
        runs = dict.fromkeys([*removals, *filter(None, map(study.control_of, removals))])
        kinds = [kind for kind in (Evaluate, Probe) if study.tasks(kind.name)]
        return pairs + [path for run in runs for seed in study.run(run).seeds for kind in kinds for path in kind(study, run, seed).outputs]

    def needs(self) -> list[Stage]:
        """Returns everything that a claim could rest on: nothing is made for a claim alone that no table or figure shows."""
        shown = [*tables_of(self.study), *figures_of(self.study)]
        return list(dict.fromkeys(need for one in shown for need in one.needs()))

    def inputs(self) -> list[Path]:
        return list(dict.fromkeys(path for one in (*tables_of(self.study), *figures_of(self.study)) for path in one.inputs()))

    def make(self, how: How) -> str:
        from pkgutil import resolve_name  # reporting stands above the stages

        decided = resolve_name("helip.reporting.pages:write_claims")(self.study)
        return ", ".join(f"{n} {verdict}" for verdict, n in decided.counts.items())


@dataclass(frozen=True)
class WriteReport(Stage):
    """Every verdict, table and figure of a study on one self-contained page."""

    name = "report"
    revision = 4
    path = ""
    files = ("report.html",)

    def config(self) -> object:
        asked = self.study.report.question
        return [self.study.declaration.question, asked, [str(path) for path in self.inputs()]]

    def looks_at(self) -> list[Path]:
        return shown_if_there(self.study)

    def needs(self) -> list[Stage]:
        return [
            DecideClaims(self.study), *contrasts_of(self.study), *tables_of(self.study), *figures_of(self.study),
            *contamination_of(self.study),
        ]  # fmt: skip

    def inputs(self) -> list[Path]:
        """Returns the finished pages and pictures; claims.csv brings the rest."""
        tables = [path for table in tables_of(self.study) for path in table.outputs]
        others = [one.output for one in (*contrasts_of(self.study), *figures_of(self.study), *contamination_of(self.study))]
        return [DecideClaims(self.study).output, *tables, *others, *([ledger(self.study)] if ledger(self.study).exists() else [])]

    def make(self, how: How) -> str:
        from pkgutil import resolve_name  # reporting stands above the stages

        shown = resolve_name("helip.reporting.document:everything")(self.study)
        return str(resolve_name("helip.reporting.pages:write_report")(self.study, shown))


@dataclass(frozen=True)
class Track(Stage):
    """The runs that a table shows, copied into the MLflow store that `make ui` shows. Metrics files are the source of truth."""

    table: str

    name = "track"
    path = "tracking"
    files = ("{table}.json",)

    def config(self) -> object:
        """Returns the words that the runs show beyond their numbers."""
        return [self.study.declaration.question, [[run.name, run.question] for run in self.study.runs.values()]]

    def needs(self) -> list[Stage]:
        return MakeTable(self.study, self.table).needs()

    def inputs(self) -> list[Path]:
        return MakeTable(self.study, self.table).metrics()

    def make(self, how: How) -> str:
        from pkgutil import resolve_name  # reporting stands above the stages

        store = self.study.root.parent / "mlflow.db"
        counts = resolve_name("helip.reporting.tracking.importing:import_everywhere")(self.study, store)
        write_json(self.output, {"store": str(store), **counts})
        return f"{store}: {counts['imported']} runs imported, {counts['unchanged']} unchanged"
