"""`helip import`: a published SLIP or DeCLIP checkpoint as an open_clip folder, ready for `helip refine --start`."""

from pathlib import Path

COMMANDS = {"import": "turn a published SLIP or DeCLIP checkpoint into an open_clip folder"}


def add(name, parser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("file", type=Path, help="the downloaded checkpoint (.pt, .pth.tar)")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make; load it as local-dir:FOLDER")
    return _import


def _import(arguments):
    from helip.models.published import import_checkpoint

    published = import_checkpoint(arguments.file, arguments.out)
    print(f"{arguments.out}: a {published.layout} checkpoint; open_clip loads it as local-dir:{arguments.out}")
