"""Agreement, ridge and LEMoN of a corpus: its features by single-modality encoders, opened and checked, and the scores from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helip.data.corpus import Corpus
from helip.data.locations import resolve_path
from helip.encoders.features import Features
from helip.errors import HelipError
from helip.io import file_digest
from helip.mining.features import load
from helip.selection import neighbour_parts
from helip.selection.agreement import combined
from helip.selection.lemon import lemon, own_distances
from helip.selection.ridge import ridge

if TYPE_CHECKING:  # it imports this module
    from helip.selection.job import Job


def score_by_encoders(job: "Job", shard: tuple[int, int] = (0, 1)) -> tuple[np.ndarray, dict[str, str]] | None:
    """(scores [N], digests of what they came from) of a helip.selection.job.Job whose score is agreement, ridge or lemon; None where
    only a shard was asked for, which agreement alone has.

    LEMoN's own distances are the checkpoint's where the job names a model; its neighbours too where there are no encoders' features.
    """
    spec, search = job.spec, dict[str, Any]({"memory": job.memory, "device": job.device})
    places = job.features or {m: resolve_path(p) for m, p in (("image", spec.image_features), ("text", spec.text_features)) if p}
    arrays, sources = {}, {}
    for modality, place in places.items():
        arrays[modality], sources[f"{modality}_features"] = open_features(Path(place), job.corpus)
    match spec.score:
        case "agreement":
            folder = job.partial(spec.k, sources)
            neighbour_parts.compute(*_both(arrays), spec.k, folder, shard, **search)
            return (combined(neighbour_parts.read(len(job.corpus), folder), spec.hubness), sources) if shard == (0, 1) else None
        case "ridge":
            return ridge(*_both(arrays), strength=spec.strength, k=spec.k, hubness=spec.hubness), sources
    own = None
    if job.model:
        towers = {modality: job.tower(modality) for modality in ("image", "text")}
        sources |= {f"{modality}_tower": encoder.weights for modality, (_, encoder) in towers.items()}
        joint = {modality: features.array for modality, (features, _) in towers.items()}
        own, arrays = own_distances(*_both(joint)), arrays or joint
    return lemon(*_both(arrays), spec.lemon, own=own, **search), sources


def open_features(place: Path, corpus: Corpus) -> tuple[np.ndarray, str]:
    """(features [N, D], a digest) of a folder that `helip encode` wrote for this corpus, or of an .npy file of as many rows."""
    if place.is_dir():
        features = Features.open(place, corpus.digest)
        return features.array, features.metadata["weights_digest"]
    array = load(place)
    if array.ndim != 2 or len(array) != len(corpus):
        raise HelipError(
            f"{place}: holds {array.dtype} {list(array.shape)}, and the corpus needs one row for each of its {len(corpus)} pairs"
        )
    return array, file_digest(place)


def _both(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    missing = [modality for modality in ("image", "text") if modality not in arrays]
    if missing:
        raise HelipError(f"{' and '.join(missing)} features: missing; name the encoders' features, or for lemon a model")
    return arrays["image"], arrays["text"]
