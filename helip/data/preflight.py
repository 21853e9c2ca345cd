"""What the first samples of a corpus say before a GPU is spent on them: in seconds, and in one sentence when it is bad news."""

import collections
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from helip.errors import HelipError


class Samples(Protocol):
    """This protocol is what a preflight asks of a corpus; `helip.data.corpus.Corpus` has it."""

    folder: Path

    def __len__(self) -> int: ...

    def image(self, i: int) -> Image.Image:
        """Returns the RGB image of pair i."""

    def caption(self, i: int) -> str:
        """Returns the caption of pair i."""


@dataclass(frozen=True)
class Preflight:
    """What the first samples of a corpus were measured to be; the fields on tokens are None where no tokenizer was given."""

    samples: int
    distinct_captions: int
    distinct_images: int
    median_side: int  # pixels, the shorter one
    median_tokens: float | None = None  # with start and end
    most_tokens: int | None = None
    context_length: int | None = None
    full_share: float | None = None  # of captions that fill the context: cut, or just fitting
    warnings: list[str] = field(default_factory=list)


def preflight(
    corpus: Samples,
    tokenize: Callable[[list[str]], Any] | None = None,
    vocabulary: int | None = None,
    first: int = 1000,
    seconds: float = 30.0,
) -> Preflight:
    """Decodes and tokenizes the first samples, as many as can be decoded in `seconds` but at least one; a warning says where they are
    fewer.

    tokenize: captions -> [n, context] ids padded with 0. vocabulary: how many ids the model embeds. Raises HelipError for an undecodable
    image, one caption or image that makes up most of the corpus, captions without tokens, and ids that the model has no row for.
    """
    wanted = min(first, len(corpus))
    images, sides = _images(corpus, wanted, seconds)
    captions = [corpus.caption(i) for i in range(len(images))]
    measured: dict[str, Any] = {
        "samples": len(images),
        "distinct_captions": _varied(corpus, captions, "caption"),
        "distinct_images": _varied(corpus, images, "image"),
        "median_side": int(np.median(sides)),
    }
    tokens = _tokens(corpus, captions, tokenize, vocabulary) if tokenize else {}
    slow = [f"{len(images)} of the first {wanted} samples were looked at: no more could be decoded in {seconds:g} s"]
    return Preflight(**measured, **tokens | {"warnings": slow * (len(images) < wanted) + tokens.get("warnings", [])})


def _images(corpus: Samples, wanted: int, seconds: float) -> tuple[list[bytes], list[int]]:
    """(what stands for the pixels, shorter side) of each image that there is time for; no image is kept."""
    begun, digests, sides = time.monotonic(), [], []
    for i in range(wanted):
        image = corpus.image(i)
        digests.append(hashlib.sha256(image.tobytes()).digest())
        sides.append(min(image.size))
        if time.monotonic() - begun >= seconds:
            break
    return digests, sides


def _varied(corpus: Samples, values: list, what: str) -> int:
    """How many differ. A placeholder image or a wrong caption column repeats one value."""
    counts = collections.Counter(values)
    value, most = counts.most_common(1)[0]
    if len(values) > 2 and most > len(values) / 2:
        shown = f" ({value[:60]!r})" if isinstance(value, str) else ""
        raise HelipError(
            f"{corpus.folder}: {most} of its first {len(values)} samples have the same {what}{shown}; check where the {what}s come from"
        )
    return len(counts)


def _tokens(corpus: Samples, captions: list[str], tokenize: Callable, vocabulary: int | None) -> dict[str, Any]:
    tokens = np.asarray(tokenize(captions))
    if tokens.ndim != 2 or len(tokens) != len(captions) or tokens.dtype.kind not in "iu":
        raise HelipError(
            f"{corpus.folder}: the tokenizer gives {tokens.dtype} of shape {tokens.shape} for {len(captions)} captions, "
            "and a model needs integers [captions, context]; choose the model's own tokenizer"
        )
    context = tokens.shape[1]
    if vocabulary is not None and tokens.max() >= vocabulary:
        raise HelipError(
            f"{corpus.folder}: the tokenizer gives id {tokens.max()}, and the model embeds {vocabulary}; choose the model's own tokenizer"
        )
    lengths = np.where(tokens != 0, np.arange(1, context + 1), 0).max(1)
    if (lengths <= 2).mean() > 0.5:
        few = f"{(lengths <= 2).sum()} of its first {len(captions)} captions"
        raise HelipError(f"{corpus.folder}: {few} have no tokens between start and end; check captions and tokenizer")
    full = float((lengths == context).mean())
    cut = [f"{full:.0%} of the first {len(captions)} captions fill the context of {context} tokens: they may be cut"] if full > 0.1 else []
    return {"median_tokens": float(np.median(lengths)), "most_tokens": int(lengths.max()), "context_length": context, "full_share": full,
            "warnings": cut}  # fmt: skip
