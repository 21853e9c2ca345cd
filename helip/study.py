"""Load a study, join it with the paper's runs, and say where every artefact lies and what it stands for. Never imports torch.

A path is readable; what it stands for is a digest: of the resolved declaration, of everything it is made from, and of the
revision of the stage that makes it. The digests go into Snakemake's params, so a changed setting re-runs what depends on it.
"""

import functools
import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from helip.artefact import digest
from helip.config import Claim, Declaration, Model, Name, Pairs, Recipe, Refinement, Resources, Run, Stage, Study, Table
from helip.errors import HelipError

# Raise a stage's number when its code changes what it makes: everything downstream is then made again.
REVISIONS: dict[Stage, int] = {
    "corpus": 1, "evaluation_set": 1, "train_encoder": 1, "encode": 1, "mine": 1, "train": 1, "evaluate": 1, "probe": 1,
}  # fmt: skip


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML that refuses a key given twice instead of keeping the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(k, deep=True) for k, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, kind: Any) -> Any:
    """A YAML file as a typed declaration, or one sentence naming file, entry and key."""
    try:
        return TypeAdapter(kind).validate_python(yaml.load(path.read_text(), _Loader) or {})
    except FileNotFoundError:
        raise HelipError(f"{path}: not found") from None
    except yaml.YAMLError as error:
        raise HelipError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise HelipError(f"{path}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    one = error.errors()[0]
    where = " -> ".join(str(part) for part in one["loc"]) or "the file"
    what = {"extra_forbidden": "unknown key: remove it or correct its spelling", "missing": "is missing"}.get(one["type"], one["msg"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {what}{more}"


class Names(Declaration):
    """The vocabulary of runs.yaml, name -> meaning: a study binds some or all of these."""

    corpora: dict[Name, str]
    models: dict[Name, str]
    objectives: dict[Name, str]
    encoders: dict[Name, str]


class Runs(Declaration):
    names: Names
    runs: dict[Name, Run]


class BoundRun(Declaration):
    """A run with every setting resolved in one study."""

    name: str
    question: str
    corpus: str
    model: str
    start: str | None
    recipe: Refinement | Recipe
    pairs: Pairs | None
    seeds: tuple[str, ...]
    tables: dict[str, str]

    @property
    def arm(self) -> str:
        return self.recipe.arm if isinstance(self.recipe, Refinement) else "start"


def merge(under: Any, over: Any) -> Any:
    """`over` laid upon `under`, mappings joined key by key."""
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {k: merge(under.get(k), v) for k, v in over.items()}
    return over


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
            known = ", ".join(sorted(p.stem for p in self.file.parent.glob("*.yaml")))
            raise HelipError(f"{self.file}: there is no study '{name}'; the studies are {known}")
        self.declaration: Study = read_yaml(self.file, Study)
        self._runs_file = experiments / "paper" / "runs.yaml"
        declared: Runs = read_yaml(self._runs_file, Runs)
        self._names, self._declared = declared.names, dict(declared.runs)
        self.tables: dict[str, Table] = read_yaml(experiments / "paper" / "tables.yaml", dict[Name, Table])
        self.claims: dict[str, Claim] = read_yaml(experiments / "paper" / "claims.yaml", dict[Name, Claim])
        self.root = results / name
        self._add_own_runs()
        self.runs: dict[str, BoundRun] = {n: r for n in self._declared if (r := self._bind(n)) is not None}
        self._check_tables(experiments / "paper")

    # ------------------------------------------------------------ resolving

    def _add_own_runs(self) -> None:
        for name, entry in self.declaration.runs.items():
            known = self._declared[name].model_dump(exclude_unset=True) if name in self._declared else {}
            self._declared[name] = self._validate(Run, merge(known, entry), self.file, f"runs -> {name}")

    def _validate(self, kind, value, file: Path, where: str):
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            raise HelipError(f"{file}: {where} -> {_first(error)}") from None

    def _inherit(self, name: str, chain: tuple[str, ...] = ()) -> dict[str, Any]:
        if name in chain:
            raise HelipError(f"{self._runs_file}: {chain[0]}: base goes round in a circle: {' -> '.join((*chain, name))}")
        if name not in self._declared:
            raise HelipError(f"{self._runs_file}: {chain[-1]}: base names '{name}', and there is no such run")
        entry = self._declared[name].model_dump(exclude_unset=True)
        base = entry.pop("base", None)
        if not base:
            return entry
        inherited = {k: v for k, v in self._inherit(base, (*chain, name)).items() if k not in ("question", "tables")}
        return merge(inherited, entry)

    def _bind(self, name: str, chain: tuple[str, ...] = ()) -> BoundRun | None:
        """The run as this study has it; None when the study binds no corpus, model or encoder that it needs."""
        if name in chain:
            raise HelipError(f"{self._runs_file}: {chain[0]}: start goes round in a circle: {' -> '.join((*chain, name))}")
        study, run = self.declaration, Run.model_validate(self._inherit(name))
        where = f"{self._runs_file}: {name}"
        start = None
        if run.start is not None:
            if run.start not in self._declared:
                raise HelipError(f"{where}: start names '{run.start}', and there is no such run")
            start = self._bind(run.start, (*chain, name))
            if start is None:
                return None
        if (run.refine is None) == (run.objective is None) or (run.refine is None) != (run.start is None):
            raise HelipError(f"{where}: a run has either an objective (pre-training) or a start and a refine (refinement)")
        corpus, model = run.corpus or (start and start.corpus), run.model or (start and start.model)
        if not corpus or not model:
            raise HelipError(f"{where}: needs a corpus and a model")
        wanted = [("corpora", corpus, study.corpora), ("models", model, study.models)]
        if run.objective:
            wanted.append(("objectives", run.objective, study.pretraining))
        pairs = None
        if run.refine is not None:
            settings = merge(study.refinement.model_dump(exclude_unset=True), run.refine)
            recipe = self._validate(Refinement, settings, self._runs_file, f"{name} -> refine")
            if recipe.arm != "control":
                settings = merge(study.mining.model_dump(exclude_unset=True), run.pairs or {})
                pairs = self._validate(Pairs, settings, self._runs_file, f"{name} -> pairs")
                wanted += [("encoders", e, study.encoders) for e in self.encoders_of(pairs)]
        for kind, asked, bound in wanted:
            if asked not in bound and asked not in getattr(self._names, kind):
                raise HelipError(f"{where}: '{asked}' is none of the {kind} named in {self._runs_file}; correct it or add it there")
        if any(asked not in bound for _, asked, bound in wanted):
            return None
        if run.refine is None:
            recipe = study.pretraining[run.objective]
        seeds = [str(s) for s in run.seeds or study.seeds]
        if run.repeats > 1:
            seeds = [f"{s}r{r}" for s in seeds for r in range(run.repeats)]
        return BoundRun(name=name, question=run.question, corpus=corpus, model=model, start=run.start, recipe=recipe, pairs=pairs,
                        seeds=tuple(seeds), tables=run.tables)  # fmt: skip

    def _check_tables(self, folder: Path) -> None:
        for name, table in self.tables.items():
            for row in table.rows:
                if row.run is not None and row.run not in self._declared:
                    raise HelipError(f"{folder / 'tables.yaml'}: {name}: row '{row.label}' names run '{row.run}', and there is no such run")
        for run in self.runs.values():
            for table in run.tables:
                if table not in self.tables:
                    raise HelipError(f"{self._runs_file}: {run.name}: tables names '{table}', and there is no such table")
        for name, claim in self.claims.items():
            for key in (claim.run, claim.over):
                if key not in self._declared:
                    raise HelipError(f"{folder / 'claims.yaml'}: {name}: names run '{key}', and there is no such run")
            if claim.table not in self.tables:
                raise HelipError(f"{folder / 'claims.yaml'}: {name}: names table '{claim.table}', and there is no such table")

    def run(self, name: str) -> BoundRun:
        if name in self.runs:
            return self.runs[name]
        why = "binds no corpus, model or encoder for it" if name in self._declared else "knows no such run"
        raise HelipError(f"{self.file}: '{name}' cannot be built: the study {why}")

    def _known(self, kind: str, name: str) -> Any:
        bound = getattr(self.declaration, kind)
        if name not in bound:
            raise HelipError(f"{self.file}: {kind} has no '{name}'; it has {', '.join(sorted(bound)) or 'none'}")
        return bound[name]

    def resources(self, stage: Stage) -> Resources:
        return self.declaration.resources.get(stage, Resources())

    # ------------------------------------------------------------ pairs

    @staticmethod
    def encoders_of(pairs: Pairs) -> tuple[str, ...]:
        """The encoders whose features a mining job reads: single-modality methods read one."""
        match pairs.method:
            case "image":
                return (pairs.image_encoder,)
            case "text":
                return (pairs.text_encoder,)
            case _:
                return (pairs.image_encoder, pairs.text_encoder)

    def pairs_name(self, run: BoundRun) -> str:
        """corpus.method.encoders, then whatever the run sets differently from the study: cc3m.hpm.dino_vits8.sentence.k100"""
        usual = self.declaration.mining
        own = {f: v for f in Pairs.model_fields if (v := getattr(run.pairs, f)) != getattr(usual, f)}
        said = [f"{f}{v}" for f, v in own.items() if f not in ("method", "image_encoder", "text_encoder")]
        return ".".join([run.corpus, run.pairs.method, *self.encoders_of(run.pairs), *said])

    @functools.cached_property
    def pairs(self) -> dict[str, tuple[str, Pairs]]:
        """name -> (corpus, spec) of every mining job of the study."""
        return {self.pairs_name(r): (r.corpus, r.pairs) for r in self.runs.values() if r.pairs is not None}

    def pairs_entry(self, name: str) -> tuple[str, Pairs]:
        if name not in self.pairs:
            raise HelipError(f"{self.file}: no run of this study uses pairs '{name}'; it uses {', '.join(sorted(self.pairs))}")
        return self.pairs[name]

    # ------------------------------------------------------------ paths

    def corpus_dir(self, corpus: str) -> Path:
        return self.root / "corpora" / corpus

    def evaluation_dir(self, name: str) -> Path:
        return self.root / "evaluation" / name

    def encoder_dir(self, corpus: str, encoder: str) -> Path:
        return self.root / "encoders" / corpus / encoder

    def features_dir(self, corpus: str, encoder: str) -> Path:
        return self.root / "features" / corpus / encoder

    def pairs_dir(self, pairs: str) -> Path:
        return self.root / "pairs" / pairs

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

    # ------------------------------------------------------------ digests

    def _digest(self, stage: Stage, *parts: Any) -> str:
        return digest([stage, REVISIONS[stage], *parts])

    def corpus_digest(self, corpus: str) -> str:
        return self._digest("corpus", self._known("corpora", corpus))

    def evaluation_digest(self, name: str) -> str:
        return self._digest("evaluation_set", self._known("evaluation", name))

    def encoder_digest(self, corpus: str, encoder: str) -> str:
        return self._digest("train_encoder", self._known("encoders", encoder), self.corpus_digest(corpus))

    def features_digest(self, corpus: str, encoder: str) -> str:
        return self._digest("encode", self.encoder_digest(corpus, encoder))

    def pairs_digest(self, name: str) -> str:
        corpus, spec = self.pairs_entry(name)
        return self._digest("mine", spec, *(self.features_digest(corpus, e) for e in self.encoders_of(spec)))

    def model_declaration(self, run: str) -> Model:
        return self._known("models", self.run(run).model)

    @functools.cache  # noqa: B019  a study lives as long as the process
    def run_digest(self, run: str, seed: str) -> str:
        r = self.run(run)
        start = self.run_digest(r.start, start_seed(seed)) if r.start else None
        pairs = self.pairs_digest(self.pairs_name(r)) if r.pairs else None
        return self._digest("train", r.recipe, self.model_declaration(run), self.corpus_digest(r.corpus), start, pairs, seed_number(seed))

    def metrics_digest(self, run: str, seed: str, stage: Stage) -> str:
        sets = [self.evaluation_digest(n) for n, _ in self.tasks(stage)]
        return self._digest(stage, self.run_digest(run, seed), *sets)

    # ------------------------------------------------------------ tables

    def table_rows(self, name: str) -> list[tuple[str, str, str | None, dict[str, float], bool]]:
        """(corpus label, method label, run or None, published, ours) of a table, ablations of runs.yaml at its end."""
        table = self.tables[name]
        rows = [(r.corpus, r.label, r.run, dict(r.published), r.ours) for r in table.rows if r.run is None or r.run in self.runs]
        added = [(r.corpus, r.tables[name], r.name, {}, True) for r in self.runs.values() if name in r.tables]
        return rows + added

    def table_metrics(self, name: str) -> list[Path]:
        """The metrics files a table is made of."""
        if name not in self.tables:
            raise HelipError(f"{self.file}: there is no '{name}'; the tables are {', '.join(self.tables)}")
        wanted = {(c.set, c.metric.partition(".")[0]) for c in self.tables[name].columns} & {*self.tasks("evaluate"), *self.tasks("probe")}
        runs = {run for _, _, run, _, _ in self.table_rows(name) if run is not None}
        return [self.metrics_file(r, s, *w) for r in sorted(runs) for s in self.runs[r].seeds for w in sorted(wanted)]


def load(name: str, results: Path | None = None) -> BoundStudy:
    """The study of that name under ./experiments; artefacts under ./results or $HELIP_RESULTS."""
    return BoundStudy(name, results=results or Path(os.environ.get("HELIP_RESULTS", "results")))
