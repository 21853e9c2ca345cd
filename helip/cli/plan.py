"""`helip plan`: what a study will do and what it will cost."""

import argparse
from collections.abc import Callable

from helip import study

COMMANDS = {"plan": "count a study's jobs and estimate GPU-hours, disk and memory, before anything runs"}


def add(name: str, parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("study", help="a file of experiments/studies, without .yaml")
    parser.add_argument("tables", nargs="*", help="only what these tables need, e.g. table1; default: all of the study")
    return _plan


def _plan(arguments: argparse.Namespace) -> None:
    from helip.planning import artefacts, summary, text

    one = study.load(arguments.study)
    print(text(one, summary(one, artefacts(one, arguments.tables or None))))
