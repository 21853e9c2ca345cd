"""Agreement, ridge and LEMoN of a corpus: its features by single-modality encoders, opened and checked, and the scores from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helip.data.corpus import Corpus
from helip.data.locations import resolve_path
from helip.encoders.features import Features
from helip.errors import HelipError
from helip.io import file_digest, read_json
from helip.mining.features import load
from helip.selection import neighbour_parts
from helip.selection.agreement import combined
from helip.selection.keep import Scored
from helip.selection.lemon import lemon_distances, own_distances
from helip.selection.ridge import ridge

if TYPE_CHECKING:  # it imports this module
    from helip.selection.job import Job


def score_by_encoders(job: "Job", shard: tuple[int, int] = (0, 1)) -> Scored | None:
    """The scores of a helip.selection.job.Job whose score is agreement, ridge or lemon; None where only a shard was asked for, which
    agreement alone has. The recall of an approximate search is among their facts.

    LEMoN's own distances are the checkpoint's where the job names a model; its neighbours too where there are no encoders' features.
    """
    spec, resources = job.spec, dict[str, Any]({"memory": job.memory, "device": job.device})
    search = resources | {"approximate": spec.approximate}
    places = job.features or {m: resolve_path(p) for m, p in (("image", spec.image_features), ("text", spec.text_features)) if p}
    arrays, sources = {}, {}
    for modality, place in places.items():
        arrays[modality], sources[f"{modality}_features"] = open_features(Path(place), job.corpus, modality)
    match spec.score:
        case "agreement":
            folder = job.partial(*([spec.approximate] if spec.approximate else []), spec.k, sources)
            neighbour_parts.compute(*_both(arrays), spec.k, folder, shard, **search)
            if shard != (0, 1):
                return None
            parts = neighbour_parts.read(len(job.corpus), folder)
            return Scored(combined(parts, spec.hubness), sources, _recall([part.recall for part in parts]))
        case "ridge":
            return Scored(ridge(*_both(arrays), strength=spec.strength, k=spec.k, hubness=spec.hubness, **resources), sources)
    own = None
    if job.model:
        towers = {modality: job.tower(modality) for modality in ("image", "text")}
        sources |= {f"{modality}_tower": encoder.weights for modality, (_, encoder) in towers.items()}
        joint = {modality: features.array for modality, (features, _) in towers.items()}
        own, arrays = own_distances(*_both(joint)), arrays or joint
    distances = lemon_distances(*_both(arrays), spec.lemon.k, own=own, **search)
    return Scored(distances.score(spec.lemon), sources, _recall([distances.recall]))


def _recall(result: list[float | None]) -> dict[str, float]:
    """Of an approximate search, the lowest of its parts; nothing of an exact one."""
    measured = [one for one in result if one is not None]
    return {"neighbour_recall": min(measured)} if measured else {}


def open_features(place: Path, corpus: Corpus, modality: str) -> tuple[np.ndarray, str]:
    """(features [N, D], a digest) of a folder that `helip encode` wrote for this corpus, or of an .npy file of as many rows.

    HelipError for features of another corpus, and of the other modality where a JSON beside them says so.
    """
    beside = place / "features.json" if place.is_dir() else place.with_suffix(".json")
    metadata = read_json(beside) if beside.is_file() else {}
    if (recorded := metadata.get("modality", modality)) != modality:
        raise HelipError(f"{place}: holds {recorded} features, and is given as {modality} features; give the {modality} encoder's")
    if place.is_dir():
        return Features.open(place, corpus.digest).array, metadata["weights_digest"]
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
