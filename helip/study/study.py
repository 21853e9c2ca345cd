"""One study: its runs resolved, its tables and claims, and the names of the pair sets and selections that its runs need."""

import functools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from helip.config import (
    OF_HARD_PAIRS,
    AnyModel,
    Claim,
    Corpus,
    DownloadedCorpus,
    Encoder,
    EvaluationSet,
    GeneratedCorpus,
    LemonSettings,
    MismatchedCorpus,
    Name,
    Pairs,
    Refinement,
    ReportConfig,
    Resources,
    Selection,
    StudyConfig,
    SubsetCorpus,
    Table,
    TrainConfig,
    TrainPartCorpus,
    UnionCorpus,
)
from helip.config.reading import read_yaml
from helip.errors import HelipError, nearest
from helip.io import digest
from helip.study.checks import check
from helip.study.published import with_margin
from helip.study.resolve import ResolvedRun, RunResolver, encoders_of

Number = TypeVar("Number", int, float)
Declared = TypeVar("Declared")

# What a job asks for that copies files: importing a published checkpoint, joining shards, drawing pairs that no miner made.
FILES_ONLY = Resources(mem_mb=8000, runtime=240)


def names(experiments: Path = Path("experiments")) -> list[str]:
    """Returns the studies of experiments/studies, in order; NAME.costs.yaml beside one holds what was measured for its plan."""
    return sorted(path.stem for path in (experiments / "studies").glob("*.yaml") if "." not in path.stem)


def total(parts: Iterable[Number | None]) -> Number | None:
    """Returns the sum of the parts; None where one of them is not known."""
    result: Number = 0
    for part in parts:
        if part is None:
            return None
        result += part
    return result


def _as_long(a: TrainConfig, b: TrainConfig) -> bool:
    return (a.steps, a.epochs, a.batch_size) == (b.steps, b.epochs, b.batch_size)


def _unlike(a: TrainConfig, b: TrainConfig) -> int:
    """In how many settings two recipes differ, apart from what makes the arm and from what changes no result."""
    left_out = {"arm", *OF_HARD_PAIRS, *TrainConfig.excluded_from_digest}
    return sum(getattr(a, name, None) != getattr(b, name, None) for name in Refinement.model_fields.keys() - left_out)


def _made_of(corpus: Corpus) -> tuple[str, ...]:
    """The corpora that a union, a subset or a corpus with swapped captions is made of."""
    match corpus:
        case UnionCorpus(of=members):
            return members
        case MismatchedCorpus(of=base) | SubsetCorpus(of=base):
            return (base,)
    return ()


