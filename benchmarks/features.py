"""Features like those of a captioned web corpus, from a seed: three levels of concepts, a Zipf head, captions of other pairs.

About 0.8 % of image pairs and 0.4 % of text pairs have a cosine above 0.5, 0.23 % both.
"""

import itertools

import numpy as np

CONCEPTS = (30, 200, 4000)  # at each level
MISMATCHED = 0.12
CHUNK = 20_000


def features(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(image [count, 384], text [count, 768]) float16 unit rows."""
    rng = np.random.default_rng(seed)
    parents = [rng.integers(0, above, here) for above, here in itertools.pairwise(CONCEPTS)]
    often = (np.arange(CONCEPTS[-1]) + 20.0) ** -0.7
    often = rng.permutation(often / often.sum())
    main, other, elsewhere = (rng.choice(CONCEPTS[-1], count, p=often) for _ in range(3))
    described = np.where(rng.random(count) < MISMATCHED, elsewhere, main)
    image = _modality(main, other, parents, 384, (0.03, 0.14, 0.29, 0.20, 0.34), np.random.default_rng(seed + 1))
    text = _modality(described, other, parents, 768, (0.02, 0.10, 0.27, 0.24, 0.37), np.random.default_rng(seed + 2))
    return image, text


def _unit(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    x = rng.standard_normal((count, dim), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _modality(main, other, parents, dim: int, shares: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """shares: of the variance, of what all have in common, of each level of concept, and of noise with a falling spectrum."""
    common, *levels, noise = np.sqrt(np.float32(shares))
    mean, centres = _unit(rng, 1, dim), [_unit(rng, count, dim) for count in CONCEPTS]
    spectrum = (np.arange(1, dim + 1) + 8.0) ** -0.5
    axes = np.linalg.qr(rng.standard_normal((dim, dim)))[0] * (spectrum / np.linalg.norm(spectrum))[:, None]
    axes = axes.astype(np.float32)

    def concept(leaf: np.ndarray) -> np.ndarray:
        middle = parents[1][leaf]
        chain = (parents[0][middle], middle, leaf)
        return sum(weight * centre[at] for weight, centre, at in zip(levels, centres, chain, strict=True))

    out = np.empty((len(main), dim), np.float16)
    for start in range(0, len(main), CHUNK):
        rows = slice(start, start + CHUNK)
        size = len(main[rows])
        loud = noise * np.exp(0.35 * rng.standard_normal((size, 1), dtype=np.float32))
        blend = (rng.random((size, 1)) < 0.5) * rng.random((size, 1)) * 0.6
        x = common * mean + concept(main[rows]) + blend * concept(other[rows])
        x += loud * (rng.standard_normal((size, dim), dtype=np.float32) @ axes)
        out[rows] = x / np.linalg.norm(x, axis=1, keepdims=True)
    return out
