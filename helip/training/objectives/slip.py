"""SLIP (arXiv 2112.12750): CLIP of a plain view, SimCLR of two strong ones through an MLP over the image backbone."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import normalize

from helip.config import SlipObjective
from helip.losses.clip import symmetric_info_nce
from helip.losses.simclr import simclr_loss
from helip.training.objectives.base import Features, ObjectiveModule
from helip.training.objectives.towers import backbone_features, backbone_width, mlp


class Slip(ObjectiveModule):
    """This is SLIP with its SimCLR head, an MLP over the image backbone (arXiv 2112.12750, section 3).

    HelipError is raised where the image tower's backbone is out of reach.
    """

    augmentations = ("plain", "strong", "strong")

    def __init__(self, declaration: SlipObjective, model: nn.Module, **margin):
        super().__init__(**margin)
        self.declaration = declaration
        hidden, out = declaration.head
        self.head = mlp(backbone_width(model.visual), hidden, hidden, out)

    def encode(self, model: nn.Module, batch: dict[str, Any]) -> Features:
        """Returns the features of the plain view and the backbone features [b, W] of the two strong ones."""
        strong = {f"backbone_{i}": backbone_features(model.visual, batch["images"][i]) for i in (1, 2)}
        return super().encode(model, batch) | strong

    def project(self, features: Features) -> Features:
        """Adds the head's unit-norm outputs of both strong views, over the whole batch."""
        return features | {f"view_{i}": normalize(self.head(features[f"backbone_{i}"]), dim=1) for i in (1, 2)}

    def contrast(self, features: Features, similarity_BB: Tensor, logit_scale: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns CLIP plus the weighted SimCLR loss, and both parts by name."""
        parts = {
            "clip": symmetric_info_nce(logit_scale * similarity_BB),
            "simclr": simclr_loss(features["view_1"], features["view_2"], self.declaration.simclr_temperature),
        }
        return parts["clip"] + self.declaration.simclr_weight * parts["simclr"], parts
