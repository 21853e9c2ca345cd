"""Which columns of a table hold the images and the captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helip.errors import HelipError

# In the order in which they are looked for. Case does not count, nor do spaces around a name.
IMAGES = (
    "image", "image_path", "filepath", "file_path", "image_file", "file_name", "filename", "image_name", "img_path", "img", "path", "file",
    "jpg", "png",
)  # fmt: skip
CAPTIONS = (
    "caption", "captions", "text", "title", "comment", "sentences", "sentence", "txt", "description", "alt_text", "raw",
)  # fmt: skip
ADDRESSES = ("url", "image_url", "img_url")


@dataclass(frozen=True)
class Columns:
    """The names, as the table spells them, of the two columns that are read."""

    image: str
    caption: str


def pick(table: Path, names: Sequence[str], image: str | None, caption: str | None) -> Columns:
    """Returns the declared columns, else the first of the usual ones. Raises HelipError, which lists the table's, where one is missing."""
    return Columns(_one(table, names, image, IMAGES, "image"), _one(table, names, caption, CAPTIONS, "caption"))


def usual(names: Sequence[str], image: str | None, caption: str | None) -> bool:
    """Returns whether a column of images and one of captions are among these names."""
    return _found(names, image, IMAGES) is not None and _found(names, caption, CAPTIONS) is not None


def _found(names: Sequence[str], declared: str | None, wanted: Sequence[str]) -> str | None:
    if declared is not None:
        return next((name for name in names if name == declared or name.strip() == declared.strip()), None)
    by = {name.strip().lower(): name for name in reversed(names)}
    return next((by[name] for name in wanted if name in by), None)


def _one(table: Path, names: Sequence[str], declared: str | None, wanted: Sequence[str], what: str) -> str:
    if (name := _found(names, declared, wanted)) is not None:
        if list(names).count(name) > 1:
            raise HelipError(f"{table}: has {list(names).count(name)} columns '{name}'; rename all but the one that holds the {what}s")
        return name
    has = ", ".join(repr(name) for name in names) or "none"
    lacks = f"no column '{declared}'" if declared is not None else f"no column of {what}s by a usual name"
    address = next((name for name in names if name.strip().lower() in ADDRESSES), None) if what == "image" else None
    crawl = f"; '{address}' holds addresses: declare a corpus of kind `downloaded`, which fetches them" if address else ""
    raise HelipError(f"{table}: has {lacks}; its columns are {has}: name one with {what}_column (--{what}-column){crawl}")
