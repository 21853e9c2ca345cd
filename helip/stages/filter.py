"""The stage `filter`: hard pairs that the start checkpoint takes for matches, left out of a pair set."""

from dataclasses import dataclass

from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.stages.mine import Mine
from helip.stages.select import judged_features, share_of_encoding
from helip.stages.train import model_of
from helip.study import Study, start_seed


@dataclass(frozen=True)
class Filter(Stage):
    """A pair set without likely false negatives; shared by the runs that filter alike."""

    run: str  # the start checkpoint's
    seed: str
    pairs: str

    name = "filter"
    path = "filtered/{run}/seed{seed}/{pairs}"
    files = Mine.files
    record = ("pairs.json", "digest")
    takes_gpu = True
    heeds = ("workers", "device")

    @property
    def title(self) -> str:
        return f"{self.run} seed {self.seed} {self.pairs}"

    def config(self) -> float:
        """Returns the margin: a cosine within which a caption is still taken for a match."""
        return self.study.filter_entry(self.run, self.pairs)[1]

    @property
    def mined(self) -> Mine:
        """The pair set that is filtered."""
        return Mine(self.study, self.study.filter_entry(self.run, self.pairs)[0])

    def needs(self) -> list[Stage]:
        return [BuildCorpus(self.study, self.study.run(self.run).corpus), model_of(self.study, self.run, self.seed), self.mined]

    def work(self) -> Work:
        """Units are pairs that are encoded; items, kept neighbours."""
        size, model = self.mined.corpus.size(), self.study.run(self.run).model
        return Work(share_of_encoding(self.study, self.run), size and size * self.mined.config().k, (f"filter.{model}", "filter"))

    def make(self, how: How) -> str:
        from helip.data.corpus import Corpus
        from helip.gpus import loader_workers, torch_device
        from helip.models.reference import parse
        from helip.selection.false_negatives import filter_pairs, summary

        corpus, start, mined = self.needs()
        device = torch_device(how.device)
        cache = judged_features(self.study, self.run, self.seed)
        before, after = filter_pairs(
            Corpus.open(corpus.folder), mined.folder, parse(str(start.folder)), cache, self.config(), self.folder, {"digest": self.digest},
            device=device, workers=loader_workers(how.workers, device),
        )  # fmt: skip
        return summary(before, after)


def drawn_pairs(study: Study, run: str, seed: str) -> Stage:
    """Returns the pair set that a refinement draws from: as mined, or filtered by its start checkpoint."""
    resolved = study.run(run)
    if resolved.false_negative_margin is None:
        return Mine(study, study.pairs_name(resolved))
    return Filter(study, resolved.refined_run, start_seed(seed), study.filtered_name(run))
