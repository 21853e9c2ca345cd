"""Encode a whole corpus once: batched, captions sorted by length and each distinct one encoded once, resumable by block."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from helip.config import Encoder as EncoderConfig
from helip.encoders.encoder import Encoder
from helip.encoders.partial import PartialFeatures
from helip.errors import HelipError
from helip.io import atomic_folder, declared, digest, file_digest, new_array, provenance, write_json
from helip.progress import progress

AT_MEAN = 1e-6  # share of the mean's norm that rounding leaves of a feature which is that mean
BLOCK = 4096  # rows between two resume points; captions are sorted by length within one
SHOWN = 80  # characters of a caption, in a message


class Corpus(Protocol):
    """What encoding needs of helip.data.corpus.Corpus."""

    digest: str

    def __len__(self) -> int: ...
    def image(self, i: int) -> Image.Image:
        """Returns the RGB image of sample i."""
        ...

    def caption(self, i: int) -> str:
        """Returns the caption of sample i."""
        ...


def encode(
    declaration: EncoderConfig,
    encoder: Encoder,
    corpus: Corpus,
    out: Path,
    *,
    batch_size: int = 64,
    workers: int = 0,
    dtype: str = "float16",
    raw: bool = False,
    facts: dict[str, Any] | None = None,
) -> None:
    """Writes out/{features.npy, features.json}, whole or not at all.

    features.npy is [N, D] in `dtype`, row i the unit feature of pair i, less the corpus mean where `declaration.centre`; with `raw` it is
    the feature as the encoder gives it. `facts` are further entries of features.json.
    A killed encoding leaves a hidden folder beside `out` and goes on from its last block. HelipError for NaN or zero features.
    """
    if not len(corpus):
        raise HelipError(f"{out}: the corpus is empty, there is nothing to encode")
    weights, preprocessing = encoder.weights, encoder.preprocessing
    identity = {"encoder": declared(declaration), "corpus": corpus.digest, "weights": weights, "preprocessing": preprocessing}
    inputs, row_N = _distinct(encoder, corpus)
    partial = PartialFeatures(out.parent / f".{out.name}.{digest(identity)}.partial", (len(inputs), encoder.dim), "float32")
    for rows_BD in _blocks(encoder, inputs, partial.done, batch_size, workers):
        _refuse_unusable(rows_BD, partial.done, inputs)
        partial.write(rows_BD)
    with atomic_folder(out) as folder:
        _write(folder / "features.npy", partial.rows_ND, row_N, dtype, declaration.centre, raw)
        more = {"rows": len(row_N), "dim": encoder.dim, "dtype": dtype, "modality": encoder.modality, "corpus_digest": corpus.digest}
        more |= {"logits": encoder.logits, "centred": declaration.centre, "distinct": len(inputs), "weights_digest": encoder.weights}
        more |= ({"raw": True} if raw else {}) | (facts or {})
        more["features_digest"] = file_digest(folder / "features.npy")
        sources = {"corpus": corpus.digest, "weights": encoder.weights}
        write_json(folder / "features.json", provenance(declaration, sources, preprocessing=encoder.preprocessing, **more))
    partial.remove()


class _Images(torch.utils.data.Dataset):
    def __init__(self, corpus: Corpus, prepare: Callable):
        self.corpus, self.prepare = corpus, prepare

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.prepare(self.corpus.image(i))


def _distinct(encoder: Encoder, corpus: Corpus) -> tuple[_Images | list[str], np.ndarray]:
    """What to encode, and which of it is the feature of each pair: a caption that recurs is encoded once."""
    if encoder.modality == "image":
        assert encoder.prepare is not None  # as every image encoder has it
        return _Images(corpus, encoder.prepare), np.arange(len(corpus))
    place: dict[str, int] = {}
    row_N = np.array([place.setdefault(corpus.caption(i), len(place)) for i in range(len(corpus))])
    return list(place), row_N


def _plan(inputs: _Images | list[str], done: int, batch_size: int) -> list[np.ndarray]:
    """Batches of ids from `done` on, none across two blocks. Captions come longest first within a block: batches pad little."""
    batches: list[np.ndarray] = []
    for start in range(done, len(inputs), BLOCK):
        ids = np.arange(start, min(start + BLOCK, len(inputs)))
        if isinstance(inputs, list):
            ids = ids[np.argsort([-len(inputs[i]) for i in ids], kind="stable")]
        batches += np.split(ids, range(batch_size, len(ids), batch_size))
    return batches


def _batches(inputs: _Images | list[str], plan: list[np.ndarray], workers: int) -> Iterable[torch.Tensor | list[str]]:
    if isinstance(inputs, list):
        return ([inputs[i] for i in ids] for ids in plan)
    batches: list[Any] = plan  # a batch of ids is an array: a list of 12 million of them would take ten times the memory
    return torch.utils.data.DataLoader(inputs, batch_sampler=batches, num_workers=workers, pin_memory=torch.cuda.is_available())


def _blocks(encoder: Encoder, inputs: _Images | list[str], done: int, batch_size: int, workers: int) -> Iterator[np.ndarray]:
    """The features of the inputs from `done` on, float32 [BLOCK, D] at a time (the last block is what is left)."""
    plan = _plan(inputs, done, batch_size)
    work = progress(_batches(inputs, plan, workers), len(plan), f"encoding {encoder.modality}s", f"batches of {batch_size}")
    start, filled = done, 0
    for ids, batch in zip(plan, work, strict=True):
        if not filled:
            block_BD = np.empty((min(BLOCK, len(inputs) - start), encoder.dim), np.float32)
        block_BD[ids - start] = encoder.embed(batch).numpy()
        filled += len(ids)
        if filled == len(block_BD):
            yield block_BD
            start, filled = start + filled, 0


def _refuse_unusable(rows_BD: np.ndarray, first: int, inputs: _Images | list[str]) -> None:
    """A caption is named by its words: its number here is one among distinct captions, and no pair's."""
    bad = np.flatnonzero(~np.isfinite(rows_BD).all(1) | ~rows_BD.any(1))
    if len(bad):
        row = int(first + bad[0])
        one = f"the caption {_short(inputs[row])!r}" if isinstance(inputs, list) else f"image {row}"
        which = f"{one} and {len(bad) - 1} more of its block"
        remedy = "get its weights again, or give it another precision (--precision bf16 or fp32) where half is too little for it"
        raise HelipError(f"the encoder gave NaN, infinity or nothing but zeros for {which}; {remedy}")


