"""Models, objectives, recipes and refinements."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from helip.config.base import ConfigModel, Name, Share

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]  # of a term of a loss
Width = Annotated[int, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class Model(ConfigModel):
    """This is an open_clip architecture: by name, or by its config (`embed_dim`, `vision_cfg`, `text_cfg`)."""

    open_clip: str | None = None  # an architecture of open_clip, by its name
    config: dict[str, Any] | None = None  # or its fields: embed_dim, vision_cfg, text_cfg
    tokenizer: Literal["clip", "corpus"] = "clip"  # corpus: a small byte-pair vocabulary learnt from the run's own corpus
    vocabulary: int = Field(2048, ge=300)  # of a corpus tokenizer

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.open_clip is None) == (self.config is None):
            raise ValueError("give either open_clip (a name) or config (an architecture), not both")
        return self


class FrozenModel(ConfigModel):
    """This is a CLIP of two frozen encoders, named as a study's `encoders` are, with trainable heads over their cached features.

    A head is linear, GELU, dropout, linear. With `head: residual` the trunks are the towers of a CLIP, and a head adds to a tower's
    feature: before the first step it adds nothing, and the model is that CLIP.

    View 0 of an image is the image itself and further ones are random crops of `crop_scale`; each has its mirror image behind it, unless
    `mirrored` is false.

    With `unfrozen_blocks` the last blocks of both trunks are trained too, on their cached input. They stay in evaluation mode: batch
    normalisation uses the statistics of the published weights, and they drop nothing.
    """

    image_trunk: Name  # an image encoder of the study
    text_trunk: Name  # a text encoder of the study
    head: Literal["mlp", "residual"] = "mlp"  # mlp: its output is the feature; residual: it is added to the tower's own
    embed_dim: Width = 256  # width of the joint space
    hidden: Width = 512  # width of the heads' hidden layer
    dropout: float = Field(0.3, ge=0, lt=1)  # share of the hidden layer that is dropped in training
    views: Width = 2  # cached of each image
    mirrored: bool = True  # every second view is the mirror image of the one before; false where captions tell left from right
    crop_scale: tuple[float, float] | None = None  # smallest and largest share of the image's area in the crops
    unfrozen_blocks: int = Field(0, ge=0)  # last blocks of each trunk that are trained with the heads: their input is what is cached
    context_length: Width = 64  # tokens of a caption that are cached where blocks are unfrozen; longer captions are cut

    @model_validator(mode="after")
    def _only_an_mlp_follows_trained_blocks(self) -> Self:
        if self.unfrozen_blocks and self.head == "residual":
            raise ValueError("unfrozen_blocks needs head mlp: a residual head adds to the feature of a tower that does not change")
        return self

    @model_validator(mode="after")
    def _crops_have_a_scale(self) -> Self:
        whole, ordinal = (2, "second") if self.mirrored else (1, "first")
        if (self.views > whole) != (self.crop_scale is not None):
            raise ValueError(f"views beyond the {ordinal} are random crops: give crop_scale with views above {whole}, and only then")
        if self.crop_scale is not None and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError("crop_scale is the smallest and the largest share of the image's area: 0 < smallest <= largest <= 1")
        return self


def _form(value: Any) -> str:
    """Which form of a model is declared, by its keys."""
    return (
        "trunks"
        if isinstance(value, FrozenModel) or (isinstance(value, dict) and {"image_trunk", "text_trunk"} & {*value})
        else "open_clip"
    )


AnyModel = Annotated[Annotated[Model, Tag("open_clip")] | Annotated[FrozenModel, Tag("trunks")], Discriminator(_form)]


class Augmentation(ConfigModel):
    """This is how training images are varied: a random resized crop and a flip. The defaults are open_clip's."""

    crop_scale: tuple[float, float] = Field((0.9, 1.0), description="smallest and largest share of the image's area in a random crop")
    flip: Share = Field(0.0, description="share of the images that are mirrored")

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
    simclr_weight: Weight = 1.0  # of SimCLR's loss beside CLIP's
    simclr_temperature: Positive = 0.1  # of SimCLR's loss
    head: tuple[Width, Width] = (4096, 256)  # hidden and output width of the SimCLR MLP


