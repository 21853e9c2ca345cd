"""The cache of trunk features: views of every image and all captions, encoded once and memory-mapped."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from helip.config import Encoder as EncoderConfig
from helip.config import FrozenModel
from helip.data.subset import origin_of
from helip.encoders import blocks, cache
from helip.encoders import load as load_encoder
from helip.encoders.encoder import Encoder
from helip.encoders.features import Features
from helip.encoders.rearranged import rearrange
from helip.encoders.union import interleaved, join_raw
from helip.errors import HelipError
from helip.io import digest, read_json
from helip.models.frozen import check_trunk
from helip.training.batches import Corpus
from helip.training.frozen.views import Captions, Views, first_captions

Trunks = tuple[tuple[EncoderConfig, Encoder], tuple[EncoderConfig, Encoder]]  # of images and of text: what is declared, and the encoder


@dataclass(frozen=True)
class TrunkFeatures:
    """Memory-mapped features of a corpus: `images` [V, N, D] of its views, `texts` [M, D] of all captions, `counts` [N] of an image each;
    `digest` stands for all."""

    images: np.ndarray
    texts: np.ndarray
    counts: np.ndarray
    crop_scale: tuple[float, float] | None
    digest: str
    mirrored: bool = True

    @cached_property
    def first(self) -> np.ndarray:
        """The row in `texts` of each pair's first caption, [N] int64."""
        return first_captions(self.counts)

    def __len__(self) -> int:
        return self.images.shape[1]

    @property
    def views(self) -> int:
        """The number V of cached views of an image."""
        return self.images.shape[0]

    def image_rows(self, views_B: np.ndarray, ids_B: np.ndarray) -> np.ndarray:
        """Returns the image trunk's features of these views of these images, float32 [B, D]."""
        return np.asarray(self.images[views_B, ids_B], np.float32)

    def text_rows(self, ids_B: np.ndarray, draws_B: np.ndarray | None = None) -> np.ndarray:
        """Returns the text trunk's features of a caption of each of these pairs, float32 [B, D]: of the first, or where `draws_B` in
        [0, 1) are given of those that they draw."""
        drawn_B = np.zeros(len(ids_B), np.int64) if draws_B is None else (draws_B * self.counts[ids_B]).astype(np.int64)
        return np.asarray(self.texts[self.first[ids_B] + drawn_B], np.float32)


def trunks_of(declaration: FrozenModel, image: EncoderConfig, text: EncoderConfig, device: str = "cpu") -> Trunks:
    """Opens the two trunks of a model, up to their unfrozen blocks; HelipError where one cannot be had."""
    if declaration.unfrozen_blocks:
        cut = declaration.unfrozen_blocks, declaration.context_length
        return (image, blocks.front(image, *cut, device)), (text, blocks.front(text, *cut, device))
    return (image, load_encoder(image, device=device)), (text, load_encoder(text, device=device))


def encode_corpus(
    declaration: FrozenModel,
    trunks: Trunks,
    corpus: Corpus,
    folder: Path,
    *,
    seed: int = 0,
    batch_size: int = 64,
    workers: int = 0,
    dtype: str = "float32",
) -> TrunkFeatures:
    """Encodes the views of all images and all captions into `folder`/{image,text}, where they are not there already, and opens them.

    A killed encoding goes on from its last block. Features of another corpus, of other views or by other weights are replaced.
    HelipError is raised for a trunk of the wrong modality and for features that cannot be used.
    """
    seen: Any = views_of(declaration, corpus, seed)
    counts_N = corpus.caption_counts()
    texts = _captions(corpus, counts_N)
    for side, name, rows, (declared, encoder) in (
        ("image", declaration.image_trunk, seen, trunks[0]),
        ("text", declaration.text_trunk, texts, trunks[1]),
    ):
        check_trunk(side, name, declared)
        if not _is_of(folder / side, rows.digest, encoder, dtype):
            facts = _facts(declaration, seed) if side == "image" else {}
            cache.encode(declared, encoder, rows, folder / side, batch_size=batch_size, workers=workers, dtype=dtype, raw=True, facts=facts)
    return open_features(folder, counts_N, seen.digest, texts.digest)


def views_of(declaration: FrozenModel, corpus: Corpus, seed: int = 0) -> Views:
    """Returns the views of a corpus that a model's image trunk sees."""
    return Views(corpus, declaration.views, declaration.crop_scale, seed, declaration.mirrored)


