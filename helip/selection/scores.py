"""CLIP score, s-CLIPLoss and NormSim (arXiv 2405.19547): arrays in, float32 [N] out, higher is better.

Features are unit rows [N, D], float16 or float32, also memory-mapped; they are read in blocks, so memory is bounded by
B x D for the batch of s-CLIPLoss or T x D for the targets of NormSim, and by BLOCK_BYTES for a block.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch

from helip.errors import HelipError

# float32 numbers held at once: on a CPU as many as its caches do, for they are gone through several times
BLOCK_BYTES = {"cpu": 8 << 20, "gpu": 128 << 20}


def clip_score(image_ND: np.ndarray, text_ND: np.ndarray) -> np.ndarray:
    """Returns s_ii float32 [N], the cosine of each image and its own caption; HelipError for features of different shapes."""
    _same_shape(image_ND, text_ND)
    rows = _rows_at_once(image_ND.shape[1], "cpu")
    blocks = [slice(start, start + rows) for start in range(0, len(image_ND), rows)]
    return np.concatenate([np.einsum("nd,nd->n", image_ND[b].astype(np.float32), text_ND[b].astype(np.float32)) for b in blocks])


def s_clip_loss(
    image_ND: np.ndarray,
    text_ND: np.ndarray,
    temperature: float = 0.01,
    batch_size: int = 32768,
    batches: int = 10,
    seed: int = 0,
    device: str = "cpu",
) -> np.ndarray:
    """Returns float32 [N], s_ii - (tau / 2) [logsumexp_j s_ij / tau + logsumexp_j s_ji / tau], the mean over K = `batches` random batches
    that hold i.

    It is minus tau / 2 times the pair's CLIP loss in such a batch: a caption that fits many images scores low however well it
    fits its own. The corpus is shuffled K times and cut into batches of at most B pairs, so every pair is in exactly K.
    """
    shuffles = range(shuffles_needed(len(image_ND), batch_size, batches))
    each = (s_clip_loss_of_shuffle(image_ND, text_ND, k, temperature, batch_size, seed, device) for k in shuffles)
    return mean_of_shuffles(each, len(image_ND))


def shuffles_needed(size: int, batch_size: int, batches: int) -> int:
    """Returns how many shuffles have different batches: one batch that is the whole corpus is the same however it is shuffled."""
    return 1 if batch_size >= size else batches


def mean_of_shuffles(each: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Returns the mean, float32 [N], of the float32 [N] arrays that `each` yields, added up in float64."""
    total_N, count = np.zeros(size), 0
    for scores_N in each:
        total_N += scores_N
        count += 1
    return (total_N / count).astype(np.float32)


def s_clip_loss_of_shuffle(
    image_ND: np.ndarray,
    text_ND: np.ndarray,
    shuffle: int,
    temperature: float = 0.01,
    batch_size: int = 32768,
    seed: int = 0,
    device: str = "cpu",
) -> np.ndarray:
    """Returns the score float32 [N] in the batches of one shuffle, a pure function of (seed, shuffle), so that shuffles can be computed
    apart.
    """
    _same_shape(image_ND, text_ND)
    N = len(image_ND)
    order = np.random.default_rng([seed, shuffle]).permutation(N)
    scores_N = np.empty(N, np.float32)
    for ids in np.array_split(order, math.ceil(N / batch_size)):  # even batches: a small last one would score higher
        ids.sort()  # a batch is a set, and a sorted one reads a memory-mapped file in order
        scores_N[ids] = _scores_of_batch(_rows(image_ND, ids, device), _rows(text_ND, ids, device), temperature)
    return scores_N


def _scores_of_batch(image_BD: torch.Tensor, text_BD: torch.Tensor, tau: float) -> np.ndarray:
    B = len(image_BD)
    of_image_B, of_text_B = torch.empty(B, device=image_BD.device), torch.full((B,), -math.inf, device=image_BD.device)
    rows = _rows_at_once(B, image_BD.device.type)
    for block in (slice(start, start + rows) for start in range(0, B, rows)):
        s_RB = image_BD[block] @ text_BD.T / tau
        of_image_B[block] = s_RB.logsumexp(1)
        of_text_B = torch.logaddexp(of_text_B, s_RB.logsumexp(0))
    own_B = (image_BD * text_BD).sum(1)
    return (own_B - tau / 2 * (of_image_B + of_text_B)).cpu().numpy()


def norm_sim(features_ND: np.ndarray, target_TD: np.ndarray, p: str = "2", device: str = "cpu") -> np.ndarray:
    """Returns the norms || [f(x_i) . f(t)]_t ||_p over the target images t, float32 [N]: how near a pair's image lies to what is asked.

    `p` is "2" or "inf". HelipError where widths differ or there is no target.
    """
    if features_ND.ndim != 2 or target_TD.ndim != 2 or features_ND.shape[1] != target_TD.shape[1] or not len(target_TD):
        raise HelipError(f"features {list(features_ND.shape)} and targets {list(target_TD.shape)} differ in width, or there is no target")
    target_DT = _rows(target_TD, slice(None), device).T
    rows = _rows_at_once(target_DT.shape[1], target_DT.device.type)
    starts = range(0, len(features_ND), rows)
    norms = [torch.linalg.vector_norm(_rows(features_ND, slice(s, s + rows), device) @ target_DT, float(p), 1) for s in starts]
    return torch.cat(norms).cpu().numpy()


def _rows_at_once(width: int, device: str) -> int:
    return max(1, BLOCK_BYTES["cpu" if device == "cpu" else "gpu"] // (4 * width))


def _rows(features_ND: np.ndarray, which: slice | np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(np.array(features_ND[which], np.float32)).to(device)  # a copy: memory-mapped rows are read-only


def _same_shape(image_ND: np.ndarray, text_ND: np.ndarray) -> None:
    if image_ND.ndim != 2 or image_ND.shape != text_ND.shape or not len(image_ND):
        raise HelipError(
            f"image features {list(image_ND.shape)} and text features {list(text_ND.shape)} are not of the same pairs and width"
        )