class DeclipObjective(ConfigModel):
    """This is DeCLIP: CLIP over views, nearest-neighbour text, SimSiam and masked language (arXiv 2110.05208)."""

    name: Literal["declip"] = "declip"
    queue: Width = 65536  # captions kept to find a nearest neighbour among
    head: tuple[Width, Width] = (1024, 512)  # width of SimSiam's projector, and of its predictor's hidden layer


class CyclipObjective(ConfigModel):
    """This is CLIP with in-modal and cross-modal consistency (arXiv 2205.14459); both fields are weights."""

    name: Literal["cyclip"] = "cyclip"
    in_modal: Weight = 0.25  # weight of the in-modal consistency
    cross_modal: Weight = 0.25  # weight of the cross-modal consistency


class CloobObjective(ConfigModel):
    """This is InfoLOOB over Hopfield retrievals (arXiv 2110.11316)."""

    name: Literal["cloob"] = "cloob"
    hopfield_beta: Positive = 8.0  # inverse temperature of the Hopfield retrieval
    inverse_temperature: Positive = 30.0  # of the loss; fixed


class HnNceObjective(ConfigModel):
    """This is InfoNCE with negatives weighted by their hardness (arXiv 2301.02280)."""

    name: Literal["hn_nce"] = "hn_nce"
    alpha: Weight = 1.0  # weight of the positive in the denominator
    beta: Weight = 0.25  # how sharply hard negatives weigh more; 0: all alike


class SiglipObjective(ConfigModel):
    """This is the sigmoid loss over all pairs of a batch, for a model that has a logit bias (arXiv 2303.15343)."""

    name: Literal["siglip"] = "siglip"


Objective = Annotated[
    ClipObjective | SlipObjective | DeclipObjective | CyclipObjective | CloobObjective | HnNceObjective | SiglipObjective,
    Field(discriminator="name"),
]


class TrainConfig(ConfigModel):
    """This is how a model is optimised. `batch_size` is the whole batch, over all processes and accumulation steps."""

    objective: Objective = Field(ClipObjective(), description="the loss beside the margin; its own settings stand in a recipe file")
    epochs: float | None = Field(None, gt=0, description="passes over the corpus; give this or steps")
    steps: int | None = Field(None, gt=0, description="optimiser steps; give this or epochs")
    batch_size: int = Field(gt=1, description="pairs in a batch, over all processes and accumulation steps")
    learning_rate: float = Field(gt=0, description="peak of the schedule")
    trunk_rate: float = Field(1.0, gt=0, description="learning rate of unfrozen blocks of a model's trunks, in units of learning_rate")
    weight_decay: float = Field(0.1, ge=0, description="of AdamW, on matrices only")
    betas: tuple[Beta, Beta] = Field((0.9, 0.98), description="of AdamW")
    eps: Positive = Field(1e-6, description="of AdamW")
    warmup_steps: int = Field(0, ge=0, description="steps in which the learning rate rises linearly")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="of the learning rate after the warm-up")
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp32", description="of the towers; fp16 scales the loss")
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the gradient; none clips nothing")
    accumulate: int = Field(
        1, gt=0, description="micro-batches a batch is cut into: the same gradient, but batch normalisation in a tower sees one at a time"
    )
    checkpoint_gradients: bool = Field(False, description="compute activations again in the backward pass: less memory, more time")
    augmentation: Augmentation = Field(Augmentation(), description="of training images")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of an average of the weights, which is then what is exported")
    save_every: int = Field(500, gt=0, description="steps between resume states")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self


class EarlyStopping(ConfigModel):
    """This ends a training when its recall at 1 on a held-out share of the corpus no longer rises (section 4.1: "no performance gain")."""

    patience: int = Field(5, gt=0, description="validations without a gain after which training stops (section 4.1: 5 epochs)")
    every: int = Field(gt=0, description="steps between validations; the start and the last step are validated too")
    held_out: float = Field(
        0.02, gt=0, lt=1, description="share of the corpus that is validated on and never trained on, nor are known copies of it"
    )
    corpus: str | None = Field(
        None,
        description="validate on this corpus of the study instead, or on this folder of `helip corpus`: a start has seen its own corpus",
    )

    @model_validator(mode="after")
    def _one_validation(self) -> Self:
        if self.corpus is not None and "held_out" in self.model_fields_set:
            raise ValueError("held_out has no effect beside corpus, which is validated on in its place: leave one of them out")
        return self


