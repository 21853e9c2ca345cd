"""Models, objectives, recipes and refinements."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from helip.config.base import ConfigModel, Share

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]  # of a term of a loss
Width = Annotated[int, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class Model(ConfigModel):
    """This is an open_clip architecture: by name, or by its config (`embed_dim`, `vision_cfg`, `text_cfg`)."""

    open_clip: str | None = None
    config: dict[str, Any] | None = None
    tokenizer: Literal["clip", "corpus"] = "clip"  # corpus: a small byte-pair vocabulary learnt from the run's own corpus
    vocabulary: int = Field(2048, ge=300)  # of a corpus tokenizer

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.open_clip is None) == (self.config is None):
            raise ValueError("give either open_clip (a name) or config (an architecture), not both")
        return self


class Augmentation(ConfigModel):
    """This is how training images are varied: a random resized crop and a flip. The defaults are open_clip's."""

    crop_scale: tuple[float, float] = (0.9, 1.0)
    flip: Share = 0.0

    @model_validator(mode="after")
    def _shares_of_the_area(self) -> Self:
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError("crop_scale is the smallest and the largest share of the image's area: 0 < smallest <= largest <= 1")
        return self


class ClipObjective(ConfigModel):
    """This is symmetric InfoNCE (arXiv 2103.00020)."""

    name: Literal["clip"] = "clip"


class SlipObjective(ConfigModel):
    """This is CLIP and SimCLR together (arXiv 2112.12750)."""

    name: Literal["slip"] = "slip"
    simclr_weight: Weight = 1.0
    simclr_temperature: Positive = 0.1
    head: tuple[Width, Width] = (4096, 256)  # hidden and output width of the SimCLR MLP


class DeclipObjective(ConfigModel):
    """This is DeCLIP: CLIP over views, nearest-neighbour text, SimSiam and masked language (arXiv 2110.05208)."""

    name: Literal["declip"] = "declip"
    queue: Width = 65536
    head: tuple[Width, Width] = (1024, 512)  # width of SimSiam's projector, and of its predictor's hidden layer


class CyclipObjective(ConfigModel):
    """This is CLIP with in-modal and cross-modal consistency (arXiv 2205.14459); both fields are weights."""

    name: Literal["cyclip"] = "cyclip"
    in_modal: Weight = 0.25
    cross_modal: Weight = 0.25


class CloobObjective(ConfigModel):
    """This is InfoLOOB over Hopfield retrievals (arXiv 2110.11316)."""

    name: Literal["cloob"] = "cloob"
    hopfield_beta: Positive = 8.0
    inverse_temperature: Positive = 30.0


class HnNceObjective(ConfigModel):
    """This is InfoNCE with negatives weighted by their hardness (arXiv 2301.02280)."""

    name: Literal["hn_nce"] = "hn_nce"
    alpha: Weight = 1.0
    beta: Weight = 0.25


Objective = Annotated[
    ClipObjective | SlipObjective | DeclipObjective | CyclipObjective | CloobObjective | HnNceObjective, Field(discriminator="name")
]


class TrainConfig(ConfigModel):
    """This is how a model is optimised. `batch_size` is the whole batch, over all processes and accumulation steps."""

    objective: Objective = ClipObjective()
    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    batch_size: int = Field(gt=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.1, ge=0)  # on matrices only
    betas: tuple[Beta, Beta] = (0.9, 0.98)
    eps: Positive = 1e-6
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    clip_norm: float | None = Field(None, gt=0)
    # micro-batches a batch is cut into; the gradient is that of the whole batch, but that batch normalisation in a tower sees one of them
    accumulate: int = Field(1, gt=0)
    checkpoint_gradients: bool = False
    augmentation: Augmentation = Augmentation()
    ema: float | None = Field(None, gt=0, lt=1)
    save_every: int = Field(500, gt=0)  # steps between resume states

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self


class EarlyStopping(ConfigModel):
    """This ends a training whose recall on held-out pairs has stopped rising, and exports its best weights."""

    patience: int = Field(5, gt=0)  # validations without a gain (section 4.1: 5 epochs)
    every: int = Field(gt=0)  # steps; the start and the last step are validated too
    held_out: float = Field(0.02, gt=0, lt=1)  # of the corpus, never trained on


class Retention(ConfigModel):
    """This is a small set evaluated at step 0 and every n steps, so that forgetting is seen while it happens. It decides nothing."""

    set: str  # an evaluation set of the study; for your own data, a folder in CLIP benchmark's wds layout
    every: int = Field(gt=0)  # steps
    tolerance: float = Field(1.0, ge=0)  # points below the start that are worth a warning


class Refinement(TrainConfig):
    """This is continued training of a pre-trained model (section 3.3). Arms share every setting but where the batch comes from."""

    arm: Literal["control", "cleaned", "helip"] = "helip"
    seed_fraction: Share = 1.0  # of the base samples that bring hard pairs (B' in section 3.3)
    p: int = Field(1, gt=0)  # hard pairs a seed brings
    # batch: hard pairs are rows of the batch like others (algorithm 3). negatives: only their captions take part, as further columns
    # of the image-to-text softmax (as in NegCLIP, arXiv 2210.01936); the batch of pairs is then the control's, of batch_size rows.
    role: Literal["batch", "negatives"] = "batch"
    gamma: float = Field(1.0, ge=0)  # weight of the margin loss, eq. 7
    symmetric_margin: bool = False  # eq. 6 is image to text only
    drop_noise: bool = True  # section 3.2; False is algorithm 3 as printed
    early_stopping: EarlyStopping | None = None
    retention: Retention | None = None

    @model_validator(mode="after")
    def _negatives_are_captions(self) -> Self:
        if self.role == "negatives" and (self.symmetric_margin or not isinstance(self.objective, ClipObjective)):
            raise ValueError("role negatives adds captions to the image-to-text softmax of objective clip: no symmetric_margin, no other")
        return self
