"""The stages `train` and `interpolate`: one run and seed of a study as an open_clip model folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helip.config import AnyModel, FrozenModel, Interpolation, Resources
from helip.errors import HelipError
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.stages.encode_views import cached_trunks
from helip.stages.evaluation_set import BuildEvaluationSet
from helip.study import FILES_ONLY, Study, seed_number, start_seed
from helip.study.resolve import ResolvedRun

if TYPE_CHECKING:
    from helip.evaluation.sets import EvaluationSet
    from helip.models.loading import Clip
    from helip.stages.sweep import Sweep
    from helip.training.distributed import DistributedContext
    from helip.training.job import TrainJob

HEADS = 2  # raised when the code changes what heads on frozen trunks are: other models stay
MODEL_FILES = ("open_clip_model.safetensors", "open_clip_config.json", "curve.csv", "train.json")
RECORD = ("train.json", "digest")


@dataclass(frozen=True)
class Train(Stage):
    """A trained model: pre-trained, refined, or imported where somebody published its checkpoint."""

    run: str
    seed: str

    name = "train"
    revision = 2
    path = "models/{run}/seed{seed}"
    files = MODEL_FILES
    record = RECORD
    takes_gpu = True
    heeds = ("workers", "device")

    @property
    def title(self) -> str:
        return f"{self.run} seed {self.seed}"

    @property
    def label(self) -> str:
        return "import" if self.is_published else "train"

    @property
    def is_published(self) -> bool:
        """Whether somebody published its checkpoint, which is then imported and nothing is trained."""
        return self.run in self.study.declaration.published

    @property
    def state(self) -> Path:
        """Resume state of the training: undeclared to Snakemake, in a folder named by what the training is."""
        return self.study.root / "state" / f"{self.run}-seed{self.seed}-{self.digest}"

    def config(self) -> object:
        run = _resolved(self)
        if run.interpolate:
            raise HelipError(f"{self.study.file}: {self.run} is an interpolation: the stage `interpolate` makes it, and trains nothing")
        model = self.study.model(run.model)
        if self.is_published:
            return self._imported(model)
        return [run.recipe, model, seed_number(self.seed), *([HEADS] if isinstance(model, FrozenModel) else [])]

    def _imported(self, model: AnyModel) -> object:
        """What stands for an import: the checkpoint, and where heads are laid over its towers, the model and both encoders."""
        checkpoint = self.study.declaration.published[self.run]
        if not (isinstance(model, FrozenModel) and model.head == "residual"):
            return checkpoint
        return [checkpoint, model, *(self.study.encoder(trunk) for trunk in (model.image_trunk, model.text_trunk)), HEADS]

    def needs(self) -> list[Stage]:
        from helip.stages.filter import drawn_pairs
        from helip.stages.select import selection_of

        if self.is_published:
            return []
        study, run = self.study, _resolved(self)
        start = [model_of(study, run.start, start_seed(self.seed))] if run.start else []
        pairs = [drawn_pairs(study, self.run, self.seed)] if run.pairs else []
        selected = [selection_of(study, self.run, self.seed)] if run.select else []
        watched = getattr(run.recipe, "retention", None)
        trunks = [*filter(None, [cached_trunks(study, run.name)])]
        validated = validation_of(study, run)
        watching = [BuildEvaluationSet(study, watched.set)] if watched else []
        return [BuildCorpus(study, run.corpus), *trunks, *start, *pairs, *selected, *watching, *([validated] if validated else [])]

    def resources(self) -> Resources:
        return FILES_ONLY if self.is_published else self.study.resources("train")

    def work(self) -> Work:
        """Units are samples seen, or one checkpoint that is imported; one item is a model."""
        if self.is_published:
            return Work(1, 1, (f"import.{self.run}", "import"))
        run, recipe = self.study.run(self.run), self.study.run(self.run).recipe
        size = BuildCorpus(self.study, run.corpus).size()
        in_corpus = None if size is None or recipe.epochs is None else recipe.epochs * size
        seen = recipe.steps * recipe.batch_size if recipe.steps else in_corpus
        return Work(seen, 1, (f"train.{self.run}", f"train.{run.model}.{recipe.objective.name}", f"train.{run.model}", "train"))

    def make(self, how: How) -> str | int:
        if self.is_published:
            return self._import()
        from helip.training import launch

        return launch.run(self.job, self._retention_set, how.device, how.workers)

    def _import(self) -> str:
        from helip.download.checkpoints import fetch_model

        checkpoint, over = self.study.declaration.published[self.run], None
        declared = self.study.model(self.study.run(self.run).model)
        if isinstance(declared, FrozenModel) and declared.head == "residual":
            from helip.training.frozen import over_towers

            encoded = cached_trunks(self.study, self.run)
            assert encoded is not None  # as its model is on frozen trunks
            trunks = encoded.trunks()

            def over(reference: str) -> "Clip":
                return over_towers(declared, reference, trunks)

        sha256 = fetch_model(checkpoint, self.run, self.study.root / "checkpoints", self.folder, self.digest, over)
        return f"imported a checkpoint with sha256 {sha256}"

    def _retention_set(self, name: str) -> "EvaluationSet":
        from helip.evaluation.sets import of_declaration

        needed = BuildEvaluationSet(self.study, name)
        return of_declaration(name, needed.config(), needed.folder)

    def job(self, context: "DistributedContext") -> "TrainJob":
        """Returns the training job; everything comes from the study's declarations."""
        from pkgutil import resolve_name  # reporting stands above the stages

        from helip.data.corpus import Corpus
        from helip.io import file_digest
        from helip.mining import PairSet
        from helip.models import loading
        from helip.selection.keep import read_keep
        from helip.selection.soft import of_selection
        from helip.stages.filter import drawn_pairs
        from helip.stages.select import selection_of
        from helip.training import frozen
        from helip.training.job import TrainJob

        study, run = self.study, self.study.run(self.run)
        corpus = Corpus.open(BuildCorpus(study, run.corpus).folder)
        inputs, pairs, keep, soft = {"corpus": corpus.digest}, None, None, None
        if run.pairs is not None:
            drawn = drawn_pairs(study, self.run, self.seed)
            pairs = PairSet.open(drawn.folder, corpus_digest=corpus.digest)
            inputs["pairs"] = file_digest(drawn.output)
        if run.select is not None:
            selected = selection_of(study, self.run, self.seed)
            keep = read_keep(selected.output, len(corpus))
            inputs["selection"], soft = file_digest(selected.output), of_selection(selected.output, keep)
            inputs |= {"sampling": soft.digest} if soft else {}
        follower = resolve_name("helip.reporting.tracking.live:follower")
        validation = None
        if (validated := validation_of(study, run)) is not None:
            validation = Corpus.open(validated.folder)
            inputs["validation"] = validation.digest
        declared, seed, features = study.model(run.model), seed_number(self.seed), None
        encoded = cached_trunks(study, self.run)
        if encoded is not None:
            features = encoded.features(corpus)
            inputs["trunks"] = features.digest
        if run.start is not None:
            start = model_of(study, run.start, start_seed(self.seed))
            clip = loading.open_start(loading.existing(start.folder))
            inputs["start"] = file_digest(start.output)
            if isinstance(declared, FrozenModel) and declared != study.model(study.run(run.start).model):
                assert encoded is not None  # as its model is on frozen trunks
                clip = frozen.thawed(declared, encoded.trunks(), clip)
        elif isinstance(declared, FrozenModel):
            assert encoded is not None and features is not None  # as they were just opened
            clip = frozen.new(declared, encoded.trunks(), features, seed)
        else:
            clip = _in_turn(context, lambda: loading.new(declared, corpus, self.state / "tokenizer", seed))
        return TrainJob(
            recipe=run.recipe, clip=clip, corpus=corpus, pairs=pairs, keep=keep, soft=soft, seed=seed, inputs=inputs, features=features,
            duplicates_dir=study.root / "state",
            digest=self.digest, state_dir=self.state, out=self.folder, name=self.title, recovered_share=corpus.recovered_share,
            follow=follower(study, self.run, self.seed, self.digest) if context.leads else None,
            validation=validation,
        )  # fmt: skip


