"""Commands that make data of a user's own: corpus, encode, pack-set."""

import functools
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from helip.cli.command import ARGUMENT, DECODERS, DEVICE, Command, OptionsOf, Shown, Threads, Workers, done
from helip.config import ShardCorpus, TableCorpus
from helip.errors import HelipError
from helip.io import check_replaceable

NO_OPTIONS = ("kind", "label", "path", "obtain", "captions")
LIMITS = ("published_size", "max_quarantined")  # what all data have alike
DATA = "write --data PATH: what it is is detected"
STUDY = {"--study": "the stages of a study are run by `helip run STUDY STAGE KEY ...`"}


class Corpus(Command):
    """What the data are is detected and said: WebDataset shards, a folder of images with captions beside them, or a table (CSV with any
    separator, JSON, JSON lines, parquet with paths or with images). Shards stay where they are, and the corpus is their index; a folder
    or table is packed into shards within the corpus folder. What cannot be used is left out, counted and listed in quarantine.csv.
    """

    former = STUDY | {"--shards": DATA, "--table": DATA}

    data: Annotated[tuple[str, ...], Field(min_length=1), Shown("PATH")] = Field(
        description="the data: .tar files, a folder, or a .csv, .tsv, .json, .jsonl or .parquet table; globs and {0000..0009} are expanded"
    )
    out: Path = Field(description="the corpus folder to make")
    workers: Threads = Field(1, description="processes")
    captions: str | None = Field(
        None, description="of shards or a folder: txt, lines (of the .txt) or json.NAME (in the .json); by default as the first ones show"
    )
    limits: Annotated[dict[str, Any], OptionsOf(ShardCorpus, omit=NO_OPTIONS, title="of all data")] = {}
    packing: Annotated[dict[str, Any], OptionsOf(TableCorpus, omit=("kind", "label", "path", *LIMITS), title="of a table")] = {}

    def run(self) -> None:
        """Builds the corpus. Raises HelipError when too many samples are unusable."""
        from helip.data.build import build_corpus
        from helip.data.detection import described, detect
        from helip.data.locations import BETWEEN, resolve_paths
        from helip.data.report import report

        check_replaceable(self.out, "manifest.json")
        path = BETWEEN.join(self.data)
        sources = resolve_paths(path)
        check_replaceable(self.out, "manifest.json", *sources, *(source.parent for source in sources))
        declaration = detect(path, {**({"captions": self.captions} if self.captions else {}), **self.limits, **self.packing})
        print(described(declaration), flush=True)
        corpus = build_corpus(declaration, self.out, self.workers, None)
        done(
            *report(corpus),
            f"{self.out}: {len(corpus)} pairs, {sum(corpus.manifest['quarantined'].values())} quarantined, digest {corpus.digest[:16]}",
            then=f"helip encode --corpus {self.out} --encoder LIBRARY:NAME --out FEATURES, once for images and once for captions",
        )


class Encode(Command):
    """Features of images and of captions are two calls with two encoders; hard pairs are mined in both.

    Encoders: timm:NAME, torchvision:NAME@TAG, sentence_transformers:NAME, open_clip-image:MODEL and open_clip-text:MODEL.
    """

    former = STUDY

    corpus: Path = Field(description="a corpus folder made by `helip corpus`")
    encoder: Annotated[str, Shown("LIBRARY:NAME")] = Field(description="for example timm:vit_small_patch8_224.dino")
    out: Path = Field(description="the folder to make, with features.npy and features.json")
    centre: bool = Field(False, description="subtract the corpus mean before normalising")
    dtype: Literal["float16", "float32"] = Field("float16", description="number format of the stored features")
    batch_size: Threads = Field(64, description="samples encoded together")
    workers: Workers | None = Field(None, description=DECODERS)
    device: str | None = Field(None, description=DEVICE)

    def run(self) -> None:
        """Encodes the corpus."""
        from helip import encoders
        from helip.data.corpus import Corpus as CorpusFolder

        declaration = encoders.parse(self.encoder)
        check_replaceable(self.out, "features.json", self.corpus, self.encoder)
        if self.centre:
            declaration = declaration.model_copy(update={"centre": True})
        corpus = CorpusFolder.open(self.corpus)
        from helip.encoders.cache import encode
        from helip.gpus import loader_workers, torch_device

        device = torch_device(self.device)
        encoder = encoders.load(declaration, device=device)
        workers = loader_workers(self.workers, device)
        encode(declaration, encoder, corpus, self.out, batch_size=self.batch_size, workers=workers, dtype=self.dtype)
        done(
            f"{self.out}: {len(corpus)} features of {encoder.dim} dimensions",
            then=f"the other modality; then helip mine --image-features DIR --text-features DIR --corpus {self.corpus} --out PAIRS",
        )


class PackSet(Command):
    """The set's folder is then named in a study, or given to `helip evaluate --set`."""

    name: Annotated[Literal["cub", "sun397", "caltech101"], ARGUMENT] = Field(description="cub, sun397 or caltech101")
    source: Annotated[Path, ARGUMENT] = Field(description="the folder that the authors' archive unpacks to")
    partition: Path | None = Field(None, description="sun397: the folder that Partitions.zip unpacks to")
    out: Path = Field(description="the folder to make")

    def run(self) -> None:
        """Packs the set."""
        from helip.download.packing import pack

        check_replaceable(self.out, "packed.json", self.source, self.partition)
        counts = pack(self.name, self._reader(), self.out)
        done(
            f"{self.out}: {', '.join(f'{n} {split}' for split, n in counts.items())}",
            then=f"helip evaluate --model MODEL --set {self.out} --out FILE, or name the folder in a study",
        )

    def _reader(self) -> Any:
        match self.name:
            case "cub":
                from helip.download.packing.cub import read_cub

                return functools.partial(read_cub, self.source)
            case "sun397":
                from helip.download.packing.sun397 import read_sun397

                if not self.partition:
                    raise HelipError("--partition: sun397 needs it: the folder that Partitions.zip unpacks to")
                return functools.partial(read_sun397, self.source, self.partition)
            case "caltech101":
                from helip.download.packing.caltech101 import read_caltech101

                return functools.partial(read_caltech101, self.source)
