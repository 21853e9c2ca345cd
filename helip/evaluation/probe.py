"""The paper's linear probe (section 4.2 of arXiv 2305.05208): scikit-learn's L-BFGS logistic regression on frozen image features."""

import warnings

import numpy as np
import torch

from helip.errors import HelipError
from helip.evaluation.extraction import Extractor
from helip.evaluation.metrics import Result, check_labels, mean_per_class_recall
from helip.evaluation.sets import EvaluationSet

STRENGTHS = np.logspace(-6, 5, 45)  # of the L2 penalty; scikit-learn's C is its inverse
ITERATIONS = 1000
VALIDATION, SPLIT_SEED = 0.2, 0  # share of the training split that chooses the strength

UNSPLIT = ("caltech101", "sun397")  # CLIP benchmark 1.6.2 gives all their images whatever split is asked for


def probe(extractor: Extractor, data: EvaluationSet) -> Result:
    """Returns acc1 and mean_per_class_recall on the test split. The set's own validation split chooses the strength, or where it has none
    a fifth of the training split; then both are fitted.

    HelipError for a set without labels or without a training split.
    """
    if data.task != "classification":
        raise HelipError(f"{data.root}: '{data.name}' is a {data.task} set, and a linear probe needs labels; leave it out")
    if data.benchmark_name in UNSPLIT:
        raise HelipError(f"CLIP benchmark's {data.benchmark_name} has no splits: a probe would be tested on what it learnt; use a wds set")
    train, test = extractor.images(data, "train"), extractor.images(data, data.test_split)
    classes = len(data.open(None, "train").classes)
    held = extractor.images(data, data.validation_split) if data.validation_split else None
    for part in filter(None, (train, test, held)):
        check_labels(part.labels, classes, data)
    x, y = train.images.numpy(), train.labels.numpy()
    if held is None:
        strength, validated = choose_strength(x, y, f"{data.root}: the train split of '{data.name}'")
    else:
        _check_classes(y, f"{data.root}: the train split of '{data.name}'")
        validation = held.images.numpy(), held.labels.numpy()
        strength, validated = best_strength((x, y), validation)
        x, y = np.concatenate([x, validation[0]]), np.concatenate([y, validation[1]])
    predicted_N = torch.from_numpy(fit(x, y, strength).predict(test.images.numpy()))
    hits_N = predicted_N == test.labels
    metrics = {
        "acc1": 100 * hits_N.double().mean().item(),
        "mean_per_class_recall": mean_per_class_recall(test.labels, predicted_N),
    }
    details: dict[str, object] = {
        "strength": strength,
        "validation_acc1": validated,
        **({"validation_split": data.validation_split} if held else {"validation_share": VALIDATION, "validation_seed": SPLIT_SEED}),
    }
    digests = {"images": test.digest, "train_images": train.digest} | ({"validation_images": held.digest} if held else {})
    return Result(metrics, {"acc1": hits_N}, len(hits_N), data.test_split, digests, details | {"train_items": len(y), "classes": classes})


def fit(x_ND: np.ndarray, y_N: np.ndarray, strength: float, near=None):
    """Returns a logistic regression fitted in float64; begun at the weights of `near`, one of another strength that is then changed, it
    gets there sooner.

    In float32 the loss cannot fall below its rounding error: where a few images have very large features, L-BFGS then stops after one step
    and calls it converged.
    """
    from sklearn.linear_model import LogisticRegression

    model = near or LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 1,000 iterations are the paper's protocol, enough or not; so are few images a class
        return model.set_params(C=1 / strength).fit(x_ND.astype(np.float64), y_N)


def _check_classes(y_N: np.ndarray, where: str) -> None:
    if len(np.unique(y_N)) < 2:
        raise HelipError(f"{where}: a linear probe learns from at least two classes, and there is one; restore its files")


def choose_strength(x_ND: np.ndarray, y_N: np.ndarray, where: str = "the images") -> tuple[float, float]:
    """Returns the best strength on a fixed fifth of the rows, held out in proportion to the classes, and its accuracy in percent.

    HelipError, which begins with `where`, for rows that are too few to hold a fifth out of them.
    """
    from sklearn.model_selection import train_test_split

    _check_classes(y_N, where)
    _, counts = np.unique(y_N, return_counts=True)
    held_out = round(VALIDATION * len(y_N))
    if not held_out:
        raise HelipError(f"{where}: of {len(y_N)} images none can be held out to choose the probe's strength by; give more")
    stratify = y_N if counts.min() > 1 and held_out >= len(counts) else None
    fit_x, held_x, fit_y, held_y = train_test_split(x_ND, y_N, test_size=held_out, random_state=SPLIT_SEED, stratify=stratify)
    _check_classes(fit_y, f"{where}, less the fifth that is held out")
    return best_strength((fit_x, fit_y), (held_x, held_y))


def best_strength(fitted: tuple[np.ndarray, np.ndarray], held: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Returns the strength with the best accuracy on the held-out (x [N, D], y [N]), and that accuracy in percent; ties go to the stronger.

    From the strongest on, each fit begins where the one before ended: the optimum is the same, and fewer iterations stop short of it.
    """
    falling, model, accuracies = STRENGTHS[::-1], None, []
    for strength in falling:
        model = fit(*fitted, strength, model)
        accuracies.append(model.score(*held))
    best = int(np.argmax(accuracies))
    return float(falling[best]), 100 * float(accuracies[best])
