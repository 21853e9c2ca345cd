"""Features are computed once for what they depend on, and never served for anything else."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_sets import COLOURS, picture, write_classification, write_model, write_split

from helip import encoders
from helip.config import FrozenModel, OpenClipEncoder
from helip.errors import HelipError
from helip.evaluation import metrics, probe
from helip.evaluation.extraction import Extractor
from helip.evaluation.model import load
from helip.evaluation.sets import of_folder
from helip.models.frozen import FrozenClip, config_of
from helip.models.layout import CONFIG, WEIGHTS


class Counted(Extractor):
    """Counts what was encoded rather than found."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.encoded = []

    def _encode_images(self, data, split):
        self.encoded.append(split)
        return super()._encode_images(data, split)

    def _encode_texts(self, texts):
        self.encoded.append("texts")
        return super()._encode_texts(texts)


def test_features_are_those_of_the_model_in_the_order_of_the_set(model, tmp_path):
    rng = np.random.default_rng(1)
    pictures = [picture(c, rng) for c in COLOURS.values()]
    folder = write_classification(tmp_path / "set", test=6)
    write_split(folder / "test", [(p, "cls", str(i)) for i, p in enumerate(pictures)], shards=3)
    features = Extractor(model, None).images(of_folder(folder), "test")
    assert features.labels.tolist() == [0, 1, 2, 3, 4, 5]
    alone = [model.encode_images(model.transform(Image.open(io.BytesIO(p))).unsqueeze(0))[0] for p in pictures]
    torch.testing.assert_close(features.images, torch.stack(alone), atol=1e-5, rtol=1e-4)


def test_texts_without_padding_have_the_same_features(model, monkeypatch):
    texts, seen = ["a cat", "", "a photograph of a very long street with " + "houses " * 60], []
    whole = model.encode_tokens(model.tokenize(texts))
    encode = model.network.encode_text
    monkeypatch.setattr(model.network, "encode_text", lambda tokens: (seen.append(tokens.shape[1]), encode(tokens))[1])
    torch.testing.assert_close(model.encode_texts(texts), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.encode_texts(texts[:2]), whole[:2], atol=1e-5, rtol=1e-4)
    assert seen == [model.tokenize.context_length, 4]  # start, two words, end


def test_zeroshot_and_probe_share_one_pass_over_the_images(classification, model, tmp_path):
    data = of_folder(classification)
    first = Counted(model, tmp_path)
    one = metrics.zeroshot(first, data)
    probe.probe(first, data)
    assert first.encoded == ["test", "texts", "train"]
    second = Counted(model, tmp_path)
    two = metrics.zeroshot(second, data)
    assert second.encoded == []
    assert one.metrics == two.metrics
    assert torch.equal(one.hits["acc1"], two.hits["acc1"])


def test_retrieval_is_the_same_from_the_cache(retrieval, model, tmp_path):
    data = of_folder(retrieval)
    one = metrics.retrieval(Extractor(model, tmp_path), data)
    again = Counted(model, tmp_path)
    assert metrics.retrieval(again, data).metrics == one.metrics
    assert again.encoded == []


def test_an_overwritten_checkpoint_gets_no_stale_features(classification, tmp_path):
    folder, data = tmp_path / "model", of_folder(classification)
    results = []
    for seed in (0, 1, 0):
        extractor = Counted(load(str(write_model(folder, seed)), "cpu"), tmp_path / "cache")
        results.append((extractor.images(data, "test").images, list(extractor.encoded)))
    (first, encoded_first), (other, encoded_other), (back, encoded_back) = results
    assert (encoded_first, encoded_other, encoded_back) == (["test"], ["test"], [])
    assert not torch.allclose(first, other)
    assert torch.equal(first, back)


def test_another_architecture_or_preprocessing_is_another_model(model_folder, tmp_path):
    """The same weights with another config (here: another mean) give other features."""
    shutil.copytree(model_folder, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "open_clip_config.json").read_text())
    config["preprocess_cfg"] = {"mean": [0.1, 0.2, 0.3]}
    (tmp_path / "model" / "open_clip_config.json").write_text(json.dumps(config))
    a, b = load(str(model_folder), "cpu"), load(str(tmp_path / "model"), "cpu")
    assert a.checkpoint == b.checkpoint
    assert a.key != b.key
    assert a.preprocessing != b.preprocessing


