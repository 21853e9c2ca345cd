"""What is exported loads where it is used, and gives the start's features."""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from toys import RESNET, TEXT, VIT, ToyCorpus
from transformers import CLIPModel, CLIPProcessor

from helip.cli import main
from helip.errors import HelipError
from helip.models import tokenizer
from helip.models.architecture import build
from helip.models.formats import write_formats
from helip.models.loading import open_start
from helip.training.validation import transform_of

CAPTIONS = ["a red square", "It's a photo of 12 Green squares, isn't it?", "", "déjà vu: ein schöner Tag 漢字"]


def start(folder, words=300, **config):
    """A start with random weights, none of which is 0 or 1; CLIP's own vocabulary for words=None, else one that was learnt."""
    folder.mkdir()
    size = words and tokenizer.learn(map(ToyCorpus().caption, range(120)), words, folder)
    text = {"hf_tokenizer_name": "corpus", "vocab_size": size} if words else {"vocab_size": 49408, "context_length": 77}
    text |= config.pop("text", {})
    config = {"embed_dim": 12, "vision_cfg": VIT | {"layers": 2}, "text_cfg": TEXT | {"layers": 2} | text} | config
    torch.manual_seed(0)
    model = build(config)
    with torch.no_grad():
        for w in model.parameters():
            w.add_(torch.randn_like(w) * 0.2)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return folder


def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)  # of the model's size: only one resizes alike
    return [Image.fromarray(one) for one in noise]


@torch.no_grad()
def own_features(folder):
    clip = open_start(folder)
    clip.model.eval()
    images = torch.stack([transform_of(clip)(one) for one in pictures()])
    return clip.model.encode_image(images, normalize=True), clip.model.encode_text(clip.tokenize(CAPTIONS), normalize=True)


TANH = {"act_kwargs": {"approximate": "tanh"}}
STARTS = {
    "clip": {"words": None},
    "quick_gelu": {"quick_gelu": True},
    "custom text": {"custom_text": True},
    "tanh": {"vision_cfg": VIT | TANH, "text": TANH | {"norm_kwargs": {"eps": 1e-3}}},
}


@pytest.mark.parametrize("kind", STARTS)
def test_transformers_gives_the_starts_features(kind, tmp_path):
    folder = start(tmp_path / "start", **STARTS[kind])
    assert main(["export", str(folder), str(tmp_path / "out"), "--format", "transformers"]) == 0
    model = CLIPModel.from_pretrained(tmp_path / "out/transformers").eval()
    ends = (49406, 49407) if kind == "clip" else (1, 299)
    assert (model.config.text_config.bos_token_id, model.config.text_config.eos_token_id) == ends
    processor = CLIPProcessor.from_pretrained(tmp_path / "out/transformers")
    given = processor(text=CAPTIONS, images=pictures(), return_tensors="pt", padding="max_length", truncation=True)
    with torch.inference_mode():
        theirs = model(input_ids=given["input_ids"], pixel_values=given["pixel_values"])
    image, text = own_features(folder)
    assert torch.allclose(theirs.image_embeds, image, atol=1e-5)
    assert torch.allclose(theirs.text_embeds, text, atol=1e-5)
    scale = open_start(folder).model.logit_scale.exp().detach()
    assert torch.allclose(theirs.logits_per_image, scale * image @ text.T, rtol=1e-4, atol=1e-4)


def test_the_way_back_from_transformers(tmp_path):
    folder = start(tmp_path / "start", quick_gelu=True)
    write_formats(str(folder), tmp_path / "out", ("transformers",))
    for one, other in zip(own_features(tmp_path / "out/transformers"), own_features(folder), strict=True):
        assert torch.equal(one, other)


def test_transformers_resizes_as_the_start_does(tmp_path):
    folder = start(tmp_path / "start")
    write_formats(str(folder), tmp_path / "out", ("transformers",))
    large = ToyCorpus(side=64).image(1).resize((90, 64))
    theirs = CLIPProcessor.from_pretrained(tmp_path / "out/transformers")(images=large, return_tensors="pt")["pixel_values"][0]
    own = transform_of(open_start(folder))(large)
    assert theirs.shape == own.shape == (3, 16, 16)
    assert (theirs - own).abs().mean() < 0.02  # rounding of the resized pixels


def test_open_clip_gives_the_starts_features(tmp_path):
    folder = start(tmp_path / "start", quick_gelu=True)
    write_formats(str(folder), tmp_path / "out", ("open_clip",), card=lambda form: f"# a card for {form}\n")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["import.json", "open_clip"]
    assert (tmp_path / "out/open_clip/README.md").read_text() == "# a card for open_clip\n"
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out/open_clip'}")
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out/open_clip'}")(CAPTIONS)
    with torch.inference_mode():
        theirs = model.eval().encode_image(torch.stack([transform(one) for one in pictures()])), model.encode_text(tokens)
    for one, other in zip(theirs, own_features(folder), strict=True):
        assert torch.allclose(torch.nn.functional.normalize(one, dim=-1), other, atol=1e-6)


