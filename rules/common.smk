# What the rules share: the studies, and the environment their commands run in. No torch here: the graph must build in a moment.
import functools
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

import helip.study
from helip.errors import HelipError

# The commands are those of the Python that runs Snakemake; idle threads sleep, so that jobs can share cores; hundreds of jobs start
# sooner where Python may keep what it compiled. Rules declare ./results: commands must not follow $HELIP_RESULTS elsewhere.
shell.prefix(
    f"unset HELIP_RESULTS; export PATH={shlex.quote(str(Path(sys.executable).parent))}:\"$PATH\""
    " OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=; "
)


wildcard_constraints:
    study="[a-z0-9_]+",
    corpus="[a-z0-9_]+",
    encoder="[a-z0-9_]+",
    pairs=r"[a-z0-9_.\-]+",
    selection=r"[a-z0-9_.\-]+",
    run="[a-z0-9_]+",
    seed=r"\d+(r\d+)?",
    set="[a-z0-9_]+",
    table=r"(first/)?table\d+",


@functools.cache
def bound(name):
    try:
        return helip.study.load(name, results=Path("results"))
    except HelipError as error:
        raise WorkflowError(str(error)) from None


def asked(function):
    """A study's answer for the wildcards of a job, with its one-sentence errors."""

    @functools.wraps(function)
    def answer(wildcards):
        try:
            return function(bound(wildcards.study), wildcards)
        except HelipError as error:
            raise WorkflowError(str(error)) from None

    return answer


def ask(function):
    """The same for a lambda of (study, wildcards), where a rule wants a function of the wildcards alone."""
    return lambda wildcards: asked(function)(wildcards)


def need(stage, resource):
    """What a rule asks of the scheduler, as its study declares it: need("train", "mem_mb")."""
    return lambda wildcards: getattr(bound(wildcards.study).resources(stage), resource)


def checked(stage):
    """`helip data check`, before a GPU is used. Ancient: made again, it makes nothing else again."""
    return lambda wildcards: [ancient(path) for path in bound(wildcards.study).data_check(stage)]


def studies():
    return sorted(path.stem for path in Path("experiments/studies").glob("*.yaml"))