class Retention(ConfigModel):
    """This is a small set evaluated at step 0 and every n steps, so that forgetting is seen while it happens. Only `stop` decides by it."""

    set: str = Field(description="an evaluation set of the study; for your own data, a folder in CLIP benchmark's wds layout")
    every: int = Field(gt=0, description="steps between evaluations")
    tolerance: float = Field(1.0, ge=0, description="points below the start that are worth a warning")
    stop: float | None = Field(
        None, ge=0, description="points below the start that end the training, which then exports the weights before that; none goes on"
    )


class FalseNegatives(ConfigModel):
    """This finds false negatives of the whole corpus while training: thresholds of each image and caption (GloFND, arXiv 2502.20612)."""

    glofnd: float = Field(gt=0, lt=1, description="share of an anchor's most similar negatives that are taken for false ones")
    rate: float = Field(0.05, gt=0, description="step with which an anchor's threshold is learnt, as a cosine")
    warmup: int = Field(0, ge=0, description="steps in which thresholds are learnt and nothing is masked yet")


# Fields of Refinement that only an arm with hard pairs looks at.
OF_HARD_PAIRS = ("seed_fraction", "p", "role", "gamma", "margin_on", "symmetric_margin", "drop_noise")


class Refinement(TrainConfig):
    """This is continued training of a pre-trained model (section 3.3). Arms share every setting but where the batch comes from."""

    arm: Literal["control", "cleaned", "helip"] = Field(
        "helip", description="control: no hard pairs; cleaned: noise left out, no hard pairs; helip: hard pairs and the margin loss"
    )
    seed_fraction: Share = Field(1.0, description="share of the base samples that bring hard pairs (B' in section 3.3)")
    p: int = Field(1, gt=0, description="hard pairs that a base sample brings")
    # negatives: as in NegCLIP (arXiv 2210.01936); the batch of pairs is then the control's, of batch_size rows.
    role: Literal["batch", "negatives"] = Field(
        "batch",
        description="batch: hard pairs are rows of the batch (algorithm 3); negatives: their captions alone, as columns of the softmax",
    )
    gamma: float = Field(1.0, ge=0, description="weight of the margin loss, eq. 7")
    margin_on: Literal["cosines", "logits"] = Field(
        "cosines", description="similarities of the margin loss; logits are cosines times the logit scale, as CLIP's loss has them"
    )
    symmetric_margin: bool = Field(False, description="margin loss from text to image too; eq. 6 is image to text only")
    drop_noise: bool = Field(True, description="leave noise pairs out of training (section 3.2); without it, algorithm 3 as printed")
    duplicates: Literal["ignore", "mask", "separate"] | None = Field(
        None,
        description=(
            "pairs with equal images or captions: negatives of each other, masked in the loss, or never in one batch; by default ignore in "
            "a study and mask for your own data"
        ),
    )
    false_negatives: FalseNegatives | None = Field(None, description="mask negatives that are likely matches; none masks nothing")
    moments: int = Field(
        0, ge=0, description="steps on frozen weights that fill AdamW's moments before the first step (TuneCLIP, arXiv 2601.09859)"
    )
    freeze_image: Share = Field(0.0, description="share of the image tower's blocks, from the first on, that are not trained; 1: all of it")
    freeze_text: Share = Field(0.0, description="share of the text tower's blocks, from the first on, that are not trained; 1: all of it")
    image_rate: float = Field(1.0, gt=0, description="learning rate of the image tower, in units of learning_rate")
    text_rate: float = Field(1.0, gt=0, description="learning rate of the text tower, in units of learning_rate")
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor by which the learning rate falls with each block towards the input")
    lora: int | None = Field(
        None, gt=0, description="rank of low-rank updates that are trained in place of the towers' weights (LoRA), merged on export"
    )
    distill: float = Field(0.0, ge=0, description="weight of staying near the start's softmax over the batch (ZSCL, arXiv 2303.06628)")
    early_stopping: EarlyStopping | None = Field(None, description="stop on a held-out share of the corpus; none trains to the end")
    retention: Retention | None = Field(None, description="watch a small evaluation set while training; none watches nothing")

    @model_validator(mode="after")
    def _negatives_are_captions(self) -> Self:
        if self.role == "negatives" and (self.symmetric_margin or not isinstance(self.objective, ClipObjective)):
            raise ValueError("role negatives adds captions to the image-to-text softmax of objective clip: no symmetric_margin, no other")
        return self

    @model_validator(mode="after")
    def _masks_have_a_softmax(self) -> Self:
        masks = [name for name, on in (("duplicates mask", self.duplicates == "mask"), ("false_negatives", self.false_negatives)) if on]
        if masks and self.objective.name not in ("clip", "slip", "cyclip"):
            raise ValueError(f"{masks[0]} leaves negatives out of a softmax: use objective clip, slip or cyclip, or duplicates separate")
        return self

    @model_validator(mode="after")
    def _something_is_trained(self) -> Self:
        if self.freeze_image == self.freeze_text == 1:
            raise ValueError("freeze_image and freeze_text are both 1: nothing is left to train")
        return self

    @model_validator(mode="after")
    def _rates_are_of_what_is_trained(self) -> Self:
        for tower, share, rate in (("image", self.freeze_image, self.image_rate), ("text", self.freeze_text, self.text_rate)):
            if share == 1 and rate != 1:
                why = f"has no effect beside freeze_{tower} 1, which trains none of that tower"
                raise ValueError(f"{tower}_rate {rate:g} {why}: leave one out")
        return self


