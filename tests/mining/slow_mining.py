"""The slow obvious twin of mining: section 3.2 and appendix A of arXiv 2305.05208 as loops in float64."""

import itertools

import numpy as np

from helip.mining.blocks import draw_pool


def world(n: int, seed: int, image_dim: int = 40, text_dim: int = 70) -> tuple[np.ndarray, np.ndarray]:
    """Clustered features, an eighth of the texts belonging elsewhere, some exact duplicates."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 8, n)
    other = np.where(rng.random(n) < 0.12, rng.integers(0, 8, n), label)
    image = rng.standard_normal((8, image_dim))[label] + 0.8 * rng.standard_normal((n, image_dim))
    text = rng.standard_normal((8, text_dim))[other] + 0.7 * rng.standard_normal((n, text_dim))
    image[n // 2], text[n // 2] = image[0], text[0]
    return image.astype(np.float32), text.astype(np.float32)


def unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def candidates(spec, i: int, n: int) -> list[int]:
    if spec.method != "fast_hpm" or spec.pool >= n:
        return [j for j in range(n) if j != i]
    pool, spare = draw_pool(spec.pool, spec.seed, n, i // spec.pool_block)
    return [j for j in ([*pool] if i not in pool else [*pool, spare]) if j != i]


def scored(image, text, spec, i: int) -> list[tuple[float, int, list[float]]]:
    """(score, j, cosines with tau) of the candidates of target i, thresholds not yet applied."""
    used = [(unit(image), spec.tau_image)] if spec.method == "image" else [(unit(text), spec.tau_text)]
    if spec.method in ("hpm", "fast_hpm"):
        used = [(unit(image), spec.tau_image), (unit(text), spec.tau_text)]
    out = []
    for j in candidates(spec, i, len(used[0][0])):
        cosines = [(float(x[i] @ x[j]), tau) for x, tau in used]
        out.append((float(np.prod([c for c, _ in cosines])), j, cosines))
    return out


def counts(score, cosines, spec) -> bool:
    above = all(tau is None or c > tau for c, tau in cosines)
    below = spec.max_similarity is None or all(c <= spec.max_similarity for c, _ in cosines)
    return above and below and score > 0


def slow_pairs(image, text, spec) -> list[tuple[list[int], list[float]]]:
    mined = []
    for i in range(len(image if image is not None else text)):
        hard = sorted((-s, j) for s, j, cosines in scored(image, text, spec, i) if counts(s, cosines, spec))[: spec.k]
        mined.append(([j for _, j in hard], [-s for s, _ in hard]) if len(hard) == spec.k else ([], []))
    return mined


def gaps(image, text, spec) -> np.ndarray:
    """For each target, how near the closest call is: a cosine to its bound, or neighbouring scores of the first k + 1 to each other."""
    nearest = []
    for i in range(len(image if image is not None else text)):
        every = scored(image, text, spec, i)
        bounds = [
            abs(c - b)
            for _, _, cs in every
            for c, tau in cs
            for b in (tau, spec.max_similarity, 0.0 if tau is None else None)
            if b is not None
        ]
        order = sorted((s for s, _, cs in every if counts(s, cs, spec)), reverse=True)[: spec.k + 1]
        steps = [a - b for a, b in itertools.pairwise(order) if a - b > 1e-12]  # equal scores: the smaller id decides
        nearest.append(min([*bounds, *steps, 2.0]))
    return np.array(nearest)
