"""`helip doctor`: what this machine offers, each finding ok or a problem with its remedy; exit code 1 when there is a problem."""

import os
import platform
from pathlib import Path

COMMANDS = {"doctor": "say what this machine offers: GPUs and kernels for them, room, Slurm, data; each ok or a problem with its remedy"}


def add(name, parser):
    parser.add_argument("--results", type=Path, default=Path(os.environ.get("HELIP_RESULTS", "results")), help="where results go")
    return _doctor


def _doctor(arguments) -> int:
    from helip.doctor import examine

    findings = examine(arguments.results)
    print(f"{platform.node()}, Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores for this process")
    for finding in findings:
        print(f"{'ok     ' if finding.ok else 'PROBLEM'}  {finding.about}: {finding.said}")
        if not finding.ok:
            print(f"         -> {finding.remedy}")
    problems = sum(not finding.ok for finding in findings)
    print(f"{problems} problem{'' if problems == 1 else 's'}")
    return 1 if problems else 0
