"""Which similarities of a batch are no negatives, as masks."""

from typing import Any

import torch
from torch import Tensor


def equal_masks(plan: Any, similarity_BC: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Returns where the equal pairs of a batch plan meet: bool [B, C] with an image in each row, and bool [B, B] with a caption in each
    row. None both where the plan names none, or is none.
    """
    equal_E2 = getattr(plan, "equal", None)
    if equal_E2 is None or not len(equal_E2):
        return None, None
    rows, columns = torch.as_tensor(equal_E2, device=similarity_BC.device).T
    equal_BC = torch.zeros_like(similarity_BC, dtype=torch.bool)
    equal_BC[rows, columns] = True
    return equal_BC, equal_BC[:, : len(equal_BC)].T
