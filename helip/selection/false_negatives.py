"""Hard pairs that the model to be refined cannot tell from matches: false negatives, most likely."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.mining.pairs import PairSet
from helip.models.reference import ModelRef

BLOCK = 1 << 16  # entries scored at once


def filter_pairs(
    corpus: Corpus, pairs: Path, model: ModelRef, cache: Path, margin: float, out: Path, facts: dict[str, Any] | None = None,
    device: str = "cpu", batch_size: int = 64, workers: int = 0, relative_margin: float = 0.0,
) -> tuple[PairSet, PairSet]:  # fmt: skip
    """Writes a pair set without the hard pairs that `model` takes for matches; returns the pair sets before and after.

    margin, relative_margin: see drop_false_negatives. cache: the folder for the model's features of the corpus, shared with `helip select`.
    facts: more entries of pairs.json. device: as torch names it. batch_size, workers: of the encoder, and processes that decode images.
    Raises HelipError where the pairs are of another corpus or are one shard, and where no hard pair would be left.
    """
    from helip.selection.features import joint_features

    before = PairSet.open(pairs, corpus.digest)
    (image, image_tower), (text, text_tower) = (
        joint_features(model.name, model.pretrained, modality, corpus, cache, device, batch_size, workers) for modality in ("image", "text")
    )
    after = drop_false_negatives(before, image.array, text.array, margin, relative_margin)
    if len(before.ids) and not len(after.ids):
        raise HelipError(f"{pairs}: a margin of {margin:g} takes all {len(before.ids)} hard pairs for matches; lower it")
    inputs = {**before.metadata.get("inputs", {}), "image_tower": image_tower.weights, "text_tower": text_tower.weights}
    inherited: dict[str, Any] = {name: before.metadata[name] for name in ("encoders", "recovered_share") if name in before.metadata}
    facts = {**(facts or {}), "relative_margin": relative_margin} if relative_margin else facts
    facts = {
        "false_negative_margin": margin,
        "left_out": after.metadata["left_out"],
        "entries_before": len(before.ids),
        **inherited,
        **(facts or {}),
    }
    after.save(out, inputs=inputs, corpus_digest=corpus.digest, **facts)
    return before, after


def summary(before: PairSet, after: PairSet) -> str:
    """Returns how many hard pairs were kept and how many targets lost all of theirs, as a sentence for a terminal."""
    emptied = int(((after.offsets[1:] == after.offsets[:-1]) & ~after.noise).sum())
    left = after.metadata["left_out"]
    why = f"{left['caption_fits_image']} fit the target's image, {left['image_fits_caption']} more its caption"
    return f"kept {len(after.ids)} of {len(before.ids)} hard pairs ({why}); {emptied} targets have none left and bring none"


def drop_false_negatives(
    pairs: PairSet, image_ND: np.ndarray, text_ND: np.ndarray, margin: float = 0.0, relative_margin: float = 0.0
) -> PairSet:
    """Returns the same pair set without each hard pair j of i that is likely a match.

    A match fits i's image as well as i's own caption does, within `margin`, or its image fits i's caption as well as its own: s_ij >= s_ii
    - margin or s_ji >= s_jj - margin, s the cosine of image and caption. With a relative margin r, (1 - r) s_ii stands where s_ii stood, as
    sentence-transformers' mine_hard_negatives has it. `metadata` counts what was left out, by reason (left_out).

    image_ND and text_ND are unit rows of the whole corpus, also memory-mapped. `noise` stays as it was mined: a target that loses all its
    hard pairs has an empty H_i and is no outlier for it. HelipError where pairs and features do not belong together.
    """
    if not len(image_ND) == len(text_ND) == pairs.corpus_size or pairs.shard != (0, 1):
        raise HelipError(
            f"pairs of {pairs.corpus_size} targets (shard {pairs.shard[0]}/{pairs.shard[1]}) and features of {len(image_ND)} and "
            f"{len(text_ND)} pairs do not belong together; give a whole pair set and the features of its corpus"
        )
    N, E = len(image_ND), len(pairs.ids)
    own_N = np.concatenate([_cosines(image_ND, text_ND, ids, ids) for ids in np.array_split(np.arange(N), max(1, N // BLOCK))])
    own_N = own_N - relative_margin * np.abs(own_N)
    left = {"caption_fits_image": 0, "image_fits_caption": 0}
    keep_E, counts_N = np.empty(E, bool), np.zeros(N, np.int64)
    for start in range(0, E, BLOCK):  # one byte an entry is held, and a block of features
        entries = np.arange(start, min(start + BLOCK, E))
        i, j = np.searchsorted(pairs.offsets, entries, side="right") - 1, pairs.ids[entries]
        caption, image = _cosines(image_ND, text_ND, i, j) >= own_N[i] - margin, _cosines(image_ND, text_ND, j, i) >= own_N[j] - margin
        left["caption_fits_image"] += int(caption.sum())
        left["image_fits_caption"] += int((image & ~caption).sum())
        fits = caption | image
        keep_E[entries] = ~fits
        np.add.at(counts_N, i, ~fits)
    offsets = np.concatenate([[0], np.cumsum(counts_N)]).astype(np.int64)
    metadata = pairs.metadata | {"left_out": left}
    return replace(
        pairs, metadata=metadata, ids=np.asarray(pairs.ids)[keep_E], scores_flat=np.asarray(pairs.scores_flat)[keep_E], offsets=offsets
    )


def _cosines(image_ND: np.ndarray, text_ND: np.ndarray, images_B: np.ndarray, texts_B: np.ndarray) -> np.ndarray:
    """float32 [B]: of image images_B[b] and caption texts_B[b]."""
    cosines_B: np.ndarray = np.einsum("bd,bd->b", image_ND[images_B].astype(np.float32), text_ND[texts_B].astype(np.float32))
    return cosines_B
