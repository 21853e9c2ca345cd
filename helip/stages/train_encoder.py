"""The stage `train_encoder`: a self-supervised image encoder, trained on a corpus of the study."""

from dataclasses import dataclass

from helip.config import SelfSupervisedEncoder
from helip.errors import HelipError
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus


@dataclass(frozen=True)
class TrainEncoder(Stage):
    """The weights of a SimCLR encoder."""

    corpus: str
    encoder: str

    name = "train_encoder"
    path = "encoders/{corpus}/{encoder}"
    files = ("model.safetensors", "encoder.json")
    takes_gpu = True
    revision = 2

    def config(self) -> SelfSupervisedEncoder:
        declared = self.study.encoder(self.encoder)
        if not isinstance(declared, SelfSupervisedEncoder):
            raise HelipError(
                f"{self.study.file}: encoder '{self.encoder}' comes trained ({declared.library}); only simclr encoders are trained here"
            )
        return declared

    def needs(self) -> list[Stage]:
        return [BuildCorpus(self.study, self.corpus)]

    def work(self) -> Work:
        """Units are images seen; one item is an encoder."""
        size = BuildCorpus(self.study, self.corpus).size()
        return Work(None if size is None else self.config().epochs * size, 1, ("train_encoder",))

    def make(self, how: How) -> str:
        from helip.data.corpus import Corpus
        from helip.encoders.simclr_training import train

        train(self.config(), Corpus.open(BuildCorpus(self.study, self.corpus).folder), self.folder)
        return f"encoder '{self.encoder}', trained on {self.corpus}"
