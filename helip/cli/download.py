"""`helip download`, `join`, `fetch-model`, `pack-set` and `data check`: what a study takes from elsewhere."""

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path

from helip import study
from helip.cli.options import at_least
from helip.config import DownloadedCorpus, UnionCorpus
from helip.errors import HelipError
from helip.io import check_replaceable

COMMANDS = {
    "download": "fetch a corpus by img2dataset or from a mirror, and index it; goes on where it stopped",
    "join": "make a corpus of other corpora, one behind the other, without copying images",
    "fetch-model": "fetch and import the published checkpoint that stands for a run",
    "pack-set": "write CUB, SUN397 or Caltech101 as CLIP benchmark reads it, with a fixed split",
    "data": "`data check`: see whether all data of a study are there and what they should be, before a GPU is used",
}
SETS = ("cub", "sun397", "caltech101")


def add(name: str, parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int | None]:
    """Adds the options of the command `name` to its parser; returns what runs it."""
    if name == "pack-set":
        parser.add_argument("name", choices=SETS)
        parser.add_argument("source", type=Path, help="the folder that the authors' archive unpacks to")
        parser.add_argument("--partition", type=Path, help="sun397: the folder that Partitions.zip unpacks to")
        parser.add_argument("--out", type=Path, required=True)
        return _pack_set
    parser.add_argument("--study", required=True, help="a file of experiments/studies, without .yaml")
    if name == "data":
        parser.add_argument("action", choices=["check"])
        parser.add_argument("--out", type=Path, help="also write the findings as JSON, when nothing is missing")
        return _data_check
    parser.add_argument("name", help="its name in the study")
    if name == "fetch-model":
        parser.add_argument("--seed", required=True)
        return _fetch_model
    parser.add_argument("--workers", type=at_least(1), help="processes; by default the study's threads for the stage")
    return {"download": _download, "join": _join}[name]


def _bound(arguments: argparse.Namespace, kind: type, what: str):
    bound, name = study.load(arguments.study), arguments.name
    bound.corpus_digest(name)  # refuses an unknown name
    if not isinstance(bound.declaration.corpora[name], kind):
        raise HelipError(f"{bound.file}: corpora -> {name}: is not of kind {what}; `helip corpus` makes it")
    return bound, bound.declaration.corpora[name], {"corpus_digest": bound.corpus_digest(name)}


def _download(arguments: argparse.Namespace) -> None:
    from helip.download.corpora import download

    bound, declaration, inputs = _bound(arguments, DownloadedCorpus, "downloaded")
    out, fetched = bound.corpus_dir(arguments.name), bound.download_dir(arguments.name)
    corpus = download(declaration, out, fetched, arguments.workers or bound.resources("corpus").threads, inputs)
    _say(out, corpus)


def _join(arguments: argparse.Namespace) -> None:
    from helip.data.corpus import Corpus
    from helip.download.corpora import join

    bound, declaration, inputs = _bound(arguments, UnionCorpus, "union")
    members = [Corpus.open(bound.corpus_dir(c)) for c in declaration.of]
    inputs |= {c: m.digest for c, m in zip(declaration.of, members, strict=True)}
    out = bound.corpus_dir(arguments.name)
    _say(out, join(declaration, members, out, inputs))


def _say(out: Path, corpus) -> None:
    recovered = f", {corpus.recovered_share:.4f} of the published ones" if corpus.recovered_share else ""
    left_out = sum(corpus.manifest["quarantined"].values())
    print(f"{out}: {len(corpus)} pairs{recovered}, {left_out} quarantined, digest {corpus.digest[:16]}", file=sys.stderr)


def _fetch_model(arguments: argparse.Namespace) -> None:
    from helip.download.checkpoints import fetch_model

    bound, run = study.load(arguments.study), arguments.name
    checkpoint, digest = bound.declaration.published.get(run), bound.run_digest(run, arguments.seed)
    if checkpoint is None:
        raise HelipError(f"{bound.file}: published has no '{run}'; `helip train` trains it")
    out = bound.model_dir(run, arguments.seed)
    sha256 = fetch_model(checkpoint, run, bound.root / "checkpoints", out, digest)
    print(f"{out}: imported a checkpoint with sha256 {sha256}", file=sys.stderr)


def _pack_set(arguments: argparse.Namespace) -> None:
    from helip.download.packing import pack

    match arguments.name:
        case "cub":
            from helip.download.packing.cub import read_cub

            read = functools.partial(read_cub, arguments.source)
        case "sun397":
            from helip.download.packing.sun397 import read_sun397

            if not arguments.partition:
                raise HelipError("--partition: sun397 needs it: the folder that Partitions.zip unpacks to")
            read = functools.partial(read_sun397, arguments.source, arguments.partition)
        case "caltech101":
            from helip.download.packing.caltech101 import read_caltech101

            read = functools.partial(read_caltech101, arguments.source)
    check_replaceable(arguments.out, "packed.json", arguments.source, arguments.partition)
    counts = pack(arguments.name, read, arguments.out)
    print(f"{arguments.out}: {', '.join(f'{n} {split}' for split, n in counts.items())}", file=sys.stderr)


def _data_check(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    from helip.download.check import check
    from helip.io import provenance, write_json

    bound, findings = study.load(arguments.study), []
    for finding in check(bound):
        findings.append(finding)
        print(f"{finding.state:15} {finding.kind:14} {finding.name:14} {finding.detail}", flush=True)
    missing = [f for f in findings if f.state == "missing"]
    if missing:
        raise HelipError(
            f"{bound.file}: {len(missing)} of {len(findings)} sources are missing or not what they should be (above); put them there, or "
            "take them out of the study, which then leaves out what needs them"
        )
    if arguments.out:
        inputs = {"data_digest": bound.data_digest()}
        write_json(arguments.out, provenance({"study": bound.name}, inputs, findings=[asdict(f) for f in findings]))
