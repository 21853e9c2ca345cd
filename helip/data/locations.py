"""Declared paths: `$VARIABLES`, `~`, globs and brace lists expanded, with a sentence for what is missing."""

import glob
import os
import re
from pathlib import Path

import braceexpand

from helip.errors import HelipError

BETWEEN = "::"  # webdataset's own mark between several paths
_REMOTE = re.compile(r"(pipe):|([a-z][a-z0-9+]+)://", re.IGNORECASE)
_WEB = "fetch it first and name the file, or declare a corpus of kind `downloaded` with that `mirror` in a study"
_STORE = "copy it to a disk of this machine first (`aws s3 cp --recursive`, `gcloud storage cp` or the like) and name the copy"
INSTEAD = {"pipe": "a command within a path is never run; write what it gives to a file and name that", "http": _WEB, "https": _WEB}


class UnsetVariable(HelipError):  # noqa: N818  it is the variable that is unset
    """A `declared` path starts with a `variable` that is not set; `obtain` says how to get what lies there."""

    def __init__(self, variable: str, declared: str, obtain: str):
        there = obtain and f"; for what lies there: {obtain}"
        super().__init__(f"${variable} is not set: set it to the folder that '{declared}' starts from{there}")
        self.variable, self.declared, self.obtain = variable, declared, obtain

    def __reduce__(self):
        return UnsetVariable, (self.variable, self.declared, self.obtain)


def resolve_path(declared: str, obtain: str = "") -> Path:
    """Returns the absolute path that a declared one stands for. Raises HelipError for an unset variable and for what is no path of this
    machine; `obtain` says how to get what lies there.
    """
    if remote := _REMOTE.match(declared):
        raise HelipError(f"{declared}: is no path of this machine; {INSTEAD.get((remote[1] or remote[2]).lower(), _STORE)}")
    if "$" in declared and (here := Path(declared).expanduser()).exists():
        return here.absolute()  # a name may hold a $
    for braced, plain in re.findall(r"\$(?:\{(\w+)\}|(\w+))", declared):
        name = braced or plain
        if not os.environ.get(name):
            raise UnsetVariable(name, declared, obtain)
    return Path(os.path.expandvars(declared)).expanduser().absolute()


def resolve_paths(declared: str, obtain: str = "") -> list[Path]:
    """Returns the files and folders that a declared path names: itself, or those of its globs, brace lists and parts between `::`.

    Raises HelipError where one of them is not there.
    """
    places: list[Path] = []
    for part in declared.split(BETWEEN):
        path = resolve_path(part, obtain)
        places += [path] if path.exists() else _expanded(path, part, obtain)
    return places


def within(folder: Path, pattern: str) -> list[Path]:
    """Returns the files of a folder that match a pattern, by name. What begins with a dot, as the files that macOS and downloads leave,
    is none of the user's, nor is what lies in such a folder.
    """
    return sorted(path for path in folder.glob(pattern) if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _expanded(path: Path, declared: str, obtain: str) -> list[Path]:
    remedy = obtain or f"put it there or correct the path '{declared}'"
    try:
        names = list(braceexpand.braceexpand(str(path)))
    except ValueError as error:
        raise HelipError(f"{declared}: its braces are no list ({error}); write {{0000..0009}} or {{a,b}}") from None
    places, missing = [], []
    for name in names:
        here = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        places += here
        missing += [one for one in here if not os.path.exists(one)] if here else [name]  # a link to nothing is found, and not there
    if missing:
        of = f" ({len(missing)} of the {len(names)} that '{declared}' names are missing)" if len(names) > 1 else ""
        raise HelipError(f"{missing[0]}: is not there{of}; {remedy}")
    return [Path(name) for name in places]
