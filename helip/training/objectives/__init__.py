"""Objectives as the training engine sees them: `build_objective(recipe, model)` gives an `ObjectiveModule`."""

import math
from typing import Any

import torch

from helip.config import (
    ClipObjective,
    CloobObjective,
    CyclipObjective,
    DeclipObjective,
    HnNceObjective,
    Refinement,
    SiglipObjective,
    SlipObjective,
    TrainConfig,
)
from helip.models.frozen import FrozenClip
from helip.models.loading import ClipNetwork
from helip.training import lora
from helip.training.layers import freeze
from helip.training.objectives.base import Features, ObjectiveModule, Plan, View
from helip.training.objectives.contrastive import Slip, TwoTower
from helip.training.objectives.declip import Declip, DeclipOfHeads
from helip.training.objectives.false_negatives import GlobalFalseNegatives
from helip.training.objectives.siglip import Siglip, check_bias

__all__ = ["Features", "ObjectiveModule", "Plan", "View", "build_objective", "made_trainable"]


def made_trainable(model: ClipNetwork, recipe: TrainConfig, corpus_size: int = 0) -> ObjectiveModule:
    """Freezes what a recipe freezes of a model, adds its low-rank updates, and returns its objective, as `build_objective` does.

    HelipError is raised where the model cannot be trained by the recipe.
    """
    freeze(model, recipe)
    if isinstance(recipe, Refinement) and recipe.lora:
        lora.add(model, recipe.lora)
    return build_objective(recipe, model, corpus_size)


def build_objective(recipe: TrainConfig, model: ClipNetwork, corpus_size: int = 0) -> ObjectiveModule:
    """Returns the module of a recipe's objective for an open_clip model; a refinement's helip arm adds the margin loss to it.

    The heads of SLIP and DeCLIP are initialised from torch's global generator: seed it first. An objective with a fixed temperature
    writes it into the model's logit scale and freezes that. `corpus_size` is N, which false negatives are found among. HelipError is raised
    where the objective cannot work with the model's towers, or one of the two is made for the sigmoid loss and the other is not.
    """
    margin: dict[str, Any] = {}
    if isinstance(recipe, Refinement):
        margin = {"distill": recipe.distill}
        if recipe.arm == "helip":
            margin |= {"gamma": recipe.gamma, "symmetric_margin": recipe.symmetric_margin, "margin_on": recipe.margin_on}
    check_bias(model, sigmoid=isinstance(recipe.objective, SiglipObjective))
    objective: ObjectiveModule
    match recipe.objective:
        case ClipObjective() | HnNceObjective() | CyclipObjective() | CloobObjective():
            objective = TwoTower(recipe.objective, **margin)
        case SiglipObjective():
            objective = Siglip(**margin)
        case SlipObjective():
            objective = Slip(recipe.objective, model, **margin)
        case DeclipObjective() if isinstance(model, FrozenClip):
            objective = DeclipOfHeads(recipe.objective, model, **margin)
        case DeclipObjective():
            objective = Declip(recipe.objective, model, **margin)
    if isinstance(recipe, Refinement) and recipe.false_negatives is not None:
        objective.false_negatives = GlobalFalseNegatives(recipe.false_negatives, corpus_size)
    if objective.fixed_logit_scale is not None:
        with torch.no_grad():
            model.logit_scale.fill_(math.log(objective.fixed_logit_scale))
        model.logit_scale.requires_grad_(False)
    return objective
