"""What study, runs, tables and claims say of each other must exist: each mistake is one sentence."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from helip.config import (
    AccuracyBySize,
    Claim,
    FrozenModel,
    HeldOutSet,
    RunEncoder,
    SelfSupervisedEncoder,
    SubsetCorpus,
    TrainPartCorpus,
    TrunkEncoder,
    UnionCorpus,
    check_frozen,
)
from helip.errors import HelipError, nearest
from helip.study.contrasts import check_contrasts
from helip.study.published import check_margin

if TYPE_CHECKING:
    from helip.study.study import Study


def check(study: "Study", folder: Path) -> None:
    """Checks the names that a study, its tables and its claims use. HelipError names file, entry and remedy.

    folder: experiments/paper, where tables and claims stand.
    """
    _check_parts(study)
    _check_tables(study, folder)
    _check_published(study)
    _check_encoders(study)
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


def _no(kind: str, name: str, known: Iterable[str]) -> str:
    return f"{kind} '{name}', and there is no such {kind}{nearest(name, known)}"


def _check_tables(study: "Study", folder: Path) -> None:
    for name, table in study.tables.items():
        for row in table.rows:
            if row.run not in study.declared:
                raise HelipError(f"{folder / 'tables.yaml'}: {name}: row '{row.label}' names {_no('run', row.run, study.declared)}")
    for run in study.runs.values():
        for table_name in run.tables:
            if table_name not in study.tables:
                raise HelipError(f"{study.runs_file}: {run.name}: tables names {_no('table', table_name, study.tables)}")
    for name, claim in study.claims.items():
        _check_claim(study, f"{folder / 'claims.yaml'}: {name}", claim)
    _check_report(study, folder / "report.yaml")


def _check_report(study: "Study", file: Path) -> None:
    question = study.report.question
    if question.table not in study.tables:
        raise HelipError(f"{file}: question: names {_no('table', question.table, study.tables)}")
    if question.claim not in study.claims:
        raise HelipError(f"{file}: question: names {_no('claim', question.claim, study.claims)}")
    for name, figure in study.report.figures.items():
        if isinstance(figure, AccuracyBySize) and figure.table not in study.tables:
            raise HelipError(f"{file}: {name}: names {_no('table', figure.table, study.tables)}")


def _check_claim(study: "Study", where: str, claim: Claim) -> None:
    gauge = (claim.gauge,) if claim.gauge else ()
    for key in (run for pair in (*claim.comparisons, *claim.than, *gauge) for run in (pair.run, pair.over)):
        if key not in study.declared:
            raise HelipError(f"{where}: names {_no('run', key, study.declared)}")
    for name in claim.presumes:
        if name not in study.claims:
            raise HelipError(f"{where}: presumes {_no('claim', name, study.claims)}")
    if claim.table not in study.tables:
        raise HelipError(f"{where}: names {_no('table', claim.table, study.tables)}")
    known = {column.key for column in study.tables[claim.table].columns}
    for key in claim.columns:
        if key not in known:
            raise HelipError(f"{where}: names column '{key}', and {claim.table} has {', '.join(sorted(known))}")
    check_margin(study.tables, where, claim)


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
