"""`helip run STUDY STAGE KEY...`: make one artefact of a study. Its rule calls this."""

import argparse

from helip.cli.options import at_least

COMMANDS = {"run": "make one artefact of a study, as its Snakemake rule does: helip run STUDY STAGE KEY..."}


def add(name, parser):
    """Adds the options of the command to its parser; returns what runs it."""
    parser.add_argument("study", help="a file of experiments/studies, without .yaml")
    parser.add_argument("stage", help="corpus, encode, mine, select, train, evaluate, ...")
    parser.add_argument("key", nargs="*", metavar="KEY", help="the names that tell its artefacts apart, for example a run and a seed")
    parser.add_argument("--workers", type=at_least(0), help="processes or threads; by default the stage's own choice")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; by default cuda where there is one")
    return _run


def _run(arguments: argparse.Namespace) -> int:
    from helip import stages, study

    one = stages.artefact(study.load(arguments.study), arguments.stage, arguments.key)
    return stages.make(one, stages.How(arguments.workers, arguments.device))
