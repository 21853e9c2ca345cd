"""Whether all data of a study are there, whole and what they are said to be: before a GPU is used."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from helip.config import (
    BenchmarkSet,
    DownloadedCorpus,
    Expected,
    FolderCorpus,
    GeneratedCorpus,
    GeneratedSet,
    HeldOutSet,
    MismatchedCorpus,
    ShardCorpus,
    SubsetCorpus,
    TableCorpus,
    TrainPartCorpus,
    UnionCorpus,
)
from helip.config import Corpus as Declaration
from helip.data.build import shard_files
from helip.data.corpus import Corpus
from helip.data.locations import UnsetVariable, resolve_path
from helip.data.tables import table_files
from helip.download.checkpoints import place
from helip.download.crawling import executable
from helip.download.fetching import agreed
from helip.errors import HelipError
from helip.evaluation.building import build_evaluation_set
from helip.evaluation.sets import of_declaration
from helip.io import file_digest
from helip.study import Study

State = Literal["there", "will be made", "will be fetched", "missing"]


@dataclass(frozen=True)
class Finding:
    """This is the state of one corpus, evaluation set or checkpoint, with a sentence about it."""

    kind: str  # corpus, evaluation set, checkpoint
    name: str
    state: State
    detail: str
    variable: str = ""  # the environment variable that is missing for it


def check(study: Study, corpus_folder: Callable[[str], Path]) -> Iterator[Finding]:
    """Yields one finding for each corpus, evaluation set and published checkpoint of the study. corpus_folder: where it keeps a corpus."""
    for name in study.declaration.corpora:
        yield _finding("corpus", name, lambda name=name: _corpus(study.corpus(name), corpus_folder(name)))
    for name in study.declaration.evaluation:
        yield _finding("evaluation set", name, lambda name=name: _evaluation_set(study, name))
    for name in study.declaration.published:
        yield _finding("checkpoint", name, lambda name=name: _checkpoint(study, name))


def _finding(kind: str, name: str, look) -> Finding:
    try:
        return Finding(kind, name, *look())
    except UnsetVariable as error:
        return Finding(kind, name, "missing", f"{error.declared}: {error.obtain or 'put it there'}", error.variable)
    except HelipError as error:
        return Finding(kind, name, "missing", str(error))


def to_do(missing: list[Finding]) -> list[str]:
    """Returns what to do about missing sources, one line each: what several of them lack is said once."""
    by: dict[str, list[str]] = {}
    for finding in missing:
        remedy = f"set ${finding.variable} to the folder that holds {{}}" if finding.variable else f"for {{}}: {finding.detail}"
        by.setdefault(remedy, []).append(f"{finding.kind} {finding.name}")
    return [remedy.replace("{}", ", ".join(names), 1) for remedy, names in by.items()]


# ---------------------------------------------------------------- corpora


def _corpus(declaration: Declaration, folder: Path) -> tuple[State, str]:
    if (folder / "manifest.json").exists():
        return "there", _indexed(folder)
    match declaration:
        case GeneratedCorpus():
            return "will be made", f"{declaration.size} generated pairs"
        case UnionCorpus():
            return "will be made", f"of {', '.join(declaration.of)}"
        case TrainPartCorpus():
            return "will be made", f"of {declaration.of}, without what is held out"
        case SubsetCorpus():
            return "will be made", f"of {declaration.of}, {declaration.share:.0%} of its pairs"
        case MismatchedCorpus():
            return "will be made", f"of {declaration.of}, {declaration.share:.0%} of its captions swapped"
        case ShardCorpus():
            return "there", _shards(declaration)
        case TableCorpus():
            files = table_files(declaration.path)
            return "there", f"{files[0]}{f' and {len(files) - 1} more' * (len(files) > 1)}: {sum(f.stat().st_size for f in files)} bytes"
        case FolderCorpus():
            return "there", f"{_present(declaration.path, '')}, not yet packed"
        case DownloadedCorpus():
            if declaration.mirror is not None:
                return "will be fetched", declaration.mirror
            executable()
            if declaration.table.startswith(("http://", "https://")):
                return "will be fetched", f"the images that {declaration.table} names"
            return "will be fetched", f"the images that {_present(declaration.table, declaration.obtain)} names"


def _indexed(folder: Path) -> str:
    """An indexed corpus: its shards are there and as long as they were."""
    corpus = Corpus.open(folder)
    for number, entry in enumerate(corpus.manifest["shards"]):
        path = corpus.shard_path(number)
        if not path.is_file() or path.stat().st_size != entry["size"]:
            raise HelipError(f"{path}: is gone or has changed since {folder} was indexed; restore it or index the corpus again")
    share = corpus.recovered_share
    return f"{len(corpus)} pairs, digest {corpus.digest[:16]}" + (f", {share:.4f} of the published ones" if share else "")


def _shards(declaration: ShardCorpus) -> str:
    files = shard_files(declaration.path, declaration.obtain)
    for path in files:
        _whole(path)
    return f"{len(files)} shards, {sum(f.stat().st_size for f in files)} bytes, not yet indexed"


def _whole(path: Path) -> None:
    """A tar archive ends with two empty blocks: a truncated one does not."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 1024))
        end = file.read()
    if len(end) < 1024 or end.strip(b"\0"):
        raise HelipError(f"{path}: is truncated: it ends without an end-of-archive mark; fetch it again")


