"""What was mined and what was dropped, against what the generator knows. Only generated corpora can be measured so."""

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from helip.io import atomic_file, read_json
from helip.mining.pairs import PairSet
from helip.reporting.inputs import measurable_pairs, selection_files
from helip.stages import BuildCorpus, Mine
from helip.study import Study
from helip.synthetic.truth import Truth

ATTRIBUTES = 11


@dataclass(frozen=True)
class Quality:
    """One pair set: shares of its (target, hard pair) entries, and its noise rule as a detector of mismatched pairs. Percent."""

    pairs: str
    corpus: str
    method: str
    image_encoder: str
    text_encoder: str
    targets: int
    noise_targets: int
    false_negatives: float  # the hard caption is true of the target's image
    same_concept: float
    truly_hard: float  # at most two attributes apart, captions not true of each other
    attribute_overlap: float  # attributes that both images share
    chance_overlap: float  # the same for pairs drawn at random
    noise_precision: float | None
    noise_recall: float | None
    mismatched: float  # of the corpus


def quality(study: Study, name: str) -> Quality:
    corpus, spec = study.pairs_entry(name)
    truth, pairs = Truth.open(BuildCorpus(study, corpus).folder), PairSet.open(Mine(study, name).folder)
    i, j = entries(pairs)
    draw = np.random.default_rng(0).integers(0, len(truth), (2, 20_000))
    found = int((pairs.noise & truth.mismatched).sum())
    noise, bad = int(pairs.noise.sum()), int(truth.mismatched.sum())
    return Quality(
        name, corpus, spec.method, spec.image_encoder, spec.text_encoder, len(pairs), noise,
        _percent(truth.caption_true_of(j, i)), _percent(truth.same_concept(i, j)), _percent(truth.truly_hard(i, j)),
        _percent(truth.attribute_overlap(i, j) / ATTRIBUTES), _percent(truth.attribute_overlap(*draw) / ATTRIBUTES),
        100 * found / noise if noise else None, 100 * found / bad if bad else None, _percent(truth.mismatched),
    )  # fmt: skip


def entries(pairs: PairSet) -> tuple[np.ndarray, np.ndarray]:
    """(targets, hard pairs), ids of all entries of a pair set."""
    return np.repeat(np.arange(len(pairs)), np.diff(pairs.offsets)), np.asarray(pairs.ids)


def overlap_by_target(study: Study, name: str) -> np.ndarray:
    """float64 [targets]: the share in percent of a target's attributes that its hard pairs show too; NaN where it has none."""
    corpus, _ = study.pairs_entry(name)
    truth, pairs = Truth.open(BuildCorpus(study, corpus).folder), PairSet.open(Mine(study, name).folder)
    i, j = entries(pairs)
    with np.errstate(invalid="ignore"):
        total = np.bincount(i, truth.attribute_overlap(i, j), minlength=len(pairs)) / np.bincount(i, minlength=len(pairs))
    return 100 * total / ATTRIBUTES


def _percent(values: np.ndarray) -> float:
    return 100 * float(np.mean(values)) if len(values) else float("nan")


def write_quality(study: Study, path: Path) -> list[Quality]:
    """One row per pair set, as results/<study>/mining_quality.csv."""
    found = [quality(study, name) for name in measurable_pairs(study)]
    _write_rows(path, Quality, found)
    return found


@dataclass(frozen=True)
class Selected:
    """What one selection dropped, as a detector of mismatched pairs. Percent."""

    selection: str
    start: str
    seed: str
    corpus: str
    score: str
    keep: float  # as declared
    dropped: float  # of the corpus
    mismatched: float  # of the corpus
    precision: float | None
    recall: float | None
    auc: float | None  # of the score itself


def selections(study: Study) -> Iterator[Selected]:
    """Every first-seed selection that was made and that truth exists for."""
    for file in selection_files(study):
        if "truth" not in (about := read_json(file)):
            continue
        start, seed, name = file.parts[-4:-1]
        truth, declared = about["truth"], about["declaration"]
        shares = [100 * truth[k] / about["size"] for k in ("dropped", "mismatched")]
        found = [None if truth[k] is None else 100 * truth[k] for k in ("precision", "recall", "auc")]
        corpus = study.run(start).corpus
        yield Selected(name, start, seed.removeprefix("seed"), corpus, declared["score"], declared["keep"], *shares, *found)


def write_selections(study: Study, path: Path) -> list[Selected]:
    """One row per selection, as results/<study>/selection_quality.csv; no file where there is none."""
    found = list(selections(study))
    if found:
        _write_rows(path, Selected, found)
    return found


def _write_rows(path: Path, kind: type, rows: list) -> None:
    with atomic_file(path) as temporary, open(temporary, "w", newline="") as f:
        writer = csv.DictWriter(f, [field.name for field in fields(kind)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows)
