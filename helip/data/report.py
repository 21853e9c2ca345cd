"""What came of a user's data: read how, left out and why with examples, and what is there more than once."""

import csv
from typing import Any

from helip.data.corpus import Corpus

EXAMPLES = 3  # of each reason


def report(corpus: Corpus) -> list[str]:
    """Returns the ingestion report of a corpus as lines for a terminal, one fact each."""
    manifest = corpus.manifest
    lines = []
    if reading := manifest.get("reading"):
        lines.append("read as: " + ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in reading.items()))
    if (captions := manifest.get("captions", len(corpus))) > len(corpus):
        lines.append(f"captions: {captions}, several to an image; a training draws one each time")
    examples = _examples(corpus)
    for reason, count in sorted(manifest["quarantined"].items(), key=lambda one: -one[1]):
        lines.append(f"left out: {count} {reason} ({'; '.join(examples.get(reason, []))}); all in {corpus.folder / 'quarantine.csv'}")
    for what in ("images", "captions"):
        if count := manifest.get(f"equal_{what}", 0):
            lines.append(f"equal {what}: {count} pairs have the {what} of an earlier one, byte for byte")
    return lines


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) and len(value) == 1 else str(value)


def _examples(corpus: Corpus) -> dict[str, list[str]]:
    """By reason, the first few samples that were left out."""
    first: dict[str, list[str]] = {}
    path = corpus.folder / "quarantine.csv"
    if not path.exists():
        return first
    with open(path, newline="", errors="replace") as file:
        for row in csv.DictReader(file):
            if len(known := first.setdefault(row["reason"], [])) < EXAMPLES:
                known.append(" ".join(filter(None, (row["shard"], row["key"], row["detail"]))))
    return first
