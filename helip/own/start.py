"""What a start checkpoint is, and how long its work takes on this machine: measured before anything is declared."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from helip.config import AnyModel, FrozenModel, TrainConfig
from helip.io import file_digest
from helip.models.layout import weights_file
from helip.models.reference import parse

BATCH = 16  # images of a measurement
LARGE = 50_000_000  # parameters from which a model is treated as one that was pre-trained at scale


@dataclass(frozen=True)
class StartFacts:
    """What was found of a start. Seconds are for one image or pair, on `measured_on`: the kind of device that the study will use, where
    this machine has one."""

    reference: str
    sha256: str  # of the weights file; empty for a model that open_clip keeps by name
    config: dict[str, Any]  # open_clip's model_cfg
    parameters: int  # that are trained
    is_frozen: bool  # whether it is heads over frozen trunks
    image_size: int
    encode_image: float
    encode_text: float
    train_pair: float
    weights_bytes: int
    measured_on: str = "cpu"

    @property
    def is_large(self) -> bool:
        """Whether its learning rate should be that of a model that was pre-trained at scale."""
        return self.parameters >= LARGE


def digest_of(reference: str) -> str:
    """Returns the sha256 of a start's weights file; empty for a model that open_clip keeps by name."""
    named = parse(reference)
    file = named.file or (weights_file(named.folder) if named.folder else None)
    return file_digest(file) if file else ""


def look_at(reference: str, device: str) -> StartFacts:
    """Opens a start, measures it for some seconds, and returns what was found. Raises HelipError for one that cannot be opened.

    device: of the study, cpu or cuda. Where this machine has no GPU, as a cluster's login node, it is measured on the CPU.
    """
    import torch

    from helip.models.frozen import FrozenClip
    from helip.models.loading import open_start
    from helip.models.network import offline_if_unreachable

    offline_if_unreachable()
    clip = open_start(reference)
    frozen = isinstance(clip.model, FrozenClip)
    measured_on = device if torch.cuda.is_available() else "cpu"
    image, text, pair = _seconds(clip, measured_on, frozen)
    return StartFacts(
        reference=reference, sha256=digest_of(reference), config=clip.config,
        parameters=sum(p.numel() for p in clip.model.parameters()), is_frozen=frozen, image_size=clip.image_size[0],
        encode_image=image, encode_text=text, train_pair=pair,
        weights_bytes=sum(w.numel() * w.element_size() for w in clip.model.state_dict().values()),
        measured_on=measured_on,
    )  # fmt: skip


def check_trainable(start: StartFacts, declared: AnyModel, recipe: TrainConfig, processes: int) -> None:
    """Raises HelipError, as the training itself would, where a start cannot be trained by a recipe.

    declared: the study's model, which is the start, or heads on the start's towers. Weights play no part in it: none are loaded.
    """
    from helip.models.architecture import build
    from helip.models.frozen import FrozenClip
    from helip.training.distributed import check_divides
    from helip.training.layers import rates
    from helip.training.objectives import made_trainable

    check_divides(recipe.batch_size, processes, recipe.accumulate)
    if isinstance(declared, FrozenModel):
        model = FrozenClip(start.config if start.is_frozen else _heads(declared))
    else:
        model = build(start.config, drawn=False)
    made_trainable(model, recipe)
    rates(model, recipe)


def _heads(declared: FrozenModel) -> dict[str, Any]:
    """The model_cfg of residual heads on the towers of a start, but for which towers these are."""
    tower = {"dim": declared.embed_dim, "weights": ""}
    parts = {"hidden": declared.hidden, "dropout": declared.dropout, "head": declared.head, "image_trunk": tower, "text_trunk": tower}
    return {"embed_dim": declared.embed_dim, "frozen": parts}


def _seconds(clip: Any, device: str, frozen: bool) -> tuple[float, float, float]:
    """(an image encoded, a caption encoded, a pair trained on)."""
    import torch

    from helip.models.architecture import shortened

    model = clip.model.to(device)
    images, captions = torch.randn(BATCH, 3, *clip.image_size, device=device), [f"a photograph of {n} things" for n in range(BATCH)]

    def tokens() -> torch.Tensor:
        return shortened(clip.tokenize(captions), model).to(device)

    texts = tokens()

    def encode_images() -> None:
        with torch.no_grad():
            model.eval().encode_image(images)

    def encode_texts() -> None:
        with torch.no_grad():
            model.eval().encode_text(tokens())

    def train() -> None:
        model.train()
        rows = torch.randn(BATCH, clip.config["frozen"]["image_trunk"]["dim"], device=device) if frozen else images
        (model.encode_image(rows).sum() + model.encode_text(texts).sum()).backward()
        model.zero_grad(set_to_none=True)

    return _timed(encode_images, device), _timed(encode_texts, device), _timed(train, device)


def _timed(work: Callable[[], None], device: str, least: float = 0.5) -> float:
    """Seconds a sample, over as many batches as `least` seconds hold; the first batch is not counted."""
    import torch

    work()
    begun, batches = time.monotonic(), 0
    while not batches or time.monotonic() - begun < least:
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        batches += 1
    return (time.monotonic() - begun) / batches / BATCH
