"""The stage `encode_views`: what the frozen trunks of a model say of a corpus, the cache that its heads are trained on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from helip.config import FrozenModel, MismatchedCorpus, SubsetCorpus, UnionCorpus
from helip.errors import HelipError
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.study import Study

if TYPE_CHECKING:
    from helip.data.corpus import Corpus
    from helip.training.frozen import TrunkFeatures, Trunks


@dataclass(frozen=True)
class EncodeViews(Stage):
    """Features of the views of all images and of all captions of a corpus, by the two trunks of a model."""

    corpus: str
    model: str

    name = "encode_views"
    path = "trunks/{corpus}/{model}"
    files = ("image/features.npy", "image/features.json", "text/features.npy", "text/features.json")
    takes_gpu = True
    heeds = ("workers", "device")

    @property
    def declared(self) -> FrozenModel:
        """The declaration of the model. HelipError where its towers are trained."""
        declared = self.study.model(self.model)
        if not isinstance(declared, FrozenModel):
            raise HelipError(
                f"{self.study.file}: model '{self.model}' has no image_trunk and text_trunk: its towers are trained, not cached"
            )
        return declared

    def config(self) -> object:
        model = self.declared
        plain = [] if model.mirrored else ["not mirrored"]
        cut = [model.unfrozen_blocks, model.context_length] if model.unfrozen_blocks else []
        return [model.views, model.crop_scale, *plain, self.study.encoder(model.image_trunk), self.study.encoder(model.text_trunk), *cut]

    def base(self) -> "EncodeViews | None":
        """Returns the features whose rows these are: of the corpus whose captions were swapped, or of which this is a subset."""
        declared = self.study.corpus(self.corpus)
        return EncodeViews(self.study, declared.of, self.model) if isinstance(declared, MismatchedCorpus | SubsetCorpus) else None

    def members(self) -> list["EncodeViews"]:
        """Returns the features that these are one behind the other: of a union's members."""
        declared = self.study.corpus(self.corpus)
        return [EncodeViews(self.study, member, self.model) for member in declared.of] if isinstance(declared, UnionCorpus) else []

    def needs(self) -> list[Stage]:
        return [BuildCorpus(self.study, self.corpus), *filter(None, [self.base()]), *self.members()]

    def work(self) -> Work:
        """Units are images encoded; items are pairs."""
        size = BuildCorpus(self.study, self.corpus).size()
        units = None if size is None else size * self.declared.views * (self.base() is None and not self.members())
        return Work(units, size, (f"encode_views.{self.model}", "encode_views"))

    def make(self, how: How) -> str:
        from helip.data.corpus import Corpus
        from helip.gpus import loader_workers, torch_device
        from helip.training.frozen import encode_corpus, join_features, rearrange_features

        corpus, device = Corpus.open(BuildCorpus(self.study, self.corpus).folder), torch_device(how.device)
        if base := self.base():
            of = Corpus.open(BuildCorpus(self.study, base.corpus).folder)
            rearrange_features(self.declared, of, base.folder, corpus, self.folder)
            return f"views of {len(corpus)} images and their captions, from those of {base.corpus}"
        if members := self.members():
            parts = [m.features(Corpus.open(BuildCorpus(self.study, m.corpus).folder)) for m in members]
            join_features(self.declared, parts, [m.folder for m in members], corpus, self.folder)
            return f"views of {len(corpus)} images, and captions, of {len(members)} corpora"
        workers = loader_workers(how.workers, device)
        dtype = "float16" if self.declared.unfrozen_blocks else "float32"  # the input of blocks is ten times as wide as a feature
        features = encode_corpus(self.declared, self.trunks(device), corpus, self.folder, workers=workers, dtype=dtype)
        return f"{features.views} views of {len(features)} images, and their captions"

    def trunks(self, device: str = "cpu") -> "Trunks":
        """Returns the declarations and encoders of the image trunk and the text trunk, up to their unfrozen blocks."""
        from helip.training.frozen import trunks_of

        image, text = (self.study.encoder(name) for name in (self.declared.image_trunk, self.declared.text_trunk))
        return trunks_of(self.declared, image, text, device)

    def features(self, corpus: "Corpus") -> "TrunkFeatures":
        """Returns the features as they lie there. HelipError where they are of another corpus."""
        from helip.training.frozen import features_of

        return features_of(self.folder, corpus, self.declared)


def cached_trunks(study: Study, run: str) -> EncodeViews | None:
    """Returns what the trunks of a run's model say of its corpus, where they are frozen. Models of the same trunks and views share it, and
    it is named by the first of them.
    """
    of_run = study.run(run)
    frozen = isinstance(study.model(of_run.model), FrozenModel)
    return EncodeViews(study, of_run.corpus, first_alike(study, of_run.model)) if frozen else None


def first_alike(study: Study, model: str) -> str:
    """Returns the first of the study's models that has the trunks and views of a model on frozen trunks."""
    wanted, models = study.model(model), study.declaration.models.items()
    return next(
        (name for name, m in models if isinstance(m, FrozenModel) and isinstance(wanted, FrozenModel) and _seen(m) == _seen(wanted)), model
    )


def _seen(model: FrozenModel) -> tuple[object, ...]:
    return model.image_trunk, model.text_trunk, model.views, model.mirrored, model.crop_scale, model.unfrozen_blocks, model.context_length


def views_of(study: Study, run: str, corpus: str) -> EncodeViews | None:
    """Returns what the trunks of a run's model say of a corpus, where they are frozen and some run of the study trains on it with them."""
    trunks = cached_trunks(study, run)
    alike = [] if trunks is None else [one for r in study.runs.values() if r.corpus == corpus and (one := cached_trunks(study, r.name))]
    return next((one for one in alike if trunks is not None and one.model == trunks.model), None)
