"""Cross-modal regression: how well the image of a pair predicts its caption, and its caption its image, from all other pairs.

Linear ridge regression between the features of two single-modality encoders, each pair left out of its own prediction in closed form: a
mismatched pair cannot teach the map that judges it. Cosines are corrected for hubness as in CSLS (arXiv 1710.04087): a prediction that
lies near many captions, and a caption that lies near many predictions, says little.

Legend: N pairs, R rows of a shard, D and E the dimensions of source and target, M sampled pairs, X source and Y target rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from helip.errors import HelipError
from helip.mining.features import Features
from helip.mining.miner import parse_memory
from helip.mining.pairs import shard_rows
from helip.selection.mixture import ranks
from helip.selection.neighbours import of_same_pairs

ROWS = 2048  # in a block; blocks start at its multiples whatever the shard is, so that every shard computes the same bits
ALIKE = 1e-10  # variance of unit rows, of which this is what rounding leaves where all are equal
SAMPLE = 8192  # pairs that hubness is measured against; all where the corpus has fewer


@dataclass(frozen=True)
class RidgeTerms:
    """Of rows first..first + R, float32 [R, 2] all: caption by image, image by caption. cosines: of what is there and what is predicted;
    hubness: the mean of both one's cosines with the k nearest others, of the sampled predictions and of the sampled pairs."""

    cosines: np.ndarray
    hubness: np.ndarray
    first: int = 0


def ridge(
    image_ND: np.ndarray, text_NE: np.ndarray, *, strength: float = 1.0, k: int = 20, hubness: bool = True, memory: int | str = "2GiB",
    device: str | None = None,
) -> np.ndarray:  # fmt: skip
    """float32 [N], higher is better: the ranks of both terms among all pairs, averaged.

    image_ND and text_NE: float16 or float32 of any norm, also memory-mapped. strength: the ridge, in units of the mean eigenvalue of the
    source's covariance. k: of hubness, among the sampled pairs. memory: what may be allocated, as helip.mining.mine takes it.
    device: None for the CPU, or a torch device. Raises HelipError for features that are not finite or not of the same
    pairs, for k or strength out of range, and for a budget too small.
    """
    return combined([ridge_terms(image_ND, text_NE, strength=strength, k=k, memory=memory, device=device)], hubness)


def combined(shards: list[RidgeTerms], hubness: bool = True) -> np.ndarray:
    """The score [N] from the terms of all shards, in any order; HelipError where shards are missing."""
    shards = sorted(shards, key=lambda shard: shard.first)
    ends = np.cumsum([len(shard.cosines) for shard in shards])
    if [shard.first for shard in shards] != [0, *ends[:-1]]:
        raise HelipError(f"ridge: the shards begin at rows {[s.first for s in shards]} and do not join; compute the missing ones")
    terms = np.concatenate([shard.cosines - shard.hubness if hubness else shard.cosines for shard in shards])
    both: np.ndarray = ranks(terms[:, 0]) + ranks(terms[:, 1])
    return (both / 2).astype(np.float32)


def ridge_terms(
    image_ND: np.ndarray, text_NE: np.ndarray, *, strength: float = 1.0, k: int = 20, shard: tuple[int, int] = (0, 1),
    memory: int | str = "2GiB", device: str | None = None,
) -> RidgeTerms:  # fmt: skip
    """Both terms of a shard's rows. Memory: (D + E)^2 and SAMPLE (D + E) numbers and one block of rows, whatever N is."""
    image, text = of_same_pairs(image_ND, text_NE, torch.device(device or "cpu"))
    width = image.padded_dim + text.padded_dim + 1
    _check_memory(parse_memory(memory), width, min(len(image), SAMPLE))
    N = len(image)
    if not 0 < k < min(N, SAMPLE) or not strength > 0:
        raise HelipError(f"ridge: k = {k} and strength = {strength:g}: give 0 < k < {min(N, SAMPLE)} and a strength above 0")
    first, end = shard_rows(N, shard)
    with torch.inference_mode():
        terms = [_term(_Map.of(x, y, strength), first, end, k) for x, y in ((image, text), (text, image))]
    cosines, hubness = (np.stack(both, 1) for both in zip(*terms, strict=True))
    return RidgeTerms(cosines, hubness, first)