@pytest.mark.parametrize("kind", [{}, {"vision_cfg": RESNET}, {"custom_text": True, "init_logit_bias": -10.0}])
def test_onnx_gives_the_starts_features(kind, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'helip[export]'")
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'helip[export]'")
    folder = start(tmp_path / "start", **kind)
    write_formats(str(folder), tmp_path / "out", ("onnx",))
    described = json.loads((tmp_path / "out/onnx/towers.json").read_text())
    clip = open_start(folder)
    clip.model.eval()
    images, tokens = torch.randn(5, 3, *clip.image_size), clip.tokenize(CAPTIONS[:3])
    with torch.inference_mode():
        own = {"image": clip.model.encode_image(images, normalize=True), "text": clip.model.encode_text(tokens, normalize=True)}
    for side, batch in (("image", images), ("text", tokens)):
        session = runtime.InferenceSession(tmp_path / "out/onnx" / described[side]["file"], providers=["CPUExecutionProvider"])
        (theirs,) = session.run(["features"], {described[side]["input"]: batch.numpy()})
        assert np.abs(theirs - own[side].numpy()).max() < 1e-5
    assert described["logit_scale"] == pytest.approx(clip.model.logit_scale.exp().item())
    bias = clip.model.logit_bias
    assert described["logit_bias"] == (None if bias is None else pytest.approx(bias.item()))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"vision_cfg": RESNET}, "its image tower is a ResNet, and transformers' CLIPModel has a ViT; export it for open_clip or onnx"),
        (
            {"init_logit_bias": -10.0},
            "has a logit_bias, but not SigLIP's towers, so transformers has no such model; export it for onnx",
        ),
        ({"vision_cfg": VIT | {"ls_init_value": 0.1}}, "vision_cfg.ls_init_value 0.1 has no counterpart in transformers' CLIPModel"),
    ],
)
def test_what_transformers_lacks_is_named(config, words, tmp_path):
    folder = start(tmp_path / "start", **config)
    with pytest.raises(HelipError, match=words):
        write_formats(str(folder), tmp_path / "out", ("open_clip", "transformers"))
    assert not any((tmp_path / "out").iterdir())  # not the half that would have worked


def test_onnx_without_its_package_names_the_extra(tmp_path, monkeypatch, capsys):
    folder = start(tmp_path / "start")

    def absent(*_, **__):
        raise RuntimeError("Module onnx is not installed!")

    monkeypatch.setattr(torch.onnx, "export", absent)
    assert main(["export", str(folder), str(tmp_path / "out"), "--format", "onnx"]) == 2
    assert capsys.readouterr().err == "helip export: format onnx needs the package onnx: pip install 'helip[export]'\n"


def test_a_form_stays_until_its_model_is_another(tmp_path, capsys):
    folder, out = start(tmp_path / "start"), tmp_path / "out"
    assert main(["export", str(folder), str(out), "--format", "open_clip,transformers"]) == 0
    (out / "open_clip/README.md").write_text("mine")
    before = (out / "transformers/model.safetensors").stat().st_ino
    capsys.readouterr()
    assert main(["export", str(folder), str(out)]) == 0
    told = f"{out}/open_clip: holds the model for open_clip already and stays as it is; delete it to have it written again\n"
    assert capsys.readouterr().out.startswith(told)
    assert (out / "open_clip/README.md").read_text() == "mine"
    assert (out / "transformers/model.safetensors").stat().st_ino == before
    weights = load_file(folder / "open_clip_model.safetensors")
    save_file(weights | {"logit_scale": weights["logit_scale"] + 1}, folder / "open_clip_model.safetensors")
    assert main(["export", str(folder), str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}/open_clip: the model for open_clip\n")
    assert load_file(out / "open_clip/open_clip_model.safetensors")["logit_scale"] == weights["logit_scale"] + 1
    assert not (out / "open_clip/README.md").exists() and (out / "transformers/model.safetensors").stat().st_ino == before


def test_the_command_keeps_other_folders(tmp_path, capsys):
    folder = start(tmp_path / "start")
    assert main(["export", str(folder), str(folder)]) == 2
    assert "has no import.json, so it holds something else" in capsys.readouterr().err
    assert main(["export", str(folder), str(tmp_path / "out")]) == 0
    assert main(["export", str(folder), str(tmp_path / "out"), "--format", "open_clip,transformers"]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"import.json", "open_clip", "transformers"}
    assert main(["export", str(folder), str(tmp_path / "out"), "--format", "torchscript"]) == 2
