"""The scores of arXiv 2405.19547 written as the paper prints them: loops, float64, no blocks. Only for comparison."""

import math

import numpy as np


def slow_clip_score(image, text):
    return np.array([sum(a * b for a, b in zip(i, t, strict=True)) for i, t in zip(image.tolist(), text.tolist(), strict=True)])


def slow_s_clip_loss(image, text, temperature, batch_size, batches, seed):
    N = len(image)
    total, seen = np.zeros(N), np.zeros(N, int)
    for k in range(batches):
        order = np.random.default_rng([seed, k]).permutation(N)
        for batch in np.array_split(order, math.ceil(N / batch_size)):
            for i in batch:
                of_image = math.log(sum(math.exp(float(image[i] @ text[j]) / temperature) for j in batch))
                of_text = math.log(sum(math.exp(float(image[j] @ text[i]) / temperature) for j in batch))
                total[i] += float(image[i] @ text[i]) - temperature / 2 * (of_image + of_text)
                seen[i] += 1
    assert (seen == batches).all()
    return total / batches


def slow_norm_sim(features, target, p):
    norms = {"2": lambda v: math.sqrt(sum(x * x for x in v)), "inf": lambda v: max(abs(x) for x in v)}
    return np.array([norms[p]([float(f @ t) for t in target]) for f in features])


def slow_auc(scores, mismatched):
    good, bad = scores[~mismatched], scores[mismatched]
    return sum((g > b) + 0.5 * (g == b) for g in good for b in bad) / (len(good) * len(bad))
