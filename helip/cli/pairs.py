"""Commands that make and change pair sets of a user's own: mine, merge-pairs, filter-pairs."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from helip.cli.command import ARGUMENT, DECODERS, DEVICE, MODEL, Command, KeepFile, Model, OptionsOf, Shard, Threads, Workers, done
from helip.cli.data import STUDY
from helip.cli.select import PRETRAINED
from helip.config import MiningSpec
from helip.config.base import Cosine
from helip.config.reading import validate_options
from helip.errors import HelipError
from helip.io import check_replaceable, digest, file_digest

MODALITIES = frozenset({"image", "text"})
COMPARED = {"image": frozenset({"image"}), "text": frozenset({"text"}), "random": frozenset(), "truth": frozenset()}
TAUS = ("tau_image", "tau_text")
REFINE = "helip train --corpus {corpus} --pairs {out} --model MODEL --out DIR; and once with --arm control, to compare with"


def _features_file(given: Any) -> Any:
    path = Path(given) if isinstance(given, str) else given
    return path / "features.npy" if isinstance(path, Path) and path.is_dir() else path


FeaturesFile = Annotated[Path, BeforeValidator(_features_file)]


class Mine(Command):
    """For each pair, the k pairs nearest in the image space and in the text space at once; a target with fewer than k is noise. An audit is
    written beside the pairs.
    """

    former = STUDY

    image_features: FeaturesFile | None = Field(None, description="a folder made by `helip encode`, or an .npy file [N, D]")
    text_features: FeaturesFile | None = Field(None, description="the same of the captions")
    corpus: Path | None = Field(None, description="a corpus folder, for the audit's sheet of images; random and truth draw from it")
    keep: KeepFile | None = Field(None, description="the keep.npy of `helip select`: mine these pairs as if there were no others")
    out: Path = Field(description="the folder to make")
    preset: Literal["paper", "released_code"] = Field("paper", description="sets the options of MiningSpec that are not given")
    tau: Cosine | None = Field(None, description="both thresholds at once")
    no_tau: bool = Field(False, description="every cosine counts, as in the released code")
    memory: str = Field("2GiB", description="what mining may allocate beside the interpreter, for example 500MB or 16GiB")
    workers: Threads | None = Field(None, description="threads; by default all cores")
    device: str | None = Field(None, description="cpu, cuda or cuda:1; by default cpu")
    shard: Shard = Field((0, 1), description="mine only part i of n; merge-pairs joins the parts")
    spec: Annotated[dict[str, Any], OptionsOf(MiningSpec)] = {}

    def run(self) -> None:
        """Mines the hard pairs. Raises HelipError for files that are missing or of different corpora."""
        from helip.mining.job import summary

        job = self._job()
        pairs = job.run(self.shard)
        whole = self.shard == (0, 1)
        then = (
            REFINE.format(corpus=self.corpus or "CORPUS", out=self.out)
            if whole
            else "the other shards, then helip merge-pairs SHARD ... --out DIR"
        )
        done(f"{self.out}: {summary(pairs)}", then=then)

    def _job(self) -> Any:
        from helip.data.corpus import Corpus
        from helip.mining.job import MineJob, corpus_digest_of
        from helip.synthetic.truth import Truth

        given = {"image": self.image_features, "text": self.text_features}
        method = self.spec.get("method")
        reference = method in ("random", "truth")
        if not (self.corpus if reference else any(given.values())):
            wanted = f"--corpus: method '{method}' draws from it" if reference else "--image-features and --text-features: what is compared"
            raise HelipError(f"give {wanted}; see `helip mine --help`")
        if reference and self.keep:
            raise HelipError(f"--keep: says which pairs a miner compares, and method '{method}' compares no features; leave it out")
        check_replaceable(self.out, "pairs.json", *given.values(), self.corpus, self.keep)
        keep = self._mask(given)
        spec = self._spec(given, keep)
        self._refuse_unused(spec.method, given)
        features = {modality: path for modality, path in given.items() if path}
        inputs = {f"{modality}_features": file_digest(path) for modality, path in features.items() if path.is_file()}
        corpus = Corpus.open(self.corpus) if self.corpus else None
        if reference and corpus is not None:
            inputs["corpus"] = corpus.digest
        common = corpus_digest_of(features, corpus, self.keep) or digest(inputs)
        if self.keep:
            inputs["selection"] = file_digest(self.keep)
        truth = Truth.open(corpus.folder) if corpus is not None and Truth.known(corpus.folder) else None
        return MineJob(
            spec=spec,
            features=features,
            inputs=inputs,
            corpus=corpus,
            corpus_digest=common,
            out=self.out,
            memory=self.memory,
            workers=self.workers,
            device=self.device,
            keep=keep,
            truth=truth,
        )

    def _refuse_unused(self, method: str, features: dict[str, Path | None]) -> None:
        """Refuses what was given for a modality that the method does not compare."""
        for modality in MODALITIES - COMPARED.get(method, MODALITIES):
            taken = {f"{modality}_features": features[modality] is not None, f"tau_{modality}": f"tau_{modality}" in self.spec}
            if unused := next((name for name, is_given in taken.items() if is_given), None):
                raise HelipError(f"--{unused.replace('_', '-')}: method {method} compares no {modality} features; leave it out")
        if method in ("random", "truth") and ("tau" in self.model_fields_set or self.no_tau):
            raise HelipError(f"--{'no-tau' if self.no_tau else 'tau'}: method {method} compares no features; leave it out")

    def _mask(self, features: dict[str, Path | None]) -> Any:
        """The mask of `helip select`; None where all pairs are mined."""
        from helip.mining.features import load
        from helip.selection.keep import read_keep

        return read_keep(self.keep, len(load(next(filter(None, features.values()))))) if self.keep else None

    def _spec(self, features: dict[str, Path | None], keep: Any) -> MiningSpec:
        """The preset, and what was given otherwise."""
        given, both = dict(self.spec), "tau" in self.model_fields_set
        if (both or self.no_tau) and (twice := [name for name in TAUS if name in given] or ["tau"] * (both and self.no_tau)):
            raise HelipError(
                f"--{twice[0].replace('_', '-')}: beside {'--no-tau' if self.no_tau else '--tau'}, which says it too; give one"
            )
        if both or self.no_tau:
            given |= dict.fromkeys(TAUS, self.tau)  # no threshold for --no-tau and --tau none
        preset = self._preset(features, keep).model_dump()
        if given.get("outliers") is not None:
            if self.no_tau:
                raise HelipError("--no-tau: beside --outliers, which sets both tau; give one")
            preset = {name: value for name, value in preset.items() if name not in TAUS}
        spec: MiningSpec = validate_options(MiningSpec, preset | given, nameless="outliers" if "outliers" in given else "pool")
        for name in sorted(spec.without_effect & self.spec.keys()):
            alone = " without --ivf-candidates" if name == "ivf_probes" else ""
            raise HelipError(f"--{name.replace('_', '-')}: has no effect on method {spec.method}{alone}; leave it out")
        return spec

    def _preset(self, features: dict[str, Path | None], keep: Any) -> MiningSpec:
        from helip.mining import presets
        from helip.mining.features import load

        if self.preset == "paper":
            return presets.PAPER
        path = next((path for path in features.values() if path), None)
        if path is None:
            raise HelipError(f"--preset {self.preset} depends on how many pairs there are: give --image-features or --text-features")
        return presets.released_code(len(load(path)) if keep is None else int(keep.sum()))


class MergePairs(Command):
    """The result is the pair set that one process would have made."""

    former = STUDY

    shards: Annotated[tuple[Path, ...], ARGUMENT] = Field(description="the folders that `helip mine --shard i/n` made")
    out: Path = Field(description="the folder to make")

    def run(self) -> None:
        """Joins the shards. Raises HelipError where one is missing or of another job."""
        from helip.mining.job import join, summary

        check_replaceable(self.out, "pairs.json", *self.shards)
        pairs = join(self.shards, self.out)
        done(
            f"{self.out}: {len(pairs)} targets from {len(self.shards)} shards; {summary(pairs)}",
            then=REFINE.format(corpus="CORPUS", out=self.out),
        )


class FilterPairs(Command):
    """A hard pair is left out when its caption fits the target's image as well as the target's own caption does, or the other way round,
    as the checkpoint scores them. Features lie in OUT.features beside the result.
    """

    former = STUDY | {"--pretrained": PRETRAINED}

    corpus: Path = Field(description="a corpus folder made by `helip corpus`")
    pairs: Path = Field(description="a pair set made by `helip mine`")
    model: Model = Field(description=f"the model you will refine: {MODEL}")
    out: Path = Field(description="the folder to make")
    margin: Cosine = Field(0.0, description="cosine: a caption this much worse than the true one is still taken for a match")
    relative_margin: float = Field(0.0, ge=0, lt=1, description="share of the true one's score that a caption may be worse by, likewise")
    batch_size: Threads = Field(64, description="samples encoded together")
    workers: Workers | None = Field(None, description=DECODERS)
    device: str | None = Field(None, description=DEVICE)

    def run(self) -> None:
        """Filters the pair set."""
        from helip.models.reference import parse

        model = parse(self.model)
        check_replaceable(self.out, "pairs.json", self.corpus, self.pairs, model.folder, model.file)
        from helip.data.corpus import Corpus
        from helip.gpus import loader_workers, torch_device
        from helip.selection.false_negatives import filter_pairs, summary

        device = torch_device(self.device)
        before, after = filter_pairs(
            Corpus.open(self.corpus), self.pairs, model, self.out.with_name(f"{self.out.name}.features"), self.margin, self.out,
            device=device, batch_size=self.batch_size, workers=loader_workers(self.workers, device), relative_margin=self.relative_margin,
        )  # fmt: skip
        done(f"{self.out}: {summary(before, after)}", then=REFINE.format(corpus=self.corpus, out=self.out))
