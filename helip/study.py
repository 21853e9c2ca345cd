"""One study: its runs, tables and claims, where every artefact lies and what it stands for. Never imports torch.

A path is readable; what it stands for is a digest: of the resolved declaration, of everything it is made from, and of the
revision of the stage that makes it. The digests go into Snakemake's params, so a changed setting re-runs what depends on it.
"""

import functools
import os
from pathlib import Path
from typing import Any

from helip.artefact import digest
from helip.binding import Binding, BoundRun, encoders_of, read_yaml
from helip.config import (
    Claim,
    DownloadedCorpus,
    GeneratedCorpus,
    Model,
    Name,
    Pairs,
    Resources,
    RunEncoder,
    Selection,
    SelfSupervisedEncoder,
    Stage,
    Study,
    Table,
    UnionCorpus,
)
from helip.errors import HelipError

# Raise a stage's number when its code changes what it makes: everything downstream is then made again.
REVISIONS: dict[Stage, int] = {
    "corpus": 1, "evaluation_set": 1, "train_encoder": 1, "encode": 1, "mine": 1, "select": 1, "filter": 1, "train": 1, "evaluate": 2,
    "probe": 2, "fingerprint": 1, "contamination": 1,
}  # fmt: skip

WITHOUT_MINING = Resources(mem_mb=8000, runtime=240)


def start_seed(seed: str) -> str:
    """The seed of the checkpoint that a refinement begins from: '2r1' is the second refinement of pre-training 2."""
    return seed.partition("r")[0]


def seed_number(seed: str) -> int:
    """The integer that all randomness of a training flows from."""
    pretraining, _, repeat = seed.partition("r")
    return int(pretraining) + 1000 * int(repeat or 0)


