"""The one interface between an objective and the training engine.

A step is: `encode` each micro-batch of each process, gather its outputs over the whole batch, `loss` once on every process, send the
gradients of the gathered features back through `encode`, then `after_step`. Whatever mixes samples (contrast, batch normalisation of
a head, a queue) happens in `loss`, over the whole batch, so the result depends neither on the number of processes nor of micro-batches,
but for batch normalisation within a tower (a ResNet's), which sees one micro-batch.
"""

from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from helip.losses.clip import symmetric_info_nce
from helip.losses.distillation import distillation
from helip.losses.hnml import margin_of
from helip.losses.masks import equal_masks
from helip.models.loading import ClipNetwork
from helip.training.objectives.false_negatives import GlobalFalseNegatives

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
    it, else None. `gamma` and `symmetric_margin` are of the margin loss that is added where the batch plan has seeds (HELIP, eq. 7 of
    arXiv 2305.05208); gamma 0 adds nothing. `margin_on` says of which similarities it is. `distill` weighs distillation to the start.
    """

    augmentations: tuple[View, ...] = ("plain",)
    fixed_logit_scale: float | None = None

    def __init__(
        self, gamma: float = 0.0, symmetric_margin: bool = False, margin_on: Literal["cosines", "logits"] = "cosines", distill: float = 0.0
    ):
        super().__init__()
        self.gamma, self.symmetric_margin, self.margin_on, self.distill = gamma, symmetric_margin, margin_on, distill
        self.false_negatives: GlobalFalseNegatives | None = None
        self._equal: Tensor | None = None
        self._excluded: tuple[Tensor | None, Tensor | None] = (None, None)

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
            self._excluded = equal_masks(plan, similarity_BC)
            self._equal = equal_BC = self._excluded[0]
            masked = {}
            if plan is not None and self.false_negatives is not None:
                self._excluded = self.false_negatives.masks(similarity_BC, plan, *self._excluded)
                masked = {"masked": self._excluded[0].float().mean()}
            total, parts = self.contrast(features, similarity_BC, logit_scale)
            if plan is not None and self.gamma:
                seeds_S, hard_SP = (torch.as_tensor(rows, dtype=torch.int64, device=total.device) for rows in (plan.seeds, plan.hard))
                margin_BC = similarity_BC if self.margin_on == "cosines" else logit_scale * similarity_BC
                parts["margin"] = margin_of(margin_BC, seeds_S, hard_SP, self.symmetric_margin, equal_BC)
                total = total + self.gamma * parts["margin"]
            if self.distill and "start_image_features" in features:
                start_BB = features["start_image_features"] @ features["start_text_features"].T
                own_BB = similarity_BC[:, : len(similarity_BC)]
                parts["distill"] = distillation(logit_scale * own_BB, features["start_logit_scale"][0] * start_BB)
                total = total + self.distill * parts["distill"]
            parts |= masked
        return total, {name: value.detach() for name, value in parts.items()}

    def info_nce(self, logits_BC: Tensor) -> Tensor:
        """Returns symmetric InfoNCE without the negatives that this batch leaves out: equal pairs, and false negatives that were found."""
        return symmetric_info_nce(logits_BC, *self._excluded)

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
        """Updates queues and thresholds. The engine calls this once after each optimiser step with the gathered features."""
        if self.false_negatives is not None:
            self.false_negatives.learn()
