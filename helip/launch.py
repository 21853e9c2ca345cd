"""`python -m helip.launch --gpus N COMMAND...`: run a command with N GPUs of its own. Light: standard library only.

On one machine: N of its GPUs (or of the job's) are leased (helip.gpus), CUDA_VISIBLE_DEVICES names them, and the command takes this
process's place; a training then starts a process on each. In a Slurm job of several nodes: srun starts one launcher on each node,
and they meet at an address made of Slurm's variables.
"""

import argparse
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack

from helip.errors import HelipError
from helip.gpus import gpu_ids, lease

SRUN = "HELIP_SRUN"  # the site's arguments of srun, as a shell would have them; the plugin of Snakemake sets it for jobs of several nodes
PROCESSES = (sys.executable, "-m", "helip.training.processes")  # torchrun, with the exit codes of the training


def first_host(node_list: str) -> str:
    """Returns the first node of SLURM_JOB_NODELIST: 'v[007-009,12]-ib,w1' -> 'v007-ib'; HelipError where it names none."""
    match = re.match(r"([^\[,]+)(?:\[([^\],-]+)[^\]]*\])?([^\[,]*)", node_list)
    if match is None:
        raise HelipError(f"SLURM_JOB_NODELIST: '{node_list}' names no node; run inside a Slurm job")
    return "".join(part or "" for part in match.groups())


def rendezvous(environ: Mapping[str, str]) -> tuple[str, int]:
    """Returns (address, port) at which the nodes of this Slurm job meet: where srun was called, and a port made of the job's id.

    HelipError outside a Slurm job.
    """
    job = environ.get("SLURM_JOB_ID", "")
    if not job.isdigit():
        raise HelipError("SLURM_JOB_ID is not set; several nodes need a Slurm job (snakemake --profile slurm)")
    address = environ.get("SLURM_LAUNCH_NODE_IPADDR") or first_host(environ.get("SLURM_JOB_NODELIST", ""))
    return address, int(environ.get("HELIP_MASTER_PORT") or 20000 + int(job) % 20000)


def worker_line(command: list[str], processes: int, environ: Mapping[str, str]) -> list[str]:
    """Returns the command of one node of a Slurm job, with its rank among the nodes."""
    (address, port), nodes = rendezvous(environ), environ["SLURM_JOB_NUM_NODES"]
    where = [f"--nnodes={nodes}", f"--node-rank={environ['SLURM_PROCID']}", f"--master-addr={address}", f"--master-port={port}"]
    return [*PROCESSES, *where, f"--nproc-per-node={processes}", *command]


def srun(command: list[str], gpus: int, nodes: int, environ: Mapping[str, str]) -> list[str]:
    """Returns the command that starts one worker of this module on each node of the job, beside this step, with the same resources and the
    site's arguments of srun. Threads are named where the job named them.
    """
    threads = [f"--cpus-per-task={environ['SLURM_CPUS_PER_TASK']}"] if environ.get("SLURM_CPUS_PER_TASK") else []
    size = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", *threads]
    step = ["srun", "--overlap", "--kill-on-bad-exit=1", *size, *shlex.split(environ.get(SRUN, ""))]
    return [*step, sys.executable, "-m", "helip.launch", "--worker", "--gpus", str(gpus), *command]


def _run(command: list[str], environ: Mapping[str, str]) -> None:
    """Takes this process's place: signals and the exit status are then the command's own."""
    try:
        os.execvpe(command[0], command, dict(environ))
    except FileNotFoundError:
        raise HelipError(f"{command[0]}: no such command; install it or correct the rule") from None
    except OSError as error:
        raise HelipError(f"{command[0]}: cannot be run ({error.strerror}); correct the rule") from None


def launch(command: list[str], gpus: int, worker: bool = False, environ: Mapping[str, str] = os.environ) -> None:
    """Runs the command in this process's place with its GPUs leased, or through srun for several nodes; HelipError where it cannot."""
    nodes = int(environ.get("SLURM_JOB_NUM_NODES", 1)) if "SLURM_JOB_ID" in environ else 1
    if worker:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # until the launcher listens, which passes signals on to the training
        _run(worker_line(command, max(1, gpus // nodes), environ), environ)
    if nodes > 1:
        _run(srun(command, gpus, nodes, environ), environ)
    with ExitStack() as held:  # exec keeps the lease's files open
        assigned = {**environ, "CUDA_VISIBLE_DEVICES": ",".join(held.enter_context(lease(gpus, gpu_ids(environ))))}
        _run(command, assigned)


def main() -> int:
    """Runs the command line of this module and returns its exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m helip.launch", description=__doc__)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of the whole job")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run, e.g. helip run ...")
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("no command to run")
    try:
        launch(command, arguments.gpus, arguments.worker)
    except HelipError as error:
        print(f"helip launch: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
