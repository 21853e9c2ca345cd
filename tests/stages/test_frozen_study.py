"""A study whose model is two frozen encoders and heads: from its declaration to metrics, and what of it is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from helip.cli import main
from helip.data.corpus import Corpus
from helip.data.mismatched import source_of
from helip.data.subset import ids_of
from helip.encoders import cache, timm_encoder
from helip.encoders.features import Features
from helip.errors import HelipError
from helip.evaluation.model import load
from helip.io import file_digest, read_json
from helip.stages import BuildCorpus, Encode, EncodeViews, Evaluate, How, Stage, Train, artefact, make, selection_of
from helip.study import Study

FROZEN = {"image_trunk": "photos", "text_trunk": "sentence", "embed_dim": 16, "hidden": 24, "views": 2}
PHOTOS = {"library": "timm", "model": "test_resnet", "weights": "package:frozen-test-weights", "image_size": 32}
WHOLE = {"crop_scale": [1.0, 1.0], "flip": 0.5}


@pytest.fixture
def place(project, tmp_path, monkeypatch) -> Path:
    """A working directory with a copy of the declarations, and a package of weights for the image trunk."""
    import timm
    import torch

    torch.manual_seed(0)
    package = tmp_path / "packages/frozen_test_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    torch.save(timm.create_model("test_resnet").state_dict(), package / "net.pth")
    monkeypatch.syspath_prepend(package.parent)
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HELIP_RESULTS", "results")
    return tmp_path


def declare(
    place: Path,
    model: dict = FROZEN,
    augmentation: dict = WHOLE,
    photos: dict = PHOTOS,
    pretraining: dict | None = None,
    encoders: dict | None = None,
    **recipe,
) -> None:
    file = place / "experiments/studies/smoke.yaml"
    study = yaml.safe_load(file.read_text())
    study["models"]["rn50"], study["corpora"]["cc3m"]["size"] = model, 130
    study["encoders"] |= {"photos": photos} | (encoders or {})
    for one in (study["pretraining"]["clip"], study["refinement"]):
        one |= {"augmentation": augmentation, **recipe}
    study["pretraining"]["clip"] |= pretraining or {}
    file.write_text(yaml.safe_dump(study))


def build(one: Stage) -> None:
    """Makes an artefact and what it is made from, each once."""
    if not one.is_done:
        for need in (*one.needs(), *one.awaits()):
            build(need)
        assert make(one, How(device="cpu" if "device" in one.heeds else None)) == 0


def test_a_study_of_frozen_trunks_goes_from_corpus_to_metrics(place):
    declare(place)
    study, run = Study("smoke"), "cc3m_clip_select_clip10"  # selected by the start's own features
    build(Evaluate(study, f"{run}_interpolated", "0"))
    results = place / "results/smoke"
    start, refined = (read_json(results / f"models/{name}/seed0/train.json") for name in ("cc3m_clip", run))
    assert start["inputs"]["trunks"] == refined["inputs"]["trunks"]
    assert (start["steps"], refined["steps"]) == (12, 6)
    assert len({load(str(results / f"models/{name}/seed0"), "cpu").key for name in ("cc3m_clip", run, f"{run}_interpolated")}) == 3
    metrics = [read_json(file) for file in Evaluate(study, f"{run}_interpolated", "0").outputs]
    assert len(metrics) == 5


def test_swapped_captions_take_features_and_cost_none_anew(place, monkeypatch):
    """Views, captions and mining features of the corpus with swaps are those of its base in another order; true removal knows the swaps."""
    declare(place)
    file = place / "experiments/studies/smoke.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["corpora"]["swapped"] = {"kind": "mismatched", "of": "cc3m", "share": 0.2, "seed": 1}
    declared["corpora"]["part"] = {"kind": "subset", "of": "cc3m", "share": 0.5}
    own = {"corpus": "swapped", "model": "rn50", "objective": "clip", "seeds": [0, 1]}
    declared["runs"] = {"swapped": own, "swapped_truth": {"start": "swapped", "refine": {"arm": "control"}, "select": {"score": "truth"}}}
    file.write_text(yaml.safe_dump(declared))
    study = Study("smoke")
    build(EncodeViews(study, "cc3m", "rn50"))
    for encoder in ("sentence", "dino_vits8"):
        build(Encode(study, "cc3m", encoder))
    encoded = []
    monkeypatch.setattr(cache, "encode", lambda *a, **_: encoded.append(a))
    build(EncodeViews(study, "swapped", "rn50"))
    build(Encode(study, "swapped", "sentence"))
    for encoder in ("sentence", "dino_vits8"):
        build(Encode(study, "part", encoder))
    build(EncodeViews(study, "part", "rn50"))
    assert not encoded
    monkeypatch.undo()
    monkeypatch.chdir(place)
    corpora = {name: Corpus.open(BuildCorpus(study, name).folder) for name in ("cc3m", "swapped")}
    source = source_of(corpora["swapped"].folder)
    base, swapped = (EncodeViews(study, name, "rn50").features(corpus) for name, corpus in corpora.items())
    np.testing.assert_array_equal(swapped.images, base.images)
    cached = [EncodeViews(study, name, "rn50").folder / "image/features.npy" for name in corpora]
    assert not cached[0].samefile(cached[1])  # or Snakemake would touch both
    np.testing.assert_array_equal(swapped.texts, base.texts[source])
    texts = [Features.open(Encode(study, name, "sentence").folder, corpus.digest).array for name, corpus in corpora.items()]
    np.testing.assert_array_equal(texts[1], texts[0][source])
    part = Corpus.open(BuildCorpus(study, "part").folder)
    ids, of_part = ids_of(part.folder), EncodeViews(study, "part", "rn50").features(part)
    np.testing.assert_array_equal(of_part.images, base.images[:, ids])
    np.testing.assert_array_equal(of_part.texts, base.texts[ids])
    for encoder in ("sentence", "dino_vits8"):
        whole, rows = (Features.open(Encode(study, name, encoder).folder).array for name in ("cc3m", "part"))
        np.testing.assert_array_equal(rows, whole[ids])
    for one in (Encode(study, "swapped", "sentence"), Encode(study, "part", "sentence")):
        assert read_json(one.outputs[1])["features_digest"] == file_digest(one.output)  # as mining asks
    keep = selection_of(study, "swapped_truth", "1")
    assert keep == selection_of(study, "swapped_truth", "0")  # it does not look at the start: once for both seeds
    build(keep)
    np.testing.assert_array_equal(np.load(keep.output), source == np.arange(130))


def test_trunks_are_asked_once_for_models_unions_and_mining(place, monkeypatch):
    """A model of other heads, a union and a miner take what the trunks said of the members."""
    declare(place, encoders={f"{side}_trunk": {"library": "trunk", "modality": side, "model": "wide"} for side in ("image", "text")})
    file = place / "experiments/studies/smoke.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["models"]["wide"] = FROZEN | {"hidden": 40}
    declared["corpora"]["other"] = {"kind": "generated", "size": 70, "seed": 1}
    declared["corpora"]["both"] = {"kind": "union", "of": ["cc3m", "other"]}
    own = {"model": "wide", "objective": "clip"}
    declared["runs"] = {name: own | {"corpus": name} for name in ("other", "both")} | {"cc3m_wide": own | {"corpus": "cc3m"}}
    file.write_text(yaml.safe_dump(declared))
    study = Study("smoke")
    (trunks,) = (one for one in Train(study, "cc3m_wide", "0").needs() if isinstance(one, EncodeViews))
    assert trunks == EncodeViews(study, "cc3m", "rn50")
    members = [EncodeViews(study, name, "rn50") for name in ("cc3m", "other")]
    for member in members:
        build(member)
    asked = []
    plain = timm_encoder.inference
    monkeypatch.setattr(timm_encoder, "inference", lambda *a: lambda batch: (asked.append(len(batch)), plain(*a)(batch))[1])
    both = EncodeViews(study, "both", "rn50")
    for one in (both, *(Encode(study, name, f"{side}_trunk") for name in ("cc3m", "both") for side in ("image", "text"))):
        build(one)
    assert set(asked) <= {1}  # the width of a feature is tried on one black image
    corpora = {name: Corpus.open(BuildCorpus(study, name).folder) for name in ("cc3m", "other", "both")}
    whole, *parts = (one.features(corpora[one.corpus]) for one in (both, *members))
    np.testing.assert_array_equal(whole.images, np.concatenate([part.images for part in parts], axis=1))
    np.testing.assert_array_equal(whole.texts, np.concatenate([part.texts for part in parts]))
    for name, features in (("cc3m", parts[0]), ("both", whole)):
        image, text = (Features.open(Encode(study, name, f"{side}_trunk").folder, corpora[name].digest).array for side in ("image", "text"))
        for ours, raw in ((image, features.images[0]), (text, features.texts)):
            np.testing.assert_allclose(ours, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-3)


def test_last_blocks_are_trained_from_a_start_on_frozen_trunks(place):
    """The start is of the frozen model; the cache of the model with unfrozen blocks is its own, in half precision."""
    import timm
    import torch

    network = timm.create_model("test_efficientnet")
    torch.save(network.state_dict(), place / "packages/frozen_test_weights/net.pth")
    declare(place, photos=PHOTOS | {"model": "test_efficientnet"})
    file = place / "experiments/studies/smoke.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["models"]["thawed"] = FROZEN | {"unfrozen_blocks": 1, "context_length": 24}
    refine = {"arm": "control", "trunk_rate": 0.1}
    declared["runs"] = {
        "thawed_control": {"start": "cc3m_clip", "model": "thawed", "refine": refine},
        "thawed_cleaned": {"base": "thawed_control", "refine": {"arm": "cleaned"}},
    }
    file.write_text(yaml.safe_dump(declared))
    study = Study("smoke")
    assert study.control_of("thawed_cleaned") == "thawed_control"  # not that of the frozen model, which has the same start
    assert study.control_of("thawed_control") == "cc3m_clip"
    build(Train(study, "thawed_control", "0"))
    cached = EncodeViews(study, "cc3m", "thawed")
    widths = [read_json(cached.folder / side / "features.json")["dim"] for side in ("image", "text")]
    assert widths == [192, 24 * 384]  # one pixel is left of 32 x 32
    assert Features.open(cached.folder / "text").array.dtype == np.float16
    models = [load(str(Train(study, run, "0").folder), "cpu").network for run in ("cc3m_clip", "thawed_control")]
    blocks = {name: w for name, w in models[1].state_dict().items() if name.startswith("image_blocks.")}
    assert not models[0].image_blocks and blocks.keys() == {f"image_blocks.{name}" for name in models[1].image_blocks.state_dict()}
    published = network.state_dict()["conv_head.weight"]
    moved = (blocks["image_blocks.network.conv_head.weight"] - published).abs().max()
    assert 0 < moved < 0.1 * published.abs().max()


def test_the_cache_stands_for_views_and_trunks_not_for_heads(place):
    def digests() -> tuple[str, str]:
        study = Study("smoke")
        return EncodeViews(study, "cc3m", "rn50").digest, Train(study, "cc3m_clip", "0").digest

    declare(place)
    cache, training = digests()
    declare(place, FROZEN | {"hidden": 48})
    assert digests()[0] == cache
    assert digests()[1] != training
    declare(place, FROZEN | {"views": 4, "crop_scale": [0.5, 1.0]})
    assert digests()[0] != cache
    declare(place, photos=PHOTOS | {"image_size": 48})
    assert digests()[0] != cache
    assert digests()[1] != training


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"augmentation": {}},
            r"smoke.yaml: cc3m_\w+: augmentation: crop_scale \[0.9, 1.0\] is of no cached view of the frozen image trunk",
        ),
        ({"model": FROZEN | {"views": 1}}, "flip 0.5 needs mirrored views of the frozen image trunk: set views: 2 or more"),
        ({"model": FROZEN | {"views": 3}}, "models -> rn50: views beyond the second are random crops: give crop_scale"),
        ({"model": FROZEN | {"image_trunk": "foto"}}, "models -> rn50: image_trunk names 'foto', and encoders has .*photos"),
        (
            {"model": FROZEN | {"image_trunk": "bert"}},
            "image_trunk names 'bert', which is an encoder of texts; name one whose modality is image",
        ),
        ({"model": FROZEN | {"image_trunk": "resnet50"}}, "image_trunk names 'resnet50', which the study trains itself"),
        ({"checkpoint_gradients": True}, "checkpoint_gradients does nothing where the trunks are frozen"),
        (
            {"model": FROZEN | {"views": 1}, "augmentation": WHOLE | {"flip": 0}, "pretraining": {"objective": {"name": "slip"}}},
            "objective slip needs two views of an image, and the frozen image trunk has one: set views: 2 or more",
        ),
        (
            {"model": FROZEN | {"views": 3, "mirrored": False, "crop_scale": [0.5, 1.0]}},
            "flip 0.5 needs mirrored views of the frozen image trunk: leave out mirrored: false",
        ),
        (
            {"encoders": {"bert": {"library": "trunk", "modality": "text", "model": "vit_b16"}}},
            "encoders -> bert: model names 'vit_b16', which is no model with frozen trunks",
        ),
    ],
)
def test_a_study_that_cannot_be_served_is_refused(place, changed, sentence):
    declare(place, **changed)
    with pytest.raises(HelipError, match=sentence):
        Study("smoke")


def test_a_trunk_whose_package_is_missing_is_named(place, capsys):
    declare(place, photos=PHOTOS | {"weights": "package:frozen-test-nothing"})
    assert main(["run", "smoke", "corpus", "cc3m"]) == 0
    assert main(["run", "smoke", "encode_views", "cc3m", "rn50"]) == 2
    assert "run `pip install frozen-test-nothing`" in capsys.readouterr().err


def test_a_model_with_towers_of_its_own_has_no_cache(project):
    with pytest.raises(HelipError, match="model 'rn50' has no image_trunk and text_trunk: its towers are trained, not cached"):
        artefact(Study("smoke", project / "experiments"), "encode_views", ["cc3m", "rn50"])


def imported(place, head: str, encoders: dict | None = None, **model) -> str:
    """The digest of a published start whose model has such heads over frozen towers."""
    declare(place, FROZEN | {"head": head} | model, encoders=encoders)
    file = place / "experiments/studies/smoke.yaml"
    content = yaml.safe_load(file.read_text()) | {"seeds": [0], "published": {"cc3m_clip": {"model": "local-dir:start"}}}
    file.write_text(yaml.safe_dump(content))
    return Train(Study("smoke"), "cc3m_clip", "0").digest


def test_an_import_stands_for_the_heads_that_it_lays_over(place):
    start, declared = imported(place, "residual"), {"photos": PHOTOS}
    other = PHOTOS | {"image_size": 64}
    changed = [
        imported(place, "residual", hidden=32),
        imported(place, "residual", dropout=0.5),
        imported(place, "residual", declared | {"photos": other}),
    ]
    assert len({start, *changed}) == 4
    assert imported(place, "mlp", declared) == imported(place, "mlp", declared, hidden=32)  # is imported as it is
