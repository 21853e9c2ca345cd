"""Single-modality encoders for mining."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from helip.config.base import ConfigModel, Name, Seed

# Of the network on a GPU; a CPU computes in fp32. T5 overflows in fp16.
Precision = Literal["fp16", "bf16", "fp32"]


class TimmEncoder(ConfigModel):
    """This is an image encoder of timm."""

    library: Literal["timm"] = "timm"
    modality: Literal["image"] = "image"  # what it encodes
    model: str  # a timm model name, e.g. vit_small_patch8_224.dino
    weights: str | None = None  # a local file, or package:NAME for those in an installed package; None lets timm find or download them
    centre: bool = False  # subtract the corpus mean before normalising
    logits: bool = False  # the classifier's output instead of features, as the released code has it
    precision: Precision = "fp16"  # of the network on a GPU
    image_size: int | None = Field(
        None, gt=0
    )  # pixels a side of a vision transformer's input, or of a package's network; None: as timm says
    mean: tuple[float, float, float] | None = None  # of the pixels, in [0, 1], where the weights want others than timm says
    std: tuple[float, float, float] | None = None  # of the pixels, as mean


class TorchvisionEncoder(ConfigModel):
    """This is an image encoder of torchvision."""

    library: Literal["torchvision"] = "torchvision"
    modality: Literal["image"] = "image"  # what it encodes
    model: str  # a torchvision classifier; its features are the input of its last layer
    tag: str  # torchvision's name of the weights, e.g. IMAGENET1K_SWAG_LINEAR_V1 of vit_b_16 (SWAG ViT-B/16 is not in timm)
    weights: str | None = None  # a local file; None lets torchvision find or download them
    precision: Precision = "fp16"  # of the network on a GPU
    centre: bool = False  # subtract the corpus mean before normalising


class OpenClipEncoder(ConfigModel):
    """This is one tower of an open_clip model."""

    library: Literal["open_clip"] = "open_clip"
    modality: Literal["image", "text"]  # the tower
    model: str  # a checkpoint as every command names it: NAME@TAG, NAME@FILE, hf-hub:ORG/NAME or a folder
    precision: Precision = "fp16"  # of the network on a GPU
    centre: bool = False  # subtract the corpus mean before normalising

    @model_validator(mode="before")
    @classmethod
    def _one_reference(cls, declared: Any) -> Any:
        if isinstance(declared, dict) and declared.get("pretrained"):
            raise ValueError(f"pretrained is no key any more: write model: {declared.get('model')}@{declared['pretrained']}")
        return declared


class SentenceEncoder(ConfigModel):
    """This is a text encoder of sentence-transformers."""

    library: Literal["sentence_transformers"] = "sentence_transformers"
    modality: Literal["text"] = "text"  # what it encodes
    model: str  # a hub name, a folder, or package:NAME for weights inside an installed package
    layers: int | None = Field(None, gt=0)  # only the first so many of its transformer layers, mean-pooled; None: all
    precision: Precision = "fp16"  # of the network on a GPU
    centre: bool = False  # subtract the corpus mean before normalising


class SelfSupervisedEncoder(ConfigModel):
    """This is a small SimCLR encoder (arXiv 2002.05709) that is trained here, for places with no downloads."""

    library: Literal["simclr"] = "simclr"
    modality: Literal["image"] = "image"  # what it encodes
    corpus: Name | None = None  # the corpus of the study that it is trained on, to serve them all; None: on each corpus its own
    width: int = Field(32, gt=0)  # channels of its first layer
    dim: int = Field(128, gt=0)  # of the features
    image_size: int = Field(32, ge=16)  # pixels a side that images are resized to
    epochs: float = Field(4, gt=0)  # passes over the corpus
    batch_size: int = Field(256, gt=1)  # images in a step, two views of each
    learning_rate: float = Field(1e-3, gt=0)  # the highest; warm-up, then a cosine
    temperature: float = Field(0.2, gt=0)  # of the NT-Xent loss
    seed: Seed = 0  # random seed of weights, batches and views
    centre: bool = True  # uncentred SimCLR cosines have a median of about 0.7: tau would mean nothing


class RunEncoder(ConfigModel):
    """This is a tower of a CLIP that the study itself pre-trains, as the paper took one of OpenAI's, for places with no downloads."""

    library: Literal["run"] = "run"
    modality: Literal["image", "text"]  # the tower
    run: Name  # a pre-training of the study
    seed: Seed = 0  # of that pre-training
    centre: bool = False  # subtract the corpus mean before normalising


class TrunkEncoder(ConfigModel):
    """This is a frozen trunk of a model of the study, whose features of every corpus are cached: of whole images, and first captions."""

    library: Literal["trunk"] = "trunk"
    modality: Literal["image", "text"]  # which of the two trunks
    model: Name  # of the study's models, with an image_trunk and a text_trunk
    centre: bool = False  # subtract the corpus mean before normalising


Encoder = Annotated[
    TimmEncoder | TorchvisionEncoder | OpenClipEncoder | SentenceEncoder | SelfSupervisedEncoder | RunEncoder | TrunkEncoder,
    Field(discriminator="library"),
]
