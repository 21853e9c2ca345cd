"""The stage `select`: which pairs of its corpus a start checkpoint keeps."""

from dataclasses import dataclass
from pathlib import Path

from helip.config import Selection
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.stages.encode import Encode
from helip.stages.encode_views import EncodeViews, cached_trunks
from helip.stages.evaluation_set import BuildEvaluationSet
from helip.stages.train import Interpolate, Train, model_of
from helip.study import Study, start_seed


def judged_features(study: Study, start: str, seed: str) -> Path:
    """Returns the folder of a start checkpoint's features of its corpus, which all its selections and filters share."""
    return study.root / "selections" / start / f"seed{seed}" / "features"


def share_of_encoding(study: Study, start: str) -> float | None:
    """Pairs that one selection or filter of a start checkpoint encodes: the corpus is encoded once for all of them."""
    runs = [r for r in study.runs.values() if r.start == start]
    selections = {study.selection_name(r.name) for r in runs if r.select}
    filters = {study.filtered_name(r.name) for r in runs if r.false_negative_margin is not None}
    size = BuildCorpus(study, study.run(start).corpus).size()
    return None if size is None else size / len(selections | filters)


@dataclass(frozen=True)
class Select(Stage):
    """keep.npy and scores.npy of a corpus, as a start checkpoint sees it; shared by the runs that select alike."""

    run: str  # the start checkpoint's
    seed: str
    selection: str

    name = "select"
    revision = 3
    path = "selections/{run}/seed{seed}/{selection}"
    files = ("keep.npy", "scores.npy", "selection.json")
    takes_gpu = True
    heeds = ("workers", "device")

    @property
    def title(self) -> str:
        return f"{self.run} seed {self.seed} {self.selection}"

    def config(self) -> Selection:
        return self.study.selection_entry(self.run, self.selection)

    def needs(self) -> list[Stage]:
        target = self.target()
        return [self.corpus(), *filter(None, [self.start(), target, self.trunks()]), *self.features().values()]

    def corpus(self) -> BuildCorpus:
        """Returns the corpus of the start, whose pairs are scored."""
        return BuildCorpus(self.study, self.study.run(self.run).corpus)

    def start(self) -> "Train | Interpolate | None":
        """Returns the start checkpoint where its score looks at it."""
        return model_of(self.study, self.run, self.seed) if self.config().asks_start else None

    def trunks(self) -> EncodeViews | None:
        """Returns the cached trunk features of the corpus, where the start's trunks are frozen and its score looks at the start."""
        return cached_trunks(self.study, self.run) if self.config().asks_start else None

    def target(self) -> BuildEvaluationSet | None:
        """Returns the evaluation set that its score aims at, where it has one."""
        name = self.config().target
        return BuildEvaluationSet(self.study, name) if name else None

    def features(self) -> dict[str, Encode]:
        """Returns the features of the corpus by single-modality encoders, by modality, where its score looks at them."""
        spec, corpus = self.config(), self.study.run(self.run).corpus
        names = {"image": spec.image_encoder, "text": spec.text_encoder}
        return {modality: Encode(self.study, corpus, name) for modality, name in names.items() if name}

    def work(self) -> Work:
        """Units and items are pairs."""
        share = share_of_encoding(self.study, self.run)
        return Work(share, share, (f"select.{self.study.run(self.run).model}", "select"))

    def make(self, how: How) -> str:
        from helip.data.corpus import Corpus
        from helip.evaluation.sets import of_declaration
        from helip.gpus import loader_workers, torch_device
        from helip.selection.job import Job, run, summary

        start, target, trunks, asked = self.start(), self.target(), self.trunks(), self.resources()
        device, opened = torch_device(how.device), Corpus.open(self.corpus().folder)
        job = Job(
            spec=self.config(),
            corpus=opened,
            out=self.folder,
            model=f"local-dir:{start.folder}" if start else "",
            cache=judged_features(self.study, self.run, self.seed),
            target=of_declaration(target.set, target.config(), target.folder) if target else None,
            device=device,
            workers=loader_workers(how.workers, device),
            features={modality: encoded.folder for modality, encoded in self.features().items()} or None,
            trunks=trunks.features(opened) if trunks else None,
            memory=f"{max(asked.mem_mb - 700, asked.mem_mb // 2)}MB",  # Python, torch and faiss take about 700 MB of it
        )
        metadata = run(job, inputs={"start": start.digest} if start else {})
        assert metadata is not None  # only a shard of a job returns none
        return summary(metadata)


def selection_of(study: Study, run: str, seed: str) -> Select:
    """Returns the selection that a refinement trains on. One that does not look at the start serves all seeds: that of the first."""
    start, name = study.run(run).refined_run, study.selection_name(run)
    seed = start_seed(seed) if study.selection_entry(start, name).asks_start else study.run(start).seeds[0]
    return Select(study, start, seed, name)
