"""HELIP's loss (eq. 7 of arXiv 2305.05208) with the call signature of open_clip's ClipLoss, for a training loop of one's own."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from helip.errors import HelipError
from helip.losses.checks import check_features, check_margin, check_scale
from helip.losses.clip import symmetric_info_nce
from helip.losses.hnml import margin_of
from helip.losses.masks import equal_masks
from helip.losses.precision import single_precision


class HelipLoss(nn.Module):
    """This is CLIP's loss over the whole batch plus gamma times the margin of its hard pairs; without a plan it is CLIP's loss.

    `symmetric` takes the margin from text to image too, and `margin_on` logits that of cosines times the logit scale. With a `world_size`
    above 1 the features of the default process group are gathered in the order of the ranks, with their gradients: those that
    DistributedDataParallel averages are then the gradients of the whole batch's loss.
    """

    def __init__(
        self,
        gamma: float = 1.0,
        symmetric: bool = False,
        margin_on: Literal["cosines", "logits"] = "cosines",
        world_size: int = 1,
    ):
        super().__init__()
        check_margin(gamma, symmetric, margin_on)
        if not isinstance(world_size, int) or world_size < 1:
            raise HelipError(f"world_size = {world_size!r}: expected the number of processes, at least 1")
        self.gamma, self.symmetric, self.margin_on, self.world_size = gamma, symmetric, margin_on, world_size

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        logit_scale: Tensor | float,
        logit_bias: Tensor | float | None = None,
        output_dict: bool = False,
        plan: Any = None,
    ) -> Any:
        """Returns the loss as a scalar, or with `output_dict` its parts, whose sum it is.

        The features are unit norm [b, D], this process's rows; `logit_scale` is the multiplier, not its logarithm. `logit_bias`, which
        open_clip's losses take, changes nothing: a softmax and a margin do not see what all logits have in common. `plan` is the BatchPlan
        of the whole batch, as `HardPairSampler.plan` gives it. The loss is computed in float32 or better, under autocast too. HelipError is
        raised for features that are not unit norm, for a scale that is not one number, and for positions outside the batch.
        """
        check_features(image_features, text_features)
        check_scale(logit_scale)
        if plan is not None and not (hasattr(plan, "seeds") and hasattr(plan, "hard")):
            raise HelipError(f"plan: expected a BatchPlan, got {type(plan).__name__}; give sampler.plan(step)")
        if self.world_size > 1:
            if getattr(plan, "captions", None) is not None and plan.captions.size:
                raise HelipError("role negatives: captions beside the batch are gathered from no other process; take role batch")
            image_features, text_features = (torch.cat(all_gather(rows)) for rows in (image_features, text_features))  # type: ignore[no-untyped-call]  # of torch
        _check_rows(len(image_features), len(text_features), plan)
        with single_precision(image_features, text_features) as (image_BD, text_BD):
            similarity_BC = image_BD @ text_BD.T
            logits_BC, equal = logit_scale * similarity_BC, equal_masks(plan, similarity_BC)
            parts = {"contrastive_loss": symmetric_info_nce(logits_BC, *equal)}
            if plan is not None and self.gamma:
                margin_BC = logits_BC if self.margin_on == "logits" else similarity_BC
                parts["margin_loss"] = self.gamma * margin_of(margin_BC, plan.seeds, plan.hard, self.symmetric, equal[0])
            return parts if output_dict else sum(parts.values())


def _check_rows(images: int, texts: int, plan: Any) -> None:
    """Texts beyond the images are hard captions of role negatives, and no others; a plan is of one batch alone."""
    wanted = images if plan is None else len(getattr(plan, "ids", range(images)))
    beside = 0 if plan is None or not hasattr(plan, "captions") else int((plan.captions >= 0).sum())
    if images != wanted or (texts != images + beside and (plan is None or hasattr(plan, "captions"))):
        of = "no plan" if plan is None else f"the plan of a batch of {wanted}" + (f" with {beside} captions beside it" if beside else "")
        raise HelipError(f"features: {images} rows of images and {texts} of texts, and {of}; give the features of one batch and its plan")
