"""Settings of a selection: the model's own temperature, mixtures on the command line, approximate neighbours, memory."""

import json
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from helip.cli import main
from helip.config import Selection
from helip.errors import HelipError
from helip.selection.job import run
from helip.selection.mixture import mixture
from helip.selection.ridge import ridge
from helip.selection.scores import clip_score, s_clip_loss


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    values = {"image": rng.standard_normal((48, 12)).astype(np.float32), "text": rng.standard_normal((48, 9)).astype(np.float32)}
    for modality, array in values.items():
        np.save(tmp_path / f"{modality}.npy", array)
    return values


def features(folder) -> dict[str, str]:
    return {f"{modality}_features": str(folder / f"{modality}.npy") for modality in ("image", "text")}


def joint(job) -> list[np.ndarray]:
    return [np.load(job.cache / modality / "features.npy") for modality in ("image", "text")]


def test_s_clip_loss_takes_the_models_own_temperature(job):
    plain = job(score="s_clip_loss")
    metadata = run(plain)
    assert metadata["temperature"] == pytest.approx(0.07)  # of an untrained CLIP
    assert np.load(plain.out / "scores.npy") == pytest.approx(s_clip_loss(*joint(plain), temperature=0.07), abs=1e-6)
    given = job("given", score="s_clip_loss", temperature=0.01)
    assert run(given)["temperature"] == 0.01
    assert np.load(given.out / "scores.npy") == pytest.approx(s_clip_loss(*joint(plain), temperature=0.01), abs=1e-6)


def test_another_logit_scale_is_another_temperature(job, model_folder, tmp_path):
    import shutil

    folder = shutil.copytree(model_folder, tmp_path / "sharp")
    weights = load_file(folder / "open_clip_model.safetensors")
    save_file(weights | {"logit_scale": torch.tensor(math.log(50.0))}, folder / "open_clip_model.safetensors")
    from dataclasses import replace

    assert run(replace(job(), model=f"local-dir:{folder}", cache=tmp_path / "of_sharp"))["temperature"] == pytest.approx(0.02)


def select(corpus, folder, out, *more):
    places = ["--image-features", str(folder / "image.npy"), "--text-features", str(folder / "text.npy")]
    return main(["select", "--corpus", str(corpus), "--out", str(folder / out), *places, *more])


def test_a_mixture_from_the_command_line(corpus_folder, model_folder, arrays, tmp_path, capsys):
    mixed = ["--score", "clip_score=1,agreement=0.5", "--k", "5", "--model", str(model_folder)]
    assert select(corpus_folder, tmp_path, "mixed", *mixed) == 0, capsys.readouterr().err
    assert select(corpus_folder, tmp_path, "agreed", "--score", "agreement", "--k", "5") == 0
    image, text = (np.load(tmp_path / "mixed.features" / m / "features.npy") for m in ("image", "text"))
    parts = {"clip_score": clip_score(image, text), "agreement": np.load(tmp_path / "agreed" / "scores.npy")}
    assert (np.load(tmp_path / "mixed" / "scores.npy") == mixture(parts, {"clip_score": 1, "agreement": 0.5})).all()


def test_lemons_settings_are_options(corpus_folder, model_folder, arrays, tmp_path, capsys):
    given = ["--score", "lemon", "--model", str(model_folder), "--lemon-k", "4", "--lemon-beta", "2"]
    assert select(corpus_folder, tmp_path, "lemon", *given) == 0, capsys.readouterr().err
    declared = json.loads((tmp_path / "lemon" / "selection.json").read_text())["declaration"]["lemon"]
    assert (declared["k"], declared["beta"], declared["gamma"]) == (4, 2, 5)


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        ("clip=1,agreement=1", "--score: 'clip=1' names no score, or one twice; they are clip_score, s_clip_loss"),
        ("clip_score=1,clip_score=2", "--score: 'clip_score=2' names no score, or one twice"),
        ("clip_score=1,agreement=much", "--score: 'agreement=much' has no weight; write a number, as in agreement=1"),
    ],
)
def test_a_wrong_mixture_is_one_sentence(score, sentence, corpus_folder, tmp_path, capsys):
    assert main(["select", "--corpus", str(corpus_folder), "--out", str(tmp_path / "out"), "--score", score]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("settings", [{"score": "agreement", "k": 5}, {"score": "lemon", "lemon": {"k": 5}}])
def test_approximate_neighbours_record_their_recall(job, arrays, tmp_path, settings):
    exact, near = job("exact", **settings, **features(tmp_path)), job("near", approximate=True, **settings, **features(tmp_path))
    assert "neighbour_recall" not in run(exact)
    assert run(near)["neighbour_recall"] == 1.0  # all lists of so few pairs are looked into
    assert (np.load(exact.out / "scores.npy") == np.load(near.out / "scores.npy")).all()


def test_ridge_refuses_less_memory_than_it_needs(arrays):
    with pytest.raises(HelipError, match="memory: ridge needs \\d+ MiB for features of 128 numbers a pair"):
        ridge(*arrays.values(), memory="1MB")
    assert (ridge(*arrays.values(), memory="64MB", device="cpu") == ridge(*arrays.values())).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"score": "clip_score", "approximate": True}, "only agreement and lemon ask for any"),
        ({"spread": 2.0}, "belong to sampling soft"),
        ({"sampling": "hard", "repeats": 2}, "belong to sampling soft"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Selection(**settings)
