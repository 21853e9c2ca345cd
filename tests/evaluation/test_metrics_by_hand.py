"""Hand-made features whose metrics can be counted."""

from types import SimpleNamespace

import pytest
import torch

from helip.config import METRICS
from helip.errors import HelipError
from helip.evaluation import metrics
from helip.evaluation.extraction import SetFeatures


class Made:
    """An extractor whose features are given: images by hand, texts by a table."""

    def __init__(self, images, labels=(), captions=(), table=None):
        self.features = SetFeatures(torch.tensor(images), torch.tensor(labels, dtype=torch.int64), list(captions), "d")
        self.table = table

    def images(self, data, split):
        return self.features

    def texts(self, texts):
        return torch.tensor([self.table[t] for t in texts])


def made_set(classes=(), templates=()):
    opened = SimpleNamespace(classes=list(classes), templates=list(templates))
    return SimpleNamespace(name="made", root="made", test_split="test", open=lambda transform, split: opened)


def test_image_recall_counts_any_caption_text_recall_each():
    """2 images, 3 captions: the first image has two.

    cosines, captions x images:   a1 (1, 0)   a2 (0.6, 0.8)   b (0, 1)
    text to image: a1 -> image 0, right; a2 -> image 1, wrong; b -> image 1, right: 2 of 3
    image to text: image 0 -> a1, right (one of its two is enough); image 1 -> b, right: 2 of 2
    """
    captions = [["a1", "a2"], ["b"]]
    made = Made([[2.0, 0.0], [0.0, 3.0]], captions=captions, table={"a1": [5.0, 0.0], "a2": [3.0, 4.0], "b": [0.0, 1.0]})
    result = metrics.retrieval(made, made_set())
    assert result.metrics["image_recall_at_1"] == pytest.approx(200 / 3)
    assert result.metrics["text_recall_at_1"] == 100
    assert {*result.metrics} == {*METRICS["retrieval"]}
    assert result.hits["image_recall_at_1"].tolist() == [True, False, True]
    assert result.hits["text_recall_at_1"].tolist() == [True, True]
    assert result.metrics["image_recall_at_10"] == 100  # of two images, one is always among ten
    assert result.hits["image_recall_at_10"].all()
    assert result.together["image_recall_at_1"] == [2, 1] and "text_recall_at_1" not in result.together


def test_equal_caption_counts_are_evaluated_together():
    made = Made([[1.0, 0.0], [0.0, 1.0]], captions=[["a", "b"], ["b", "b"]], table={"a": [1.0, 0.0], "b": [0.0, 1.0]})
    result = metrics.retrieval(made, made_set())
    assert result.hits["image_recall_at_1"].tolist() == [True, False, True, True]
    assert result.together["image_recall_at_1"] == 2 and "text_recall_at_1" not in result.together


def test_zeroshot_averages_prompts_as_unit_vectors():
    """Class x has prompts along (1, 0), ten times as long, and (0, 1): its mean direction is the diagonal, not (10, 1).

    images: (1, 1) -> x (cosine 1, y has 0.6/sqrt2 + 0.8/sqrt2 = 0.99); (0.6, 0.8) -> y; (0, 1) -> y (0.8 against 0.71), labelled x: wrong.
    """
    table = {"x1": [10.0, 0.0], "x2": [0.0, 1.0], "y1": [0.6, 0.8], "y2": [0.6, 0.8]}
    made = Made([[1.0, 1.0], [0.6, 0.8], [0.0, 1.0]], labels=[0, 1, 0], table=table)
    result = metrics.zeroshot(made, made_set(["x", "y"], ["{c}1", "{c}2"]))
    assert result.hits["acc1"].tolist() == [True, True, False]
    assert result.metrics["acc1"] == pytest.approx(200 / 3)
    assert result.metrics["mean_per_class_recall"] == pytest.approx((50 + 100) / 2)
    assert "acc5" not in result.metrics  # two classes: five guesses say nothing
    assert {*result.metrics, "acc5"} == {*METRICS["zeroshot"]}


def test_an_image_without_captions_is_refused():
    with pytest.raises(HelipError, match="an image of 'made' has no caption"):
        metrics.retrieval(Made([[1.0], [1.0]], captions=[["a"], []], table={"a": [1.0]}), made_set())


def test_labels_beyond_the_class_names_are_refused():
    with pytest.raises(HelipError, match="labels outside its 2 class names"):
        metrics.zeroshot(Made([[1.0]], labels=[2], table={"x": [1.0], "y": [1.0]}), made_set(["x", "y"], ["{c}"]))


def test_a_template_with_other_braces_is_refused():
    with pytest.raises(HelipError, match="not text with {c} for the class name"):
        metrics.zeroshot(Made([[1.0]], labels=[0]), made_set(["x"], ["a {thing}"]))
