"""Declared paths: `$VARIABLES` and `~` expanded, with a sentence for what is missing."""

import os
import re
from pathlib import Path

from helip.errors import HelipError


def resolve_path(declared: str, obtain: str = "") -> Path:
    """Returns the absolute path that a declared one stands for. Raises HelipError for an unset variable; `obtain` says how to get what
    lies there.
    """
    for braced, plain in re.findall(r"\$(?:\{(\w+)\}|(\w+))", declared):
        name = braced or plain
        if not os.environ.get(name):
            raise HelipError(
                f"${name} is not set: set it to the folder that '{declared}' starts from{obtain and '; for what lies there: '}{obtain}"
            )
    return Path(os.path.expandvars(declared)).expanduser().absolute()
