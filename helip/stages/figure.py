"""The stage `figure`: a figure of the paper, from tables' metrics files or from pair sets."""

from dataclasses import dataclass
from pathlib import Path

from helip.config import Pairs
from helip.io import file_digest
from helip.stages.base import How, Stage
from helip.stages.corpus import BuildCorpus
from helip.stages.mine import Mine, pairs_of
from helip.stages.select import selection_of
from helip.stages.table import MakeTable, tables_of
from helip.study import Study

# figure -> the mining methods whose pairs it shows side by side
SHEETS = {"figure5": ("hpm", "image", "text"), "figure6": ("hpm", "fast_hpm"), "figure7": ("hpm", "image", "text")}
SIZES, QUALITY = "figure4", "figure8"


@dataclass(frozen=True)
class DrawFigure(Stage):
    """PNG and PDF of one figure. Accuracy by corpus size (figure 4), sheets of pairs (5 to 7), quality of mined pairs (8)."""

    figure: str

    name = "figure"
    revision = 3
    path = ""
    files = ("{figure}.png", "{figure}.pdf")

    def config(self) -> object:
        shown = shown_if_there(self.study) if self.figure == QUALITY else []
        return [self.study.tables.get(self.figure), [str(path) for path in self.inputs()], shown]

    def pairs(self) -> list[Mine]:
        """The pair sets that it shows."""
        return quality_pairs(self.study) if self.figure == QUALITY else sheet_pairs(self.study, self.figure)

    def corpora(self) -> list[BuildCorpus]:
        """The corpora whose images or sizes it shows."""
        if self.figure == SIZES:
            return list(dict.fromkeys(BuildCorpus(self.study, self.study.run(r).corpus) for r in MakeTable(self.study, SIZES).runs()))
        return list(dict.fromkeys(one.corpus for one in self.pairs())) if self.figure in SHEETS else []

    def needs(self) -> list[Stage]:
        return [*self.corpora(), *(MakeTable(self.study, SIZES).needs() if self.figure == SIZES else self.pairs())]

    def inputs(self) -> list[Path]:
        shown = MakeTable(self.study, SIZES).inputs() if self.figure == SIZES else [one.output for one in self.pairs()]
        return [*(corpus.output for corpus in self.corpora()), *shown]

    def make(self, how: How) -> str:
        from pkgutil import resolve_name  # reporting stands above the stages

        return " ".join(map(str, resolve_name("helip.reporting.figures:draw")(self.study, self.figure)))


def figures_of(study: Study) -> list[DrawFigure]:
    """The figures that a study can draw."""
    sheets = [name for name in SHEETS if len(sheet_pairs(study, name)) > 1]
    quality = [QUALITY] if quality_pairs(study) else []
    sizes = [SIZES] if SIZES in study.tables and MakeTable(study, SIZES).inputs() else []
    return [DrawFigure(study, name) for name in sizes + sheets + quality]


def sheet_pairs(study: Study, figure: str) -> list[Mine]:
    """The pair sets that a sheet compares: of the first corpus that has the most of its methods, biggest pool first."""
    wanted, by_corpus = SHEETS.get(figure, ()), {}
    for name, (corpus, spec) in study.pairs.items():
        if spec.method in wanted:
            by_corpus.setdefault(corpus, []).append((wanted.index(spec.method), -(spec.pool or 0), name))
    best = max(by_corpus.values(), key=lambda sets: len({method for method, _, _ in sets}), default=[])
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
    """The pair sets that truth exists for and that the tables need."""
    needed = {pairs_of(study, run) for table in tables_of(study) for run in table.runs() if study.run(run).pairs}
    return [pairs for pairs in _with_truth(study) if pairs in needed]


def measurable_pairs(study: Study) -> list[Mine]:
    """All pair sets that truth exists for and that were made."""
    return [pairs for pairs in _with_truth(study) if pairs.is_done]


def selection_files(study: Study) -> list[Path]:
    """What each kind of selection that was made says of itself, by the first seed's checkpoint."""
    selections = (selection_of(study, r.name, r.seeds[0]).folder / "selection.json" for r in study.runs.values() if r.select)
    return [path for path in dict.fromkeys(selections) if path.exists()]


def shown_if_there(study: Study) -> list[tuple[str, str]]:
    """(file, digest) of what figure 8 and the report show where it was made and do not wait for."""
    from helip.stages.report import question

    asked = [path for path in (MakeTable(study, question(study)).output,) if path.exists()]
    needed = quality_pairs(study)
    extra = [pairs.output for pairs in measurable_pairs(study) if pairs not in needed]
    return [(str(path), file_digest(path)) for path in (*asked, *extra, *selection_files(study))]
