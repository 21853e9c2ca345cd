"""Thresholds that find false negatives of the whole corpus while training (GloFND, arXiv 2502.20612), as part of the resume state."""

from typing import Any

import torch
from torch import Tensor, nn

from helip.config import FalseNegatives
from helip.losses.glofnd import updated_thresholds


class GlobalFalseNegatives(nn.Module):
    """This holds a threshold of each image and of each caption of a corpus; a negative above it is left out for that anchor.

    `size` is N, the pairs of the corpus. All begin at 1, where nothing is masked. They are buffers, so a resumed training has them.
    """

    thresholds: Tensor
    steps: Tensor

    def __init__(self, declaration: FalseNegatives, size: int):
        super().__init__()
        self.declaration = declaration
        self.register_buffer("thresholds", torch.ones(2, size))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._next: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def found(self, similarity_BC: Tensor, plan: Any, equal_BC: Tensor | None, equal_BB: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns what is left out from image to text [B, C] and from text to image [B, B], equal pairs among it, as bool.

        The thresholds that this batch teaches wait for `learn`. Hard pairs of a batch plan are negatives like others.
        """
        ids_B = torch.as_tensor(plan.ids, device=similarity_BC.device)
        similarity_BC = similarity_BC.detach().float()
        masking, excluded, learnt = int(self.steps) >= self.declaration.warmup, [], []
        sides = ((similarity_BC, equal_BC), (similarity_BC[:, : len(ids_B)].T, equal_BB))
        for threshold_N, (similarity, equal) in zip(self.thresholds, sides, strict=True):
            equal = torch.zeros_like(similarity, dtype=torch.bool) if equal is None else equal
            negative = ~torch.eye(*similarity.shape, dtype=torch.bool, device=similarity.device) & ~equal
            threshold_B = threshold_N[ids_B]
            excluded.append(equal | ((similarity > threshold_B[:, None]) & negative & masking))
            learnt.append(updated_thresholds(threshold_B, similarity, negative, self.declaration.glofnd, self.declaration.rate))
        self._next = ids_B, torch.stack(learnt)
        return excluded[0], excluded[1]

    @torch.no_grad()
    def learn(self) -> None:
        """Takes over the thresholds of the last batch, after its optimiser step."""
        if self._next is not None:
            ids_B, learnt_2B = self._next
            self.thresholds[:, ids_B] = learnt_2B.to(self.thresholds.dtype)
            self.steps += 1
            self._next = None
