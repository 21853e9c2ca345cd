"""One study as it is declared: its runs resolved, and the names of the pair sets and selections that they need."""

import functools
from pathlib import Path
from typing import Any

from helip.config import (
    Claim,
    ConfigModel,
    DownloadedCorpus,
    GeneratedCorpus,
    Model,
    Name,
    Pairs,
    Resources,
    Selection,
    Stage,
    StudyConfig,
    Table,
    TrainConfig,
    UnionCorpus,
)
from helip.config.reading import read_yaml
from helip.errors import HelipError
from helip.io import digest
from helip.study.resolve import ResolvedRun, RunResolver, encoders_of

# What a job asks for that copies files: importing a published checkpoint, joining shards, drawing pairs that no miner made.
FILES_ONLY = Resources(mem_mb=8000, runtime=240)


def start_seed(seed: str) -> str:
    """The seed of the checkpoint that a refinement begins from: '2r1' is the second refinement of pre-training 2."""
    return seed.partition("r")[0]


def seed_number(seed: str) -> int:
    """The integer that all randomness of a training flows from."""
    pretraining, _, repeat = seed.partition("r")
    return int(pretraining) + 1000 * int(repeat or 0)


def _as_long(a: TrainConfig, b: TrainConfig) -> bool:
    return (a.steps, a.epochs, a.batch_size) == (b.steps, b.epochs, b.batch_size)