def _check_memory(budget: int, width: int, sample: int) -> None:
    """Raises HelipError for less than moments and their inverse (float64), sampled pairs and a block of cosines with them need."""
    need = 8 * (4 * width**2 + 4 * ROWS * width) + 8 * sample * width + 13 * ROWS * sample
    if need > budget:
        raise HelipError(
            f"memory: ridge needs {-(-need >> 20)} MiB for features of {width - 1} numbers a pair, whatever the corpus; give more"
        )


@dataclass(frozen=True)
class _Map:
    """The fitted regression: means, inverse [D, D] of X'X + ridge, and weights [D, E], float64."""

    source: Features
    target: Features
    source_mean: torch.Tensor
    target_mean: torch.Tensor
    inverse: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, source: Features, target: Features, strength: float) -> "_Map":
        N, width = len(source), source.padded_dim + target.padded_dim + 1
        moments = torch.zeros(width, width, dtype=torch.float64, device=source.device)
        for rows in _blocks(0, N):
            ones = torch.ones(rows.stop - rows.start, 1, device=source.device)
            both = torch.cat([source.rows(rows), target.rows(rows), ones], 1).double()
            moments += both.T @ both
        mean, D = moments[-1, :-1] / N, source.padded_dim
        covariance = moments[:-1, :-1] - N * torch.outer(mean, mean)
        xx, xy = covariance[:D, :D], covariance[:D, D:]
        if not xx.trace() > ALIKE * N:
            raise HelipError(f"ridge: the {source.name} features of all {N} pairs are equal, so they predict nothing; extract them again")
        inverse = torch.linalg.inv(xx + strength * xx.trace() / source.dim * torch.eye(D, dtype=torch.float64, device=source.device))
        return cls(source, target, mean[:D], mean[D:], inverse, inverse @ xy)

    def predicted(self, rows: slice | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit (predictions, targets), float32 [M, E] both, about the targets' mean. Each prediction is of the map without that pair:
        with leverage h, (p - h y) / (1 - h)."""
        x, y = self.source.rows(rows).double() - self.source_mean, self.target.rows(rows).double() - self.target_mean
        leverage = (x @ self.inverse * x).sum(1, keepdim=True) + 1 / len(self.source)
        left_out = (x @ self.weights - leverage * y) / (1 - leverage)
        return torch.nn.functional.normalize(left_out, dim=1).float(), torch.nn.functional.normalize(y, dim=1).float()


def _term(fitted: _Map, first: int, end: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(cosines, hubness) of rows first..end, float32."""
    N, predicted = len(fitted.source), np.empty((2, end - first), np.float32)
    device = fitted.source.device
    drawn = torch.from_numpy(np.sort(np.random.default_rng(0).choice(N, min(N, SAMPLE), replace=False))).to(device)
    guesses, targets = (torch.cat(parts) for parts in zip(*(fitted.predicted(ids) for ids in torch.split(drawn, ROWS)), strict=True))
    for rows in _blocks(first, end, N):
        p, y = fitted.predicted(rows)
        self_M = torch.arange(rows.start, rows.stop, device=device)[:, None] == drawn
        hubness = (_nearest_mean(p @ targets.T, self_M, k) + _nearest_mean(y @ guesses.T, self_M, k)) / 2
        both = torch.stack([(p * y).sum(1), hubness]).cpu().numpy()
        a, b = max(first, rows.start), min(end, rows.stop)
        predicted[:, a - first : b - first] = both[:, a - rows.start : b - rows.start]
    return predicted[0], predicted[1]


def _nearest_mean(cosines_RM: torch.Tensor, self_RM: torch.Tensor, k: int) -> torch.Tensor:
    """The mean of each row's k largest, the pair itself left out."""
    return cosines_RM.masked_fill(self_RM, -2).topk(k, 1).values.mean(1)


def _blocks(first: int, end: int, size: int | None = None) -> Iterator[slice]:
    """Whole blocks of the corpus (of `size` rows) that rows first..end lie in."""
    size = end if size is None else size
    for start in range(first // ROWS * ROWS, end, ROWS):
        yield slice(start, min(start + ROWS, size))
