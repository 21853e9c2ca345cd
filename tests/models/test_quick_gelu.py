"""Weights trained with QuickGELU meet QuickGELU, whatever the architecture's plain name says."""

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.pretrained import list_pretrained
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file
from toys import TEXT, VIT, ToyCorpus

from helip import encoders
from helip.config import OpenClipEncoder
from helip.evaluation import model as evaluation
from helip.models import opening
from helip.models.architecture import build
from helip.models.export import export
from helip.models.loading import create, open_start
from helip.models.reference import parse

MARKED = [(name, tag) for name, tag in list_pretrained() if open_clip.get_pretrained_cfg(name, tag).get("quick_gelu")]
PLAIN = [(name, tag) for name, tag in list_pretrained() if not open_clip.get_pretrained_cfg(name, tag).get("quick_gelu")]
HUBS = sorted({open_clip.get_pretrained_cfg(name, tag)["hf_hub"].rstrip("/") for name, tag in MARKED})


def activations(model):
    kinds = {type(m) for m in model.modules() if isinstance(m, QuickGELU | torch.nn.GELU)}
    return {kind.__name__ for kind in kinds}


@pytest.fixture
def nothing_is_fetched(monkeypatch):
    """Downloads give a file, the file gives no weights, and networks are built without memory."""
    monkeypatch.setattr(opening, "download_pretrained", lambda entry: "weights.safetensors")
    monkeypatch.setattr(opening, "read", lambda file: {})
    monkeypatch.setattr(opening, "fit", lambda model, weights, where: None)

    def on_meta(config, drawn=True):
        small = json.loads(json.dumps(config))  # the activations of one narrow layer are those of all
        small["text_cfg"] |= {"layers": 1, "width": 64, "heads": 1}
        layers = 1 if isinstance(small["vision_cfg"].get("layers"), int) else [1, 1, 1, 1]
        small["vision_cfg"] |= {"layers": layers, "width": 64, "head_width": 64}
        with torch.device("meta"):
            return build(small)

    monkeypatch.setattr(opening, "build", on_meta)


def test_the_table_has_those_of_every_maker():
    tags = {tag for _, tag in MARKED}
    assert {"openai", "metaclip_400m", "metaclip_fullcc", "dfn2b", "dfn5b", "laion400m_e32", "cc12m", "metaclip2_worldwide"} <= tags
    assert len(MARKED) >= 54


@pytest.mark.parametrize(("name", "tag"), MARKED, ids=[f"{name}@{tag}" for name, tag in MARKED])
def test_every_marked_tag_is_built_so(name, tag, nothing_is_fetched):
    opened = create(parse(f"{name}@{tag}"))
    assert opened.config["quick_gelu"] is True
    assert activations(opened.model) == {"QuickGELU"}
    assert opened.made_quick == (not open_clip.get_model_config(name).get("quick_gelu"))


def test_a_tag_is_read_as_open_clip_reads_it(nothing_is_fetched):
    assert create(parse("ViT-B-32@METACLIP-400M")).config["quick_gelu"] is True


@pytest.mark.parametrize("reference", ["ViT-B-32@laion2b_s34b_b79k", "ViT-B-16@datacomp_xl_s13b_b90k", "ViT-B-32@laion2b_e16"])
def test_other_tags_keep_gelu(reference, nothing_is_fetched):
    opened = create(parse(reference))
    assert activations(opened.model) == {"GELU"}
    assert not opened.config.get("quick_gelu") and not opened.made_quick


@pytest.mark.parametrize("repository", HUBS)
def test_a_marked_model_by_its_name_on_the_hub(repository, nothing_is_fetched, monkeypatch, tmp_path):
    plain = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(plain))
    monkeypatch.setattr(opening, "located", lambda reference: reference)
    monkeypatch.setattr(opening, "download_pretrained_from_hf", lambda name, filename="": str(tmp_path / filename))
    assert create(parse(f"hf-hub:{repository}")).config["quick_gelu"] is True


@pytest.fixture
def a_marked_tag(tmp_path, monkeypatch):
    """A small architecture of a plain name in open_clip's table, with weights that were trained with QuickGELU."""
    config = {"embed_dim": 16, "vision_cfg": VIT, "text_cfg": TEXT | {"vocab_size": 49408, "context_length": 77}}
    (tmp_path / "toy_plain.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    trained = build(config | {"quick_gelu": True}).eval()
    save_file(trained.state_dict(), tmp_path / "toy-0123.safetensors")
    entry = {"url": "https://example.org/toy-0123.safetensors", "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "toy_plain", {"openai": entry})
    monkeypatch.setattr(opening, "download_pretrained", lambda entry: str(tmp_path / Path(entry["url"]).name))
    return trained


def features(model):
    model.eval()
    image = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    tokens = open_clip.SimpleTokenizer()(["a cat"])
    return torch.cat([model.encode_image(image, normalize=True), model.encode_text(tokens, normalize=True)]).detach()


def test_every_command_gives_the_features_of_its_training(a_marked_tag, tmp_path):
    right = features(a_marked_tag)
    reference = "toy_plain@openai"
    clip = open_start(reference)  # refine, interpolate
    assert torch.equal(features(clip.model), right)
    assert torch.allclose(features(evaluation.load(reference, "cpu").network), right, atol=1e-6)  # torch's fast path of attention
    image = ToyCorpus().image(3)
    for modality, given in (("text", ["a cat"]), ("image", clip_transform(clip)(image)[None])):  # encode, select
        encoder = encoders.load(OpenClipEncoder(modality=modality, model=reference))
        own = a_marked_tag.encode_text(clip.tokenize(given)) if modality == "text" else a_marked_tag.encode_image(given)
        assert torch.allclose(encoder.embed(given), own, atol=1e-5)
    by_file = f"toy_plain@{tmp_path / 'toy-0123.safetensors'}"  # the table's own file
    assert torch.equal(features(open_start(by_file).model), right)
    shutil.copy(tmp_path / "toy-0123.safetensors", tmp_path / "mine.safetensors")  # a file that the table does not know
    other = features(open_start(f"toy_plain@{tmp_path / 'mine.safetensors'}").model)
    assert (other - right).abs().max() > 1e-4  # what GELU gives, and far more than the tolerances above


def clip_transform(clip):
    from helip.training.validation import transform_of

    return transform_of(clip)


def test_what_is_exported_says_so(a_marked_tag, tmp_path):
    clip = open_start("toy_plain@openai")
    export(tmp_path / "out", clip, clip.model.state_dict(), lambda path: path.write_text("step,loss\n"), {})
    assert json.loads((tmp_path / "out/open_clip_config.json").read_text())["model_cfg"]["quick_gelu"] is True
    assert torch.equal(features(open_clip.create_model(f"local-dir:{tmp_path / 'out'}")), features(a_marked_tag))


def test_its_features_have_a_key_of_their_own(a_marked_tag, tmp_path):
    """What was encoded and evaluated with the wrong activation is not taken up again."""
    shutil.copy(tmp_path / "toy-0123.safetensors", tmp_path / "mine.safetensors")
    right, wrong = "toy_plain@openai", f"toy_plain@{tmp_path / 'mine.safetensors'}"
    assert evaluation.load(right, "cpu").key != evaluation.load(wrong, "cpu").key
    weights = [encoders.load(OpenClipEncoder(modality="text", model=name)).weights for name in (right, wrong)]
    assert weights[0] != weights[1] and len(weights[0]) == 64
