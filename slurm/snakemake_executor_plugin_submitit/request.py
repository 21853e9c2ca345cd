"""A job's resources and the site's wishes as the parameters of a submitit executor. Pure functions."""

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from helip.launch import SRUN

from .site import Site, Wish

STRINGS = ("partition", "account", "qos", "constraint", "gpu_model")
NUMBERS = ("gpus_per_node", "nodes", "runtime", "mem_mb", "requeues")
ALIASES = {"slurm_partition": "partition", "slurm_account": "account"}  # the names that other Snakemake profiles use


class SubmissionError(Exception):
    """This is raised, with one sentence, for a job that cannot be submitted as it is."""


def flags(text: str) -> dict[str, str | bool]:
    """Returns the resource `slurm_extra`, '--exclude=n1 --exclusive', as {'exclude': 'n1', 'exclusive': True}; SubmissionError for a short
    option.
    """
    options: dict[str, str | bool] = {}
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not re.fullmatch(r"--[a-z][a-z-]*", name):
            raise SubmissionError(f"slurm_extra: '{word}' is no long option; write --name=value or --name")
        options[name[2:]] = value if equals else True
    return options


def whole(resources: Mapping[str, Any], name: str) -> int | None:
    """Returns a resource as a number; None where it is absent or not yet known."""
    value = resources.get(name)
    return int(value) if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()) else None


def of_rule(resources: Mapping[str, Any]) -> Wish:
    """Returns what rules and profile say in resources, as a wish the site can overrule."""
    wishes: dict[str, Any] = {name: str(resources[name]) for name in STRINGS if resources.get(name)}
    wishes |= {ours: str(resources[theirs]) for theirs, ours in ALIASES.items() if resources.get(theirs)}
    wishes |= {name: number for name in NUMBERS if (number := whole(resources, name)) is not None}
    if resources.get("slurm_extra"):
        wishes["extra"] = flags(str(resources["slurm_extra"]))
    return Wish(**wishes)


def wish_for(rules: list[str], resources: Mapping[str, Any], site: Site) -> Wish:
    """Returns the wish of a job of these rules: the site's, and where that is silent the resources'."""
    return site.wish(rules, whole(resources, "gpu") or 0).over(of_rule(resources))


def nodes_and_gpus(gpus: int, wish: Wish) -> tuple[int, int]:
    """Returns (nodes, GPUs on each): 16 GPUs where a node has 8 are two nodes; a declared `nodes` comes first.

    SubmissionError where they cannot be shared evenly.
    """
    nodes = wish.nodes or (math.ceil(gpus / wish.gpus_per_node) if gpus and wish.gpus_per_node else 1)
    if gpus % nodes:
        raise SubmissionError(
            f"{gpus} GPUs cannot be shared evenly by {nodes} nodes; change `gpu`, or `nodes` and `gpus_per_node` of the site"
        )
    return nodes, gpus // nodes


def slurm_parameters(name: str, threads: int, gpus: int, wish: Wish, warning_s: int) -> dict[str, Any]:
    """Returns the parameters of submitit's SlurmExecutor. Threads and memory are those of each node."""
    nodes, gpus_each = nodes_and_gpus(gpus, wish)
    # Since 22.05 srun no longer inherits --cpus-per-task from sbatch: without it the job's step is bound to one core.
    step = [f"--cpus-per-task={threads}"]
    if nodes > 1:  # the job's own process runs once, on the first node; helip.launch starts the others
        step += ["--nodes=1", "--ntasks=1"]
    parameters: dict[str, Any] = {
        "job_name": name,
        "time": wish.runtime or 60,
        "nodes": nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": threads,
        "mem": f"{wish.mem_mb}MB" if wish.mem_mb else None,
        "gres": ":".join(filter(None, ("gpu", wish.gpu_model, str(gpus_each)))) if gpus else None,
        "array_parallelism": wish.array_parallelism or 100_000,
        "signal_delay_s": warning_s,
        "stderr_to_stdout": True,
        "srun_args": step,
        "additional_parameters": {"requeue": True, **wish.extra},
        **{key: getattr(wish, key) for key in ("partition", "account", "qos", "constraint")},
    }
    parameters = {key: value for key, value in parameters.items() if value is not None}
    parameters["srun_args"] = [*step, *wish.srun]
    inner = [f"export {SRUN}={shlex.quote(shlex.join(wish.srun))}"] if nodes > 1 and wish.srun else []
    if inner or wish.setup:
        parameters["setup"] = [*inner, *wish.setup]
    _take_away(parameters, wish.without)
    _rename(parameters, wish.rename)
    return {**parameters, "wckey": None}  # submitit's own is refused where a site enforces workload keys


