"""The stage `corpus`: the image-text pairs of a study, rendered, indexed, fetched or joined."""

from dataclasses import dataclass
from pathlib import Path

from helip.config import Corpus as Declaration
from helip.config import DownloadedCorpus, MismatchedCorpus, SubsetCorpus, TrainPartCorpus, UnionCorpus
from helip.errors import HelipError
from helip.io import digest, read_json
from helip.stages.base import How, Stage, Work
from helip.study import total


@dataclass(frozen=True)
class BuildCorpus(Stage):
    """The manifest, index and captions of one corpus. A union is made of its members, without copying images."""

    corpus: str

    name = "corpus"
    path = "corpora/{corpus}"
    files = ("manifest.json", "index.npy", "captions.bin")
    record = ("manifest.json", "inputs", "corpus_digest")
    heeds = ("workers",)

    def config(self) -> Declaration:
        return self.study.corpus(self.corpus)

    def needs(self) -> list["BuildCorpus"]:
        declared = self.config()
        match declared:
            case UnionCorpus(of=members):
                return [BuildCorpus(self.study, member) for member in members]
            case MismatchedCorpus(of=base) | SubsetCorpus(of=base):
                return [BuildCorpus(self.study, base)]
            case TrainPartCorpus(of=whole):
                return [BuildCorpus(self.study, whole)]
        return []

    @property
    def fetched(self) -> Path:
        """What was fetched so far: undeclared to Snakemake, in a folder named by what is fetched. HelipError for a corpus that is made
        from files at hand."""
        declared = self.config()
        if not isinstance(declared, DownloadedCorpus):
            raise HelipError(f"{self.study.file}: corpora -> {self.corpus}: is {declared.kind}, and only downloaded corpora are fetched")
        return self.study.root / "downloads" / f"{self.corpus}-{digest(declared.source)}"

    def size(self) -> int | None:
        """Pairs of the corpus: counted where it is there, else as declared. Published sizes are an upper bound: addresses rot."""
        if self.output.exists():
            return int(read_json(self.output)["size"])
        if members := self.needs():
            return total(member.size() for member in members)
        return self.study.declared_size(self.corpus)

    def work(self) -> Work:
        """Units and items are pairs."""
        size = self.size()
        return Work(size, size, (f"corpus.{self.corpus}", f"corpus.{self.config().kind}", "corpus"))

    def make(self, how: How) -> str:
        from helip.data.build import build_corpus
        from helip.data.corpus import Corpus
        from helip.data.mismatched import mismatch
        from helip.data.parts import train_part
        from helip.data.report import report
        from helip.data.subset import subset
        from helip.download.corpora import download, join

        inputs, workers = {"corpus_digest": self.digest}, how.workers or self.resources().threads
        match declared := self.config():
            case DownloadedCorpus():
                corpus = download(declared, self.folder, self.fetched, workers, inputs)
            case UnionCorpus():
                members = {need.corpus: Corpus.open(need.folder) for need in self.needs()}
                corpus = join(declared, list(members.values()), self.folder, inputs | {n: c.digest for n, c in members.items()})
            case TrainPartCorpus():
                corpus = train_part(declared, Corpus.open(self.needs()[0].folder), self.folder, inputs)
            case SubsetCorpus():
                (whole,) = self.needs()
                corpus = subset(declared, Corpus.open(whole.folder), self.folder, inputs)
            case MismatchedCorpus():
                (base,) = self.needs()
                corpus = mismatch(declared, Corpus.open(base.folder), self.folder, inputs)
            case _:
                corpus = build_corpus(declared, self.folder, workers, inputs)
        print(*report(corpus), sep="\n", flush=True)
        recovered = f", {corpus.recovered_share:.4f} of the published ones" if corpus.recovered_share else ""
        left_out = sum(corpus.manifest["quarantined"].values())
        return f"{len(corpus)} pairs{recovered}, {left_out} quarantined, digest {corpus.digest[:16]}"
