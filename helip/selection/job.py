"""One selection from start to end: score a corpus with a model, keep the best, write both with what is known of them."""

import glob
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from helip.config import Selection
from helip.data.corpus import Corpus
from helip.data.locations import resolve_path
from helip.errors import HelipError
from helip.io import atomic_folder, digest, file_digest, provenance, write_json
from helip.selection.keep import keep_top, read_column
from helip.selection.mixture import mixture
from helip.selection.quality import detection
from helip.synthetic.truth import Truth

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Job:
    """`model` is an open_clip name or local-dir:PATH, `cache` the folder for its features, `target` the evaluation set of norm_sim
    (helip.evaluation.sets.EvaluationSet). A column of scores needs none of them."""

    spec: Selection
    corpus: Corpus
    out: Path
    model: str = ""
    pretrained: str | None = None
    cache: Path | None = None
    target: Any = None
    device: str = "cpu"
    batch_size: int = 64
    workers: int = 0
    features: dict[str, Path] | None = None  # agreement, ridge, lemon: of single-modality encoders, by modality; else as `spec` names them
    memory: int | str = "2GiB"

    def partial(self, *settings: Any) -> Path:
        """The hidden folder of what is done so far, one for each thing that the scores depend on."""
        return self.out.parent / f".{self.out.name}.{digest([*settings[:-1], self.corpus.digest, settings[-1]])}.partial"

    def tower(self, modality: str):
        from helip.selection.features import joint_features

        return joint_features(self.model, self.pretrained, modality, self.corpus, self.cache, self.device, self.batch_size, self.workers)


def run(job: Job, shard: tuple[int, int] = (0, 1), inputs: dict[str, str] | None = None) -> dict[str, Any] | None:
    """Writes out/{keep.npy, scores.npy, selection.json}, whole or not at all, and returns what the JSON says.

    Only s-CLIPLoss and agreement can be cut into shards: shard (i, n) leaves its shuffles or parts in a hidden folder beside `out` and
    returns None; a run without shard, there or after a crash, takes what lies in it and computes the rest.
    """
    if shard != (0, 1) and job.spec.score not in ("s_clip_loss", "agreement"):
        raise HelipError(f"--shard: {' + '.join(job.spec.scores)} is one pass over the features and has no shards; leave --shard out")
    scored = _score(job, shard)
    if scored is None:
        return None
    scores_N, sources = scored
    said = _write(job, scores_N, {"corpus": job.corpus.digest, **sources, **(inputs or {})})
    for partial in job.out.parent.glob(f".{glob.escape(job.out.name)}.*.partial"):
        shutil.rmtree(partial, ignore_errors=True)
    return said


def _score(job: Job, shard: tuple[int, int]) -> tuple[np.ndarray, dict[str, str]] | None:
    """(scores [N], digests of what they came from), or None where only a shard was asked for."""
    if isinstance(job.spec.score, dict):
        return _mixed(job)
    if job.spec.score == "truth":
        return (~Truth.open(job.corpus.folder).mismatched).astype(np.float32), {}
    if job.spec.score == "column":
        path = resolve_path(job.spec.column)
        return read_column(path, len(job.corpus)), {"column": file_digest(path)}
    if job.spec.score in ("agreement", "ridge", "lemon"):
        from helip.selection.frozen import score_by_encoders

        return score_by_encoders(job, shard)
    from helip.selection.scores import clip_score, norm_sim  # torch takes seconds, and a column needs none

    image, image_tower = job.tower("image")
    if job.spec.score == "norm_sim":
        from helip.selection.features import target_features

        target_TD = target_features(image_tower, job.target, job.batch_size)
        sources = {"image_tower": image_tower.weights, "target": job.target.digest("train")}
        return norm_sim(image.array, target_TD, job.spec.p, job.device), sources
    text, text_tower = job.tower("text")
    sources = {"image_tower": image_tower.weights, "text_tower": text_tower.weights}
    if job.spec.score == "clip_score":
        return clip_score(image.array, text.array), sources
    scores_N = _shuffled(job, image.array, text.array, sources, shard)
    return None if scores_N is None else (scores_N, sources)


def _mixed(job: Job) -> tuple[np.ndarray, dict[str, str]]:
    scores, sources = {}, {}
    for name in job.spec.scores:
        scores[name], of = _score(replace(job, spec=job.spec.model_copy(update={"score": name})), (0, 1))
        sources |= of
    return mixture(scores, job.spec.scores), sources


def _shuffled(job: Job, image_ND: np.ndarray, text_ND: np.ndarray, sources: dict[str, str], shard: tuple[int, int]) -> np.ndarray | None:
    from helip.selection import shuffles

    folder = job.partial(job.spec.temperature, job.spec.batch_size, job.spec.seed, sources)
    shuffles.compute(job.spec, image_ND, text_ND, folder, shard, job.device)
    return shuffles.mean(job.spec, len(image_ND), folder) if shard == (0, 1) else None


def _write(job: Job, scores_N: np.ndarray, inputs: dict[str, str]) -> dict[str, Any]:
    keep_N = scores_N > 0 if job.spec.score == "truth" else keep_top(scores_N, job.spec.keep)
    facts = {
        "corpus_digest": job.corpus.digest,
        "size": len(keep_N),
        "kept": int(keep_N.sum()),
        "threshold": float(scores_N[keep_N].min()),  # the lowest score that stays
        "quantiles": {f"{q:g}": float(np.quantile(scores_N, q)) for q in QUANTILES},
    }
    if Truth.known(job.corpus.folder):
        facts["truth"] = detection(scores_N, keep_N, Truth.open(job.corpus.folder).mismatched)
    said = provenance(job.spec, inputs, model=job.model if not job.model.startswith("local-dir:") else "local-dir", **facts)
    with atomic_folder(job.out) as folder:
        np.save(folder / "keep.npy", keep_N)
        np.save(folder / "scores.npy", scores_N)
        write_json(folder / "selection.json", said)
    return said
