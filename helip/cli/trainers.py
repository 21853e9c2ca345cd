"""Commands that hand pairs, masks and data to other trainers: export-pairs, export-mask, export-data."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from helip.cli.command import ARGUMENT, Command, KeepFile, Threads, done
from helip.errors import HelipError
from helip.io import check_replaceable, file_digest

CORPUS = "a corpus folder made by `helip corpus`"
KEEP = "keep.npy of `helip select`"
BY_SUFFIX = "the file to write; its end says the form: .parquet, .csv or .jsonl"
HOW = {
    "open_clip": "python -m open_clip_train.main --dataset-type csv --train-data {out}/pairs.csv --model NAME",
    "sentence-transformers": 'datasets.load_dataset("json", data_files="{out}/train.jsonl"), with MultipleNegativesRankingLoss',
}


class ExportPairs(Command):
    """With --corpus, or as JSON lines, there is a row for each hard pair of each target, with sample keys and shards. Without, parquet has
    a row for each target, and CSV is the released code's form, in which noise targets are left out.
    """

    pairs: Annotated[Path, ARGUMENT] = Field(description="the folder of a pair set")
    out: Path = Field(description=BY_SUFFIX)
    corpus: Path | None = Field(None, description=f"{CORPUS}: names samples by key as well as by row")

    def run(self) -> None:
        """Writes the file."""
        from helip.mining import export, trainers
        from helip.mining.pairs import PairSet

        if self.out.suffix not in trainers.SUFFIXES:
            raise HelipError(f"{self.out}: '{self.out.suffix}' is no form pairs are exported in; use {', '.join(trainers.SUFFIXES)}")
        corpus = None
        if self.corpus:
            from helip.data.corpus import Corpus

            corpus = Corpus.open(self.corpus)
        pairs = PairSet.open(self.pairs, corpus_digest=corpus.digest if corpus else None)
        match corpus, self.out.suffix:
            case None, ".parquet":
                export.to_parquet(pairs, self.out)
            case None, ".csv":
                export.to_csv(pairs, self.out)
            case _:
                rows = trainers.write_rows(trainers.triplets(pairs, corpus), self.out)
                done(f"{self.out}: {rows} hard pairs of {len(pairs)} targets, a row each", then=_read(self.out))
                return
        done(f"{self.out}: {len(pairs)} targets", then="pandas.read_parquet, or what reads the released code's CSV")


class ExportMask(Command):
    """There is a row for each pair of the corpus: its row, key and shard, and whether the selection keeps it."""

    keep: Annotated[KeepFile, ARGUMENT] = Field(description=KEEP)
    corpus: Path = Field(description=CORPUS)
    out: Path = Field(description=BY_SUFFIX)

    def run(self) -> None:
        """Writes the file."""
        from helip.data.corpus import Corpus
        from helip.mining import trainers
        from helip.selection.keep import read_keep

        corpus = Corpus.open(self.corpus)
        keep = read_keep(self.keep, len(corpus))
        rows = trainers.write_rows(trainers.mask_rows(keep, corpus), self.out)
        done(f"{self.out}: {rows} pairs, {int(keep.sum())} of them kept", then=_read(self.out))


class ExportData(Command):
    """For open_clip: a CSV of images and captions. For sentence-transformers: images, their captions and those of their hard pairs, as
    triplets or longer tuples. Images are written beside it, as they are stored.
    """

    corpus: Annotated[Path, ARGUMENT] = Field(description=CORPUS)
    for_: Literal["open_clip", "sentence-transformers"] = Field(description="the trainer that will read it")
    out: Path = Field(description="the folder to make")
    keep: KeepFile | None = Field(None, description=f"{KEEP}: only these pairs are written")
    pairs: Path | None = Field(None, description="a pair set made by `helip mine`, for sentence-transformers")
    negatives: Threads = Field(1, description="hard captions in a tuple, for sentence-transformers; 1 makes triplets")

    def run(self) -> None:
        """Writes the folder."""
        from helip.data.corpus import Corpus
        from helip.mining import trainers
        from helip.mining.pairs import PairSet
        from helip.selection.keep import read_keep

        tuples = self.for_ == "sentence-transformers"
        if tuples != (self.pairs is not None):
            remedy = "give the pair set of `helip mine`" if tuples else "leave it out: a CSV of open_clip has no place for hard pairs"
            raise HelipError(f"--pairs: --for {self.for_} {'needs' if tuples else 'takes no'} hard pairs; {remedy}")
        if not tuples and "negatives" in self.model_fields_set:
            raise HelipError(f"--negatives: --for {self.for_} takes no hard captions; leave it out")
        check_replaceable(self.out, trainers.ORIGIN, self.corpus, self.keep, self.pairs)
        corpus = Corpus.open(self.corpus)
        keep = read_keep(self.keep, len(corpus)) if self.keep else None
        inputs = {"corpus": corpus.digest} | ({"selection": file_digest(self.keep)} if self.keep else {})
        then = HOW[self.for_].format(out=self.out)
        if self.pairs is None:
            import numpy as np

            ids = np.arange(len(corpus)) if keep is None else np.flatnonzero(keep)
            lines = trainers.for_open_clip(corpus, ids, self.out, inputs)
            done(f"{self.out}: {lines} captions of {len(ids)} images, of {len(corpus)} in the corpus", then=then)
            return
        pairs = PairSet.open(self.pairs, corpus_digest=corpus.digest)
        inputs["pairs"] = file_digest(self.pairs / "pairs.json")
        made, without = trainers.for_sentence_transformers(corpus, pairs, keep, self.negatives, self.out, inputs)
        done(f"{self.out}: {made} tuples; {without} targets have fewer than {self.negatives} hard captions and are left out", then=then)


def _read(file: Path) -> str:
    """How pandas reads what was written."""
    readers = {".parquet": "read_parquet('{}')", ".csv": "read_csv('{}')", ".jsonl": "read_json('{}', lines=True)"}
    return f"pandas.{readers[file.suffix].format(file)}"
