"""A corpus cut to its first samples, and models with random weights in the declared architecture."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helip.config import FrozenModel
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.study import Study


class Few:
    """The first `count` pairs of a corpus, again from the start where it has fewer; as encoding and training see a corpus."""

    def __init__(self, corpus: Corpus, count: int):
        self.of, self.count = corpus, count
        self.digest, self.folder = f"{corpus.digest}-{count}", corpus.folder

    def __len__(self) -> int:
        return self.count

    def image(self, i: int) -> Image.Image:
        """Returns the image of sample i."""
        return self.of.image(i % len(self.of))

    def image_bytes(self, i: int) -> bytes:
        """Returns the encoded image of sample i."""
        return self.of.image_bytes(i % len(self.of))

    def caption(self, i: int) -> str:
        """Returns the caption of sample i."""
        return self.of.caption(i % len(self.of))

    def captions(self, i: int) -> list[str]:
        """Returns all captions of sample i."""
        return self.of.captions(i % len(self.of))

    def caption_counts(self) -> np.ndarray:
        """Returns how many captions each sample has, [N] int64."""
        return np.resize(self.of.caption_counts(), self.count)


def model_folder(study: Study, model: str, corpus: Any, folder: Path) -> Path:
    """Returns an open_clip folder of that architecture with random weights, written there unless it is there already.

    HelipError for a model on frozen trunks, which is no network of its own.
    """
    from helip.models import loading
    from helip.models.export import export

    declared, out = study.model(model), folder / f"model-{model}"
    if isinstance(declared, FrozenModel):
        raise HelipError(f"models -> {model}: has frozen trunks, and only its encoders are rehearsed; see the kinds `encode`")
    if not out.exists():
        clip = loading.new(declared, corpus, folder / f"tokenizer-{model}", 0)
        export(out, clip, clip.model.state_dict(), Path.touch, {"rehearsal": True})
    return out
