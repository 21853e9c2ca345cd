"""Snakemake on the study that `helip refine` wrote: one line a job, one sentence for what fails, and what is done stays done."""

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import helip
from helip import locks
from helip.errors import HelipError

LOG = "snakemake.log"
WARM = "helip.warm"  # imports torch once for all jobs on this machine
TRIGGERS = ("--rerun-triggers", "mtime", "params")  # as profiles/default has them: other resources make nothing again
KEPT = 200  # lines of Snakemake that are looked through for the reason of a failure
_RULE = re.compile(r"^(?:localrule|rule|checkpoint) (\S+?):$")
_DONE = re.compile(r"^(\d+) of (\d+) steps")
_TOTAL = re.compile(r"^total +(\d+)$")
_EXCEPTION = re.compile(r"^\w+Exception in ")
_KEYS = re.compile(r"^\s+wildcards: (.*)$")


def project_root() -> Path:
    """Returns the folder of the Snakefile. Raises HelipError where the package was installed without it."""
    root = Path(helip.__file__).resolve().parents[1]
    if not (root / "Snakefile").is_file():
        raise HelipError(f"{root}: the graph's rules are not beside the package; install it from a checkout (pip install --editable .)")
    return root


@contextlib.contextmanager
def alone(out: Path) -> Iterator[int]:
    """Holds the folder for one command at a time, and yields the lock's descriptor, which Snakemake inherits: it holds it too.

    An earlier command that was killed leaves a Snakemake that ends by itself; it is waited for.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locks.alone(out / ".lock", f"{out}: another command is at work here; waiting for it to end") as lock:
        yield lock


def command(root: Path, targets: list[str], cores: int, profile: str | None) -> list[str]:
    """Returns the command line of Snakemake, run in the study's folder. profile: a folder with another profile, such as slurm."""
    chosen = _profile(root / profile if (root / profile).is_dir() else Path(profile).absolute()) if profile else []
    usual = ["--workflow-profile", "none"] if profile else ["--workflow-profile", str(root / "profiles" / "default")]
    how = [*usual, *chosen, *(["--cores", str(cores)] if not profile else []), "--nolock", "--rerun-incomplete", *TRIGGERS]
    warm = [sys.executable, "-m", WARM] if not profile and importlib.util.find_spec(WARM) else []
    return [*warm, sys.executable, "-m", "snakemake", "--snakefile", "Snakefile", *how, "--", *targets]


def _profile(folder: Path) -> list[str]:
    """A profile, and the site file beside it, which Snakemake would look for in the study's folder."""
    site = folder / "site.yaml"
    return ["--profile", str(folder), *(["--submitit-site", str(site)] if site.is_file() else [])]


def build(out: Path, targets: list[str], cores: int, profile: str | None, lock: int) -> int:
    """Has Snakemake make the targets in `out`; returns how many jobs ran. Raises HelipError, with the job's own sentence, where one fails.

    Ctrl-C and SIGTERM go to the jobs, whose trainings save their state; KeyboardInterrupt follows.
    """
    line = command(project_root(), targets, cores, profile)
    with open(out / LOG, "a") as log, _passing_on() as pass_to:  # from here on, so that no child ignores Ctrl-C
        process = subprocess.Popen(
            line, cwd=out, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", pass_fds=(lock,),
            start_new_session=True,
        )  # fmt: skip
        pass_to.append(process.pid)
        assert process.stdout is not None  # it is a pipe
        done, last = _follow(process.stdout, log)
        code = process.wait()
    if code:
        raise HelipError(_reason(out, last, code))
    return done


@contextlib.contextmanager
def _passing_on() -> Iterator[list[int]]:
    """Signals to this process go to the groups of the processes in the list that it yields; KeyboardInterrupt follows."""
    seen: list[int] = []
    groups: list[int] = []

    def forward(number: int, _: object) -> None:
        seen.append(number)
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield groups
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if seen:
        raise KeyboardInterrupt


def _follow(lines: Iterable[str], log: TextIO) -> tuple[int, list[str]]:
    """Writes all lines to the log and one line for each job that begins to stderr; returns (jobs done, the last lines)."""
    last: deque[str] = deque(maxlen=KEPT)
    done, total, rule = 0, "?", ""
    for line in lines:
        log.write(line)
        log.flush()
        last.append(line.rstrip("\n"))
        if match := _RULE.match(line):
            rule = match[1]
        elif match := _KEYS.match(line):
            print(f"[{done:>3}/{total}] {_title(rule, match[1])}", file=sys.stderr, flush=True)
        elif match := _TOTAL.match(line):
            total = match[1]
        elif match := _DONE.match(line):
            done, total = int(match[1]), match[2]
    return done, list(last)


def _title(rule: str, wildcards: str) -> str:
    """'train', 'study=own, run=helip, seed=0' -> 'train helip 0'."""
    keys = [value for name, _, value in (part.partition("=") for part in wildcards.split(", ")) if name != "study"]
    return " ".join([re.sub(r"_own$", "", rule), *keys])


def _reason(out: Path, last: list[str], code: int) -> str:
    """The failed job's own sentence; Snakemake's where no job spoke."""
    spoken = [line.strip() for line in last if line.strip().startswith("helip ")]
    if spoken:
        return f"{spoken[-1].partition(': ')[2]} ({out / LOG} has all of it; the same command goes on from here)"
    lines = [line.strip() for line in last if line.strip()]
    told = [n for n, line in enumerate(lines) if "Error" in line or "error" in line]
    named = [n for n, line in enumerate(lines) if _EXCEPTION.match(line)]  # before the last word, that a job failed
    reason = lines[(named or told)[-1] :] if named or told else lines[-1:]
    while len(reason) > 1 and not reason[0].endswith(":"):  # WorkflowError says why on its next line
        reason.pop()
    return f"{' '.join(reason[:2]) or 'Snakemake said nothing'} (exit code {code}; {out / LOG} has all of it)"