def _short(caption: str) -> str:
    return caption if len(caption) <= SHOWN else f"{caption[:SHOWN]}..."


def _write(path: Path, raw_UD: np.ndarray, row_N: np.ndarray, dtype: str, centre: bool, raw: bool) -> None:
    """Rows to unit length, after the mean over all pairs was taken away, or as they are; in blocks, so that memory stays small."""
    features_ND = new_array(path, dtype, (len(row_N), raw_UD.shape[1]))
    blocks = [slice(start, start + BLOCK) for start in range(0, len(row_N), BLOCK)]
    mean_D = sum(raw_UD[row_N[b]].sum(0, dtype=np.float64) for b in blocks) / len(row_N) if centre and not raw else 0.0
    for block in blocks:
        rows_BD = raw_UD[row_N[block]] - mean_D
        norms_B1 = np.linalg.norm(rows_BD, axis=1, keepdims=True)
        if len(at_mean := np.flatnonzero(norms_B1 < AT_MEAN * np.linalg.norm(mean_D))):
            which = f"the feature of pair {block.start + at_mean[0]} is the corpus mean, and nothing of it is left when that is taken away"
            raise HelipError(f"{which}; leave --centre out, or give a corpus whose pairs differ")
        features_ND[block] = rows_BD if raw else rows_BD / norms_B1
    features_ND.flush()
