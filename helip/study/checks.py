"""What study, runs, tables and claims say of each other must exist: each mistake is one sentence."""

from pathlib import Path
from typing import TYPE_CHECKING

from helip.config import (
    FrozenModel,
    GeneratedCorpus,
    GeneratedSet,
    HeldOutSet,
    Pairs,
    RunEncoder,
    Selection,
    SelfSupervisedEncoder,
    SubsetCorpus,
    TrainPartCorpus,
    TrunkEncoder,
    UnionCorpus,
    check_frozen,
)
from helip.errors import HelipError, nearest
from helip.study.contrasts import check_contrasts
from helip.study.resolve import RunResolver, sides_of
from helip.study.tables import check_tables

if TYPE_CHECKING:
    from helip.study.study import Study


def check(study: "Study", resolver: RunResolver, folder: Path) -> None:
    """Checks the names that a study, its tables and its claims use. HelipError names file, entry and remedy.

    folder: experiments/paper, where tables and claims stand.
    """
    _check_parts(study)
    _check_worlds(study)
    _check_first(study)
    check_tables(study, resolver, folder)
    _check_published(study)
    _check_encoders(study)
    _check_modalities(study)
    _check_frozen(study)
    check_contrasts(study)


def _check_parts(study: "Study") -> None:
    corpora = study.declaration.corpora
    for name, corpus in corpora.items():
        if isinstance(corpus, TrainPartCorpus) and isinstance(corpora.get(corpus.of, corpus), TrainPartCorpus | UnionCorpus | SubsetCorpus):
            raise HelipError(f"{study.file}: corpora -> {name}: of names '{corpus.of}', which is no corpus with samples of its own")
    for name, declared in study.declaration.evaluation.items():
        if isinstance(declared, HeldOutSet) and not isinstance(corpora.get(declared.of), TrainPartCorpus):
            raise HelipError(f"{study.file}: evaluation -> {name}: of names '{declared.of}', which is no corpus of kind train_part")
    retrieval = {name for name, one in study.declaration.evaluation.items() if one.task == "retrieval"}
    for run in study.runs.values():
        if run.interpolate and run.interpolate.validation not in (None, *retrieval):
            raise HelipError(
                f"{study.file}: {run.name}: interpolate names validation set '{run.interpolate.validation}', and the retrieval sets are "
                f"{', '.join(sorted(retrieval)) or 'none'}"
            )


def _check_worlds(study: "Study") -> None:
    corpora, sets = study.declaration.corpora.items(), study.declaration.evaluation.items()
    worlds = {(c.world, c.world_seed, c.concepts): name for name, c in corpora if isinstance(c, GeneratedCorpus)}
    for name, declared in sets:
        if worlds and isinstance(declared, GeneratedSet) and (declared.world, declared.world_seed, declared.concepts) not in worlds:
            (world, seed, concepts), corpus = next(iter(worlds.items()))
            theirs = f"world {world}, world_seed {seed} and concepts {concepts}, as {corpus} has them"
            raise HelipError(f"{study.file}: evaluation -> {name}: is of another world than every generated corpus; give it {theirs}")


def _check_first(study: "Study") -> None:
    for name in study.declaration.first:
        where = f"{study.file}: first: names run '{name}'"
        if name not in study.runs:
            why = "which the study leaves out" if name in study.declared else "and there is no such run"
            raise HelipError(f"{where}, {why}{nearest(name, study.runs)}")
        if start := study.runs[name].start:
            raise HelipError(f"{where}, which is a refinement; name the pre-training that it starts from, {start}")


def _check_published(study: "Study") -> None:
    for name in study.declaration.published:
        if name not in study.declared:
            raise HelipError(f"{study.file}: published -> {name}: there is no such run{nearest(name, study.declared)}")
        if name in study.runs and (study.runs[name].start or len(study.runs[name].seeds) > 1):
            raise HelipError(f"{study.file}: published -> {name}: one checkpoint stands for one pre-training: give the run one seed")


def _check_encoders(study: "Study") -> None:
    for name, encoder in study.declaration.encoders.items():
        if isinstance(encoder, RunEncoder) and ((r := study.runs.get(encoder.run)) is None or r.start or str(encoder.seed) not in r.seeds):
            which = f"'{encoder.run}' seed {encoder.seed}"
            raise HelipError(f"{study.file}: encoders -> {name}: run names {which}, which is no pre-training that the study binds")
        if isinstance(encoder, SelfSupervisedEncoder) and encoder.corpus not in (None, *study.declaration.corpora):
            raise HelipError(f"{study.file}: encoders -> {name}: corpus names '{encoder.corpus}', and the study binds no such corpus")


def _check_modalities(study: "Study") -> None:
    """Encoders that mine or that select: one for images, one for texts."""
    for run in study.runs.values():
        asked: list[tuple[str, tuple[str, ...], Pairs | Selection]] = []
        asked += [("pairs", sides_of(run.pairs), run.pairs)] if run.pairs else []
        asked += [("select", ("image", "text"), run.select)] if run.select else []
        for entry, sides, spec in asked:
            for side in sides:
                name = getattr(spec, f"{side}_encoder")
                declared = study.declaration.encoders.get(name)
                if declared is not None and declared.modality != side:
                    where = f"{study.file}: {run.name}: {entry}: {side}_encoder names '{name}'"
                    raise HelipError(f"{where}, which is an encoder of {declared.modality}s; name one whose modality is {side}")


def _check_frozen(study: "Study") -> None:
    for name, encoder in study.declaration.encoders.items():
        of = study.declaration.models.get(encoder.model) if isinstance(encoder, TrunkEncoder) else None
        if isinstance(encoder, TrunkEncoder) and (not isinstance(of, FrozenModel) or of.unfrozen_blocks):
            raise HelipError(f"{study.file}: encoders -> {name}: model names '{encoder.model}', which is no model with frozen trunks")
    frozen = {name: model for name, model in study.declaration.models.items() if isinstance(model, FrozenModel)}
    for name, model in frozen.items():
        for side, trunk in (("image", model.image_trunk), ("text", model.text_trunk)):
            where = f"{study.file}: models -> {name}: {side}_trunk names '{trunk}'"
            if (declared := study.declaration.encoders.get(trunk)) is None:
                raise HelipError(f"{where}, and encoders has {', '.join(study.declaration.encoders) or 'none'}")
            if declared.modality != side:
                raise HelipError(f"{where}, which is an encoder of {declared.modality}s; name one whose modality is {side}")
            if isinstance(declared, RunEncoder | SelfSupervisedEncoder | TrunkEncoder):
                raise HelipError(f"{where}, which the study trains itself; name an encoder with published weights")
    for run in study.runs.values():
        if (of_run := frozen.get(run.model)) is not None:
            try:
                check_frozen(of_run.views, of_run.crop_scale, run.recipe, of_run.mirrored)
            except ValueError as error:
                raise HelipError(f"{study.file}: {run.name}: {error}") from None
