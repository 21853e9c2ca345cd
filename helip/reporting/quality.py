"""What was mined and what was dropped, against what the generator knows. Only generated corpora can be measured so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helip.io import read_json
from helip.mining.pairs import PairSet
from helip.reporting.csv_files import write_csv
from helip.stages import BuildCorpus, Mine
from helip.stages.figure import measurable_pairs, selection_files
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
    """Measures a pair set against the truth of its generated corpus."""
    corpus, spec = study.pairs_entry(name)
    truth, pairs = Truth.open(BuildCorpus(study, corpus).folder), PairSet.open(Mine(study, name).folder)
    i, j = entries(pairs)
    draw = np.random.default_rng(0).integers(0, len(truth), (2, 20_000))
    both = int((pairs.noise & truth.mismatched).sum())
    noise, bad = int(pairs.noise.sum()), int(truth.mismatched.sum())
    return Quality(
        name, corpus, spec.method, spec.image_encoder, spec.text_encoder, len(pairs), noise,
        _percent(truth.caption_true_of(j, i)), _percent(truth.same_concept(i, j)), _percent(truth.truly_hard(i, j)),
        _percent(truth.attribute_overlap(i, j) / ATTRIBUTES), _percent(truth.attribute_overlap(*draw) / ATTRIBUTES),
        100 * both / noise if noise else None, 100 * both / bad if bad else None, _percent(truth.mismatched),
    )  # fmt: skip


def entries(pairs: PairSet) -> tuple[np.ndarray, np.ndarray]:
    """Returns (targets, hard pairs): the ids of all entries of a pair set."""
    return np.repeat(np.arange(len(pairs)), np.diff(pairs.offsets)), np.asarray(pairs.ids)


def overlap_by_target(study: Study, name: str) -> np.ndarray:
    """Returns float64 [targets]: the share in percent of a target's attributes that its hard pairs show too; NaN where it has none."""
    return _by_target(study, name, lambda truth, i, j: truth.attribute_overlap(i, j))


def pair_overlap_by_target(study: Study, name: str) -> np.ndarray:
    """Returns float64 [targets]: the mean of that share and of the same of the captions' attributes, in percent; NaN where it has none."""

    def of_pair(truth: Truth, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Returns the attributes that the pairs share, of image and caption."""
        return (truth.attribute_overlap(i, j) + (truth.caption_attributes[i] == truth.caption_attributes[j]).sum(-1)) / 2

    return _by_target(study, name, of_pair)


def intricate(study: Study, name: str) -> np.ndarray:
    """Returns bool [targets]: whether a target's image shows two kinds of objects, so that it lacks none of the attributes."""
    truth = Truth.open(BuildCorpus(study, study.pairs_entry(name)[0]).folder)
    return (truth.attributes >= 0).all(-1)


def _by_target(study: Study, name: str, shared: Callable[[Truth, np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    corpus, _ = study.pairs_entry(name)
    truth, pairs = Truth.open(BuildCorpus(study, corpus).folder), PairSet.open(Mine(study, name).folder)
    i, j = entries(pairs)
    with np.errstate(invalid="ignore"):
        total = np.bincount(i, shared(truth, i, j), minlength=len(pairs)) / np.bincount(i, minlength=len(pairs))
    return 100 * total / ATTRIBUTES


def _percent(values: np.ndarray) -> float:
    return 100 * float(np.mean(values)) if len(values) else float("nan")


def write_quality(study: Study, path: Path) -> list[Quality]:
    """Writes one row per pair set, as results/<study>/mining_quality.csv, and returns them."""
    rows = [quality(study, name) for name in [one.pairs for one in measurable_pairs(study)]]
    write_csv(path, Quality, rows, _text)
    return rows


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
    """Yields every first-seed selection that was made and that truth exists for."""
    for file in selection_files(study):
        metadata = read_json(file)
        if "truth" not in metadata:
            continue
        start, seed, name = file.parts[-4:-1]
        truth, declared = metadata["truth"], metadata["declaration"]
        shares = [100 * truth[k] / metadata["size"] for k in ("dropped", "mismatched")]
        detector = [None if truth[k] is None else 100 * truth[k] for k in ("precision", "recall", "auc")]
        corpus = study.run(start).corpus
        yield Selected(name, start, seed.removeprefix("seed"), corpus, declared["score"], declared["keep"], *shares, *detector)


def write_selections(study: Study, path: Path) -> list[Selected]:
    """Writes one row per selection, as results/<study>/selection_quality.csv, and returns them; no file where there is none."""
    rows = list(selections(study))
    if rows:
        write_csv(path, Selected, rows, _text)
    return rows


def _text(value: object) -> str:
    """A number in percent, NaN (of no pairs) included; None is empty."""
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
