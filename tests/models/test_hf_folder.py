"""A Hugging Face CLIPModel's folder as a start: transformers' own features, in every command."""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import huggingface_hub
import open_clip
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import load_file, save_file
from toys import ToyCorpus
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from helip import encoders
from helip.config import OpenClipEncoder
from helip.errors import HelipError
from helip.evaluation import model as evaluation
from helip.models import tokenizer
from helip.models.hf_weights import to_open_clip, to_transformers
from helip.models.loading import create, open_start
from helip.models.reference import parse

TOWER = {"num_hidden_layers": 2, "intermediate_size": 48}


def clip_model(act="quick_gelu", words=49408, end=49407, eps=1e-5, context=77):
    text = TOWER | {"hidden_size": 24, "num_attention_heads": 3, "vocab_size": words, "max_position_embeddings": context}
    vision = TOWER | {"hidden_size": 16, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    common = {"hidden_act": act, "layer_norm_eps": eps}
    config = CLIPConfig(text_config=text | common | {"eos_token_id": end}, vision_config=vision | common, projection_dim=12)
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for w in model.parameters():
            w.add_(torch.randn_like(w) * 0.2)  # no bias is 0 and no norm is 1: an entry in the wrong place changes the features
    return model


def features(model, images, tokens):
    with torch.inference_mode():
        given = (model.get_image_features(pixel_values=images), model.get_text_features(input_ids=tokens))
    return [torch.nn.functional.normalize(getattr(f, "pooler_output", f), dim=-1) for f in given]


def check_alike(theirs, ours, tokens):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ours.eval()
    with torch.inference_mode():
        own = [ours.encode_image(images, normalize=True), ours.encode_text(tokens, normalize=True)]
    for one, other in zip(own, features(theirs, images, tokens), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert ours.logit_scale.item() == pytest.approx(theirs.logit_scale.item())


@pytest.mark.parametrize("act", ["quick_gelu", "gelu", "gelu_pytorch_tanh"])
@pytest.mark.parametrize("eps", [1e-5, 1e-3])
def test_features_are_transformers_own(act, eps, tmp_path):
    theirs = clip_model(act, eps=eps)
    theirs.save_pretrained(tmp_path)
    clip = open_start(tmp_path)
    assert clip.config["quick_gelu"] == (act == "quick_gelu")
    check_alike(theirs, clip.model, clip.tokenize(["a cat", "two dogs on a wall", ""]))


@pytest.mark.parametrize("end", [2, 49407, 300], ids=["legacy", "highest", "another"])
def test_pooling_is_at_transformers_end_token(end, tmp_path):
    theirs = clip_model(end=end)
    theirs.save_pretrained(tmp_path)
    tokens = open_clip.SimpleTokenizer()(["a cat", "two dogs on a wall"])
    tokens[:, 3] = 300
    check_alike(theirs, create(parse(str(tmp_path))).model, tokens)


def test_every_command_opens_it(tmp_path):
    theirs = clip_model()
    theirs.save_pretrained(tmp_path)
    clip = open_start(tmp_path)
    captions = ["a cat", "two dogs on a wall"]
    right = features(theirs, torch.zeros(1, 3, 32, 32), clip.tokenize(captions))[1]
    embedded = encoders.load(OpenClipEncoder(modality="text", model=str(tmp_path))).embed(captions)
    assert torch.allclose(torch.nn.functional.normalize(embedded, dim=-1), right, atol=1e-5)
    embedded = evaluation.load(str(tmp_path), "cpu").encode_texts(captions)
    assert torch.allclose(torch.nn.functional.normalize(embedded, dim=-1), right, atol=1e-5)


def test_its_preprocessing_is_kept(tmp_path):
    clip_model().save_pretrained(tmp_path)
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 2, "do_center_crop": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings | {"size": {"height": 32, "width": 32}}))
    opened = create(parse(str(tmp_path)))
    expected = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear", "resize_mode": "squash"}
    assert opened.preprocess == expected
    assert opened.transform()(ToyCorpus().image(0)).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("settings", "preprocess", "lost"),
    [
        ({"do_normalize": False}, {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}, None),
        ({"resample": 0}, {"interpolation": "bicubic"}, "resample 0"),
        ({"resample": 2, "rescale_factor": 1 / 255, "do_center_crop": True}, {"interpolation": "bilinear"}, None),
        ({"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}, {"resize_mode": "shortest"}, None),
        ({"size": {"shortest_edge": 32}, "crop_size": None, "resample": None}, {}, None),
        ({"size": 32, "crop_size": 32}, {"resize_mode": "shortest"}, None),
        ({"size": {"height": 32, "width": 32}, "do_center_crop": True}, {"resize_mode": "squash"}, None),
        ({"size": {"shortest_edge": 36}, "crop_size": 32}, {"resize_mode": "shortest"}, "size {'shortest_edge': 36}"),
        ({"size": [36, 36], "crop_size": 30}, {}, "crop_size 30, size [36, 36]"),
        ({"size": 32, "do_center_crop": False}, {}, "do_center_crop False"),
        ({"do_resize": False, "do_rescale": False, "rescale_factor": 1}, {}, "do_rescale False, do_resize False, rescale_factor 1"),
    ],
)
def test_preprocessing_that_open_clip_lacks_is_named(settings, preprocess, lost, tmp_path, caplog):
    clip_model().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    opened = create(parse(str(tmp_path)))
    assert preprocess.items() <= opened.preprocess.items()
    lines = [record.getMessage() for record in caplog.records if "image" in record.getMessage()]
    how = f"images are resized to 32 (shortest, {opened.preprocess['interpolation']})"
    assert lines == ([f"{tmp_path}: open_clip has no counterpart of {lost}; {how}"] if lost else [])


def test_images_without_normalisation_are_transformers(tmp_path):
    clip_model().save_pretrained(tmp_path)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32, do_normalize=False)
    processor.save_pretrained(tmp_path)
    image = ToyCorpus(side=32).image(0)
    theirs = processor(image, return_tensors="pt")["pixel_values"][0]
    assert torch.allclose(create(parse(str(tmp_path))).transform()(image), theirs, atol=1e-6)


