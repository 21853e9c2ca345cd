"""Sets that CLIP benchmark builds itself: read through its builder, through loader processes, in one order, cached by what lies there."""

import json

import numpy as np
import pytest
from tiny_sets import COLOURS, picture

from helip.config import BenchmarkSet
from helip.evaluation import metrics
from helip.evaluation.extraction import Extractor
from helip.evaluation.sets import of_declaration


@pytest.fixture
def imagenet(tmp_path):
    """Three of the thousand classes, four images each, as `imagenet1k-unverified` wants them."""
    rng = np.random.default_rng(0)
    for i, colour in enumerate(list(COLOURS.values())[:3]):
        folder = tmp_path / "val" / f"n{i:08d}"
        folder.mkdir(parents=True)
        for j in range(4):
            (folder / f"{j}.png").write_bytes(picture(colour, rng))
    return of_declaration("imagenet", BenchmarkSet(task="classification", name="imagenet1k-unverified", root=str(tmp_path)), tmp_path)


def test_imagenet_has_its_thousand_names_and_eighty_templates(imagenet, model):
    opened = imagenet.open(None, "test")
    assert (len(opened.classes), len(opened.templates), len(opened)) == (1000, 80, 12)
    features = Extractor(model, None).images(imagenet, "test")
    assert features.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_loader_processes_change_nothing(imagenet, model):
    alone, shared = (Extractor(model, None, workers).images(imagenet, "test") for workers in (0, 2))
    assert np.array_equal(alone.images, shared.images)
    assert np.array_equal(alone.labels, shared.labels)


def test_a_changed_file_changes_the_digest(imagenet):
    before = imagenet.digest("test")
    assert before == imagenet.digest("test")
    (imagenet.root / "val" / "n00000000" / "0.png").write_bytes(b"other")
    assert imagenet.digest("test") != before


def test_coco_reads_all_captions_of_an_image(tmp_path, model):
    rng, names = np.random.default_rng(0), list(COLOURS)
    (tmp_path / "val2014").mkdir()
    annotations = {"images": [], "annotations": []}
    for i, name in enumerate(names):
        (tmp_path / "val2014" / f"{i}.png").write_bytes(picture(COLOURS[name], rng))
        annotations["images"].append({"id": i, "file_name": f"{i}.png"})
        annotations["annotations"] += [{"id": 5 * i + j, "image_id": i, "caption": f"{name} square, {j}"} for j in range(5)]
    (tmp_path / "coco_test_karpathy.json").write_text(json.dumps(annotations))
    data = of_declaration("mscoco", BenchmarkSet(task="retrieval", name="mscoco_captions", root=str(tmp_path)), tmp_path)
    result = metrics.retrieval(Extractor(model, None), data)
    assert (result.n, len(result.hits["image_recall_at_1"]), len(result.hits["text_recall_at_1"])) == (6, 30, 6)
    assert result.metrics["image_recall_at_10"] == 100  # of six images, one is always among ten
