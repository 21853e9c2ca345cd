"""Objectives of one caption view: CLIP, HN-NCE, CyCLIP and CLOOB of one image view, and SLIP (arXiv 2112.12750) of three."""

from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from helip.config import ClipObjective, CloobObjective, CyclipObjective, HnNceObjective, SlipObjective
from helip.losses.cloob import cloob_loss
from helip.losses.cyclip import cross_modal_loss, in_modal_loss
from helip.losses.hn_nce import hn_nce_of
from helip.losses.simclr import simclr_loss
from helip.models.loading import ClipNetwork
from helip.training.objectives.base import Features, ObjectiveModule
from helip.training.objectives.towers import backbone_features, backbone_width, image_tower, mlp


class TwoTower(ObjectiveModule):
    """This is CLIP, HN-NCE, CyCLIP or CLOOB, whichever the declaration is; CLOOB fixes the logit scale."""

    def __init__(self, declaration: ClipObjective | HnNceObjective | CyclipObjective | CloobObjective, **margin):
        super().__init__(**margin)
        self.declaration = declaration
        if isinstance(declaration, CloobObjective):
            self.fixed_logit_scale = declaration.inverse_temperature

    def contrast(self, features: Features, similarity_BB: Tensor, logit_scale: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the declared loss over the whole batch, and its parts by name."""
        image_BD, text_BD = features["image_features"], features["text_features"]
        match self.declaration:
            case ClipObjective():
                parts = {"clip": self.info_nce(logit_scale * similarity_BB)}
                return parts["clip"], parts
            case HnNceObjective(alpha=alpha, beta=beta):
                parts = {"hn_nce": hn_nce_of(logit_scale * similarity_BB, alpha, beta)}
                return parts["hn_nce"], parts
            case CloobObjective(inverse_temperature=inverse_temperature, hopfield_beta=beta):
                parts = {"cloob": cloob_loss(image_BD, text_BD, inverse_temperature, beta)}
                return parts["cloob"], parts
            case CyclipObjective(in_modal=in_modal, cross_modal=cross_modal):
                parts = {
                    "clip": self.info_nce(logit_scale * similarity_BB),
                    "in_modal": in_modal_loss(image_BD, text_BD),
                    "cross_modal": cross_modal_loss(similarity_BB),
                }
                return parts["clip"] + in_modal * parts["in_modal"] + cross_modal * parts["cross_modal"], parts


class Slip(ObjectiveModule):
    """This is SLIP with its SimCLR head, an MLP over the image backbone (arXiv 2112.12750, section 3).

    Over a frozen trunk that is the hidden layer of the image head, and the two strong views are cached ones.

    HelipError is raised where the image tower's backbone is out of reach.
    """

    augmentations = ("plain", "strong", "strong")

    def __init__(self, declaration: SlipObjective, model: ClipNetwork, **margin):
        super().__init__(**margin)
        self.declaration = declaration
        hidden, out = declaration.head
        self.head = mlp(backbone_width(image_tower(model)), hidden, hidden, out)

    def encode(self, model: ClipNetwork, batch: dict[str, Any]) -> Features:
        """Returns the features of the plain view and the backbone features [b, W] of the two strong ones."""
        strong = {f"backbone_{i}": backbone_features(image_tower(model), batch["images"][i]) for i in (1, 2)}
        return super().encode(model, batch) | strong

    def project(self, features: Features) -> Features:
        """Adds the head's unit-norm outputs of both strong views, over the whole batch."""
        return features | {f"view_{i}": normalize(self.head(features[f"backbone_{i}"]), dim=1) for i in (1, 2)}

    def contrast(self, features: Features, similarity_BB: Tensor, logit_scale: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns CLIP plus the weighted SimCLR loss, and both parts by name. Equal pairs are no negatives in either softmax."""
        parts = {
            "clip": self.info_nce(logit_scale * similarity_BB),
            "simclr": simclr_loss(features["view_1"], features["view_2"], self.declaration.simclr_temperature, self._equal),
        }
        return parts["clip"] + self.declaration.simclr_weight * parts["simclr"], parts
