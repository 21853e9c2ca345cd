"""Join the paper's runs with a study: inherit, merge, validate, and leave out what the study binds no corpus, model or encoder for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import model_validator

from helip.config import ConfigModel, Interpolation, Name, Pairs, Refinement, Run, Selection, StudyConfig, TrainConfig
from helip.config.reading import read_yaml, validate
from helip.errors import HelipError, nearest

# A kind of name of runs.yaml -> the entry of a study that binds it, and one of the kind in a sentence.
BOUND_IN = {
    "corpora": "corpora",
    "models": "models",
    "objectives": "pretraining",
    "encoders": "encoders",
    "sets": "evaluation",
    "runs": "runs",
}
SINGULAR = {"corpora": "corpus", "models": "model", "objectives": "objective", "encoders": "encoder"}


class Names(ConfigModel):
    """The vocabulary of runs.yaml, name -> meaning: a study binds some or all of these."""

    corpora: dict[Name, str]
    models: dict[Name, str]
    objectives: dict[Name, str]
    encoders: dict[Name, str]
    sets: dict[Name, str] = {}  # that columns of tables.yaml name
    runs: dict[Name, str] = {}  # that tables.yaml and report.yaml name, and that studies declare


class Runs(ConfigModel):
    """The file runs.yaml: the vocabulary, and every run that the paper compares."""

    names: Names
    runs: dict[Name, Run]

    @model_validator(mode="before")
    @classmethod
    def _runs_stand_under_runs(cls, content: Any) -> Any:
        """A run written at the margin is the likeliest slip of who adds one."""
        for name in content if isinstance(content, dict) else ():
            if name not in cls.model_fields and isinstance(content[name], dict) and not content[name].keys() - Run.model_fields.keys():
                raise ValueError(f"{name} is a run: write it under `runs`, indented by two spaces")
        return content


class ResolvedRun(ConfigModel):
    """A run with every setting resolved in one study. `seeds` are labels: '2', or '2r1' for the second refinement of checkpoint 2.

    An interpolation has all settings of the refinement that it mixes with its start.
    """

    name: str
    question: str
    corpus: str
    model: str
    start: str | None
    recipe: Refinement | TrainConfig
    pairs: Pairs | None
    select: Selection | None
    false_negative_margin: float | None
    interpolate: Interpolation | None = None
    seeds: tuple[str, ...]
    tables: dict[str, str]

    @property
    def refined_run(self) -> str:
        """The run whose checkpoint this run refines. HelipError for a pre-training, which refines none."""
        if self.start is None:
            raise HelipError(f"{self.name}: is a pre-training and has no start checkpoint; name a refinement")
        return self.start

    @property
    def arm(self) -> str:
        """The arm of a refinement: control, cleaned or helip; `start` for a pre-training."""
        return self.recipe.arm if isinstance(self.recipe, Refinement) else "start"

    @property
    def drops_noise(self) -> bool:
        """Whether the targets without hard pairs are left out of its training."""
        return isinstance(self.recipe, Refinement) and self.pairs is not None and self.recipe.drop_noise

    @property
    def is_plain_control(self) -> bool:
        """Continued training and nothing else: what every other refinement of the same start must beat."""
        recipe = self.recipe
        return self.arm == "control" and recipe.objective.name == "clip" and self.select is None and self.interpolate is None


def sides_of(pairs: Pairs) -> tuple[str, ...]:
    """Returns the modalities that a mining job compares: single-modality methods one, references none."""
    match pairs.method:
        case "image" | "text" as alone:
            return (alone,)
        case "random" | "truth":
            return ()
    return ("image", "text")


def encoders_of(pairs: Pairs) -> tuple[str, ...]:
    """Returns the encoders whose features a mining job reads."""
    return tuple(getattr(pairs, f"{side}_encoder") for side in sides_of(pairs))


def merge(under: Any, over: Any) -> Any:
    """Returns `over` laid upon `under`, mappings joined key by key."""
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {k: merge(under.get(k), v) for k, v in over.items()}
    return over


class RunResolver:
    """The runs of runs.yaml as one study has them."""

    def __init__(self, study: StudyConfig, study_file: Path, runs_file: Path):
        self.study, self.study_file, self.file = study, study_file, runs_file
        read = read_yaml(runs_file, Runs)
        self.names, self.declared = read.names, dict(read.runs)
        self.left_out: dict[str, tuple[str, ...]] = {}  # run -> what the study does not bind for it: "encoder bert"
        for name, entry in study.runs.items():
            known = self.declared[name].model_dump(exclude_unset=True) if name in self.declared else {}
            self.declared[name] = validate(Run, merge(known, entry), f"{study_file}: runs -> {name}")

    def runs(self) -> dict[str, ResolvedRun]:
        """Returns the runs that the study binds everything for, by name. HelipError for an entry that is wrong."""
        return {name: run for name in self.declared if (run := self._bind(name)) is not None}

    def _where(self, name: str) -> str:
        """The file and the entry of a run, for the beginning of a sentence: the study's where that has one."""
        return f"{self.study_file}: runs -> {name}" if name in self.study.runs else f"{self.file}: {name}"

    def _inherit(self, name: str, chain: tuple[str, ...] = ()) -> dict[str, Any]:
        self._follow("base", name, chain)
        entry = self.declared[name].model_dump(exclude_unset=True)
        base = entry.pop("base", None)
        if not base:
            return entry
        inherited: dict[str, Any] = {k: v for k, v in self._inherit(base, (*chain, name)).items() if k not in ("question", "tables")}
        merged: dict[str, Any] = merge(inherited, entry)
        return merged

    def _follow(self, key: str, name: str, chain: tuple[str, ...]) -> None:
        if name in chain:
            raise HelipError(f"{self._where(chain[0])}: {key} goes round in a circle: {' -> '.join((*chain, name))}")
        if name not in self.declared:
            raise HelipError(f"{self._where(chain[-1])}: {key} names '{name}', and there is no such run{nearest(name, self.declared)}")

    def _bind(self, name: str, chain: tuple[str, ...] = ()) -> ResolvedRun | None:
        """The run with its settings resolved; None when the study does not bind all it needs."""
        self._follow("start", name, chain)
        run = validate(Run, self._inherit(name), self._where(name))
        if run.interpolate:
            return self._interpolation(name, run, run.interpolate, chain)
        start = self._bind(run.start, (*chain, name)) if run.start else None
        if (run.refine is None) == (run.objective is None) or (run.refine is None) != (run.start is None):
            raise HelipError(f"{self._where(name)}: a run has either an objective (pre-training) or a start and a refine (refinement)")
        if run.start and start is None:
            self.left_out[name] = self.left_out[run.start]
            return None
        corpus, model = run.corpus or (start and start.corpus), run.model or (start and start.model)
        if not corpus or not model:
            raise HelipError(f"{self._where(name)}: needs a corpus and a model")
        refinement = self._refinement(name, run) if run.refine is not None else None
        draws = refinement is not None and refinement.arm != "control"
        pairs = self._pairs(name, run) if draws or run.pairs is not None else None  # a wrong entry is one in a control too
        pairs = pairs if draws else None
        select = self._selection(name, run) if run.select is not None else None
        encoders = [*(encoders_of(pairs) if pairs else ()), *([select.image_encoder, select.text_encoder] if select else ())]
        if lacking := self._lacking(name, corpus, model, run.objective, [*dict.fromkeys(filter(None, encoders))]):
            self.left_out[name] = lacking
            return None
        recipe = refinement if run.objective is None else self.study.pretraining[run.objective]
        assert recipe is not None  # as checked above, a run without an objective has a refinement
        return ResolvedRun(
            name=name,
            question=run.question,
            corpus=corpus,
            model=model,
            start=run.start,
            recipe=recipe,
            pairs=pairs,
            select=select,
            false_negative_margin=self._margin(name, run, refinement),
            seeds=self._seeds(run),
            tables=run.tables,
        )

    def _interpolation(self, name: str, run: Run, mixed: Interpolation, chain: tuple[str, ...]) -> ResolvedRun | None:
        self._follow("interpolate", mixed.run, (*chain, name))
        refined = self._bind(mixed.run, (*chain, name))
        if refined is None:
            self.left_out[name] = self.left_out[mixed.run]
            return None
        if refined.start is None or refined.interpolate:
            raise HelipError(f"{self._where(name)}: interpolate names '{refined.name}', which is no refinement that has a start")
        return refined.model_copy(update={"name": name, "question": run.question, "tables": run.tables, "interpolate": mixed})

    def _margin(self, name: str, run: Run, recipe: Refinement | None) -> float | None:
        if run.false_negative_margin is not None and (recipe is None or recipe.arm != "helip"):
            raise HelipError(f"{self._where(name)}: false_negative_margin leaves out hard pairs, and only the arm helip draws any")
        return run.false_negative_margin

    def _refinement(self, name: str, run: Run) -> Refinement:
        usual = self.study.refinement.model_dump(exclude_unset=True)
        return validate(Refinement, merge(usual, run.refine), f"{self._where(name)} -> refine")

    def _pairs(self, name: str, run: Run) -> Pairs:
        usual, own = self.study.mining.model_dump(exclude_unset=True), run.pairs or {}
        taus, share = {"tau_image", "tau_text"}, {"outliers"}
        if (own.keys() & share) or (own.keys() & taus and usual.get("outliers") is not None):  # one takes the other's place
            usual = {field: value for field, value in usual.items() if field not in taus | share}
        return validate(Pairs, merge(usual, own), f"{self._where(name)} -> pairs")

    def _selection(self, name: str, run: Run) -> Selection:
        if run.start is None:
            raise HelipError(f"{self._where(name)}: select scores pairs with the start checkpoint, and a pre-training has none")
        usual = self.study.selection.model_dump(exclude_unset=True)
        return validate(Selection, merge(usual, run.select), f"{self._where(name)} -> select")

    def _seeds(self, run: Run) -> tuple[str, ...]:
        seeds = [str(s) for s in run.seeds or self.study.seeds]
        return tuple(f"{s}r{r}" for s in seeds for r in range(run.repeats)) if run.repeats > 1 else tuple(seeds)

    def _lacking(self, name: str, corpus: str, model: str, objective: str | None, encoders: list[str]) -> tuple[str, ...]:
        """What of a run the study does not bind, each with its kind. HelipError for a name that nothing knows."""
        wanted: list[tuple[str, str, Mapping[str, object]]] = [
            ("corpora", corpus, self.study.corpora),
            ("models", model, self.study.models),
        ]
        wanted += [("objectives", objective, self.study.pretraining)] if objective else []
        wanted += [("encoders", encoder, self.study.encoders) for encoder in encoders]
        lacking = [(kind, asked) for kind, asked, bound in wanted if asked not in bound]
        for kind, asked in lacking:
            self.check_known(kind, asked, self._where(name))
        return tuple(f"{SINGULAR[kind]} {asked}" for kind, asked in lacking)

    def check_known(self, kind: str, asked: str, where: str) -> None:
        """Raises a HelipError, which begins with `where`, for a name that neither runs.yaml nor any study knows."""
        here = {*getattr(self.names, kind), *getattr(self.study, BOUND_IN[kind]), *(self.declared if kind == "runs" else ())}
        if asked not in here and asked not in self._bound_elsewhere(kind):
            remedy = f"correct it, or bind it under {BOUND_IN[kind]} of a study in {self.study_file.parent}"
            raise HelipError(f"{where}: '{asked}' is none of the {kind} that any study knows{nearest(asked, here)}; {remedy}")

    def _bound_elsewhere(self, kind: str) -> set[str]:
        """The names that other studies bind: what one study alone brings, an ablation's encoder say, needs no entry in `names`."""
        others = [read_yaml(path, dict[str, Any]) for path in sorted(self.study_file.parent.glob("*.yaml")) if path != self.study_file]
        return {name for other in others for name in other.get(BOUND_IN[kind]) or {}}
