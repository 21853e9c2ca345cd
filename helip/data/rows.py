"""What every reader of tables and folders yields: an image with its captions, and where it stands."""

import ast
import contextlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# A text of a list as Python prints it, or a missing one, and the space up to the next where no comma stands between, as numpy prints it.
ONE = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\b(?:nan|None)\b)(\s+(?=['"nN]))?""", re.DOTALL)


@dataclass
class Row:
    """One image and its captions. A caption that is None or no text is a missing one, and is said to be."""

    place: str  # for the reader: 'line 7', 'row 5', a file's name
    image: Path | str | bytes | None  # a path as written, or the encoded image
    captions: list[Any] = field(default_factory=list)
    name: str = ""  # the image as the user wrote it; empty where it is bytes


def captions_of(value: Any) -> list[Any]:
    """Returns the captions of a cell: a text, a list of texts, or a list of records that hold one (COCO's and Karpathy's files).

    A text that spells such a list is that list: a table of text has no other way to hold one.
    """
    return _flat(_spelt(value) if isinstance(value, str) and value.lstrip().startswith("[") else value)


def _flat(value: Any) -> list[Any]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return [next((value[name] for name in ("caption", "raw", "text", "sentence") if name in value), None)]
    if isinstance(value, list | tuple):
        return [caption for one in value for caption in _flat(one)] or [None]
    return [value]


def _spelt(text: str) -> Any:
    """The list of texts or records that a text spells in JSON, or as Python or numpy prints it; the text itself where it spells none."""
    for read in (json.loads, _printed):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            value = read(text)
            if isinstance(value, list) and all(one is None or isinstance(one, str | dict) for one in value):
                return value
    return text


def _printed(text: str) -> Any:
    """A value as Python prints it. Python would join texts without a comma between them; nan and a lone surrogate are no source to it."""
    source = ONE.sub(lambda match: ("None" if match[1] == "nan" else match[1]) + ("," if match[2] else ""), text)
    return ast.literal_eval(source.strip().encode("ascii", "backslashreplace").decode())


def image_of(value: Any) -> str | bytes | None:
    """Returns the image of a cell: a path, its bytes, or one of them out of the Hub's struct {bytes, path}."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) or value is None:
        return value
    return str(value).strip()
