"""The stages `mine` and `mine_shard`: the hard pairs of every target pair of a corpus."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helip.config import MiningSpec, Pairs, Resources
from helip.errors import HelipError
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.stages.encode import Encode
from helip.study import FILES_ONLY, Study
from helip.study.resolve import encoders_of

if TYPE_CHECKING:
    from helip.mining.job import MineJob


@dataclass(frozen=True)
class Mine(Stage):
    """A pair set: mined in one job, joined from shards, or drawn where no miner makes it."""

    pairs: str

    name = "mine"
    path = "pairs/{pairs}"
    files = ("pairs.json", "ids.npy", "scores.npy", "offsets.npy", "noise.npy")
    takes_gpu = True
    heeds = ("workers", "device")

    @property
    def corpus(self) -> BuildCorpus:
        """The corpus whose pairs are mined."""
        return BuildCorpus(self.study, self.study.pairs_entry(self.pairs)[0])

    def config(self) -> Pairs:
        return self.study.pairs_entry(self.pairs)[1]

    def features(self) -> list[Encode]:
        """Returns the features that are compared; none for the reference pairs `random` and `truth`."""
        return [Encode(self.study, self.corpus.corpus, encoder) for encoder in encoders_of(self.config())]

    def needs(self) -> list[Stage]:
        return [*self.features()] or [self.corpus]

    def awaits(self) -> list["MineShard"]:
        """Returns the shards it is joined from. A pair set is the same bytes however many there are, so no digest knows of them."""
        n = self.shards()
        return [MineShard(self.study, self.pairs, str(i), str(n)) for i in range(n)] if n > 1 else []

    def shards(self) -> int:
        """Jobs that mine the pair set together: `pairs_per_shard` of the study's resources cuts a large corpus."""
        size, most = self.study.declared_size(self.corpus.corpus), self.study.resources("mine").pairs_per_shard
        return 1 if size is None or most is None or not self.features() else -(-size // most)

    def resources(self) -> Resources:
        return self.study.resources("mine") if self.features() and self.shards() == 1 else FILES_ONLY

    def compared(self) -> float | None:
        """Pairs of pairs that mining looks at, in billions."""
        size = self.corpus.size()
        return None if size is None else size * min(self.config().pool or size, size) / 1e9

    def costs(self) -> tuple[str, ...]:
        """Returns the keys of the study's costs that mining goes by, the most particular first."""
        return (f"mine.{self.corpus.corpus}", "mine")

    def work(self) -> Work:
        """Units are billions of compared pairs, or kept neighbours where shards are joined or nothing is mined; items, kept neighbours."""
        size = self.corpus.size()
        neighbours = None if size is None else size * self.config().k
        mines = self.resources() is not FILES_ONLY
        return Work(self.compared(), neighbours, self.costs()) if mines else Work(neighbours, neighbours, ("merge",))

    def job(self, out: Path, how: How) -> "MineJob":
        """Returns the job that mines this pair set into `out`. What the study asks of the scheduler is what mining may use."""
        from helip.data.corpus import Corpus
        from helip.mining.job import MineJob, corpus_digest_of
        from helip.synthetic.truth import Truth

        spec, asked = self.config(), self.study.resources("mine")
        by_modality = {"image": spec.image_encoder, "text": spec.text_encoder}
        features = {m: f for m, e in by_modality.items() for f in self.features() if f.encoder == e}
        corpus, files = Corpus.open(self.corpus.folder), {modality: one.output for modality, one in features.items()}
        return MineJob(
            spec=MiningSpec.model_validate({name: getattr(spec, name) for name in MiningSpec.model_fields}),
            features=files,
            inputs={f"{modality}_features": one.digest for modality, one in features.items()} or {"corpus": self.corpus.digest},
            corpus=corpus,
            corpus_digest=corpus_digest_of(files, corpus) or corpus.digest,
            out=out,
            encoders={modality: one.encoder for modality, one in features.items()},
            memory=f"{max(asked.mem_mb - 700, asked.mem_mb // 2)}MB",  # Python, torch and faiss take about 700 MB of it
            workers=how.workers or asked.threads,
            device=how.device or ("cuda" if asked.gpu else None),
            truth=Truth.open(corpus.folder) if Truth.known(corpus.folder) else None,
        )

    def make(self, how: How) -> str:
        from helip.mining.job import join, summary

        job, shards = self.job(self.folder, how), [shard.folder for shard in self.awaits()]
        return summary(join(shards, self.folder, job) if shards else job.run())


@dataclass(frozen=True)
class MineShard(Stage):
    """Part i of n of a pair set, until the parts are joined."""

    pairs: str
    i: str
    n: str

    name = "mine_shard"
    path = "pair_shards/{pairs}/{i}of{n}"
    files = ("",)  # the folder itself
    takes_gpu = True
    heeds = ("workers", "device")

    @property
    def whole(self) -> Mine:
        """The pair set that it is a part of."""
        return Mine(self.study, self.pairs)

    @property
    def is_done(self) -> bool:
        """Whether it is there, or was and is joined by now."""
        return self.output.exists() or self.whole.is_done

    @property
    def title(self) -> str:
        return f"{self.pairs} {self.i}of{self.n}"

    def config(self) -> Pairs:
        if not (self.i.isdecimal() and self.n.isdecimal() and int(self.i) < int(self.n)):
            raise HelipError(f"mine_shard {self.pairs}: {self.i} of {self.n} is no shard; they are counted from 0 to n - 1")
        return self.whole.config()

    def needs(self) -> list[Stage]:
        return self.whole.needs()

    def resources(self) -> Resources:
        return self.study.resources("mine")

    def work(self) -> Work:
        """Units are billions of compared pairs; its files vanish when the shards are joined."""
        compared = self.whole.compared()
        return Work(compared and compared / int(self.n), 0, self.whole.costs())

    def make(self, how: How) -> str:
        from helip.mining.job import summary

        return summary(self.whole.job(self.folder, how).run((int(self.i), int(self.n))))


def pairs_of(study: Study, run: str) -> Mine:
    """Returns the pair set that a run draws hard pairs from, before any filter."""
    return Mine(study, study.pairs_name(study.run(run)))
