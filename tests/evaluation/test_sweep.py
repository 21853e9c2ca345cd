"""Mixtures are compared by both directions, and of equal ones the least of the refined model is taken."""

from types import SimpleNamespace

import pytest

from helip.evaluation import sweep as module
from helip.io import read_json

RECALLS = {0.25: (40.0, 60.0), 0.5: (70.0, 30.0), 0.75: (20.0, 90.0), 1.0: (10.0, 100.0)}  # of images, of texts: means 50, 50, 55, 55


@pytest.fixture
def mixtures(monkeypatch):
    """Which mixtures were written, (start, refined, weight), and which folders were evaluated: the last mixture and its recalls."""
    written, evaluated = [], []

    def write(start, refined, weight, out):
        written.append((start, refined, weight))

    def retrieval(extractor, data):
        to_image, to_text = RECALLS[written[-1][2] if extractor.model.endswith("mixed") else 1.0]
        evaluated.append(extractor.model)
        return SimpleNamespace(metrics={"image_recall_at_1": to_image, "text_recall_at_1": to_text, "image_recall_at_5": 100.0})

    monkeypatch.setattr(module.interpolation, "write", write)
    monkeypatch.setattr(module, "offline_if_unreachable", lambda: None)
    monkeypatch.setattr(module, "load", lambda reference, device: reference)
    monkeypatch.setattr(module, "Extractor", lambda model, cache: SimpleNamespace(model=model))
    monkeypatch.setattr(module, "retrieval", retrieval)
    return written, evaluated


def test_the_smallest_of_the_best_weights_is_taken(mixtures, tmp_path):
    written, evaluated = mixtures
    start, refined, data = tmp_path / "start", tmp_path / "refined", SimpleNamespace(name="validation")
    result = module.sweep(start, refined, (1.0, 0.5, 0.75, 0.25), data, tmp_path / "sweep.json", None, {})
    assert (result["set"], result["best"]) == ("validation", 0.75)
    assert result["scores"] == {"0.25": 50.0, "0.5": 50.0, "0.75": 55.0, "1": 55.0}
    assert written == [(str(start), refined, weight) for weight in (0.25, 0.5, 0.75)]
    assert evaluated[-1] == f"local-dir:{refined}"  # the refined model itself is mixed with nothing
    assert read_json(tmp_path / "sweep.json")["best"] == 0.75
