import pytest
import torch
from torch.nn.functional import normalize


@pytest.fixture
def unit():
    """unit(rows, dim, seed): unit-norm float64 rows that want a gradient."""

    def draw(rows: int, dim: int = 5, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return normalize(torch.randn(rows, dim, generator=generator, dtype=torch.float64), dim=1).requires_grad_()

    return draw
