"""One modality on a torch device: exact rows for scoring, low-precision rows for the filter, and how far the two can part."""

import numpy as np
import torch

from helip.mining.features import Features, rounding_of_sums

ROOM = 0.3  # of a GPU's free memory that one modality's raw rows may fill


class Operand:
    """features and tau of a modality. axes: a rotation of the filter's rows that skews a cosine by at most `skew`. rounded_result:
    whether the filter's product is itself rounded to float16, as a float16 matrix product of torch is."""

    def __init__(self, features: Features, tau: np.float32, device: torch.device, *, rounded_result: bool = False):
        self.features, self.tau, self.device = features, float(tau), device
        self.half = device.type == "cuda"
        self.error, self.skew, self.axes = 0.0, 0.0, None
        self.result = 2.0**-10 if rounded_result else 0.0
        self.raw = self.scale = None
        if self.half and features.raw.nbytes < ROOM * torch.cuda.mem_get_info(device)[0]:
            self.raw, self.scale = torch.from_numpy(np.array(features.raw)).to(device), torch.from_numpy(features.scale).to(device)

    def rotate(self, axes: np.ndarray, skew: float) -> None:
        self.axes, self.skew = torch.from_numpy(axes).to(self.device), skew

    def rows(self, ids_P: torch.Tensor) -> torch.Tensor:
        """[P, padded_dim] float32 unit rows, the bits of Features.rows."""
        if self.raw is None:
            return torch.from_numpy(self.features.rows(ids_P.cpu().numpy())).to(self.device)
        x_PD = self.raw[ids_P].float() * self.scale[ids_P, None]
        return torch.nn.functional.pad(x_PD, (0, self.features.padded_dim - self.features.dim))

    def low(self, ids_P: torch.Tensor, half: bool | None = None) -> torch.Tensor:
        """[P, padded_dim] rows in the filter's precision; `error` remembers the largest |low row - row| seen."""
        exact = self.rows(ids_P)
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
