"""`helip corpus` and `helip evaluation-set`: the data of a study, or a user's own pairs."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from helip import study
from helip.cli.options import at_least, own_group
from helip.config import ShardCorpus, TableCorpus
from helip.data.locations import resolve_path
from helip.errors import HelipError
from helip.io import check_replaceable

COMMANDS = {
    "corpus": "build a corpus: render it, or index shards, or pack a table",
    "evaluation-set": "write a generated evaluation set, or check that a declared one is there",
}


def add(name: str, parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("name", nargs="?", help="its name in the study")
    parser.add_argument("--study", help="a file of experiments/studies, without .yaml")
    if name == "evaluation-set":
        return _evaluation_set
    own = own_group(parser, "data")
    own.add_argument("--shards", help="a folder or a glob of WebDataset .tar files: key.jpg|png|webp and key.txt")
    own.add_argument("--table", help="a .csv, .tsv or .parquet file of image paths and captions")
    own.add_argument("--image-column", default=TableCorpus.model_fields["image_column"].default)
    own.add_argument("--caption-column", default=TableCorpus.model_fields["caption_column"].default)
    own.add_argument("--published-size", type=at_least(1), help="pairs in the published corpus, to state the recovered share")
    own.add_argument(
        "--max-quarantined", type=float, default=TableCorpus.model_fields["max_quarantined"].default, help="share of bad samples that fails"
    )
    own.add_argument("--out", type=Path, help="the corpus folder to write")
    parser.add_argument("--workers", type=at_least(1), help="processes; by default the study's threads for the stage, or 1")
    return _corpus


def _corpus(arguments: argparse.Namespace) -> None:
    from helip.data.build import build_corpus

    if arguments.study:
        bound, name = study.load(arguments.study), _named(arguments)
        inputs = {"corpus_digest": bound.corpus_digest(name)}  # also refuses an unknown name
        declaration, out = bound.declaration.corpora[name], bound.corpus_dir(name)
        workers = arguments.workers or bound.resources("corpus").threads
    else:
        declaration, out, workers, inputs = _own(arguments), arguments.out, arguments.workers or 1, None
    corpus = build_corpus(declaration, out, workers, inputs)
    left_out = sum(corpus.manifest["quarantined"].values())
    print(f"{out}: {len(corpus)} pairs, {left_out} quarantined, digest {corpus.digest[:16]}", file=sys.stderr)


def _own(arguments: argparse.Namespace) -> ShardCorpus | TableCorpus:
    if bool(arguments.shards) == bool(arguments.table) or not arguments.out:
        raise HelipError("give --study STUDY NAME, or --shards PATH --out FOLDER, or --table FILE --out FOLDER")
    if not 0 <= arguments.max_quarantined <= 1:
        raise HelipError(f"--max-quarantined {arguments.max_quarantined}: must be a share between 0 and 1")
    source = resolve_path(arguments.shards or arguments.table)
    check_replaceable(arguments.out, "manifest.json", source, source.parent)  # the parent of a glob
    usual = {"published_size": arguments.published_size, "max_quarantined": arguments.max_quarantined}
    if arguments.shards:
        return ShardCorpus(path=arguments.shards, **usual)
    return TableCorpus(path=arguments.table, image_column=arguments.image_column, caption_column=arguments.caption_column, **usual)


def _evaluation_set(arguments: argparse.Namespace) -> None:
    from helip.evaluation.building import build_evaluation_set

    if not arguments.study:
        raise HelipError("give --study STUDY and the name of an evaluation set in it")
    bound, name = study.load(arguments.study), _named(arguments)
    inputs = {"evaluation_digest": bound.evaluation_digest(name)}
    said = build_evaluation_set(name, bound.declaration.evaluation[name], bound.evaluation_dir(name), inputs)
    print(f"{bound.evaluation_dir(name)}: {said['items']} items, {said['task']}", file=sys.stderr)


def _named(arguments: argparse.Namespace) -> str:
    if not arguments.name:
        raise HelipError(f"--study {arguments.study}: say which one of it, e.g. `helip {arguments.command} --study {arguments.study} NAME`")
    return arguments.name