class Study:
    """A study and what of the paper it binds. `runs` are those it can build, `left_out` the others. Never imports torch.

    Where its artefacts lie and what they stand for, helip.stages says.
    """

    def __init__(self, name: str, experiments: Path = Path("experiments"), results: Path = Path("results")):
        self.name, self.file = name, experiments / "studies" / f"{name}.yaml"
        if not self.file.exists():
            known = names(experiments)
            those = f"the studies are {', '.join(known)}" if known else "no study is there: go to the project's folder"
            raise HelipError(f"{self.file}: there is no study '{name}'; {those}")
        if not re.fullmatch(r"[a-z0-9_]+", name):  # as the rules have it
            raise HelipError(f"{self.file}: a study is named by small letters, digits and _, as its results folder is; rename the file")
        self.declaration: StudyConfig = read_yaml(self.file, StudyConfig)
        self.tables: dict[str, Table] = read_yaml(experiments / "paper" / "tables.yaml", dict[Name, Table])
        self.claims: dict[str, Claim] = read_yaml(experiments / "paper" / "claims.yaml", dict[Name, Claim])
        self.report_file = experiments / "paper" / "report.yaml"
        self.report: ReportConfig = read_yaml(self.report_file, ReportConfig)
        self.root = results / name
        self.runs_file = experiments / "paper" / "runs.yaml"
        resolver = RunResolver(self.declaration, self.file, self.runs_file)
        self.declared, self.runs, self.left_out = set(resolver.declared), resolver.runs(), resolver.left_out
        check(self, resolver, experiments / "paper")
        self.claims = {n: with_margin(self.tables, claim) for n, claim in self.claims.items()}
        self.tables |= {f"first/{n}": t for n, table in self.tables.items() if (t := self._first_rows(table)).rows}

    def run(self, name: str) -> ResolvedRun:
        """Returns a run with its settings resolved. HelipError for a run that the study cannot build."""
        if name in self.runs:
            return self.runs[name]
        if name in self.left_out:
            raise HelipError(
                f"{self.file}: '{name}' cannot be built: the study binds no {' and no '.join(self.left_out[name])}; bind it there"
            )
        raise HelipError(f"{self.file}: '{name}' cannot be built: the study knows no such run{nearest(name, self.declared)}")

    def notice(self) -> str:
        """Returns a sentence on the runs that the study leaves out, and on what it would have to bind; empty where it has all."""
        if not self.left_out:
            return ""
        kinds: dict[str, list[str]] = {}
        for lacking in self.left_out.values():
            for kind, name in (one.split() for one in lacking):
                kinds.setdefault(kind, []).append(name)
        missing = "; ".join(f"{kind} {', '.join(dict.fromkeys(names))}" for kind, names in kinds.items())
        of = f"{len(self.left_out)} of {len(self.declared)} runs are left out of study {self.name}"
        return f"{of}, which does not bind: {missing}. `helip runs {self.name}` lists them."

    def _known(self, kind: str, bound: Mapping[str, Declared], name: str) -> Declared:
        if name not in bound:
            raise HelipError(f"{self.file}: {kind} has no '{name}'; it has {', '.join(sorted(bound)) or 'none'}")
        return bound[name]

    def corpus(self, name: str) -> Corpus:
        """Returns the declaration of a corpus. HelipError for a name that the study does not bind."""
        return self._known("corpora", self.declaration.corpora, name)

    def encoder(self, name: str) -> Encoder:
        """Returns the declaration of an encoder. HelipError for a name that the study does not bind."""
        return self._known("encoders", self.declaration.encoders, name)

    def model(self, name: str) -> AnyModel:
        """Returns the declaration of a model. HelipError for a name that the study does not bind."""
        return self._known("models", self.declaration.models, name)

    def evaluation_set(self, name: str) -> EvaluationSet:
        """Returns the declaration of an evaluation set. HelipError for a name that the study does not bind."""
        return self._known("evaluation", self.declaration.evaluation, name)

    def resources(self, stage: str) -> Resources:
        """Returns what a stage asks of the scheduler."""
        return next((asked for name, asked in self.declaration.resources.items() if name == stage), Resources())

    def pairs_name(self, run: ResolvedRun) -> str:
        """Returns corpus.method.encoders, then whatever the run sets differently from the study: cc3m.hpm.dino_vits8.sentence.k100"""
        if run.pairs is None:
            raise HelipError(f"{self.runs_file}: {run.name}: draws no hard pairs, so no pair set belongs to it")
        usual = self.declaration.mining
        own = {f: v for f in Pairs.model_fields if (v := getattr(run.pairs, f)) != getattr(usual, f)}
        settings = [f"{f}{'none' if v is None else v}" for f, v in own.items() if f not in ("method", "image_encoder", "text_encoder")]
        return ".".join([run.corpus, run.pairs.method, *encoders_of(run.pairs), *settings])

    @functools.cached_property
    def pairs(self) -> dict[str, tuple[str, Pairs]]:
        """name -> (corpus, spec) of every mining job of the study."""
        return {self.pairs_name(r): (r.corpus, r.pairs) for r in self.runs.values() if r.pairs is not None}

    def pairs_entry(self, name: str) -> tuple[str, Pairs]:
        """Returns (corpus, spec) of the pair set of that name. HelipError where no run of the study uses it."""
        if name not in self.pairs:
            raise HelipError(f"{self.file}: no run of this study uses pairs '{name}'; it uses {', '.join(sorted(self.pairs))}")
        return self.pairs[name]

    def declared_size(self, corpus: str) -> int | None:
        """Pairs of a corpus as declared or published: an upper bound, since addresses rot; None where nobody has said."""
        match self.corpus(corpus):
            case GeneratedCorpus(size=size):
                return size
            case DownloadedCorpus(sample=int(sample)):
                return sample
            case TrainPartCorpus(of=whole):
                return self.declared_size(whole)
            case MismatchedCorpus(of=base):
                return self.declared_size(base)
            case SubsetCorpus(of=whole, share=share):
                pairs = self.declared_size(whole)
                return None if pairs is None else round(share * pairs)
            case UnionCorpus(of=members, published_size=None):
                return total(self.declared_size(m) for m in members)
            case declared:
                return declared.published_size

    def is_generated(self, corpus: str) -> bool:
        """Returns whether its truth is known: it was generated, or is a union of corpora that all were."""
        match self.corpus(corpus):
            case UnionCorpus(of=members):
                return all(self.is_generated(m) for m in members)
            case TrainPartCorpus(of=whole):
                return self.is_generated(whole)
            case declared:
                return isinstance(declared, GeneratedCorpus)

    @property
    def own_corpora(self) -> list[str]:
        """The corpora that some run trains on or that those are made of, unions and mismatched ones left out: each holds samples of its
        own.
        """
        bound, behind = self.declaration.corpora, {r.corpus for r in self.runs.values()}
        while more := {base for c in behind for base in _made_of(bound[c])} - behind:
            behind |= more
        return [c for c in bound if c in behind and not isinstance(bound[c], UnionCorpus | MismatchedCorpus | SubsetCorpus)]

    def selection_name(self, run: str) -> str:
        """Returns score.keep, then whatever the run sets differently from the defaults: s_clip_loss.keep0.9. A mixture's scores are
        joined by hyphens, each with its weight where that is not 1; settings that are no short word are told by a digest.
        """
        spec = self.run(run).select
        if spec is None:
            raise HelipError(f"{self.runs_file}: {run}: selects no pairs, so no selection belongs to it")
        score = "-".join(name if weight == 1 else f"{name}{weight:g}" for name, weight in spec.scores.items())
        digested = ("column", "image_features", "text_features")
        left_out = ("score", "weights", "keep", *digested)
        own = {f: v for f, i in type(spec).model_fields.items() if (v := getattr(spec, f)) != i.default and f not in left_out}
        settings = [f"{f}{digest(v) if isinstance(v, LemonSettings) else str(v).lower()}" for f, v in own.items()]
        return ".".join([score, f"keep{spec.keep}", *settings, *([digest(spec)] if any(getattr(spec, f) for f in digested) else [])])

    def selection_entry(self, start: str, name: str) -> Selection:
        """Returns the selection of that name by that checkpoint, as some run of the study declares it."""
        known = {self.selection_name(r.name): r.select for r in self.runs.values() if r.select and r.start == start}
        if name not in known:
            raise HelipError(f"{self.file}: no refinement of {start} selects by '{name}'; they select by {', '.join(known) or 'nothing'}")
        return known[name]

    def filtered_name(self, run: str) -> str:
        """Returns pairs.margin: cc3m.hpm.dino_vits8.sentence.margin0.0"""
        return f"{self.pairs_name(self.run(run))}.margin{self.run(run).false_negative_margin}"

    def filter_entry(self, start: str, name: str) -> tuple[str, float]:
        """Returns (pairs, margin) of the filtered pair set of that name, as some refinement of `start` declares it."""
        runs = [r for r in self.runs.values() if r.start == start]
        known = {self.filtered_name(r.name): (self.pairs_name(r), m) for r in runs if (m := r.false_negative_margin) is not None}
        if name not in known:
            filtered = ", ".join(known) or "none"
            raise HelipError(f"{self.file}: no refinement of {start} draws from filtered pairs '{name}'; they draw from {filtered}")
        return known[name]

    def tasks(self, stage: str) -> list[tuple[str, str]]:
        """Returns (set, task) of each metrics file that `evaluate` or `probe` writes for a model."""
        sets = self.declaration.evaluation.items()
        if stage == "probe":
            return [(n, "probe") for n, s in sets if s.probe]
        return [(n, {"classification": "zeroshot", "retrieval": "retrieval"}[s.task]) for n, s in sets]

    def control_of(self, run: str) -> str | None:
        """Returns the run that a run is measured against: of the plain controls of the same start, model, steps and batch, the one whose
        recipe is most like its own; of a control, the one most like the study's refinement; of that control, its start."""
        r = self.run(run)
        if r.start is None:
            return None
        same = [c for c in self.runs.values() if (c.start, c.model) == (r.start, r.model)]
        controls = [c for c in same if c.is_plain_control and _as_long(c.recipe, r.recipe)]
        controls.sort(key=lambda c: _unlike(c.recipe, self.declaration.refinement))  # of those that are as like, the first of these
        if not r.is_plain_control and controls:
            return min(controls, key=lambda c: _unlike(c.recipe, r.recipe)).name
        usual = controls[0].name if controls else run
        return r.start if run == usual else usual

    def _first_rows(self, table: Table) -> Table:
        """The rows of what the study names first: `first/table1` is what `make table1` builds."""
        return table.model_copy(update={"rows": tuple(row for row in table.rows if self._is_first(row.run))})

    def _is_first(self, run: str) -> bool:
        return run in self.runs and (self.runs[run].start or run) in self.declaration.first

    def table_rows(self, name: str) -> list[tuple[str, str, str, dict[str, float], bool]]:
        """Returns (corpus label, method label, run, published, ours) of a table; rows that runs add, after the others of their corpus."""
        table = self.tables[name]
        rows = [(r.corpus, r.label, r.run, dict(r.published), r.ours) for r in table.rows if r.run in self.runs]
        labels = {self.runs[run].corpus: corpus for corpus, _, run, _, _ in rows}
        first, _, whole = name.rpartition("/")
        for run in (r for r in self.runs.values() if whole in r.tables and (not first or self._is_first(r.name))):
            corpus = labels.get(run.corpus, run.corpus)
            end = max((n for n, row in enumerate(rows, 1) if row[0] == corpus), default=len(rows))
            rows.insert(end, (corpus, run.tables[whole], run.name, {}, True))
        return rows


def load(name: str, results: Path | None = None) -> Study:
    """Returns the study of that name under ./experiments; artefacts under ./results or $HELIP_RESULTS."""
    return Study(name, results=results or Path(os.environ.get("HELIP_RESULTS", "results")))