class BoundStudy:
    """One study, resolved: its runs, tables and claims, the paths and the digests of everything it can make."""

    def __init__(self, name: str, experiments: Path = Path("experiments"), results: Path = Path("results")):
        self.name, self.file = name, experiments / "studies" / f"{name}.yaml"
        if not self.file.exists():
            known = ", ".join(sorted(p.stem for p in self.file.parent.glob("*.yaml"))) or "none"
            raise HelipError(f"{self.file}: there is no study '{name}'; the studies are {known}")
        self.declaration: Study = read_yaml(self.file, Study)
        self.tables: dict[str, Table] = read_yaml(experiments / "paper" / "tables.yaml", dict[Name, Table])
        self.claims: dict[str, Claim] = read_yaml(experiments / "paper" / "claims.yaml", dict[Name, Claim])
        self.root = results / name
        self._runs_file = experiments / "paper" / "runs.yaml"
        binding = Binding(self.declaration, self.file, self._runs_file)
        self.declared, self.runs = set(binding.declared), binding.runs()
        self._check_tables(experiments / "paper")
        self._check_published()
        self._check_encoders()
        self.tables |= {f"first/{n}": t for n, table in self.tables.items() if (t := self._first_rows(table)).rows}

    def _check_tables(self, folder: Path) -> None:
        for name, table in self.tables.items():
            for row in table.rows:
                if row.run is not None and row.run not in self.declared:
                    raise HelipError(f"{folder / 'tables.yaml'}: {name}: row '{row.label}' names run '{row.run}', and there is no such run")
        for run in self.runs.values():
            for table in run.tables:
                if table not in self.tables:
                    raise HelipError(f"{self._runs_file}: {run.name}: tables names '{table}', and there is no such table")
        for name, claim in self.claims.items():
            self._check_claim(f"{folder / 'claims.yaml'}: {name}", claim)

    def _check_claim(self, where: str, claim: Claim) -> None:
        for key in (run for pair in claim.comparisons for run in (pair.run, pair.over)):
            if key not in self.declared:
                raise HelipError(f"{where}: names run '{key}', and there is no such run")
        if claim.table not in self.tables:
            raise HelipError(f"{where}: names table '{claim.table}', and there is no such table")
        known = {column.key for column in self.tables[claim.table].columns}
        for key in claim.columns:
            if key not in known:
                raise HelipError(f"{where}: names column '{key}', and {claim.table} has {', '.join(sorted(known))}")

    def _check_published(self) -> None:
        for name in self.declaration.published:
            if name not in self.declared:
                raise HelipError(f"{self.file}: published -> {name}: there is no such run")
            if name in self.runs and (self.runs[name].start or len(self.runs[name].seeds) > 1):
                raise HelipError(f"{self.file}: published -> {name}: one checkpoint stands for one pre-training: give the run one seed")

    def _check_encoders(self) -> None:
        for name, encoder in self.declaration.encoders.items():
            if isinstance(encoder, RunEncoder) and (
                (r := self.runs.get(encoder.run)) is None or r.start or str(encoder.seed) not in r.seeds
            ):
                which = f"'{encoder.run}' seed {encoder.seed}"
                raise HelipError(f"{self.file}: encoders -> {name}: run names {which}, which is no pre-training that the study binds")
            if isinstance(encoder, SelfSupervisedEncoder) and encoder.corpus not in (None, *self.declaration.corpora):
                raise HelipError(f"{self.file}: encoders -> {name}: corpus names '{encoder.corpus}', and the study binds no such corpus")

    def _first_rows(self, table: Table) -> Table:
        """The rows of what the study names first: `first/table1` is what `make table1` builds."""
        return table.model_copy(update={"rows": tuple(row for row in table.rows if self._is_first(row.run))})

    def _is_first(self, run: str | None) -> bool:
        return run in self.runs and (self.runs[run].start or run) in self.declaration.first

    def run(self, name: str) -> BoundRun:
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

    # ------------------------------------------------------------ pairs

    def pairs_name(self, run: BoundRun) -> str:
        """corpus.method.encoders, then whatever the run sets differently from the study: cc3m.hpm.dino_vits8.sentence.k100"""
        usual = self.declaration.mining
        own = {f: v for f in Pairs.model_fields if (v := getattr(run.pairs, f)) != getattr(usual, f)}
        said = [f"{f}{v}" for f, v in own.items() if f not in ("method", "image_encoder", "text_encoder")]
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

    def mining_shards(self, pairs: str) -> int:
        """Jobs that mine a pair set together. It is the same bytes however many there are, so no digest knows of them."""
        corpus, spec = self.pairs_entry(pairs)
        size, most = self.declared_size(corpus), self.resources("mine").pairs_per_shard
        return 1 if size is None or most is None or not encoders_of(spec) else -(-size // most)

    def mining_resources(self, pairs: str) -> Resources:
        """Of the job that makes a pair set: to mine it, or only to join its shards or to draw what no miner made."""
        mines = encoders_of(self.pairs_entry(pairs)[1]) and not self.mine_shards(pairs)
        return self.resources("mine") if mines else WITHOUT_MINING

    @property
    def own_corpora(self) -> list[str]:
        """The corpora that some run trains on or that a union of them is made of, unions left out: each holds samples of its own."""
        used = {r.corpus for r in self.runs.values()}
        bound = self.declaration.corpora
        members = {c for u in used if isinstance(bound[u], UnionCorpus) for c in bound[u].of}
        return [c for c in bound if c in used | members and not isinstance(bound[c], UnionCorpus)]

    # ------------------------------------------------------------ paths

    def corpus_dir(self, corpus: str) -> Path:
        return self.root / "corpora" / corpus

    def download_dir(self, corpus: str) -> Path:
        """What was fetched so far: undeclared to Snakemake, in a folder named by what is fetched."""
        return self.root / "downloads" / f"{corpus}-{digest(self._known('corpora', corpus).source)}"

    @property
    def contamination_file(self) -> Path | None:
        """Counts of evaluation images among the training images; None where every corpus is generated, and evaluation sets with it."""
        generated = all(self.declaration.corpora[c].kind == "generated" for c in self.own_corpora)
        return None if generated else self.root / "contamination.json"

    def data_check(self, stage: Stage) -> list[Path]:
        """The check of all data, which a job that asks for a GPU waits for; nothing where the stage uses none."""
        return [self.root / "data.json"] if self.resources(stage).gpu else []

    def fingerprint_dir(self, corpus: str) -> Path:
        return self.root / "fingerprints" / corpus

    def evaluation_dir(self, name: str) -> Path:
        return self.root / "evaluation" / name

    def encoder_dir(self, corpus: str, encoder: str) -> Path:
        """The weights of an encoder that comes from the study itself: trained on a corpus, or the image or text tower of a run."""
        match self._known("encoders", encoder):
            case RunEncoder(run=run, seed=seed):
                return self.model_dir(run, str(seed))
            case SelfSupervisedEncoder(corpus=home):
                return self.root / "encoders" / (home or corpus) / encoder
        return self.root / "encoders" / corpus / encoder

    def features_dir(self, corpus: str, encoder: str) -> Path:
        return self.root / "features" / corpus / encoder

    def pairs_dir(self, pairs: str) -> Path:
        return self.root / "pairs" / pairs

    def pair_shard_dir(self, pairs: str, shard: tuple[int, int]) -> Path:
        """One shard (i, n) of a mining job, until they are merged."""
        return self.root / "pair_shards" / pairs / f"{shard[0]}of{shard[1]}"

    def selection_name(self, run: str) -> str:
        """score.keep, then whatever the run sets differently from the defaults: s_clip_loss.keep0.9"""
        spec = self.run(run).select
        own = {
            f: v
            for f, i in type(spec).model_fields.items()
            if (v := getattr(spec, f)) != i.default and f not in ("score", "keep", "column")
        }
        return ".".join([spec.score, f"keep{spec.keep}", *(f"{f}{v}" for f, v in own.items()), *([digest(spec)] if spec.column else [])])

    def selection_dir(self, run: str, seed: str) -> Path:
        """keep.npy and scores.npy of the corpus as the run's start checkpoint sees it; shared by runs that select alike."""
        return self.root / "selections" / self.run(run).start / f"seed{start_seed(seed)}" / self.selection_name(run)

    def filtered_name(self, run: str) -> str:
        """pairs.margin: cc3m.hpm.dino_vits8.sentence.margin0.0"""
        return f"{self.pairs_name(self.run(run))}.margin{self.run(run).false_negative_margin}"

    def filtered_dir(self, run: str, seed: str) -> Path:
        """The run's pairs without those that its start checkpoint takes for matches; shared by runs that filter alike."""
        return self.root / "filtered" / self.run(run).start / f"seed{start_seed(seed)}" / self.filtered_name(run)

    def drawn_pairs(self, run: str, seed: str) -> Path:
        """The folder of the pair set that a refinement draws from."""
        r = self.run(run)
        return self.pairs_dir(self.pairs_name(r)) if r.false_negative_margin is None else self.filtered_dir(run, seed)

    def model_dir(self, run: str, seed: str) -> Path:
        return self.root / "models" / run / f"seed{seed}"

    def state_dir(self, run: str, seed: str) -> Path:
        """Resume state of a training: undeclared to Snakemake, in a folder named by what the training is."""
        return self.root / "state" / f"{run}-seed{seed}-{self.run_digest(run, seed)}"

    def metrics_file(self, run: str, seed: str, name: str, task: str) -> Path:
        return self.root / "metrics" / run / f"seed{seed}" / f"{name}.{task}.json"

    def tasks(self, stage: Stage) -> list[tuple[str, str]]:
        """(set, task) of each metrics file that `evaluate` or `probe` writes for a model."""
        sets = self.declaration.evaluation.items()
        if stage == "probe":
            return [(n, "probe") for n, s in sets if s.probe]
        return [(n, {"classification": "zeroshot", "retrieval": "retrieval"}[s.task]) for n, s in sets]

    # ------------------------------------------------------------ what each stage reads and writes

    def manifest(self, corpus: str) -> Path:
        self._known("corpora", corpus)
        return self.corpus_dir(corpus) / "manifest.json"

    def corpus_inputs(self, corpus: str) -> list[Path]:
        """The manifests of the corpora that a union is made of."""
        declared = self._known("corpora", corpus)
        return [self.manifest(c) for c in declared.of] if isinstance(declared, UnionCorpus) else []

    def joined_corpora(self, corpus: str, encoder: str) -> tuple[str, ...]:
        """The members of a union whose features are those of its members; none where the encoder or the mean is each corpus' own."""
        declared, one = self._known("corpora", corpus), self._known("encoders", encoder)
        own = one.centre or (isinstance(one, SelfSupervisedEncoder) and one.corpus is None)
        return declared.of if isinstance(declared, UnionCorpus) and not own else ()

    def encode_inputs(self, corpus: str, encoder: str) -> list[Path]:
        if members := self.joined_corpora(corpus, encoder):
            return [self.features_dir(member, encoder) / "features.npy" for member in members]
        match self._known("encoders", encoder):
            case RunEncoder():
                return [self.encoder_dir(corpus, encoder) / "open_clip_model.safetensors"]
            case SelfSupervisedEncoder():
                return [self.encoder_dir(corpus, encoder) / "model.safetensors"]
        return []

    def mine_inputs(self, pairs: str) -> list[Path]:
        corpus, spec = self.pairs_entry(pairs)
        return [self.features_dir(corpus, e) / "features.npy" for e in encoders_of(spec)] or [self.manifest(corpus)]

    def mine_shards(self, pairs: str) -> list[Path]:
        """The folders that a pair set is joined from; nothing where one job mines it."""
        n = self.mining_shards(pairs)
        return [self.pair_shard_dir(pairs, (i, n)) for i in range(n)] if n > 1 else []

    def train_inputs(self, run: str, seed: str) -> list[Path]:
        r = self.run(run)
        if seed not in r.seeds:
            raise HelipError(f"{self.file}: {run} has seeds {', '.join(r.seeds)}, not {seed}")
        if run in self.declaration.published:
            return []
        if r.interpolate:
            ends = self.model_dir(r.start, start_seed(seed)), self.model_dir(r.interpolate.run, seed)
            return [folder / "open_clip_model.safetensors" for folder in ends]
        start = [self.model_dir(r.start, start_seed(seed)) / "open_clip_model.safetensors"] if r.start else []
        pairs = [self.drawn_pairs(run, seed) / "pairs.json"] if r.pairs else []
        selected = [self.selection_dir(run, seed) / "keep.npy"] if r.select else []
        retention = [self.evaluation_dir(r.recipe.retention.set) / "evaluation.json"] if getattr(r.recipe, "retention", None) else []
        return [self.manifest(r.corpus), *start, *pairs, *selected, *retention]

    def select_inputs(self, start: str, seed: str, name: str) -> list[Path]:
        """The corpus, the checkpoint that scores it, and the target set where the score has one."""
        spec = self.selection_entry(start, name)
        target = [self.evaluation_dir(spec.target) / "evaluation.json"] if spec.target else []
        return [self.manifest(self.run(start).corpus), self.model_dir(start, seed) / "open_clip_model.safetensors", *target]

    def filter_inputs(self, start: str, seed: str, name: str) -> list[Path]:
        """The corpus, the checkpoint that judges, and the pairs."""
        pairs, _ = self.filter_entry(start, name)
        weights = self.model_dir(start, seed) / "open_clip_model.safetensors"
        return [self.manifest(self.run(start).corpus), weights, self.pairs_dir(pairs) / "pairs.json"]

    def filter_entry(self, start: str, name: str) -> tuple[str, float]:
        """(pairs, margin) of the filtered pair set of that name, as some refinement of `start` declares it."""
        runs = [r for r in self.runs.values() if r.start == start and r.false_negative_margin is not None]
        known = {self.filtered_name(r.name): (self.pairs_name(r), r.false_negative_margin) for r in runs}
        if name not in known:
            said = ", ".join(known) or "none"
            raise HelipError(f"{self.file}: no refinement of {start} draws from filtered pairs '{name}'; they draw from {said}")
        return known[name]

    def selection_entry(self, start: str, name: str) -> Selection:
        """The selection of that name by that checkpoint, as some run of the study declares it."""
        known = {self.selection_name(r.name): r.select for r in self.runs.values() if r.select and r.start == start}
        if name not in known:
            raise HelipError(f"{self.file}: no refinement of {start} selects by '{name}'; they select by {', '.join(known) or 'nothing'}")
        return known[name]

    def evaluation_inputs(self, stage: Stage) -> list[Path]:
        return [self.evaluation_dir(n) / "evaluation.json" for n, _ in self.tasks(stage)]

    def metrics_outputs(self, stage: Stage) -> list[str]:
        """The metrics files of one model, with Snakemake's wildcards {run} and {seed} in them."""
        return [str(self.metrics_file("{run}", "{seed}", *task)) for task in self.tasks(stage)]

    # ------------------------------------------------------------ digests

    def _digest(self, stage: Stage, *parts: Any) -> str:
        return digest([stage, REVISIONS[stage], *parts])

    def corpus_digest(self, corpus: str) -> str:
        declared = self._known("corpora", corpus)
        parts = [self.corpus_digest(c) for c in declared.of] if isinstance(declared, UnionCorpus) else []
        return self._digest("corpus", declared, *parts)

    def fingerprint_digest(self, corpus: str) -> str:
        return self._digest("fingerprint", self.corpus_digest(corpus))

    def contamination_digest(self) -> str:
        parts = [self.fingerprint_digest(c) for c in self.own_corpora] + [self.evaluation_digest(e) for e in self.declaration.evaluation]
        return self._digest("contamination", *parts)

    def evaluation_digest(self, name: str) -> str:
        return self._digest("evaluation_set", self._known("evaluation", name))

    def encoder_digest(self, corpus: str, encoder: str) -> str:
        """Of the encoder that a corpus is encoded with."""
        match declared := self._known("encoders", encoder):
            case RunEncoder(run=run, seed=seed):
                return self._digest("train_encoder", declared, self.run_digest(run, str(seed)))
            case SelfSupervisedEncoder(corpus=home):
                return self._digest("train_encoder", declared, self.corpus_digest(home or corpus))
        return self._digest("train_encoder", declared)

    def features_digest(self, corpus: str, encoder: str) -> str:
        return self._digest("encode", self.encoder_digest(corpus, encoder), self.corpus_digest(corpus))

    def pairs_digest(self, name: str) -> str:
        corpus, spec = self.pairs_entry(name)
        made_from = [self.features_digest(corpus, e) for e in encoders_of(spec)] or [self.corpus_digest(corpus)]
        return self._digest("mine", spec, *made_from)

    def model_declaration(self, run: str) -> Model:
        return self._known("models", self.run(run).model)

    def selection_digest(self, start: str, seed: str, name: str) -> str:
        spec = self.selection_entry(start, name)
        target = self.evaluation_digest(spec.target) if spec.target else None
        return self._digest("select", spec, self.run_digest(start, seed), target)

    def filter_digest(self, start: str, seed: str, name: str) -> str:
        pairs, margin = self.filter_entry(start, name)
        return self._digest("filter", margin, self.pairs_digest(pairs), self.run_digest(start, seed))

    @functools.cache  # noqa: B019  a study lives as long as the process
    def run_digest(self, run: str, seed: str) -> str:
        r = self.run(run)
        if run in self.declaration.published:
            return self._digest("train", self.declaration.published[run])
        if r.interpolate:
            ends = self.run_digest(r.start, start_seed(seed)), self.run_digest(r.interpolate.run, seed)
            return self._digest("train", r.interpolate.weight, *ends)
        start = self.run_digest(r.start, start_seed(seed)) if r.start else None
        pairs = self._drawn_digest(r, seed) if r.pairs else None
        parts = [r.recipe, self.model_declaration(run), self.corpus_digest(r.corpus), start, pairs, seed_number(seed)]
        if r.select:
            parts.append(self.selection_digest(r.start, start_seed(seed), self.selection_name(run)))
        return self._digest("train", *parts)

    def _drawn_digest(self, r: BoundRun, seed: str) -> str:
        if r.false_negative_margin is None:
            return self.pairs_digest(self.pairs_name(r))
        return self.filter_digest(r.start, start_seed(seed), self.filtered_name(r.name))

    def data_digest(self) -> str:
        """Of what `helip data check` looks at."""
        declared = self.declaration
        return digest([declared.corpora, declared.evaluation, declared.published])

    def metrics_digest(self, run: str, seed: str, stage: Stage) -> str:
        sets = [self.evaluation_digest(n) for n, _ in self.tasks(stage)]
        return self._digest(stage, self.run_digest(run, seed), *sets)

    # ------------------------------------------------------------ tables

    def table_rows(self, name: str) -> list[tuple[str, str, str | None, dict[str, float], bool]]:
        """(corpus label, method label, run or None, published, ours) of a table; rows that runs add, after the others of their corpus."""
        table = self.tables[name]
        rows = [(r.corpus, r.label, r.run, dict(r.published), r.ours) for r in table.rows if r.run is None or r.run in self.runs]
        labels = {self.runs[run].corpus: corpus for corpus, _, run, _, _ in rows if run}
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
        runs = {run for _, _, run, _, _ in self.table_rows(name) if run is not None}
        return [self.metrics_file(r, s, *w) for r in sorted(runs) for s in self.runs[r].seeds for w in sorted(wanted)]

    def table_digest(self, name: str) -> str:
        metrics = [str(path) for path in self.table_metrics(name)]
        return digest([self.tables[name], self.table_rows(name), metrics])

    def control_of(self, run: str) -> str | None:
        """The run a refinement is measured against: the plain control of the same start; a control, against its start."""
        r = self.run(run)
        if r.start is None:
            return None
        controls = [c.name for c in self.runs.values() if c.start == r.start and c.is_plain_control]
        return r.start if run in controls[:1] or not controls else controls[0]


def load(name: str, results: Path | None = None) -> BoundStudy:
    """The study of that name under ./experiments; artefacts under ./results or $HELIP_RESULTS."""
    return BoundStudy(name, results=results or Path(os.environ.get("HELIP_RESULTS", "results")))
