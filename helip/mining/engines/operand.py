"""One modality on a torch device: exact rows for scoring, low-precision rows for the filter, and how far the two can part."""

import numpy as np
import torch

from helip.mining.features import Features, cosines, rounding_of_sums


class Operand:
    """features and tau of a modality. axes: a rotation of the filter's rows that skews a cosine by at most `skew`. rounded_result:
    whether the filter's product is itself rounded to float16, as a float16 matrix product of torch is."""

    def __init__(self, features: Features, tau: np.float32, *, rounded_result: bool = False):
        self.features, self.tau, self.device = features, float(tau), features.device
        self.half = self.device.type == "cuda"
        self.error, self.skew, self.axes = 0.0, 0.0, None
        self.result = 2.0**-10 if rounded_result else 0.0

    def rotate(self, axes: np.ndarray, skew: float) -> None:
        self.axes, self.skew = torch.from_numpy(axes).to(self.device), skew

    def cosines(self, i_P: torch.Tensor, j_P: torch.Tensor) -> torch.Tensor:
        """[P] exact cosines of pairs of corpus ids."""
        return cosines(self.features.rows(i_P), self.features.rows(j_P))

    def low(self, ids_P: torch.Tensor, half: bool | None = None) -> torch.Tensor:
        """[P, padded_dim] rows in the filter's precision; `error` remembers the largest |low row - row| seen."""
        exact = self.features.rows(ids_P)
        if self.axes is not None:
            exact = exact @ self.axes
        if not (self.half if half is None else half):
            return exact
        rounded = exact.half()
        self.error = max(self.error, 1.001 * float((rounded.float() - exact).norm(dim=1).max()))
        return rounded

    @property
    def margin(self) -> float:
        """How far the filter's cosine can be from the exact one: |x'y' - xy| <= 2e + e^2 + skew, then both sums' rounding (twice that of
        float32 on tensor cores, which truncate), then the result's."""
        sums = rounding_of_sums((4 if self.half else 2) * self.features.padded_dim)
        return 1.01 * (2 * self.error + self.error**2 + self.skew) + sums + self.result + 1e-6
