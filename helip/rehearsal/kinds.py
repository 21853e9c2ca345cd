"""The distinct kinds of job behind a study: jobs that differ only in data, seed or length are one kind."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from helip.config import FrozenModel, Refinement, Resources, SelfSupervisedEncoder, TrainConfig
from helip.planning import artefacts
from helip.stages import (
    BuildCorpus,
    BuildEvaluationSet,
    Encode,
    Evaluate,
    Filter,
    Fingerprint,
    Mine,
    MineShard,
    Probe,
    Select,
    Stage,
    Train,
)
from helip.study import Study
from helip.study.resolve import ResolvedRun

# Stages that are rehearsed, in the order of the work.
STAGES = ("corpus", "fingerprint", "evaluation_set", "encode", "mine", "import", "train", "select", "filter", "evaluate", "probe")


@dataclass(frozen=True)
class Kind:
    """A kind of job: `one` is the largest of its `jobs`, `cost` the key under which the plan prices it."""

    stage: str  # the line of the plan that counts its jobs
    name: str
    cost: str
    jobs: int  # 0: a training that the study fetches instead
    one: Stage
    set: str = ""  # the evaluation set of an evaluation or a probe

    @property
    def asked(self) -> Resources:
        """What its job asks of the scheduler; a training that stands in for a fetched checkpoint, what trainings ask."""
        return self.one.study.resources("train") if self.stage == "train" else self.one.resources()

    @property
    def shared(self) -> int:
        """How many workers its job shares its work among, where a rehearsal has one: work of images, one by one."""
        return self.asked.threads if self.stage in ("corpus", "fingerprint") else 1

    @property
    def title(self) -> str:
        """What the table and the folders call it."""
        return f"{self.stage} {self.name}".strip()


def kinds(study: Study, tables: Iterable[str] | None = None) -> list[Kind]:
    """Returns the kinds of job behind these tables (all of the study, if None), in the order of the work. HelipError for an unknown table.

    Aggregation (tables, figures, verdicts), joining shards and mixing weights are no kinds: they read and write files of known size.
    Nor are encoders and heads on frozen trunks that a study trains itself, in minutes.
    """
    jobs: Counter[tuple[str, str]] = Counter()
    largest: dict[tuple[str, str], tuple[float, Kind]] = {}  # its units of work
    for one in artefacts(study, tables):
        of = [*_of(one), *_trained_instead(one)]
        size = (one.work().units or 0) if of else 0
        for kind in of:
            key = kind.stage, kind.name
            jobs[key] += kind.jobs
            if key not in largest or size > largest[key][0]:
                largest[key] = size, kind
    of_all = [replace(kind, jobs=jobs[key]) for key, (_, kind) in largest.items()]
    return sorted(of_all, key=lambda kind: STAGES.index(kind.stage))


def _of(one: Stage) -> Iterator[Kind]:
    """The kinds that a job is of: several for an evaluation, which reads all sets."""
    match one:
        case BuildCorpus():
            yield Kind("corpus", one.corpus, f"corpus.{one.corpus}", 1, one)
        case Fingerprint():
            yield Kind("fingerprint", "", "fingerprint", 1, one)
        case BuildEvaluationSet():
            yield Kind("evaluation_set", one.set, f"evaluation_set.{one.set}", 1, one, one.set)
        case Encode() if not one.members() and not isinstance(one.config(), SelfSupervisedEncoder):
            yield Kind("encode", one.encoder, f"encode.{one.encoder}", 1, one)
        case MineShard() | Mine() if _mines(one):
            yield Kind("mine", mining_shape(one), "mine", 1, one)
        case Train() if one.is_published:
            yield Kind("import", one.run, f"import.{one.run}", 1, one)
        case Train() if not isinstance(one.study.model(one.study.run(one.run).model), FrozenModel):
            run = one.study.run(one.run)
            yield Kind("train", training_shape(run, run.recipe), training_cost(run), 1, one)
        case Select() | Filter():
            model = one.study.run(one.run).model
            yield Kind(one.name, model, f"{one.name}.{model}", 1, one)  # a model's features are as wide as it is
        case Evaluate() | Probe():
            for name, _ in one.study.tasks(one.name):
                yield Kind(one.name, name, one.name, 1, one, name)


def _trained_instead(one: Stage) -> Iterator[Kind]:
    """The pre-training of a published checkpoint, for whoever would rather train than fetch it."""
    if isinstance(one, Train) and one.is_published:
        run = one.study.run(one.run)
        yield Kind("train", training_shape(run, run.recipe), training_cost(run), 0, one)


def _mines(one: Mine | MineShard) -> bool:
    mined = one.whole if isinstance(one, MineShard) else one
    is_whole = isinstance(one, MineShard) or mined.shards() == 1
    return bool(mined.features()) and is_whole


def mining_shape(one: Mine | MineShard) -> str:
    """Returns what decides the time of a mining job beside the number of its pairs: method, k, thresholds or share of outliers, pool."""
    spec = (one.whole if isinstance(one, MineShard) else one).config()
    taus = [f"{name}{'none' if tau is None else tau}" for name, tau in (("image", spec.tau_image), ("text", spec.tau_text))]
    cuts = taus if spec.outliers is None else [f"outliers{spec.outliers}"]
    near = [f"below{spec.max_similarity}"] if spec.max_similarity is not None else []
    return " ".join([spec.method, f"k{spec.k}", *cuts, *near, *([f"pool{spec.pool}"] if spec.pool else [])])


def training_shape(run: ResolvedRun, recipe: TrainConfig) -> str:
    """Returns what decides time and memory of a step: architecture, objective, hard pairs, batch, micro-batches, precision."""
    hard = "plain"
    if isinstance(recipe, Refinement) and recipe.arm == "helip":
        hard = "negatives" if recipe.role == "negatives" else "hard+margin" if recipe.gamma > 0 else "hard"
    return f"{run.model} {recipe.objective.name} {hard} {recipe.batch_size}/{recipe.accumulate} {recipe.precision}"


def training_cost(run: ResolvedRun) -> str:
    """Returns the key of the plan's costs: two objectives of one architecture cost differently, two arms hardly."""
    return f"train.{run.model}.{run.recipe.objective.name}"
