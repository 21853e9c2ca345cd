# What the rules share: each takes its input, output, log, params, threads, resources and command from its stage (helip/stages). No torch
# here: the graph must build in a moment.
import fcntl
import functools
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import IOFile, flag

import helip.study
from helip.errors import HelipError
from helip.stages import *
from helip.stages import data_check

# The commands are those of the Python that runs Snakemake; idle threads sleep, so that jobs can share cores; hundreds of jobs start
# sooner where Python may keep what it compiled. Rules declare ./results: commands must not follow $HELIP_RESULTS elsewhere.
shell.prefix(
    f'unset HELIP_RESULTS; export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
    " OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=; "
)


wildcard_constraints:
    study="[a-z0-9_]+",
    corpus="[a-z0-9_]+",
    encoder="[a-z0-9_]+",
    model="[a-z0-9_]+",
    pairs=r"[a-z0-9_.\-]+",
    selection=r"[a-z0-9_.\-]+",
    run="[a-z0-9_]+",
    seed=r"\d+(r\d+)?",
    i=r"\d+",
    n=r"\d+",
    set="[a-z0-9_]+",
    table=r"(first/)?table\d+|figure4",  # figure 4 plots numbers, and they are a table too
    figure=r"figure\d+",


@functools.cache
def share_folder():
    """A snakemake on Slurm holds a lock of its own, as its profile says `nolock`: no other starts beside it, nor it beside another. The
    lock lasts as long as the process.
    """
    lock = Path(".snakemake/submitit/controller.lock")
    if workflow.executor_plugin.name == "submitit" or not lock.exists():
        return None
    held = open(lock)
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            f"another snakemake submits jobs for this folder ({held.read().strip()}); wait for it or end it (`helip track` may run)"
        ) from None
    except OSError:
        pass  # a file system without such locks
    return held


@functools.cache
def load(name):
    return helip.study.load(name, results=Path("results"))


def studies():
    """Every study, with its name."""
    names = helip.study.names()
    try:
        return {name: load(name) for name in names}
    except HelipError as error:
        raise WorkflowError(str(error)) from None


@functools.cache
def asked_for(name):
    """A study that a target names. What it leaves out is said once, by the process that the user started."""
    if workflow.is_main_process and (notice := load(name).notice()):
        logger.info(notice)
    return load(name)


def of_job(stage, answer):
    """A function of a job's wildcards that asks its artefact, with its one-sentence errors."""

    def ask(wildcards):
        try:
            return answer(stage(asked_for(wildcards.study), *(getattr(wildcards, name) for name in stage.key_fields())))
        except HelipError as error:
            raise WorkflowError(str(error)) from None

    return ask


def is_finished(one):
    """Whether all files of an artefact are there, made as it is declared today. A shard is finished with the pair set that it is of.
    Where Snakemake notes nothing (.snakemake was removed, or the files are a copy) it would take any for today's: HelipError if not.
    """
    whole = one.whole if isinstance(one, MineShard) else one
    if not all(path.exists() for path in whole.outputs):
        return False
    try:
        today = whole.digest
    except HelipError:  # an interpolation, which the rule `train` does not make
        return False
    noted = [workflow.persistence.params(IOFile(path)) for path in whole.outputs]
    if None in noted and whole.is_outdated:
        raise HelipError(
            f"{whole.output}: was made with other settings than {whole.study.file} has today (digest {whole.recorded}, not {today}), and"
            " .snakemake, by which a change is usually seen, has no note of it; undo the change, or remove this file to make it again"
        )
    return all(params is None or repr(today) in params for params in noted)


def checked(one):
    """The check of all data comes before a GPU is used. What is finished waits for it no more, or Snakemake would make it again where the
    check has failed. While the check is to be made, it is not even `ancient` there: Snakemake then forgets all that comes behind.
    """
    if not is_finished(one):
        return [flag(path, "order_only") for path in data_check(one)]
    return [ancient(path) for path in data_check(one) if is_finished(CheckData(one.study))]


def needs(stage):
    """The inputs. Those that are `ancient` or `order_only` (see the plugin in slurm/) come first and change nothing in what is made."""
    return {"made": of_job(stage, lambda one: one.inputs()), "checked": of_job(stage, checked)}


def files(stage, study=None):
    """The outputs, with wildcards in them; of a study where they depend on it."""
    names = stage.files_of(study) if study else stage.files
    return [str(Path("results/{study}", stage.path, file)) for file in names]


def shown(stage, category):
    """The outputs, the first of which stands on the page that `snakemake --report` makes, with the caption of its stage."""
    first, *others = files(stage)
    return [report(first, caption=f"captions/{stage.name}.rst", category=category), *others]


def log_of(stage):
    """results/<study>/logs/<stage>/<key>.log"""
    key = ".".join(f"seed{{{name}}}" if name == "seed" else f"{{{name}}}" for name in stage.key_fields())
    return f"results/{{study}}/logs/{stage.name}{'/' if key else ''}{key}.log"


def digest_of(stage):
    """What the artefact stands for: a changed setting makes it again, and everything that is made from it."""
    return of_job(stage, lambda one: one.digest)


def shown_of(stage):
    """What is shown where it is there, and not waited for: another file there makes it again."""
    return of_job(stage, lambda one: one.shown)


def threads_of(stage):
    return of_job(stage, lambda one: one.resources().threads)


def asks(stage):
    """What a job asks of the scheduler beside threads."""
    names = ("mem_mb", "runtime", "gpu") if stage.takes_gpu else ("mem_mb", "runtime")
    return {name: of_job(stage, lambda one, name=name: getattr(one.resources(), name)) for name in names}


def gpus_of_a_node():
    """How many GPUs a node has where trainings run, as slurm/site.yaml says; eight where it does not."""
    from snakemake_executor_plugin_submitit.site import read_site

    site = read_site(None)
    return site.wish(["rehearse"], 1).gpus_per_node or site.wish(["train"], 1).gpus_per_node or 8


def command(stage):
    """The command of a rule: `helip run STUDY STAGE KEY...`, with GPUs of its own where it takes any. It is told the digest of when
    snakemake began, and refuses a study that was edited since. A submitted job reads the study anew, so the plugin hands it down.
    """
    launch = "python -m helip.launch --gpus {resources.gpu} " if stage.takes_gpu else ""
    key = "".join(f" {{wildcards.{name}}}" for name in stage.key_fields())
    digest = "$HELIP_DIGESTS" if os.environ.get("HELIP_DIGESTS") else "{params.digest}"
    return f"{launch}helip run {{wildcards.study}} {stage.name}{key} --digest {digest} &>> {{log}}"
