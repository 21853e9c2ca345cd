"""The one exception a user should see: a sentence naming file, entry and remedy. The CLI prints it and leaves with exit code 2."""

import difflib
from collections.abc import Iterable


class HelipError(Exception):
    """Bad input: wrong declaration, wrong file, wrong size. Never raised for a bug of ours."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns '; did you mean "mine"?' for a name that is nearly one of the known ones, else nothing: for the end of a sentence."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{match[0]}'?" if match else ""