SOME = ("gres", "partition", "account", "qos", "constraint", "mem")  # flags that some jobs have
FIXED = ("job-name", "nodes", "signal", "time")  # what the plugin itself goes by


def _take_away(parameters: dict[str, Any], flags: tuple[str, ...]) -> None:
    """Removes sbatch flags, and the same of srun. SubmissionError for one that the plugin needs or never sets."""
    for flag in flags:
        key = flag.replace("-", "_")
        if flag in FIXED:
            raise SubmissionError(f"site: without names {flag}, which no job can do without")
        if not (key in parameters or key in SOME or flag in parameters["additional_parameters"]):
            raise SubmissionError(f"site: without names {flag}, which is no flag that jobs have; write it as sbatch does")
        parameters.pop(key, None)
        parameters["additional_parameters"].pop(flag, None)
        parameters["srun_args"] = [word for word in parameters["srun_args"] if word.partition("=")[0] != f"--{flag}"]


def _rename(parameters: dict[str, Any], names: Mapping[str, str]) -> None:
    """Gives sbatch flags the site's names. The value of gres loses its `gpu:` where the new name says it; `gpus` are those of all nodes."""
    for flag, other in names.items():
        if flag in FIXED:
            raise SubmissionError(f"site: rename names {flag}, which no job can do without")
        key = flag.replace("-", "_")
        extra = parameters["additional_parameters"]
        value = parameters.pop(key, None) if key in parameters else extra.pop(flag, None)
        if value is not None:
            extra[other] = value
        if value is not None and flag == "gres" and other.startswith("gpus"):
            extra[other] = _gpus(value, parameters["nodes"] if other == "gpus" else 1)
            if other == "gpus" and parameters["nodes"] > 1:  # the job's own process is on one of them
                parameters["srun_args"] = [f"--gpus={_gpus(value, 1)}", *parameters["srun_args"]]


def _gpus(gres: str, nodes: int) -> str:
    """Returns the value of --gpus for so many nodes where each has `gres`: gpu:v100:8 on two is v100:16."""
    *model, each = gres.split(":")[1:]
    return ":".join([*model, str(int(each) * nodes)])


def leaving_out(parameters: dict[str, Any], nodes: Iterable[str]) -> dict[str, Any]:
    """Returns the parameters with those nodes excluded, beside the ones that the site excludes."""
    if not (nodes := sorted(nodes)):
        return parameters
    extra = parameters["additional_parameters"]
    excluded = ",".join([*([str(extra["exclude"])] if extra.get("exclude") else []), *nodes])
    return {**parameters, "additional_parameters": {**extra, "exclude": excluded}}


def local_parameters(wish: Wish, warning_s: int) -> dict[str, Any]:
    """Returns the parameters of submitit's LocalExecutor; GPU ids are leased by the job itself."""
    return {"timeout_min": wish.runtime or 60, "signal_delay_s": warning_s, "stderr_to_stdout": True}


def job_name(rule: str, *wildcards: Any) -> str:
    """Returns what `squeue` shows: train.paper.cc3m_clip_helip.0"""
    words = [re.sub(r"[^A-Za-z0-9._-]+", "-", str(word)) for word in (rule, *wildcards)]
    return ".".join(words)[:100]
