"""Objectives as the training engine sees them: `build_objective(recipe, model)` gives an `ObjectiveModule`."""

from helip.training.objectives.base import Features, ObjectiveModule, Plan, View
from helip.training.objectives.build import build_objective

__all__ = ["Features", "ObjectiveModule", "Plan", "View", "build_objective"]
