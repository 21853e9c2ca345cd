"""What a study's primary contrasts name must exist, and be comparable seed by seed: each mistake is one sentence."""

from typing import TYPE_CHECKING

from helip.config import PrimaryContrast
from helip.errors import HelipError, nearest
from helip.study.seeds import paired_seeds
from helip.study.tables import check_metric

if TYPE_CHECKING:
    from helip.study.study import Study


def check_contrasts(study: "Study") -> None:
    """Checks the runs, metrics and seeds that a study's primary contrasts name. HelipError names file, contrast and remedy."""
    for name, contrast in study.declaration.contrasts.items():
        where = f"{study.file}: contrasts -> {name}"
        _check_runs(study, where, contrast)
        _check_metrics(study, where, contrast)


def _check_runs(study: "Study", where: str, contrast: PrimaryContrast) -> None:
    for pair in contrast.all_pairs:
        for run in (pair.run, pair.against):
            if run not in study.runs:
                why = "the study binds no corpus, model or encoder for it" if run in study.declared else "there is no such run"
                raise HelipError(f"{where}: names run '{run}', and {why}{nearest(run, study.runs)}")
        if pair.run == pair.against:
            raise HelipError(f"{where}: sets {pair.run} against itself; name the run that it is to be compared with")
        ours, theirs = study.runs[pair.run].seeds, study.runs[pair.against].seeds
        if paired_seeds(ours, theirs) is None:
            seeds = f"{', '.join(ours)} and {', '.join(theirs)}"
            raise HelipError(f"{where}: {pair.run} and {pair.against} are not paired: their seeds are {seeds}; give them the same ones")


def _check_metrics(study: "Study", where: str, contrast: PrimaryContrast) -> None:
    known = {*study.tasks("evaluate"), *study.tasks("probe")}
    for metric in contrast.metrics:
        set_name, task, name = metric.split(".")
        if (set_name, task) not in known:
            choices = ", ".join(sorted(".".join(entry) for entry in known)) or "none"
            raise HelipError(f"{where}: names metric '{metric}', and the study evaluates {choices}")
        check_metric(where, f"{task}.{name}")
