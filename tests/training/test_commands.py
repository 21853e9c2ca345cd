"""`helip train` on somebody's own data, and the one sentence it says when something is wrong."""

import csv
import os
import signal

import numpy as np
import open_clip
import pytest
import torch
from toys import RESNET, TEXT, declaration, job, recipe

from helip.cli import main
from helip.config import GeneratedCorpus, GeneratedSet, MiningSpec, Refinement, ShardCorpus
from helip.data.build import build_corpus
from helip.evaluation.building import build_evaluation_set
from helip.io import read_json, write_json
from helip.mining import PairSet
from helip.models import loading as models
from helip.training import own_data, preparation
from helip.training.distributed import DistributedContext
from helip.training.loop import train


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A corpus folder, a pair set on it, and a checkpoint trained on it."""
    folder = tmp_path_factory.mktemp("own")
    corpus = build_corpus(GeneratedCorpus(size=100, samples_per_shard=50), folder / "corpus")
    manifest = read_json(folder / "corpus/manifest.json")
    write_json(folder / "corpus/manifest.json", manifest | {"recovered_share": 0.63})
    ids = ((np.arange(100)[:, None] + np.arange(1, 6)) % 100).astype(np.int32).ravel()
    pairs = PairSet(ids, np.ones(500, np.float32), np.arange(0, 501, 5), np.zeros(100, bool), MiningSpec(k=5), 100)
    pairs.save(folder / "pairs", corpus_digest=corpus.digest)
    pairs.save(folder / "pairs_of_another", corpus_digest="another")
    clip = models.new(declaration(RESNET, context_length=32), corpus, folder / "start.tokenizer", seed=0)
    assert train(job(folder, recipe(steps=4), corpus, clip), DistributedContext()) == 0
    return folder


def refine(own, out, *more: str) -> int:
    """`more` stands in place of what is usual."""
    usual = {"--corpus": str(own / "corpus"), "--model": str(own / "model"), "--out": str(out)}
    usual |= {"--steps": "3", "--batch-size": "8", "--learning-rate": "1e-3", "--device": "cpu"}
    return main(["train", *(word for option, value in usual.items() if option not in more for word in (option, value)), *more])


def test_refine_makes_a_model_and_says_what_it_will_do(own, tmp_path, capsys):
    assert refine(own, tmp_path / "out", "--pairs", str(own / "pairs"), "--gamma", "0.5", "--symmetric-margin") == 0
    metadata = read_json(tmp_path / "out/train.json")
    assert metadata["recovered_share"] == 0.63
    assert {"gamma": 0.5, "symmetric_margin": True, "arm": "helip"}.items() <= metadata["declaration"].items()
    assert {"corpus", "pairs", "start"} == metadata["inputs"].keys()
    assert any("captions fill the context of 32 tokens" in warning for warning in metadata["warnings"])
    with open(tmp_path / "out/curve.csv", newline="") as f:
        assert [row["margin"] != "" for row in csv.DictReader(f)] == [True] * 3
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert "3 steps of 8, 0 of them warm-up" in capsys.readouterr().err


def test_a_recipe_file_and_a_selection(own, tmp_path):
    (tmp_path / "recipe.yaml").write_text("{arm: control, batch_size: 10, learning_rate: 1.0e-3, clip_norm: 1.0}\n")
    np.save(tmp_path / "keep.npy", np.arange(100) < 60)
    assert refine(own, tmp_path / "out", "--recipe", str(tmp_path / "recipe.yaml"), "--keep", str(tmp_path / "keep.npy")) == 0
    declaration = read_json(tmp_path / "out/train.json")["declaration"]
    assert (declaration["batch_size"], declaration["clip_norm"], declaration["steps"], declaration["arm"]) == (8, 1.0, 3, "control")


def test_options_override_single_fields_of_a_nested_model(own, tmp_path):
    (tmp_path / "recipe.yaml").write_text("{arm: control, early_stopping: {every: 1, held_out: 0.1}, augmentation: {flip: 0.5}}\n")
    more = ["--early-stopping-held-out", "0.2", "--augmentation-crop-scale", "0.5", "1", "--clip-norm", "none"]
    assert refine(own, tmp_path / "out", "--recipe", str(tmp_path / "recipe.yaml"), *more) == 0
    recipe = read_json(tmp_path / "out/train.json")["declaration"]
    assert recipe["early_stopping"] == {"corpus": None, "patience": 5, "every": 1, "held_out": 0.2}
    assert recipe["augmentation"] == {"crop_scale": [0.5, 1.0], "flip": 0.5}
    assert recipe["clip_norm"] is None


def test_a_wrong_recipe_names_the_file_or_option_at_fault(own, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text("{arm: hard, gama: 1}\n")
    assert refine(own, tmp_path / "out", "--recipe", str(tmp_path / "recipe.yaml")) == 2
    assert "recipe.yaml: arm: 'hard' is none of control, cleaned, helip (and 1 more)" in capsys.readouterr().err
    (tmp_path / "recipe.yaml").write_text("{arm: control}\n")
    assert refine(own, tmp_path / "out", "--recipe", str(tmp_path / "recipe.yaml"), "--gamma", "-1") == 2
    assert "helip train: --gamma: Input should be greater than or equal to 0" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "task"), [("cifar10", "classification"), ("flickr30k", "retrieval")])
def test_a_retention_set_is_watched_from_the_start(own, tmp_path, name, task):
    build_evaluation_set(name, GeneratedSet(task=task, items=24), tmp_path / "set")
    (tmp_path / "recipe.yaml").write_text(f"{{arm: control, retention: {{set: {tmp_path}/set, every: 2, tolerance: 200}}}}\n")
    assert refine(own, tmp_path / "out", "--recipe", str(tmp_path / "recipe.yaml")) == 0
    with open(tmp_path / "out/curve.csv", newline="") as f:
        seen = {row["step"]: float(row["retention"]) for row in csv.DictReader(f) if row["retention"]}
    assert seen.keys() == {"0", "2"}
    assert all(0 <= score <= 100 for score in seen.values())


def test_a_signal_before_the_first_step_asks_to_be_requeued_too(own, tmp_path, monkeypatch):
    with monkeypatch.context() as early:
        early.setattr(preparation, "prepare", lambda job: os.kill(os.getpid(), signal.SIGUSR2) or ())
        assert refine(own, tmp_path / "out", "--arm", "control") == 75
    assert refine(own, tmp_path / "out", "--arm", "control") == 0
    assert read_json(tmp_path / "out/train.json")["steps"] == 3


def test_real_photographs(own, data_root, tmp_path):
    build_corpus(ShardCorpus(path=str(data_root / "flickr8k/pairs/00000.tar")), tmp_path / "photographs")
    assert refine(own, tmp_path / "out", "--arm", "control", "--corpus", str(tmp_path / "photographs")) == 0
    assert read_json(tmp_path / "out/train.json")["steps"] == 3


def test_a_refined_model_and_its_start_in_one(own, tmp_path, capsys):
    assert refine(own, tmp_path / "refined", "--arm", "control") == 0
    ends = ["--start", str(own / "model"), "--refined", str(tmp_path / "refined")]
    assert main(["interpolate", *ends, "--weight", "0.25", "--out", str(tmp_path / "mixed")]) == 0
    start, refined, mixed = (models.open_start(f).model.state_dict() for f in (own / "model", tmp_path / "refined", tmp_path / "mixed"))
    assert all(torch.allclose(w, 0.75 * start[n] + 0.25 * refined[n], atol=1e-6) for n, w in mixed.items() if w.is_floating_point())
    assert all(torch.equal(w, refined[n]) for n, w in mixed.items() if not w.is_floating_point())
    assert {p.name for p in (tmp_path / "mixed").iterdir()} == {p.name for p in (tmp_path / "refined").iterdir()}
    metadata = read_json(tmp_path / "mixed/train.json")
    assert (metadata["declaration"], metadata["steps"]) == ({"interpolate": {"weight": 0.25}}, 3)
    assert metadata["inputs"].keys() == {"start", "refined"}
    assert metadata["recovered_share"] == 0.63
    assert (tmp_path / "mixed/curve.csv").read_text() == "step,loss\n"
    assert main(["interpolate", *ends, "--weight", "1.5", "--out", str(tmp_path / "beyond")]) == 2
    assert "--weight: Input should be less than or equal to 1" in capsys.readouterr().err
    assert not (tmp_path / "beyond").exists()
    assert main(["interpolate", "--start", str(own / "model"), "--refined", str(tmp_path / "gone"), "--out", str(tmp_path / "no")]) == 2
    assert "gone/open_clip_model.safetensors: not found; train it first" in capsys.readouterr().err


def test_pairs_without_what_the_start_takes_for_matches(own, tmp_path, capsys):
    given = ["--corpus", str(own / "corpus"), "--pairs", str(own / "pairs"), "--model", f"local-dir:{own / 'model'}"]
    assert main(["filter-pairs", *given, "--margin", "0.0", "--out", str(tmp_path / "filtered")]) == 0
    before, after = PairSet.open(own / "pairs"), PairSet.open(tmp_path / "filtered", read_json(own / "corpus/manifest.json")["digest"])
    features = {m: np.load(tmp_path / f"filtered.features/{m}/features.npy") for m in ("image", "text")}
    cosine = features["image"] @ features["text"].T
    wanted = [[j for j in before.hard(i) if cosine[i, j] < cosine[i, i] and cosine[j, i] < cosine[j, j]] for i in range(100)]
    assert [after.hard(i).tolist() for i in range(100)] == wanted
    assert 0 < len(after.ids) < 500 == after.metadata["entries_before"]
    assert f"kept {len(after.ids)} of 500 hard pairs" in capsys.readouterr().out
    assert refine(own, tmp_path / "out", "--pairs", str(tmp_path / "filtered")) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--pairs", "{own}/pairs_of_another"], "pairs_of_another: was mined on the corpus with digest another"),
        ([], "arm 'helip' needs a pair set"),
        (["--arm", "control", "--warmup-steps", "3"], "warmup_steps 3 is not shorter than the run's 3 steps"),
        (["--arm", "control", "--batch-size", "101"], "batch of 101 is larger than the 100 pairs"),
        (["--arm", "hard"], "--arm: 'hard' is none of control, cleaned, helip"),
        (["--arm", "control", "--model", "{own}/corpus"], "no open_clip model folder (open_clip_config.json is missing)"),
        (["--arm", "control", "--model", "ViT-Z-99"], "open_clip has no model 'ViT-Z-99'"),
        (["--arm", "control", "--model", "{own}/modle"], "modle: is not there; give an open_clip folder"),
        (["--arm", "control", "--corpus", "{own}/nowhere"], "manifest.json: not found"),
        (["--arm", "control", "--keep", "{own}/nowhere.npy"], "nowhere.npy: not found; run `helip select` first"),
        (["--arm", "control", "--accumulate", "3"], "batch_size 8 does not divide into 1 processes x 3 micro-batches"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(own, tmp_path, capsys, more, words):
    assert refine(own, tmp_path / "out", *(m.format(own=own) for m in more)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("helip train: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_weights_changed_at_the_same_path_are_another_start(own, tmp_path):
    """Else the state of a training interrupted before the change would be gone on from."""
    config = {"embed_dim": 16, "vision_cfg": RESNET, "text_cfg": TEXT | {"vocab_size": 49408, "context_length": 77}}
    write_json(tmp_path / "configs/own_by_name.json", config)
    write_json(tmp_path / "start/open_clip_config.json", {"model_cfg": config})
    open_clip.add_model_config(tmp_path / "configs")

    def state_of(start, seed):
        torch.manual_seed(seed)
        for file in ("start/open_clip_pytorch_model.bin", "weights.pt"):
            torch.save(models.build(config).state_dict(), tmp_path / file)
        recipe = Refinement(arm="control", batch_size=8, steps=1, learning_rate=1e-3)
        return own_data.of_own_data(recipe, own / "corpus", None, str(start), tmp_path / "out").state_dir

    for start in (tmp_path / "start", f"local-dir:{tmp_path}/start", f"own_by_name@{tmp_path}/weights.pt"):
        assert state_of(start, 0) == state_of(start, 0) != state_of(start, 1)


def test_features_of_the_export_are_the_models(own, tmp_path):
    assert refine(own, tmp_path / "a", "--arm", "control") == 0
    assert refine(own, tmp_path / "b", "--arm", "control") == 0
    a, b = (models.open_start(tmp_path / name).model.state_dict() for name in "ab")
    assert all(torch.equal(w, b[name]) for name, w in a.items())
