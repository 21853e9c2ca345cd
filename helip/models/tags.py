"""open_clip's table of pretrained weights: which tags there are, which were trained with QuickGELU, and where one is had."""

from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import list_pretrained

from helip.models.reference import HUB, ModelRef


def entry_of(reference: ModelRef) -> dict[str, Any]:
    """Returns what open_clip's table says of the weights of a reference; empty where it does not know them.

    A tag is looked up as open_clip does. A file is known by the name under which the table's address has it, and a model of the hub by
    its name.
    """
    name, pretrained = reference.name, reference.pretrained or ""
    if name.startswith(HUB):
        return _of_hub(name.removeprefix(HUB))
    entry: dict[str, Any] = open_clip.get_pretrained_cfg(name, pretrained)
    if entry or reference.file is None:
        return entry
    return next((known for known in _entries(name) if _file_name(known) == reference.file.name), {})


def _of_hub(repository: str) -> dict[str, Any]:
    entries = (open_clip.get_pretrained_cfg(name, tag) for name, tag in list_pretrained())
    return next((known for known in entries if (known.get("hf_hub") or "").rstrip("/") == repository), {})


def _entries(name: str) -> list[dict[str, Any]]:
    return [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]


def _file_name(entry: dict[str, Any]) -> str:
    return str(entry.get("url") or "").rpartition("/")[2]


def some_tags(name: str) -> str:
    """Returns the tags of a model's weights, the first few of many."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    return ", ".join(tags[:6] + ["..."] * (len(tags) > 6)) or "none"


def remedy(reference: ModelRef) -> str:
    """Returns what a person does when the weights of a reference cannot be had."""
    name, pretrained = reference.name, reference.pretrained
    if name.startswith(HUB):
        return "where there is network, open_clip fetches it; else copy ~/.cache/huggingface from such a machine"
    if reference.file is not None:
        return "give a file that open_clip or its trainer wrote for this very architecture"
    entry = open_clip.get_pretrained_cfg(name, pretrained or "")
    if not entry:
        return f"'{pretrained}' must be a weights file that is there, or one of: {some_tags(name)}"
    hub = str(entry.get("hf_hub") or "")
    if hub.endswith("/"):  # a whole repository, whose config says how the model is built
        return f"where there is network, run `hf download {hub.rstrip('/')} --local-dir DIR` and give the folder DIR"
    source = f"download {f'https://huggingface.co/{Path(hub).parent}' if hub else entry.get('url')}"
    quick = f"{name}-quickgelu" if entry.get("quick_gelu") and not name.endswith("-quickgelu") else name
    return f"where there is network, {source} and give the weights file in place of the tag ({quick}@FILE)"
