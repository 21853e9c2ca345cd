"""Objectives that need nothing but one image view and one caption: CLIP, HN-NCE, CyCLIP, CLOOB."""

from torch import Tensor

from helip.config import ClipObjective, CloobObjective, CyclipObjective, HnNceObjective
from helip.losses.clip import symmetric_info_nce
from helip.losses.cloob import cloob_loss
from helip.losses.cyclip import cross_modal_loss, in_modal_loss
from helip.losses.hn_nce import hn_nce_of
from helip.training.objectives.base import Features, ObjectiveModule


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
                parts = {"clip": symmetric_info_nce(logit_scale * similarity_BB)}
                return parts["clip"], parts
            case HnNceObjective(alpha=alpha, beta=beta):
                parts = {"hn_nce": hn_nce_of(logit_scale * similarity_BB, alpha, beta)}
                return parts["hn_nce"], parts
            case CloobObjective(inverse_temperature=inverse_temperature, hopfield_beta=beta):
                parts = {"cloob": cloob_loss(image_BD, text_BD, inverse_temperature, beta)}
                return parts["cloob"], parts
            case CyclipObjective(in_modal=in_modal, cross_modal=cross_modal):
                parts = {
                    "clip": symmetric_info_nce(logit_scale * similarity_BB),
                    "in_modal": in_modal_loss(image_BD, text_BD),
                    "cross_modal": cross_modal_loss(similarity_BB),
                }
                return parts["clip"] + in_modal * parts["in_modal"] + cross_modal * parts["cross_modal"], parts
