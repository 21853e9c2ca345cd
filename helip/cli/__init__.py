"""The `helip` command: one sub-command per rule of the graph (`--study S NAME`), and the same for a user's own files."""

import argparse
import importlib
import signal
import sys

from helip.cli.options import refuse_own
from helip.errors import HelipError

# Each module names its sub-commands in COMMANDS, {name: help}, and has add(name, parser), which adds the options of one and
# returns run(arguments) -> exit code or None. Heavy imports happen inside run.
MODULES = (
    "corpus", "download", "contamination", "encode", "select", "mine", "importing", "train", "checkpoints", "evaluate", "report", "plan",
    "doctor", "run",
)  # fmt: skip


def _modules() -> dict[str, object]:
    loaded = [importlib.import_module(f"helip.cli.{name}") for name in MODULES]
    return {command: module for module in loaded for command in module.COMMANDS}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="helip", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _modules().items():
        one = commands.add_parser(name, help=module.COMMANDS[name], description=module.COMMANDS[name])
        one.set_defaults(run=module.add(name, one))
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # a cluster job has its shells ignore it: a command without state to save ends
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        refuse_own(arguments)
        return arguments.run(arguments) or 0
    except HelipError as error:
        print(f"helip {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
