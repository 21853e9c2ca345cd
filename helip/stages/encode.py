"""The stage `encode`: features of a corpus by an encoder, the cache that mining reads."""

from dataclasses import dataclass

from helip.config import Encoder, MismatchedCorpus, RunEncoder, SelfSupervisedEncoder, SubsetCorpus, TrunkEncoder, UnionCorpus
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.stages.encode_views import EncodeViews, first_alike, views_of
from helip.stages.train_encoder import TrainEncoder


@dataclass(frozen=True)
class Encode(Stage):
    """One row of features for each pair of a corpus. Features of a union are those of its members, where that is the same."""

    corpus: str
    encoder: str

    name = "encode"
    path = "features/{corpus}/{encoder}"
    files = ("features.npy", "features.json")
    takes_gpu = True
    heeds = ("workers", "device")

    def config(self) -> Encoder:
        return self.study.encoder(self.encoder)

    def members(self) -> list["Encode"]:
        """Returns the features of a union's members; none where the encoder or the mean is each corpus' own."""
        declared, encoder = self.study.corpus(self.corpus), self.config()
        own = encoder.centre or (isinstance(encoder, SelfSupervisedEncoder) and encoder.corpus is None)
        return [Encode(self.study, member, self.encoder) for member in declared.of] if isinstance(declared, UnionCorpus) and not own else []

    def base(self) -> "Encode | None":
        """Returns the features whose rows these are: of the corpus whose captions were swapped, or of which this is a subset; none where
        frozen trunks were asked of this corpus already.
        """
        declared = self.study.corpus(self.corpus)
        if not isinstance(declared, MismatchedCorpus | SubsetCorpus) or self.views() is not None:
            return None
        return Encode(self.study, declared.of, self.encoder)

    def trained(self) -> Stage | None:
        """Returns the artefact that holds the encoder's weights, where they come from the study itself: an encoder, or a run's tower."""
        from helip.stages.train import model_of

        match self.config():
            case RunEncoder(run=run, seed=seed):
                return model_of(self.study, run, str(seed))
            case SelfSupervisedEncoder(corpus=home):
                return TrainEncoder(self.study, home or self.corpus, self.encoder)
        return None

    def needs(self) -> list[Stage]:
        corpus = BuildCorpus(self.study, self.corpus)
        if members := self.members():
            return [corpus, *members]
        if base := self.base():
            return [corpus, base]
        return [corpus, *filter(None, [self.trained(), self.views()])]

    def views(self) -> EncodeViews | None:
        """Returns what frozen trunks say of this corpus, where the encoder is one of them, or a run's tower over ones that were asked."""
        match self.config():
            case TrunkEncoder(model=model):
                return EncodeViews(self.study, self.corpus, first_alike(self.study, model))
            case RunEncoder(run=run):
                return views_of(self.study, run, self.corpus)
        return None

    def work(self) -> Work:
        """Units and items are pairs."""
        size = BuildCorpus(self.study, self.corpus).size()
        made = self.members() or self.base() or isinstance(self.config(), TrunkEncoder)
        return Work(0 if made else size, size, (f"encode.{self.encoder}", "encode"))

    def make(self, how: How) -> str:
        from helip import encoders
        from helip.data.corpus import Corpus
        from helip.data.subset import origin_of
        from helip.encoders import cache, union
        from helip.encoders.features import Features
        from helip.encoders.rearranged import rearrange
        from helip.gpus import loader_workers, torch_device

        corpus = Corpus.open(BuildCorpus(self.study, self.corpus).folder)
        if members := self.members():
            parts = [Features.open(m.folder, Corpus.open(BuildCorpus(self.study, m.corpus).folder).digest) for m in members]
            rows = union.join(self.config(), parts, corpus.digest, self.folder)
            return f"{rows} features of {len(members)} corpora"
        if base := self.base():
            of = Features.open(base.folder, Corpus.open(BuildCorpus(self.study, base.corpus).folder).digest)
            image_N, text_N = origin_of(corpus.folder)
            rows = rearrange(of, image_N if of.metadata["modality"] == "image" else text_N, corpus.digest, self.folder)
            return f"{rows} features of {base.corpus}"
        views, trained = self.views(), self.trained()
        if views is not None:
            from helip.training.frozen import encode_by_heads, encode_by_trunk

            declared = self.config()
            if isinstance(declared, TrunkEncoder):
                encode_by_trunk(declared, views.trunks(), views.features(corpus), corpus, self.folder)
                return f"{len(corpus)} features, as they are cached of the trunks"
            assert trained is not None  # as a run's tower is
            encode_by_heads(declared, trained.folder, views.features(corpus), corpus, self.folder)
            return f"{len(corpus)} features, from those of the trunks"
        device, trained = torch_device(how.device), self.trained()
        encoder = encoders.load(self.config(), trained.folder if trained else None, device)
        cache.encode(self.config(), encoder, corpus, self.folder, workers=loader_workers(how.workers, device))
        return f"{len(corpus)} features of {encoder.dim} dimensions"
