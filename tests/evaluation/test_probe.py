"""The linear probe is scikit-learn's logistic regression, its strength chosen without the test split."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from tiny_sets import write_classification

from helip.config import BenchmarkSet
from helip.errors import HelipError
from helip.evaluation import probe
from helip.evaluation.extraction import Extractor
from helip.evaluation.sets import of_declaration, of_folder


def blobs(n, seed=0, spread=1.5):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return (np.eye(3)[y] * 2 + rng.normal(0, spread, (n, 3))).astype(np.float32), y


def test_the_strengths_are_the_papers():
    assert len(probe.STRENGTHS) == 45
    assert probe.STRENGTHS[[0, 4, -1]] == pytest.approx([1e-6, 1e-5, 1e5])
    assert probe.ITERATIONS == 1000


def test_a_fit_is_a_direct_call_of_scikit_learn():
    x, y = blobs(80)
    ours, theirs = probe.fit(x, y, 0.1), LogisticRegression(C=10.0, max_iter=1000, solver="lbfgs").fit(x.astype(np.float64), y)
    assert np.array_equal(ours.coef_, theirs.coef_)


def test_a_few_very_large_features_do_not_end_a_fit():
    rng, y = np.random.default_rng(0), np.arange(200) % 10
    x = (rng.normal(size=(10, 16))[y] * 2 + rng.normal(0, 1.5, (200, 16))).astype(np.float32)
    x[:3] = 1e5 * rng.normal(1, 0.01, (3, 16))
    assert probe.fit(x, y, 1.0).score(x[3:], y[3:]) == 1  # in float32 L-BFGS calls itself converged at 0.74


def test_the_strength_is_the_best_on_the_held_out_fifth():
    x, y = blobs(100)
    fit_x, held_x, fit_y, held_y = train_test_split(x, y, test_size=20, random_state=0, stratify=y)
    scores = {s: LogisticRegression(C=1 / s, max_iter=1000).fit(fit_x, fit_y).score(held_x, held_y) for s in probe.STRENGTHS}
    strength, validated = probe.choose_strength(x, y)
    assert validated == 100 * max(scores.values()) == 100 * scores[strength]
    assert all(score < scores[strength] for s, score in scores.items() if s > strength)  # ties go to the stronger


def test_classes_with_one_image_do_not_stop_it():
    x, y = blobs(40)
    y[0] = 3
    assert 1e-6 <= probe.choose_strength(x, y)[0] <= 1e5


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0] * 10, "the images: a linear probe learns from at least two classes, and there is one"),
        ([0, 1], "the images: of 2 images none can be held out to choose the probe's strength by"),
        ([1, 1, 0], "the images, less the fifth that is held out: a linear probe learns from at least two classes"),
    ],
)
def test_too_little_to_learn_from_is_told(labels, sentence):
    with pytest.raises(HelipError, match=sentence):
        probe.choose_strength(np.zeros((len(labels), 2), np.float32), np.array(labels))


def test_the_whole_probe_equals_scikit_learn(classification, model):
    extractor, data = Extractor(model, None), of_folder(classification)
    result = probe.probe(extractor, data)
    train, test = extractor.images(data, "train"), extractor.images(data, "test")
    direct = LogisticRegression(C=1 / result.details["strength"], max_iter=1000).fit(train.images.double().numpy(), train.labels.numpy())
    assert result.metrics["acc1"] == pytest.approx(100 * direct.score(test.images.numpy(), test.labels.numpy()))
    assert result.metrics["acc1"] > 60  # colours are easy even for random features: six classes, chance is 17
    assert result.metrics["acc1"] == pytest.approx(100 * result.hits["acc1"].double().mean().item())
    assert (result.n, result.details["train_items"]) == (60, 90)


def test_a_set_without_a_training_split_is_refused(tmp_path, model):
    with pytest.raises(HelipError, match=r"train/nshards.txt: not found"):
        probe.probe(Extractor(model, None), of_folder(write_classification(tmp_path / "set")))


@pytest.mark.parametrize("name", ["caltech101", "sun397"])
def test_a_set_whose_training_split_is_its_test_split_is_refused(name, tmp_path, model):
    data = of_declaration(name, BenchmarkSet(task="classification", name=name, root=str(tmp_path)), tmp_path)
    with pytest.raises(HelipError, match=f"CLIP benchmark's {name} has no splits"):
        probe.probe(Extractor(model, None), data)


def test_the_authors_validation_images_choose_and_are_fitted_too(tmp_path, model):
    folder = write_classification(tmp_path / "colours", test=40, train=60)
    other = write_classification(tmp_path / "other", test=30, seed=1)
    (other / "test").rename(folder / "val")
    extractor, data = Extractor(model, None), replace(of_folder(folder), validation_split="val")
    result = probe.probe(extractor, data)
    train, held, test = (extractor.images(data, split) for split in ("train", "val", "test"))
    scores = {
        s: probe.fit(train.images.numpy(), train.labels.numpy(), s).score(held.images.numpy(), held.labels.numpy()) for s in probe.STRENGTHS
    }
    assert result.details["validation_acc1"] == pytest.approx(100 * max(scores.values()))
    x, y = (np.concatenate([getattr(part, name).numpy() for part in (train, held)]) for name in ("images", "labels"))
    direct = LogisticRegression(C=1 / result.details["strength"], max_iter=1000).fit(x, y)
    assert result.metrics["acc1"] == pytest.approx(100 * direct.score(test.images.numpy(), test.labels.numpy()))
    assert (result.details["train_items"], result.details["validation_split"]) == (90, "val")
    assert result.digests["validation_images"] == held.digest
