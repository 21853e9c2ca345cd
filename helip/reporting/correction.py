"""Corrections for deciding many things at once: Holm's, which bounds the chance of any false decision, and Benjamini and Hochberg's, which
bounds the share of false decisions among those made."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values by Holm's step-down correction, which holds the chance of any false decision to the level (Holm 1979)."""
    order = np.argsort(np.asarray(p_values, np.float64), kind="stable")
    adjusted, running = [0.0] * len(order), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Returns p-values by the step-up correction that holds the expected share of false decisions among all decisions to the level
    (Benjamini and Hochberg, Journal of the Royal Statistical Society B, 1995)."""
    order = np.argsort(np.asarray(p_values, np.float64), kind="stable")
    adjusted, running = [0.0] * len(order), 1.0
    for rank in range(len(order) - 1, -1, -1):
        i = order[rank]
        running = min(running, len(order) / (rank + 1) * p_values[i])
        adjusted[i] = running
    return adjusted