def validation_of(study: Study, run: ResolvedRun) -> BuildCorpus | None:
    """Returns the corpus that early stopping of a run validates on; None where it holds out a share of its own. HelipError for a corpus
    that the study does not bind, and for a model on frozen trunks, whose features are those of its own corpus.
    """
    stopping = getattr(run.recipe, "early_stopping", None)
    if stopping is None or stopping.corpus is None:
        return None
    if isinstance(study.model(run.model), FrozenModel):
        raise HelipError(
            f"{study.file}: {run.name}: early_stopping -> corpus: a model on frozen trunks validates on held_out; leave it out"
        )
    study.corpus(stopping.corpus)
    return BuildCorpus(study, stopping.corpus)


def _in_turn(context: "DistributedContext", make: Callable[[], "Clip"]) -> "Clip":
    """What `make` makes, first in the first process, then in the others: only one of them writes files."""
    made = make() if context.leads else None
    context.barrier()
    return made or make()


@dataclass(frozen=True)
class Interpolate(Stage):
    """The weights of a refined model and of its start, mixed (WiSE-FT, arXiv 2109.01903). Nothing is trained."""

    run: str
    seed: str

    name = "interpolate"
    path = Train.path
    files = MODEL_FILES
    record = RECORD

    @property
    def title(self) -> str:
        return f"{self.run} seed {self.seed}"

    def config(self) -> float | None:
        """Returns the refined model's share; None where the stage `sweep` finds it."""
        return self._declared().weight

    def sweep(self) -> "Sweep | None":
        """Returns the sweep that finds the weight; None where the study gives one."""
        from helip.stages.sweep import Sweep

        return Sweep(self.study, self.run, self.seed) if self.config() is None else None

    def _declared(self) -> Interpolation:
        run = _resolved(self)
        if run.interpolate is None:
            raise HelipError(f"{self.study.file}: {self.run} is no interpolation; the stage `train` makes it")
        return run.interpolate

    def needs(self) -> list[Stage]:
        sweep = self.sweep()
        return [*self.mixed(), *([sweep] if sweep else [])]

    def mixed(self) -> "tuple[Train | Interpolate, Train | Interpolate]":
        """Returns the start, and the model refined from it."""
        start = model_of(self.study, _resolved(self).refined_run, start_seed(self.seed))
        return start, model_of(self.study, self._declared().run, self.seed)

    def resources(self) -> Resources:
        return FILES_ONLY

    def work(self) -> Work:
        """Returns the plan's work: one item is a model."""
        model = self.study.run(self.run).model
        return Work(0, 1, (f"train.{model}", "train"))

    def make(self, how: How) -> str:
        from helip.models import interpolation

        (start, refined), sweep, weight = self.mixed(), self.sweep(), self.config()
        facts = {"digest": self.digest, "of": refined.run, "weight": weight}
        if sweep is not None:
            weight = sweep.best()
            facts["weight"] = weight
        assert weight is not None  # a declaration has a weight or a sweep
        interpolation.write(str(start.folder), refined.folder, weight, self.folder, facts)
        return f"{1 - weight:g} of {start.run} and {weight:g} of {refined.run}"


def _resolved(model: Train | Interpolate) -> ResolvedRun:
    """The run of a model. HelipError for a run or a seed that the study does not have."""
    run = model.study.run(model.run)
    if model.seed not in run.seeds:
        raise HelipError(f"{model.study.file}: {model.run} has seeds {', '.join(run.seeds)}, not {model.seed}")
    return run


def model_of(study: Study, run: str, seed: str) -> Train | Interpolate:
    """Returns the model folder of a run and seed, however it is made."""
    return Interpolate(study, run, seed) if study.run(run).interpolate else Train(study, run, seed)
