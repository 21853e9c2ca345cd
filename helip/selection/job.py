"""One selection from start to end: score a corpus with a model, keep the best, write both with what is known of them."""

import glob
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from helip.config import Selection
from helip.config.mining import BY_ENCODERS
from helip.data.corpus import Corpus
from helip.data.locations import resolve_path
from helip.errors import HelipError
from helip.io import atomic_folder, digest, file_digest, provenance, write_json
from helip.selection.keep import Scored, detection, keep_top, read_column
from helip.selection.mixture import mixture
from helip.synthetic.truth import mismatched

if TYPE_CHECKING:  # they import torch
    from helip.encoders.encoder import Encoder
    from helip.encoders.features import Features
    from helip.selection.features import TrunkRows

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Job:
    """A selection to be made.

    `model` is an open_clip name or local-dir:PATH, `cache` the folder for its features, and `target` the evaluation set of norm_sim
    (helip.evaluation.sets.EvaluationSet). A column of scores needs none of them.
    """

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
    trunks: "TrunkRows | None" = None  # cached features of the corpus by the trunks of a model whose trunks are frozen

    def partial(self, *settings: Any) -> Path:
        """Returns the hidden folder of what is done so far, one for each combination of what the scores depend on."""
        return self.out.parent / f".{self.out.name}.{digest([*settings[:-1], self.corpus.digest, settings[-1]])}.partial"

    def tower(self, modality: Literal["image", "text"]) -> "tuple[Features, Encoder]":
        """Returns the unit features [N, D] of the corpus by one tower of the model, and the tower; ValueError without a `cache`."""
        from helip.selection.features import joint_features

        if self.cache is None:
            raise ValueError(f"{self.spec.score} needs the features of the model, and a cache folder to keep them in")
        how = (self.device, self.batch_size, self.workers, self.trunks)
        return joint_features(self.model, self.pretrained, modality, self.corpus, self.cache, *how)


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
    metadata = _write(job, scored, {"corpus": job.corpus.digest, **scored.sources, **(inputs or {})})
    for partial in job.out.parent.glob(f".{glob.escape(job.out.name)}.*.partial"):
        shutil.rmtree(partial, ignore_errors=True)
    return metadata


def summary(metadata: dict[str, Any]) -> str:
    """Returns how many pairs a selection kept, as a sentence for a terminal; `metadata` is what `run` returned."""
    truth, recall = metadata.get("truth"), metadata.get("neighbour_recall")
    searched = "" if recall is None else f"; {recall:.1%} of the nearest neighbours were found"
    against = f"; against truth: precision {truth['precision']}, recall {truth['recall']}, AUC {truth['auc']}" if truth else ""
    return f"kept {metadata['kept']} of {metadata['size']} pairs, those scored at least {metadata['threshold']:.4f}{searched}{against}"


def _score(job: Job, shard: tuple[int, int]) -> Scored | None:
    """The scores of the corpus, or None where only a shard was asked for."""
    if job.spec.score == "mixture":
        return _mixed(job)
    if job.spec.score == "truth":
        if (mismatched_N := mismatched(job.corpus.folder)) is None:
            raise HelipError(f"{job.corpus.folder}: nobody knows which of its captions are wrong; select by another score than truth")
        return Scored((~mismatched_N).astype(np.float32), {})
    if job.spec.score == "column":
        assert job.spec.column is not None  # Selection refuses the score without it
        path = resolve_path(job.spec.column)
        return Scored(read_column(path, len(job.corpus)), {"column": file_digest(path)})
    if job.spec.score in BY_ENCODERS:
        from helip.selection.encoder_scores import score_by_encoders

        return score_by_encoders(job, shard)
    from helip.selection.scores import clip_score, norm_sim  # torch takes seconds, and a column needs none

    image, image_tower = job.tower("image")
    if job.spec.score == "norm_sim":
        from helip.selection.features import target_features

        target_TD = target_features(image_tower, job.target, job.batch_size)
        sources = {"image_tower": image_tower.weights, "target": job.target.digest("train")}
        return Scored(norm_sim(image.array, target_TD, job.spec.p, job.device), sources)
    text, text_tower = job.tower("text")
    sources = {"image_tower": image_tower.weights, "text_tower": text_tower.weights}
    if job.spec.score == "clip_score":
        return Scored(clip_score(image.array, text.array), sources)
    job = replace(job, spec=job.spec.model_copy(update={"temperature": _temperature(job.spec, text_tower)}))
    scores_N = _shuffled(job, image.array, text.array, sources, shard)
    return None if scores_N is None else Scored(scores_N, sources, {"temperature": job.spec.temperature})


def _temperature(spec: Selection, tower: "Encoder") -> float:
    """The declared temperature, or that of the model that scores (official code: 0.01 for OpenAI's, 0.07 for DFN's)."""
    if spec.temperature is not None:
        return spec.temperature
    assert tower.logit_scale is not None  # as every CLIP's tower has one
    return 1 / tower.logit_scale


def _mixed(job: Job) -> Scored:
    """Of scores that are not sharded."""
    scores: dict[str, np.ndarray] = {}
    sources: dict[str, str] = {}
    facts: dict[str, Any] = {}
    for name in job.spec.scores:
        scored = _score(replace(job, spec=job.spec.model_copy(update={"score": name})), (0, 1))
        assert scored is not None  # only a shard is None
        scores[name] = scored.scores
        sources |= scored.sources
        facts |= scored.facts
    return Scored(mixture(scores, job.spec.scores), sources, facts)


def _shuffled(job: Job, image_ND: np.ndarray, text_ND: np.ndarray, sources: dict[str, str], shard: tuple[int, int]) -> np.ndarray | None:
    from helip.selection import shuffles

    assert job.spec.temperature is not None  # set by now
    folder = job.partial(job.spec.temperature, job.spec.batch_size, job.spec.seed, sources)
    shuffles.compute(job.spec, image_ND, text_ND, folder, shard, job.device)
    return shuffles.mean(job.spec, len(image_ND), folder) if shard == (0, 1) else None


def _write(job: Job, scored: Scored, inputs: dict[str, str]) -> dict[str, Any]:
    scores_N = scored.scores
    keep_N = scores_N > 0 if job.spec.score == "truth" else keep_top(scores_N, job.spec.keep)
    measured = {
        "corpus_digest": job.corpus.digest,
        "size": len(keep_N),
        "kept": int(keep_N.sum()),
        "threshold": float(scores_N[keep_N].min()),  # the lowest score that stays
        "quantiles": {f"{q:g}": float(np.quantile(scores_N, q)) for q in QUANTILES},
        **scored.facts,
    }
    if (mismatched_N := mismatched(job.corpus.folder)) is not None and mismatched_N.any():
        measured["truth"] = detection(scores_N, keep_N, mismatched_N)
    metadata = provenance(job.spec, inputs, model=job.model if not job.model.startswith("local-dir:") else "local-dir", **measured)
    with atomic_folder(job.out) as folder:
        np.save(folder / "keep.npy", keep_N)
        np.save(folder / "scores.npy", scores_N)
        write_json(folder / "selection.json", metadata)
    return metadata