def cached_views(
    views: int, crop_scale: tuple[float, float] | None, augmentation: Augmentation, every_second_mirrored: bool = True
) -> tuple[list[int], list[int]]:
    """Returns the cached views of a frozen image trunk that an augmentation draws from: those not mirrored, and those mirrored.

    ValueError is raised, with a sentence for the user, where no cached view has its crop or its flip.
    """
    whole, scale = (1.0, 1.0), augmentation.crop_scale
    if scale not in (whole, crop_scale):
        has = f"whole images (crop_scale {list(whole)})" + (f" and crops of crop_scale {list(crop_scale)}" if crop_scale else "")
        remedy = "set the recipe's augmentation so, or the model's views and crop_scale"
        raise ValueError(
            f"augmentation: crop_scale {list(scale)} is of no cached view of the frozen image trunk, which has {has}; {remedy}"
        )
    each = 2 if every_second_mirrored else 1
    drawn = range(min(each, views)) if scale == whole else range(each, views)
    plain, mirrored = [v for v in drawn if v % each == 0], [v for v in drawn if v % each == 1]
    if augmentation.flip > 0 and not every_second_mirrored:
        raise ValueError(
            f"augmentation: flip {augmentation.flip:g} needs mirrored views of the frozen image trunk: leave out mirrored: false"
        )
    if augmentation.flip > 0 and not mirrored:
        least = 2 if scale == whole else 4
        raise ValueError(
            f"augmentation: flip {augmentation.flip:g} needs mirrored views of the frozen image trunk: set views: {least} or more"
        )
    return plain, mirrored


def check_frozen(views: int, crop_scale: tuple[float, float] | None, recipe: TrainConfig, mirrored: bool = True) -> None:
    """Raises ValueError, with a sentence for the user, for a recipe that cached trunk features cannot serve."""
    if recipe.objective.name in ("slip", "declip") and views < 2:
        raise ValueError(
            f"objective {recipe.objective.name} needs two views of an image, and the frozen image trunk has one: set views: 2 or more"
        )
    if recipe.objective.name == "siglip":
        raise ValueError("objective siglip needs a logit bias, and a model of frozen trunks has none: use clip, hn_nce, cyclip or cloob")
    if recipe.checkpoint_gradients:
        raise ValueError("checkpoint_gradients does nothing where the trunks are frozen; leave it out")
    cached_views(views, crop_scale, recipe.augmentation, mirrored)
