"""Weights from before a model forgot: those of the last check of a retention set that was near enough to the start."""

from typing import Any

from torch import Tensor, nn

from helip.config import Retention
from helip.training.lora import merged_state


class Retained:
    """This keeps the weights of the last check that was at most `stop` points below the first, and says whether a check fell below."""

    def __init__(self, declaration: Retention):
        self._stop, self.first, self.step, self.fell = declaration.stop, -1.0, 0, False
        self.weights: dict[str, Tensor] = {}

    def see(self, model: nn.Module, score: float, step: int) -> None:
        """Takes note of a check in points; the first one is the start's."""
        self.first = score if step == 0 else self.first
        if self._stop is not None and score < self.first - self._stop:
            self.fell = True
            return
        self.step, self.weights = step, {name: w.detach().cpu().clone() for name, w in merged_state(model).items()}

    def state_dict(self) -> dict[str, Any]:
        """Returns the first score, the step, whether it fell, and the weights, for the resume state."""
        return {"first": self.first, "step": self.step, "fell": self.fell, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self.first, self.step, self.fell, self.weights = (state[k] for k in ("first", "step", "fell", "weights"))
