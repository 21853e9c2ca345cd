"""Selections of a corpus by the features of single-modality encoders."""

import numpy as np
import pytest

from helip.errors import HelipError
from helip.selection.agreement import agreement
from helip.selection.lemon import lemon, own_distances
from helip.selection.mixture import mixture
from helip.selection.ridge import ridge
from helip.selection.scores import clip_score


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"image": rng.standard_normal((48, 12)).astype(np.float32), "text": rng.standard_normal((48, 9)).astype(np.float32)}
    for modality, values in arrays.items():
        np.save(tmp_path / f"{modality}.npy", values)
    return arrays, {f"{modality}_features": str(tmp_path / f"{modality}.npy") for modality in arrays}


def scored(job):
    from helip.selection.job import run

    metadata = run(job)
    return np.load(job.out / "scores.npy"), metadata


def test_agreement_and_ridge_are_those_of_the_named_features(job, files):
    arrays, places = files
    scores, metadata = scored(job(score="agreement", k=5, keep=0.75, **places))
    assert (scores == agreement(*arrays.values(), k=5)).all()
    assert (metadata["kept"], metadata["declaration"]["k"]) == (36, 5)
    assert set(metadata["inputs"]) == {"corpus", "image_features", "text_features"}
    assert (scored(job("plain", score="agreement", k=5, hubness=False, **places))[0] == agreement(*arrays.values(), 5, hubness=False)).all()
    assert (scored(job("ridge", score="ridge", strength=2.0, **places))[0] == ridge(*arrays.values(), strength=2.0)).all()


def test_lemon_asks_the_models_space_or_that_of_the_encoders(job, files):
    arrays, places = files
    here, _ = scored(job(score="lemon", lemon={"k": 4}))
    joint = [np.load(job().cache / modality / "features.npy") for modality in ("image", "text")]
    settings = job(score="lemon", lemon={"k": 4}).spec.lemon
    assert (here == lemon(*joint, settings, own=own_distances(*joint))).all()
    there, _ = scored(job("encoders", score="lemon", lemon={"k": 4}, **places))
    assert (there == lemon(*arrays.values(), settings, own=own_distances(*joint))).all()


def test_a_mixture_is_that_of_its_scores(job, files):
    arrays, places = files
    scores, metadata = scored(job(score={"clip_score": 1, "agreement": 3}, k=5, **places))
    joint = [np.load(job().cache / modality / "features.npy") for modality in ("image", "text")]
    parts = {"clip_score": clip_score(*joint), "agreement": agreement(*arrays.values(), k=5)}
    assert (scores == mixture(parts, {"clip_score": 1, "agreement": 3})).all()
    assert metadata["declaration"]["weights"] == {"clip_score": 1, "agreement": 3}


def test_features_of_another_corpus_are_refused(job, files, tmp_path):
    _, places = files
    np.save(tmp_path / "image.npy", np.ones((47, 12), np.float32))
    with pytest.raises(HelipError, match=r"image.npy: holds float32 \[47, 12\], and the corpus needs one row for each of its 48 pairs"):
        scored(job(score="agreement", **places))
    np.save(tmp_path / "image.npy", np.ones(48, np.float32))
    with pytest.raises(HelipError, match=r"holds float32 \[48\]"):
        scored(job(score="ridge", **places))


def test_features_of_another_corpus_by_helip_encode_are_refused(job, files, tmp_path):
    from helip.io import write_json

    _, places = files
    folder = tmp_path / "encoded"
    folder.mkdir()
    np.save(folder / "features.npy", np.ones((48, 3), np.float32))
    write_json(folder / "features.json", {"corpus_digest": "another", "rows": 48, "dim": 3, "dtype": "float32", "weights_digest": "w"})
    with pytest.raises(HelipError, match="these are features of another corpus"):
        scored(job(score="agreement", **{**places, "image_features": str(folder)}))


def test_features_of_the_other_modality_are_refused(job, files, tmp_path):
    from helip.io import write_json

    _, places = files
    write_json(tmp_path / "image.json", {"modality": "text"})
    with pytest.raises(HelipError, match=r"image.npy: holds text features, and is given as image features; give the image encoder's"):
        scored(job(score="ridge", **places))
    write_json(tmp_path / "image.json", {"modality": "image"})
    assert len(scored(job(score="ridge", **places))[0]) == 48


def test_what_is_missing_or_has_no_shards_is_said(job, files):
    from helip.selection.job import run

    _, places = files
    with pytest.raises(HelipError, match="image and text features: missing"):
        scored(job(score="agreement", image_encoder="dino", text_encoder="minilm"))
    with pytest.raises(HelipError, match=r"--shard: clip_score \+ agreement is one pass"):
        run(job(score={"clip_score": 1, "agreement": 1}, **places), shard=(0, 2))
    with pytest.raises(HelipError, match="k = 48: a target has only 47 candidates"):
        scored(job(score="agreement", k=48, **places))


def test_shards_and_their_join_give_what_one_run_gives(job, files, monkeypatch, tmp_path):
    from helip.selection import neighbour_parts
    from helip.selection.job import run

    _, places = files
    whole, _ = scored(job("whole", score="agreement", k=5, **places))
    monkeypatch.setattr(neighbour_parts, "ROWS", 20)  # three parts
    assert run(job("shared", score="agreement", k=5, **places), shard=(0, 2)) is None
    assert run(job("shared", score="agreement", k=5, **places), shard=(1, 2)) is None
    with pytest.raises(HelipError, match="--shard 0/4: the neighbours of this corpus are found in 3 parts"):
        run(job("shared", score="agreement", k=5, **places), shard=(0, 4))
    computed = neighbour_parts.neighbour_terms
    monkeypatch.setattr(neighbour_parts, "neighbour_terms", lambda *a, **k: pytest.fail("computed again"))
    assert (scored(job("shared", score="agreement", k=5, **places))[0] == whole).all()
    assert not list(tmp_path.glob(".*.partial"))

    def dies(*a, shard, **k):
        if shard[0] == 2:
            raise KeyboardInterrupt
        return computed(*a, shard=shard, **k)

    monkeypatch.setattr(neighbour_parts, "neighbour_terms", dies)
    with pytest.raises(KeyboardInterrupt):
        run(job("killed", score="agreement", k=5, **places))
    monkeypatch.setattr(
        neighbour_parts, "neighbour_terms", lambda *a, shard, **k: computed(*a, shard=shard, **k) if shard[0] == 2 else None
    )
    assert (scored(job("killed", score="agreement", k=5, **places))[0] == whole).all()


def test_parts_keep_a_measured_recall(files, tmp_path):
    from helip.selection import neighbour_parts

    arrays, _ = files
    neighbour_parts.compute(*arrays.values(), 3, tmp_path, approximate=True)
    assert neighbour_parts.read(48, tmp_path)[0].recall > 0.5
    neighbour_parts.compute(*arrays.values(), 3, tmp_path / "exact")
    assert neighbour_parts.read(48, tmp_path / "exact")[0].recall is None
