"""The slow obvious twins of agreement, LEMoN and ridge: loops and whole matrices in float64."""

import numpy as np


def unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def slow_nearest(x: np.ndarray, k: int) -> list[list[int]]:
    """The k nearest of each row by cosine, ties by smaller id, itself left out."""
    cosines = np.round(unit(x) @ unit(x).T, 6)  # what float32 cannot tell is a tie
    return [sorted((j for j in range(len(x)) if j != i), key=lambda j: (-cosines[i, j], j))[:k] for i in range(len(x))]


def places(values: list[float]) -> list[float]:
    """The share of the values that are at most as large, ties in the middle."""
    return [(sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2) / len(values) for x in values]


def slow_terms(image: np.ndarray, text: np.ndarray, k: int, hubness: bool) -> list[list[float]]:
    """Text among image neighbours and image among text neighbours."""
    out = []
    for by, of in ((image, text), (text, image)):
        near, own, cosines = slow_nearest(by, k), slow_nearest(of, k), unit(of) @ unit(of).T
        density = [np.mean([cosines[i, j] for j in own[i]]) if hubness else 0.0 for i in range(len(of))]
        out.append([np.mean([cosines[i, j] - density[i] / 2 - density[j] / 2 for j in near[i]]) for i in range(len(of))])
    return out


def slow_agreement(image: np.ndarray, text: np.ndarray, k: int, hubness: bool = False) -> np.ndarray:
    text_term, image_term = slow_terms(image, text, k, hubness)
    return (np.array(places(text_term)) + np.array(places(image_term))) / 2


def slow_lemon(image, text, own, k, beta, gamma, tau1_n, tau2_n, tau1_m, tau2_m) -> np.ndarray:
    """LEMoN's score as the paper defines it: higher is more likely a mismatch."""
    d_image, d_text, out = 1 - unit(image) @ unit(image).T, 1 - unit(text) @ unit(text).T, []
    by_image, by_text = slow_nearest(image, k), slow_nearest(text, k)
    for i in range(len(image)):
        n = [d_text[i, j] * np.exp(-tau1_n * d_image[i, j]) * np.exp(-tau2_n * own[j]) for j in by_image[i]]
        m = [d_image[i, j] * np.exp(-tau1_m * d_text[i, j]) * np.exp(-tau2_m * own[j]) for j in by_text[i]]
        out.append(own[i] + beta * np.mean(n) + gamma * np.mean(m))
    return np.array(out)


def slow_ridge_cosines(source: np.ndarray, target: np.ndarray, strength: float) -> np.ndarray:
    """[N, N]: of the prediction of row i, by a map fitted without row i, and target j, both about the targets' mean."""
    x, y = unit(source), unit(target)
    mean_x, mean_y, out = x.mean(0), y.mean(0), []
    x, y = x - mean_x, y - mean_y
    penalty = strength * np.trace(x.T @ x) / x.shape[1] * np.eye(x.shape[1])
    for i in range(len(x)):
        design = np.c_[x, np.ones(len(x))][np.arange(len(x)) != i]  # the intercept is not penalised
        ridge = np.zeros((design.shape[1], design.shape[1]))
        ridge[:-1, :-1] = penalty
        weights = np.linalg.solve(design.T @ design + ridge, design.T @ np.delete(y, i, 0))
        out.append(np.append(x[i], 1) @ weights)
    return unit(np.array(out)) @ unit(y).T