def _facts(declaration: FrozenModel, seed: int) -> dict[str, Any]:
    """What features.json says of cached views."""
    plain = {} if declaration.mirrored else {"mirrored": False}
    return {"views": declaration.views, "crop_scale": declaration.crop_scale, "seed": seed} | plain


def _captions(corpus: Corpus, counts_N: np.ndarray) -> Any:
    """What the text trunk encodes: the corpus itself where each image has one caption."""
    return Captions(corpus, counts_N) if counts_N.max(initial=1) > 1 else corpus


def features_of(folder: Path, corpus: Corpus, declaration: FrozenModel, seed: int = 0) -> TrunkFeatures:
    """Opens what `encode_corpus` wrote. HelipError is raised where it is broken, of another corpus or of other views."""
    counts_N, seen = corpus.caption_counts(), views_of(declaration, corpus, seed)
    return open_features(folder, counts_N, seen.digest, _captions(corpus, counts_N).digest)


def rearrange_features(declaration: FrozenModel, of: Corpus, features: Path, corpus: Corpus, folder: Path) -> None:
    """Writes into `folder` the features of a corpus with swapped captions or of a subset, from the `features` of the corpus that it is
    made of: nothing is encoded again. They are what `encode_corpus` would write, but that a subset has the crops that its pairs have in
    that corpus. HelipError is raised where the features are broken or of another corpus.
    """
    (image_N, text_N), base = origin_of(corpus.folder), features_of(features, of, declaration)
    assert text_N is not None  # as the corpus was made of another
    rows = [np.arange(base.first[s], base.first[s] + base.counts[s]) for s in text_N.tolist()]
    views = None if image_N is None else (np.arange(base.views)[:, None] * len(base) + image_N).ravel()
    image, text = (Features.open(features / side) for side in ("image", "text"))
    seen, texts = views_of(declaration, corpus), _captions(corpus, corpus.caption_counts())
    rearrange(image, views, seen.digest, folder / "image")
    rearrange(text, np.concatenate(rows), texts.digest, folder / "text")


def join_features(declaration: FrozenModel, members: list[TrunkFeatures], folders: list[Path], corpus: Corpus, folder: Path) -> None:
    """Writes into `folder` the features of a union, those of its `members` one behind the other; crops are those of the members. `folders`
    are where they lie. HelipError is raised where the members had different trunks.
    """
    digests = {"image": views_of(declaration, corpus).digest, "text": _captions(corpus, corpus.caption_counts()).digest}
    parts = {"image": [m.images.reshape(-1, m.images.shape[-1]) for m in members], "text": [m.texts for m in members]}
    orders = {"image": interleaved(declaration.views, [len(m) for m in members]), "text": None}
    for side, arrays in parts.items():
        join_raw([Features.open(f / side) for f in folders], arrays, orders[side], digests[side], folder / side)


def _is_of(folder: Path, corpus_digest: str, encoder: Encoder, dtype: str) -> bool:
    if not (folder / "features.json").is_file():
        return False
    written = read_json(folder / "features.json")
    expected = (corpus_digest, encoder.weights, encoder.preprocessing, dtype, True)
    return tuple(written.get(k) for k in ("corpus_digest", "weights_digest", "preprocessing", "dtype", "raw")) == expected


def open_features(folder: Path, counts_N: np.ndarray, views_digest: str | None = None, captions_digest: str | None = None) -> TrunkFeatures:
    """Opens what `encode_corpus` wrote for a corpus whose pairs have `counts_N` captions each. HelipError is raised where it is broken or
    of another corpus."""
    wanted = {"image": views_digest, "text": captions_digest}
    image, text = (Features.open(folder / side, expected, "encode the views and captions again") for side, expected in wanted.items())
    views, crop_scale = image.metadata["views"], image.metadata["crop_scale"]
    size, captions = len(counts_N), int(counts_N.sum())
    if len(text) != captions or len(image) != views * size:
        raise HelipError(f"{folder}: holds features of {len(text)} captions and the corpus has {captions}; encode this corpus again")
    stands_for = digest([[f.metadata["corpus_digest"], f.metadata["weights_digest"], f.metadata["preprocessing"]] for f in (image, text)])
    scale, mirrored = tuple(crop_scale) if crop_scale else None, image.metadata.get("mirrored", True)
    return TrunkFeatures(image.array.reshape(views, size, -1), text.array, counts_N, scale, stands_for, mirrored)
