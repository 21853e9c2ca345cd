"""`helip fingerprint` and `helip contamination`: are evaluation images among the training images?"""

import argparse
import sys
from collections.abc import Callable

from helip import study
from helip.cli.options import at_least
from helip.errors import HelipError

COMMANDS = {
    "fingerprint": "perceptual hashes of a corpus's images",
    "contamination": "count near-duplicates of evaluation images in the training corpora of a study",
}


def add(name: str, parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("--study", required=True, help="a file of experiments/studies, without .yaml")
    if name == "contamination":
        return _contamination
    parser.add_argument("name", help="a corpus of the study")
    parser.add_argument("--workers", type=at_least(1), help="processes; by default the study's threads for the stage")
    return _fingerprint


def _fingerprint(arguments: argparse.Namespace) -> None:
    from helip.contamination import fingerprint_corpus
    from helip.data.corpus import Corpus

    bound, name = study.load(arguments.study), arguments.name
    inputs = {"fingerprint_digest": bound.fingerprint_digest(name)}
    corpus, out = Corpus.open(bound.corpus_dir(name)), bound.fingerprint_dir(name)
    said = fingerprint_corpus(corpus, out, arguments.workers or bound.resources("fingerprint").threads, inputs)
    print(f"{out}: {said['size']} images, {said['duplicates']} with the fingerprint of an earlier one", file=sys.stderr)


def _contamination(arguments: argparse.Namespace) -> None:
    from helip.contamination.report import contamination

    bound = study.load(arguments.study)
    if not bound.own_corpora or not bound.declaration.evaluation:
        raise HelipError(f"{bound.file}: no corpus or no evaluation set is bound: there is nothing to compare")
    counts = contamination(bound, bound.root / "contamination.json", bound.root / "contamination.csv")
    print(f"{'set':14} {'corpus':14} {'items':>8} {'found':>8} {'share':>8} {'samples':>8}")
    for c in counts:
        print(f"{c['set']:14} {c['corpus']:14} {c['items']:8} {c['found']:8} {c['share']:8.4f} {c['samples']:8}")
