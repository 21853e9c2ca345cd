"""`helip --print-completion bash|zsh`: shtab's script of all commands and options."""

import argparse

import shtab

from helip.cli import COMMANDS, _class
from helip.cli.command import fill
from helip.errors import HelipError

SHELLS = ("bash", "zsh")


def script(words: list[str]) -> str:
    """Returns the completion script of a shell; put its output where the shell looks for it. Raises HelipError for another shell."""
    if len(words) != 1 or words[0] not in SHELLS:
        raise HelipError(f"--print-completion takes {' or '.join(SHELLS)}, and not '{' '.join(words)}'")
    parser = argparse.ArgumentParser(prog="helip")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers()
    groups: dict[str, argparse._SubParsersAction] = {}
    for name, (_, _, line) in COMMANDS.items():
        first, _, second = name.partition(" ")
        if second and first not in groups:
            groups[first] = commands.add_parser(first, help=line, add_help=False).add_subparsers()
        one = (groups[first] if second else commands).add_parser(second or first, help=line, add_help=False)
        fill(one, _class(name), complete=shtab.FILE)
    return shtab.complete(parser, shell=words[0])
