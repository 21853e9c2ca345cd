"""What is there to look at after `helip refine`: mined hard pairs, the lowest-scored pairs, and how many near-duplicates there are."""

import base64
import io

import numpy as np

from helip.data.corpus import Corpus
from helip.io import load_array, read_json
from helip.mining import PairSet
from helip.reporting.provenance import contamination
from helip.reporting.refine_content import Duplicates, Example
from helip.stages import Answer, BuildCorpus, Fingerprint
from helip.study import Study

SHOWN, SIDE = 50, 112  # examples of each kind, and the pixels of their longer side


def hard_examples(study: Study, count: int = SHOWN, seed: int = 0) -> list[Example]:
    """Returns targets drawn at random, each with its hardest pair, as the arms draw them."""
    jobs = Answer(study).pairs()
    if not jobs:
        return []
    corpus, pairs = Corpus.open(jobs[0].corpus.folder), PairSet.open(jobs[0].folder)
    targets = [int(i) for i in np.random.default_rng(seed).permutation(len(corpus)) if len(pairs.hard(int(i)))][:count]
    return [
        _example(corpus, i, other=_example(corpus, int(pairs.hard(i)[0]), float(pairs.scores(i)[0])))
        for i in targets
    ]  # fmt: skip


def lowest_examples(study: Study, count: int = SHOWN) -> list[Example]:
    """Returns the pairs that the first selection scores lowest, the lowest first."""
    chosen = Answer(study).selections()
    if not chosen:
        return []
    corpus = Corpus.open(BuildCorpus(study, study.run(chosen[0].run).corpus).folder)
    scores_N = load_array(chosen[0].folder / "scores.npy", "select again")
    return [_example(corpus, int(i), float(scores_N[i])) for i in np.argsort(scores_N, kind="stable")[:count]]


def _example(corpus: Corpus, i: int, score: float | None = None, other: Example | None = None) -> Example:
    image, buffer = corpus.image(i), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(buffer, "JPEG", quality=75)
    return Example(base64.b64encode(buffer.getvalue()).decode(), corpus.caption(i), corpus.name(i), score, other)


def duplicates(study: Study) -> Duplicates | None:
    """Returns the counts of near-duplicates; None where nobody counted any."""
    counted_in = contamination(study)
    if counted_in is None:
        return None
    of_corpus = Fingerprint(study, "train").folder / "fingerprints.json"
    counted = read_json(of_corpus) if of_corpus.is_file() else {}
    sets = tuple((one.set, one.items, one.duplicates) for one in counted_in.overlaps if one.corpus == "train")
    return Duplicates(counted.get("size", 0), counted.get("duplicates"), sets)
