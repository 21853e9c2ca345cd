"""The stage `figure`: a figure of the paper, from tables' metrics files or from pair sets."""

from dataclasses import dataclass
from pathlib import Path

from helip.config import AccuracyBySize, Figure, MiningQuality, Pairs, PairSheet
from helip.errors import HelipError
from helip.stages.base import How, Stage, words
from helip.stages.corpus import BuildCorpus
from helip.stages.mine import Mine, pairs_of
from helip.stages.select import selection_of
from helip.stages.table import MakeTable, question, tables_of
from helip.study import Study


@dataclass(frozen=True)
class DrawFigure(Stage):
    """PNG and PDF of one figure that experiments/paper/report.yaml declares."""

    figure: str

    name = "figure"
    revision = 3
    path = ""
    files = ("{figure}.png", "{figure}.pdf")

    @property
    def declared(self) -> Figure:
        """The declaration of the figure. HelipError where report.yaml has none of that name."""
        figures = self.study.report.figures
        if self.figure not in figures:
            raise HelipError(f"{self.study.report_file}: there is no '{self.figure}'; the figures are {', '.join(figures)}")
        return figures[self.figure]

    @property
    def has_data(self) -> bool:
        """Whether the study has what it shows; a report leaves out a figure without data."""
        match self.declared:
            case AccuracyBySize(table=table):
                return bool(MakeTable(self.study, table).inputs())
            case PairSheet():
                return len(sheet_pairs(self.study, self.figure)) > 1
            case MiningQuality():
                return bool(quality_pairs(self.study))

    def config(self) -> object:
        printed = words(self.study.tables.get(self.declared.table)) if isinstance(self.declared, AccuracyBySize) else []
        return [self.declared, self.study.tables.get(self.figure), [str(path) for path in self.inputs()], printed]

    def looks_at(self) -> list[Path]:
        """Returns what is drawn beyond the files that are waited for: a figure of quality shows further pair sets where they were made."""
        return shown_if_there(self.study) if isinstance(self.declared, MiningQuality) else []

    def needs(self) -> list[Stage]:
        match self.declared:
            case AccuracyBySize(table=table):
                corpora = dict.fromkeys(BuildCorpus(self.study, self.study.run(run).corpus) for run in MakeTable(self.study, table).runs())
                return [*corpora, *MakeTable(self.study, table).needs()]
            case PairSheet():
                pairs = sheet_pairs(self.study, self.figure)
                return [*dict.fromkeys(one.corpus for one in pairs), *pairs]
            case MiningQuality():
                return [*quality_pairs(self.study)]

    def inputs(self) -> list[Path]:
        """Returns the files of its needs; of a table's needs, those that the table shows."""
        match self.declared:
            case AccuracyBySize(table=table):
                corpora = [one.output for one in self.needs() if isinstance(one, BuildCorpus)]
                return [*corpora, *MakeTable(self.study, table).inputs()]
        return super().inputs()

    def make(self, how: How) -> str:
        from pkgutil import resolve_name  # reporting stands above the stages

        return " ".join(map(str, resolve_name("helip.reporting.figures:draw")(self.study, self.figure)))


def figures_of(study: Study) -> list[DrawFigure]:
    """Returns the figures that a study can draw."""
    return [one for name in study.report.figures if (one := DrawFigure(study, name)).has_data]


def plotted(study: Study) -> list[str]:
    """Returns the tables whose numbers a figure shows: the report does not print them as tables."""
    return [figure.table for figure in study.report.figures.values() if isinstance(figure, AccuracyBySize)]


def sheet_pairs(study: Study, figure: str) -> list[Mine]:
    """Returns the pair sets that a sheet compares: of the first corpus that has the most of its methods, biggest pool first."""
    declared = study.report.figures[figure]
    if not isinstance(declared, PairSheet):
        raise HelipError(f"{study.report_file}: '{figure}' is no pair sheet, and compares no pair sets")
    wanted = declared.methods
    by_corpus: dict[str, list[tuple[int, int, str]]] = {}
    for name, (corpus, spec) in study.pairs.items():
        if spec.method in wanted:
            by_corpus.setdefault(corpus, []).append((wanted.index(spec.method), -(spec.pool or 0), name))
    none: list[tuple[int, int, str]] = []
    best = max(by_corpus.values(), key=lambda sets: len({method for method, _, _ in sets}), default=none)
    if len({method for method, _, _ in best}) < 2:
        return []
    usual = study.declaration.mining
    plain = [one for one in best if wanted[one[0]] != "hpm" or _is_usual(study, one[2], usual)] or best
    return [Mine(study, name) for _, _, name in sorted(plain)]


def _is_usual(study: Study, name: str, usual: Pairs) -> bool:
    """Mined with the study's own encoders and k: not an ablation."""
    spec = study.pairs_entry(name)[1]
    return (spec.image_encoder, spec.text_encoder, spec.k) == (usual.image_encoder, usual.text_encoder, usual.k)


def _with_truth(study: Study) -> list[Mine]:
    return [Mine(study, name) for name, (corpus, _) in study.pairs.items() if study.is_generated(corpus)]


def quality_pairs(study: Study) -> list[Mine]:
    """Returns the pair sets that truth exists for and that the tables need."""
    needed = {pairs_of(study, run) for table in tables_of(study) for run in table.runs() if study.run(run).pairs}
    return [pairs for pairs in _with_truth(study) if pairs in needed]


def measurable_pairs(study: Study) -> list[Mine]:
    """Returns all pair sets that truth exists for and that were made."""
    return [pairs for pairs in _with_truth(study) if pairs.is_done]


def selection_files(study: Study) -> list[Path]:
    """Returns the selection.json of each kind of selection that was made, by the first seed's checkpoint."""
    selections = (selection_of(study, r.name, r.seeds[0]).folder / "selection.json" for r in study.runs.values() if r.select)
    return [path for path in dict.fromkeys(selections) if path.exists()]


def shown_if_there(study: Study) -> list[Path]:
    """Returns the files that a figure of quality and the report show where they were made and do not wait for."""
    needed = quality_pairs(study)
    extra = [pairs.output for pairs in measurable_pairs(study) if pairs not in needed]
    return [MakeTable(study, question(study)).output, *extra, *selection_files(study)]