def test_changed_images_are_encoded_again(model, tmp_path):
    folder = write_classification(tmp_path / "set", seed=0)
    before = Extractor(model, tmp_path / "cache").images(of_folder(folder), "test").images
    write_classification(folder, seed=1)
    again = Counted(model, tmp_path / "cache")
    assert not torch.equal(again.images(of_folder(folder), "test").images, before)
    assert again.encoded == ["test"]


def test_the_name_of_a_set_plays_no_part(classification, model, tmp_path):
    shutil.copytree(classification, tmp_path / "another name")
    Extractor(model, tmp_path / "cache").images(of_folder(classification), "test")
    renamed = Counted(model, tmp_path / "cache")
    renamed.images(of_folder(tmp_path / "another name"), "test")
    assert renamed.encoded == []


@pytest.mark.parametrize("damage", [b"", b"not an archive", None])
def test_a_damaged_cache_is_made_again(classification, model, tmp_path, damage):
    data = of_folder(classification)
    before = Extractor(model, tmp_path).images(data, "test").images
    (cached,) = tmp_path.glob("*/images-*.npz")
    cached.write_bytes(cached.read_bytes()[:-40] if damage is None else damage)
    again = Counted(model, tmp_path)
    assert torch.equal(again.images(data, "test").images, before)
    assert again.encoded == ["test"]


def test_a_model_with_nan_weights_is_refused(classification, tmp_path):
    weights = write_model(tmp_path / "model") / "open_clip_model.safetensors"
    tensors = load_file(weights)
    tensors["visual.proj"][:] = float("nan")
    save_file(tensors, weights)
    with pytest.raises(HelipError, match="visual.proj holds NaN or infinity; its training diverged"):
        load(str(tmp_path / "model"), "cpu")


def test_features_that_are_not_finite_are_never_kept(classification, model, tmp_path, monkeypatch):
    monkeypatch.setattr(type(model), "encode_images", lambda self, batch: torch.full((len(batch), 4), float("inf")))
    with pytest.raises(HelipError, match="features of images of 'colours' hold NaN or infinity"):
        Extractor(model, tmp_path / "cache").images(of_folder(classification), "test")
    assert not list((tmp_path / "cache").glob("*/*.npz"))


def frozen_model(model_folder, folder, seed):
    """Heads drawn from a seed over the towers of a tiny CLIP, which are its trunks."""
    declared = [OpenClipEncoder(modality=modality, model=f"local-dir:{model_folder}") for modality in ("image", "text")]
    trunks = [(one, encoders.load(one, device="cpu")) for one in declared]
    config = config_of(FrozenModel(image_trunk="image", text_trunk="text", embed_dim=8, hidden=12), *trunks)
    torch.manual_seed(seed)
    folder.mkdir()
    save_file(FrozenClip(config).state_dict(), folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return load(str(folder), "cpu")


def test_heads_share_the_cached_features_of_their_trunks(classification, model_folder, tmp_path, monkeypatch):
    """The second model on the same trunks encodes nothing, and both give what their pixels and prompts give."""
    data, prompts = of_folder(classification), ["a red picture", "a blue one"]
    one, two = (frozen_model(model_folder, tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    encoded, encode = [], Extractor._encode_images
    monkeypatch.setattr(Extractor, "_encode_images", lambda self, *a: encoded.append(a[1]) or encode(self, *a))
    for heads in (one, two):
        features = Extractor(heads, tmp_path / "cache").images(data, "test")
        pixels = torch.stack([image for image, _ in data.open(heads.transform, "test")])
        torch.testing.assert_close(features.images, heads.encode_images(pixels), atol=1e-5, rtol=0)
        texts = Extractor(heads, tmp_path / "cache").texts(prompts)
        torch.testing.assert_close(texts, heads.encode_texts(prompts), atol=1e-5, rtol=0)
    assert encoded == ["test"]
    assert one.key != two.key
    assert one.trunks.key == two.trunks.key