def test_a_vocabulary_of_its_own(tmp_path):
    words = tokenizer.learn(map(ToyCorpus().caption, range(120)), 300, tmp_path)
    clip_model(words=words, end=words - 1, context=16).save_pretrained(tmp_path)
    clip = open_start(tmp_path)
    assert clip.tokenizer_folder == tmp_path
    assert clip.tokenize(["a red square"]).shape == (1, 16)
    assert clip.tokenize(["a red square"]).max() == words - 1


def test_a_checkpoint_of_older_versions(tmp_path):
    theirs = clip_model()
    theirs.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, tmp_path / "pytorch_model.bin")
    check_alike(theirs, create(parse(str(tmp_path))).model, open_clip.SimpleTokenizer()(["a cat"]))


def test_names_there_and_back():
    weights = clip_model().state_dict()
    again = to_transformers(to_open_clip(weights))
    assert again.keys() == weights.keys()
    assert all(torch.equal(w, weights[name]) for name, w in again.items())


def test_on_the_hub(tmp_path, monkeypatch):
    theirs = clip_model()
    theirs.save_pretrained(tmp_path)

    def stub(repository, name):
        assert repository == "org/name"
        if not (tmp_path / name).is_file():
            raise EntryNotFoundError(name)
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", stub)
    clip = open_start("hf-hub:org/name")
    check_alike(theirs, clip.model, clip.tokenize(["a cat"]))
    assert evaluation.load("hf-hub:org/name", "cpu").checkpoint == evaluation.load(str(tmp_path), "cpu").checkpoint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "siglip2"}, r"model_type is siglip2, .*hf-hub:timm/ViT-B-16-SigLIP2"),
        (
            {"model_type": "bert"},
            r"model_type is bert, and only clip \(a CLIPModel\) and siglip \(a SiglipModel\) are converted$",
        ),
        ({"architectures": ["CLIPTextModel"]}, "holds a CLIPTextModel, one half of a model"),
        ({"vision_config": {"hidden_act": "relu"}}, "hidden_act is quick_gelu in the text tower and relu in the image tower"),
    ],
)
def test_what_is_not_converted_is_named(change, words, tmp_path):
    clip_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(HelipError, match=words):
        open_start(tmp_path)


def test_missing_weights_are_not_made_up(tmp_path):
    clip_model().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(HelipError, match=r"visual\.proj is absent in the file and 16x12 in the model"):
        open_start(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(HelipError, match=r"has no model\.safetensors or pytorch_model\.bin"):
        open_start(tmp_path)


def test_a_missing_tokenizer_is_named(tmp_path):
    clip_model(words=400, end=399).save_pretrained(tmp_path)
    with pytest.raises(HelipError, match=r"has no tokenizer\.json or vocab\.json; copy the tokenizer's files into it"):
        open_start(tmp_path)