class Declared:
    """A study and what of the paper it binds. `runs` are those it can build, `declared` all that the paper has."""

    def __init__(self, name: str, experiments: Path, results: Path):
        self.name, self.file = name, experiments / "studies" / f"{name}.yaml"
        if not self.file.exists():
            known = ", ".join(sorted(p.stem for p in self.file.parent.glob("*.yaml"))) or "none"
            raise HelipError(f"{self.file}: there is no study '{name}'; the studies are {known}")
        self.declaration: StudyConfig = read_yaml(self.file, StudyConfig)
        self.tables: dict[str, Table] = read_yaml(experiments / "paper" / "tables.yaml", dict[Name, Table])
        self.claims: dict[str, Claim] = read_yaml(experiments / "paper" / "claims.yaml", dict[Name, Claim])
        self.root = results / name
        self.runs_file = experiments / "paper" / "runs.yaml"
        binding = RunResolver(self.declaration, self.file, self.runs_file)
        self.declared, self.runs = set(binding.declared), binding.runs()

    def run(self, name: str) -> ResolvedRun:
        if name in self.runs:
            return self.runs[name]
        why = "binds no corpus, model or encoder for it" if name in self.declared else "knows no such run"
        raise HelipError(f"{self.file}: '{name}' cannot be built: the study {why}")

    def _known(self, kind: str, name: str) -> Any:
        bound = getattr(self.declaration, kind)
        if name not in bound:
            raise HelipError(f"{self.file}: {kind} has no '{name}'; it has {', '.join(sorted(bound)) or 'none'}")
        return bound[name]

    def resources(self, stage: Stage) -> Resources:
        return self.declaration.resources.get(stage, Resources())

    def pairs_name(self, run: ResolvedRun) -> str:
        """corpus.method.encoders, then whatever the run sets differently from the study: cc3m.hpm.dino_vits8.sentence.k100"""
        usual = self.declaration.mining
        own = {f: v for f in Pairs.model_fields if (v := getattr(run.pairs, f)) != getattr(usual, f)}
        said = [f"{f}{'none' if v is None else v}" for f, v in own.items() if f not in ("method", "image_encoder", "text_encoder")]
        return ".".join([run.corpus, run.pairs.method, *encoders_of(run.pairs), *said])

    @functools.cached_property
    def pairs(self) -> dict[str, tuple[str, Pairs]]:
        """name -> (corpus, spec) of every mining job of the study."""
        return {self.pairs_name(r): (r.corpus, r.pairs) for r in self.runs.values() if r.pairs is not None}

    def pairs_entry(self, name: str) -> tuple[str, Pairs]:
        if name not in self.pairs:
            raise HelipError(f"{self.file}: no run of this study uses pairs '{name}'; it uses {', '.join(sorted(self.pairs))}")
        return self.pairs[name]

    def declared_size(self, corpus: str) -> int | None:
        """Pairs of a corpus as declared or published: an upper bound, since addresses rot; None where nobody has said."""
        match self._known("corpora", corpus):
            case GeneratedCorpus(size=size):
                return size
            case DownloadedCorpus(sample=int(sample)):
                return sample
            case UnionCorpus(of=members, published_size=None):
                sizes = [self.declared_size(m) for m in members]
                return None if None in sizes else sum(sizes)
            case declared:
                return declared.published_size

    def is_generated(self, corpus: str) -> bool:
        """Whether its truth is known: it was generated, or is a union of corpora that all were."""
        match self._known("corpora", corpus):
            case UnionCorpus(of=members):
                return all(self.is_generated(m) for m in members)
            case declared:
                return isinstance(declared, GeneratedCorpus)

    def mining_shards(self, pairs: str) -> int:
        """Jobs that mine a pair set together. It is the same bytes however many there are, so no digest knows of them."""
        corpus, spec = self.pairs_entry(pairs)
        size, most = self.declared_size(corpus), self.resources("mine").pairs_per_shard
        return 1 if size is None or most is None or not encoders_of(spec) else -(-size // most)

    def mining_resources(self, pairs: str) -> Resources:
        """Of the job that makes a pair set: to mine it, or only to join its shards or to draw what no miner made."""
        mines = encoders_of(self.pairs_entry(pairs)[1]) and self.mining_shards(pairs) == 1
        return self.resources("mine") if mines else FILES_ONLY

    @property
    def own_corpora(self) -> list[str]:
        """The corpora that some run trains on or that a union of them is made of, unions left out: each holds samples of its own."""
        used = {r.corpus for r in self.runs.values()}
        bound = self.declaration.corpora
        members = {c for u in used if isinstance(bound[u], UnionCorpus) for c in bound[u].of}
        return [c for c in bound if c in used | members and not isinstance(bound[c], UnionCorpus)]

    def selection_name(self, run: str) -> str:
        """score.keep, then whatever the run sets differently from the defaults: s_clip_loss.keep0.9. A mixture's scores are joined by
        hyphens, each with its weight where that is not 1; settings that are no short word are told by a digest."""
        spec = self.run(run).select
        score = "-".join(name if weight == 1 else f"{name}{weight:g}" for name, weight in spec.scores.items())
        files = ("column", "image_features", "text_features")
        own = {
            f: v for f, i in type(spec).model_fields.items() if (v := getattr(spec, f)) != i.default and f not in ("score", "keep", *files)
        }
        said = [f"{f}{digest(v) if isinstance(v, ConfigModel) else v}" for f, v in own.items()]
        return ".".join([score, f"keep{spec.keep}", *said, *([digest(spec)] if any(getattr(spec, f) for f in files) else [])])

    def selection_entry(self, start: str, name: str) -> Selection:
        """The selection of that name by that checkpoint, as some run of the study declares it."""
        known = {self.selection_name(r.name): r.select for r in self.runs.values() if r.select and r.start == start}
        if name not in known:
            raise HelipError(f"{self.file}: no refinement of {start} selects by '{name}'; they select by {', '.join(known) or 'nothing'}")
        return known[name]

    def filtered_name(self, run: str) -> str:
        """pairs.margin: cc3m.hpm.dino_vits8.sentence.margin0.0"""
        return f"{self.pairs_name(self.run(run))}.margin{self.run(run).false_negative_margin}"

    def filter_entry(self, start: str, name: str) -> tuple[str, float]:
        """(pairs, margin) of the filtered pair set of that name, as some refinement of `start` declares it."""
        runs = [r for r in self.runs.values() if r.start == start and r.false_negative_margin is not None]
        known = {self.filtered_name(r.name): (self.pairs_name(r), r.false_negative_margin) for r in runs}
        if name not in known:
            said = ", ".join(known) or "none"
            raise HelipError(f"{self.file}: no refinement of {start} draws from filtered pairs '{name}'; they draw from {said}")
        return known[name]

    def tasks(self, stage: Stage) -> list[tuple[str, str]]:
        """(set, task) of each metrics file that `evaluate` or `probe` writes for a model."""
        sets = self.declaration.evaluation.items()
        if stage == "probe":
            return [(n, "probe") for n, s in sets if s.probe]
        return [(n, {"classification": "zeroshot", "retrieval": "retrieval"}[s.task]) for n, s in sets]

    def model_declaration(self, run: str) -> Model:
        return self._known("models", self.run(run).model)

    def control_of(self, run: str) -> str | None:
        """The run a refinement is measured against: the plain control of the same start, steps and batch; a control, against its start."""
        r = self.run(run)
        if r.start is None:
            return None
        controls = [c.name for c in self.runs.values() if c.start == r.start and c.is_plain_control and _as_long(c.recipe, r.recipe)]
        return r.start if run in controls[:1] or not controls else controls[0]
