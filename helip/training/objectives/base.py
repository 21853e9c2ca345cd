"""The one interface between an objective and the training engine.

A step is: `encode` each micro-batch of each process, gather its outputs over the whole batch, `loss` once on every process, send the
gradients of the gathered features back through `encode`, then `after_step`. Whatever mixes samples (contrast, batch normalisation of
a head, a queue) happens in `loss`, over the whole batch, so the result depends neither on the number of processes nor of micro-batches,
but for batch normalisation within a tower (a ResNet's), which sees one micro-batch.
"""

from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from helip.losses.hnml import margin_of
from helip.models.loading import ClipNetwork

View = Literal["plain", "strong"]  # the recipe's own augmentation; SimCLR's (strong crop, flip, colour, grey, blur)
Features = dict[str, Tensor]  # name -> one row per sample


class Plan(Protocol):
    """The plan says where the hard pairs of a batch are; `sampler.BatchPlan` has it.

    `seeds` [S] and `hard` [S, P] are positions, -1 where a seed has fewer than P. `captions` is [B, P] where a row brings a caption
    beside the batch, -1 elsewhere; it is [B, 0] where none does.
    """

    @property
    def seeds(self) -> Any:
        """The positions of the anchors, [S]."""

    @property
    def hard(self) -> Any:
        """The positions of their hard pairs, [S, P]."""

    @property
    def captions(self) -> Any:
        """The captions beside the batch, [B, P]."""


class ObjectiveModule(nn.Module):
    """A training objective has its own heads as parameters and its queues as buffers; both are dropped on export.

    `augmentations` is what each image view of a sample wants. `fixed_logit_scale` is the multiplier of an objective that does not learn
    it, else None. `gamma`, `symmetric_margin` and `margin_on_logits` are of the margin loss that is added where the batch plan has seeds
    (HELIP, eq. 7 of arXiv 2305.05208); gamma 0 adds nothing.
    """

    augmentations: tuple[View, ...] = ("plain",)
    fixed_logit_scale: float | None = None

    def __init__(self, gamma: float = 0.0, symmetric_margin: bool = False, margin_on_logits: bool = False):
        super().__init__()
        self.gamma, self.symmetric_margin, self.margin_on_logits = gamma, symmetric_margin, margin_on_logits

    def encode(self, model: ClipNetwork, batch: dict[str, Any]) -> Features:
        """Returns the local outputs of one micro-batch, one row per sample: at least unit-norm `image_features` and `text_features`, [b,
        D].

        `batch` has `images`, a list of [b, 3, H, W], one per view; `tokens` [b, L]; `sample_seeds` [b] int64, the only source of
        randomness; and with role negatives `captions` [b, P, L], encoded as `caption_features` [b, P, D].
        """
        image, text = model.encode_image(batch["images"][0], normalize=True), model.encode_text(batch["tokens"], normalize=True)
        features = {"image_features": image, "text_features": text}
        if "captions" in batch:
            further = model.encode_text(batch["captions"].flatten(0, 1), normalize=True)
            features["caption_features"] = further.unflatten(0, batch["captions"].shape[:2])
        return features

    def loss(self, features: Features, logit_scale: Tensor, plan: Plan | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the objective over the whole batch, and its parts by name (detached scalars).

        `features` are what `encode` returned, gathered in the order of the global batch. `logit_scale` is the multiplier (already
        exponentiated). Heads run in the caller's precision; similarities and losses are computed in float32 or better.
        """
        features = self.project(features)
        with torch.autocast(features["image_features"].device.type, enabled=False):
            features = {name: rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows for name, rows in features.items()}
            text_CD = features["text_features"]
            if "caption_features" in features:
                assert plan is not None  # captions beside the batch come with a plan that places them
                present_BP = torch.as_tensor(plan.captions, device=text_CD.device) >= 0
                text_CD = torch.cat([text_CD, features["caption_features"][present_BP]])
            similarity_BC = features["image_features"] @ text_CD.T
            total, parts = self.contrast(features, similarity_BC, logit_scale)
            if plan is not None and self.gamma:
                seeds_S, hard_SP = (torch.as_tensor(rows, dtype=torch.int64, device=total.device) for rows in (plan.seeds, plan.hard))
                similarity = similarity_BC * logit_scale if self.margin_on_logits else similarity_BC
                parts["margin"] = margin_of(similarity, seeds_S, hard_SP, self.symmetric_margin)
                total = total + self.gamma * parts["margin"]
        return total, {name: value.detach() for name, value in parts.items()}

    def project(self, features: Features) -> Features:
        """Returns the features with the outputs of the objective's own heads added, over the whole batch."""
        return features

    def contrast(self, features: Features, similarity_BB: Tensor, logit_scale: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the objective without its margin, and its parts.

        `similarity_BB` has the cosines of first images (rows) and first captions, followed in role negatives (objective clip alone) by
        captions beside the batch. Subclasses must define this; here it raises NotImplementedError.
        """
        raise NotImplementedError

    def after_step(self, features: Features) -> None:
        """Updates queues. The engine calls this once after each optimiser step with the gathered features."""