def _present(declared: str, obtain: str) -> Path:
    path = resolve_path(declared, obtain)
    if not path.exists():
        raise HelipError(f"{path}: is not there; {obtain or 'put it there or correct the path'}")
    return path


# ---------------------------------------------------------------- evaluation sets


def _evaluation_set(study: Study, name: str) -> tuple[State, str]:
    declaration = study.declaration.evaluation[name]
    if isinstance(declaration, GeneratedSet):
        return "will be made", f"{declaration.items} generated items"
    if isinstance(declaration, HeldOutSet):
        return "will be made", f"of the pairs that {declaration.of} holds out"
    _present(declaration.root if isinstance(declaration, BenchmarkSet) else declaration.path, declaration.obtain)
    with tempfile.TemporaryDirectory() as place:
        metadata = build_evaluation_set(name, declaration, Path(place) / name)
    if isinstance(declaration, BenchmarkSet) and declaration.probe:
        metadata = metadata | {"train_items": len(of_declaration(name, declaration, Path()).open(None, "train"))}
    compare(name, declaration.expected, metadata)
    train = f", {metadata['train_items']} for the probe" if metadata.get("train_items") else ""
    return "there", f"{metadata['items']} items{train}, {metadata.get('classes', 0)} classes"


def compare(name: str, expected: Expected, metadata: dict) -> None:
    """Raises HelipError where an evaluation set has not what is expected of it: `metadata` is that of its evaluation.json."""
    keys = {"class_names": "class_names_digest", "templates": "templates_digest"}
    for field, value in expected.model_dump(exclude_none=True).items():
        actual = metadata.get(keys.get(field, field))
        if actual != value:
            raise HelipError(
                f"evaluation -> {name}: {field.replace('_', ' ')} should be {value} and is {actual}; it is another set or version"
            )


# ---------------------------------------------------------------- checkpoints


def _checkpoint(study: Study, run: str) -> tuple[State, str]:
    checkpoint = study.declaration.published[run]
    if checkpoint.model:
        return "will be fetched", f"{checkpoint.model}, or opened where it lies"
    if checkpoint.path:
        _present(checkpoint.path, checkpoint.obtain)
    file, record = place(checkpoint, run, study.root / "checkpoints")
    if not file.exists():
        return "will be fetched", f"{checkpoint.url}, sha256 {checkpoint.sha256 or 'recorded then'}"
    sha256 = agreed(file, file_digest(file), checkpoint.sha256, record)
    return "there", f"{file.stat().st_size} bytes, sha256 {sha256}"
