"""What every reader of tables and folders yields: an image with its captions, and where it stands."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One image and its captions. A caption that is None or no text is a missing one, and is said to be."""

    place: str  # for the reader: 'line 7', 'row 5', a file's name
    image: Path | str | bytes | None  # a path as written, or the encoded image
    captions: list[Any] = field(default_factory=list)
    name: str = ""  # the image as the user wrote it; empty where it is bytes


def captions_of(value: Any) -> list[Any]:
    """Returns the captions of a cell: a text, a list of texts, or a list of records that hold one (COCO's and Karpathy's files)."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return [next((value[name] for name in ("caption", "raw", "text", "sentence") if name in value), None)]
    if isinstance(value, list | tuple):
        return [caption for one in value for caption in captions_of(one)] or [None]
    return [value]


def image_of(value: Any) -> str | bytes | None:
    """Returns the image of a cell: a path, its bytes, or one of them out of the Hub's struct {bytes, path}."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) or value is None:
        return value
    return str(value).strip()
