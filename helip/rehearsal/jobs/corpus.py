"""Corpora: the first few hundred samples of each source, by the stage's own code. A failed address is a finding."""

import time
from pathlib import Path

from helip.config import DownloadedCorpus, GeneratedCorpus, ShardCorpus, TableCorpus, UnionCorpus
from helip.data.build import build_corpus, shard_files
from helip.data.corpus import Corpus
from helip.download.corpora import download, join
from helip.download.mirrors import addresses
from helip.errors import HelipError
from helip.rehearsal.measured import Point
from helip.rehearsal.request import Job
from helip.stages import BuildCorpus

INDEX = ("index.npy", "captions.bin")


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds a pair and bytes a pair, shards counted; the corpus is left for the kinds that read one."""
    assert isinstance(job.kind.one, BuildCorpus)
    begun, out = time.monotonic(), job.folder / "corpus"
    point = Point(job.size)
    corpus = _built(job, out, point)
    seconds = time.monotonic() - begun
    shards = sum(entry["size"] for entry in corpus.manifest["shards"])
    written = 0 if isinstance(job.kind.one.config(), UnionCorpus) else shards
    point.units, point.repetitions = float(len(corpus)), [seconds / len(corpus)]
    point.bytes = (written + sum((out / name).stat().st_size for name in INDEX)) / len(corpus)
    point.facts = {"corpus": {job.kind.name: str(out)}, "pairs": len(corpus)}
    return point


def _built(job: Job, out: Path, point: Point) -> Corpus:
    assert isinstance(job.kind.one, BuildCorpus)
    match declared := job.kind.one.config():
        case DownloadedCorpus(mirror=str(mirror)):
            first = addresses(mirror)[0]
            place = mirror.index("{")
            number = first[place : place + len(first) - len(mirror) + mirror.index("}") + 1 - place]
            one = declared.model_copy(update={"mirror": f"{mirror[:place]}{{{number}..{number}}}{mirror[mirror.index('}') + 1 :]}"})
            point.notes.append("the first shard alone")
            return download(one, out, job.folder / "fetched")
        case DownloadedCorpus():
            some = declared.model_copy(update={"sample": min(job.size, declared.sample or job.size), "processes": 1})
            return download(some, out, job.folder / "fetched")
        case ShardCorpus():
            shard = shard_files(declared.path, declared.obtain)[0]
            point.notes.append("the first shard alone")
            return build_corpus(declared.model_copy(update={"path": str(shard)}), out)
        case GeneratedCorpus():
            few = min(job.size, declared.size)
            return build_corpus(declared.model_copy(update={"size": few}), out)
        case UnionCorpus(of=names):
            made = job.facts.get("corpus", {})
            if missing := [name for name in names if name not in made]:
                raise HelipError(
                    f"corpus {job.kind.name}: is made of {', '.join(missing)}, and the rehearsal could not make that; see there"
                )
            return join(declared, [Corpus.open(made[name]) for name in names], out)
        case TableCorpus():
            return build_corpus(declared, out)
    raise HelipError(f"corpus {job.kind.name}: of a kind that no rehearsal knows; add it to helip/rehearsal/jobs/corpus.py")
