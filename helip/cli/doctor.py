"""`helip doctor`: what this machine offers, each finding ok or a problem with its remedy; exit code 1 when there is a problem."""

import os
import platform
from pathlib import Path

COMMANDS = {"doctor": "say what this machine offers: GPUs and kernels for them, room, Slurm, data; each ok or a problem with its remedy"}


def add(name, parser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("--results", type=Path, default=Path(os.environ.get("HELIP_RESULTS", "results")), help="where results go")
    parser.add_argument("--out", type=Path, help="a file to write it to as well")
    return _doctor


def _doctor(arguments) -> int:
    from helip.doctor import examine
    from helip.io import atomic_file

    findings = examine(arguments.results)
    problems = sum(not finding.ok for finding in findings)
    said = "\n".join([_here(), *map(_lines, findings), f"{problems} problem{'' if problems == 1 else 's'}"])
    print(said)
    if arguments.out:
        with atomic_file(arguments.out) as temporary:
            temporary.write_text(f"{said}\n")
    return 1 if problems else 0


def _here() -> str:
    return f"{platform.node()}, Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores for this process"


def _lines(finding) -> str:
    if finding.ok:
        return f"ok       {finding.subject}: {finding.result}"
    return f"PROBLEM  {finding.subject}: {finding.result}\n         -> {finding.remedy}"
