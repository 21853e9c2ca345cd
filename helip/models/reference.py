"""How a CLIP checkpoint is written, in every command alike. Light: nothing is opened or loaded here."""

from dataclasses import dataclass
from pathlib import Path

from helip.errors import HelipError

FORMS = "NAME@TAG (ViT-B-32@laion2b_s34b_b79k), NAME@FILE, hf-hub:ORG/NAME, or a folder of open_clip, CLIPModel or SiglipModel"
HUB = "hf-hub:"
SUFFIXES = (".pt", ".pth", ".tar", ".bin", ".ckpt", ".safetensors")


@dataclass(frozen=True)
class ModelRef:
    """A checkpoint that open_clip loads: an architecture with its weights, a model of the Hugging Face hub, or a folder."""

    name: str  # as open_clip takes it: an architecture, hf-hub:ORG/NAME or local-dir:PATH
    pretrained: str | None = None  # a tag of open_clip or a weights file, beside an architecture

    @property
    def folder(self) -> Path | None:
        """The path of a folder, whether or not it is there; None for the other kinds."""
        return Path(self.name.removeprefix("local-dir:")) if self.name.startswith("local-dir:") else None

    @property
    def file(self) -> Path | None:
        """The weights file beside an architecture, if there is one at that path."""
        return Path(self.pretrained) if self.pretrained and Path(self.pretrained).is_file() else None

    def __str__(self) -> str:
        return f"{self.name}@{self.pretrained}" if self.pretrained else self.name


def parse(text: str) -> ModelRef:
    """Returns the checkpoint that a command line names, see FORMS.

    What has a slash before any @ or : and what ends like a weights file is a path, and so is the name of a folder that is there; the
    loader says when it is missing. An architecture without weights is taken too, for the loader to say which weights there are. Raises
    HelipError for an empty text, an empty half beside an @, and NAME:PRETRAINED, the spelling before this one.
    """
    if text.startswith("local-dir:") and text != "local-dir:":
        return ModelRef(text)
    if text.startswith(HUB) and text != HUB:
        return ModelRef(text)
    if text and Path(text).is_dir():
        return ModelRef(f"local-dir:{text}")
    mark = next((c for c in text if c in "@:"), "")
    name, _, pretrained = text.partition(mark) if mark else (text, "", "")
    if "/" in name or (not mark and name.endswith(SUFFIXES)):
        return ModelRef(f"local-dir:{text}")
    if not name or (mark and not pretrained):
        raise HelipError(f"'{text}' names no model; write {FORMS}")
    if mark == ":":
        raise HelipError(f"'{text}': NAME:PRETRAINED is no longer read; write {name}@{pretrained}")
    return ModelRef(name, pretrained or None)
