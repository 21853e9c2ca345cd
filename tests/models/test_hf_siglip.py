"""A Hugging Face SiglipModel as a start and as an end: transformers' own features, with a tiny tower under a name that timm lacks."""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file
from test_hf_folder import features
from timm.models import VisionTransformer
from toys import ToyCorpus, job, refinement
from transformers import AutoModel, AutoProcessor, PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

from helip.config import SiglipObjective
from helip.errors import HelipError
from helip.models import hf_siglip, tokenizer
from helip.models.architecture import build
from helip.models.formats import write_formats
from helip.models.hf_config import mlp_ratio
from helip.models.loading import open_start
from helip.training.distributed import DistributedContext
from helip.training.loop import train
from helip.training.validation import transform_of

CAPTIONS = ["a red square", "It's a photo of 12 Green_squares, isn't it?", ""]
TINY = (8, 16, 2, 2, 48)
MAKE = timm.create_model
TRUNKS = [name for family in hf_siglip.FAMILIES.values() for name in timm.list_models(f"{family}_*") if name[len(family) + 1 :].isdigit()]
ACTS = {"none": "gelu", "tanh": "gelu_pytorch_tanh"}  # GELU's form -> hidden_act


@pytest.fixture
def own_gelu():
    """The form of GELU with which timm builds the tiny tower."""
    return "none"


@pytest.fixture
def tower(own_gelu, monkeypatch):
    """A SigLIP tower of a few thousand weights, as if timm had it."""
    act = {"none": None, "tanh": "gelu_tanh"}[own_gelu]

    def create(name, **settings):
        if name != "vit_tiny_patch8_siglip_32":
            return MAKE(name, **settings)
        assert (settings["num_classes"], settings["global_pool"]) == (0, "map")
        sizes = {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_ratio": 3}
        return VisionTransformer(img_size=32, class_token=False, global_pool="map", num_classes=0, act_layer=act, **sizes)

    monkeypatch.setitem(hf_siglip.FAMILIES, TINY, "vit_tiny_patch8_siglip")
    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(timm, "is_model", lambda name: name.startswith("vit_tiny"))


def siglip_folder(folder, act="gelu_pytorch_tanh"):
    folder.mkdir()
    words = tokenizer.learn(map(ToyCorpus().caption, range(120)), 300, folder)
    vision = dict(zip(hf_siglip.SIZES, TINY, strict=True)) | {"image_size": 32, "hidden_act": act}
    text = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "hidden_act": act}
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(vision_config=vision, text_config=text | {"vocab_size": words, "max_position_embeddings": 12})).eval()
    with torch.no_grad():
        for w in model.parameters():
            w.add_(torch.randn_like(w) * 0.2)  # no bias is 0 and no norm is 1: an entry in the wrong place changes the features
    model.save_pretrained(folder)
    images = SiglipImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6])
    SiglipProcessor(images, PreTrainedTokenizerFast.from_pretrained(folder, model_max_length=12)).save_pretrained(folder)
    return model


@torch.no_grad()
def own_features(clip, images, captions):
    clip.model.eval()
    return clip.model.encode_image(images, normalize=True), clip.model.encode_text(clip.tokenize(captions), normalize=True)


@pytest.mark.parametrize("own_gelu", ["none", "tanh"])
@pytest.mark.parametrize("act", ["gelu_pytorch_tanh", "gelu"])
def test_features_are_transformers_own(act, tower, tmp_path):
    theirs = siglip_folder(tmp_path / "start", act)
    clip = open_start(tmp_path / "start")
    images = torch.randn(4, 3, 32, 32)
    own = own_features(clip, images, CAPTIONS)
    for one, other in zip(own, features(theirs, images, clip.tokenize(CAPTIONS)), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert clip.model.logit_scale.item() == pytest.approx(theirs.logit_scale.item())
    assert clip.model.logit_bias.item() == pytest.approx(theirs.logit_bias.item())
    assert clip.preprocess["mean"] == [0.4, 0.5, 0.6] and clip.preprocess["resize_mode"] == "squash"


@pytest.mark.parametrize("own_gelu", ["none", "tanh"])
@pytest.mark.parametrize("act", ["gelu_pytorch_tanh", "gelu"])
def test_the_way_to_transformers_and_back(act, own_gelu, tower, tmp_path, caplog):
    theirs = siglip_folder(tmp_path / "start", act)
    write_formats(str(tmp_path / "start"), tmp_path / "out", ("transformers", "open_clip"))
    warned = f"GELU's {'plain' if act == 'gelu' else 'tanh'} form: helip and an export for transformers keep it"
    assert ("GELU's" in caplog.text) == (warned in caplog.text) == (act != ACTS[own_gelu])
    weights = load_file(tmp_path / "out/transformers/model.safetensors")
    assert weights.keys() == theirs.state_dict().keys()
    assert all(torch.equal(w, weights[name]) for name, w in theirs.state_dict().items())
    model, processor = (kind.from_pretrained(tmp_path / "out/transformers") for kind in (AutoModel, AutoProcessor))
    start = open_start(tmp_path / "start")
    image = ToyCorpus(side=32).image(1)
    given = processor(text=CAPTIONS, images=[image], return_tensors="pt", padding="max_length", truncation=True)
    assert torch.equal(given["input_ids"], start.tokenize(CAPTIONS))  # lower case, without punctuation
    own = own_features(start, transform_of(start)(image)[None], CAPTIONS)
    with torch.no_grad():
        out = model.eval()(**{name: given[name] for name in ("input_ids", "pixel_values")})
    assert torch.allclose(out.image_embeds, own[0], atol=1e-5) and torch.allclose(out.text_embeds, own[1], atol=1e-5)
    logits = (theirs.logit_scale.exp() * own[0] @ own[1].T + theirs.logit_bias).detach()
    assert torch.allclose(out.logits_per_image, logits, rtol=1e-4, atol=1e-4)
    again = own_features(open_start(tmp_path / "out/open_clip"), transform_of(start)(image)[None], CAPTIONS)
    assert all(torch.equal(one, other) for one, other in zip(again, own, strict=True))


@pytest.mark.parametrize("own_gelu", ["none", "tanh"])
def test_open_clip_itself_opens_one_with_timms_gelu(own_gelu, tower, tmp_path):
    siglip_folder(tmp_path / "start", ACTS[own_gelu])
    write_formats(str(tmp_path / "start"), tmp_path / "out", ("open_clip",))
    folder, start = f"local-dir:{tmp_path / 'out/open_clip'}", open_start(tmp_path / "start")
    model, _, _ = open_clip.create_model_and_transforms(folder)
    images = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        theirs = model.eval().encode_image(images), model.encode_text(open_clip.get_tokenizer(folder)(CAPTIONS))
    for one, other in zip(theirs, own_features(start, images, CAPTIONS), strict=True):
        assert torch.allclose(torch.nn.functional.normalize(one, dim=-1), other, atol=1e-6)


def test_its_folder_is_refined_by_the_sigmoid_loss(tower, tmp_path):
    siglip_folder(tmp_path / "start")
    clip = open_start(tmp_path / "start")
    before = {name: w.clone() for name, w in clip.model.state_dict().items()}
    recipe = refinement(steps=2, warmup_steps=0, objective=SiglipObjective())
    assert train(job(tmp_path, recipe, clip=clip), DistributedContext()) == 0
    after = open_start(tmp_path / "model").model.state_dict()
    assert after.keys() == before.keys()
    for name in ("logit_bias", "visual.trunk.attn_pool.latent", "visual.trunk.blocks.0.attn.qkv.weight", "text.text_projection.bias"):
        assert not torch.equal(after[name], before[name])


def form_of(trunk):
    """The form of GELU that all of a trunk's activations compute."""
    x = torch.linspace(-3, 3, 100)
    values = [module(x) for module in trunk.modules() if "GELU" in type(module).__name__]
    return next(form for form in ACTS if all(torch.equal(y, torch.nn.functional.gelu(x, approximate=form)) for y in values))


@pytest.mark.parametrize("name", TRUNKS)
def test_the_activation_is_that_of_timms_trunk(name, monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda name, **settings: MAKE(name, depth=1, **settings))
    vision = {"image_size": int(name.rpartition("_")[2]), "timm_model_name": name, "timm_pool": "map", "timm_proj": "none"}
    text = {"width": 16, "heads": 2, "layers": 1, "vocab_size": 8, "pool_type": "last", "no_causal_mask": True, "proj_bias": True}
    config = {"embed_dim": 16, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision, "text_cfg": text}
    with torch.device("meta"):
        own = timm.create_model(name, num_classes=0)
    theirs = hf_siglip.to_transformers(config, "it")
    assert theirs["vision_config"]["hidden_act"] == ACTS[form_of(own)]
    for form, act in ACTS.items():
        theirs["vision_config"]["hidden_act"] = act
        ours = hf_siglip.to_open_clip(theirs, "it")
        assert ours["vision_cfg"].get("act_kwargs") == (None if form == form_of(own) else {"approximate": form})
        assert hf_siglip.to_transformers(ours, "it")["vision_config"]["hidden_act"] == act
        with torch.device("meta"):
            model = build(ours)
        assert form_of(model.visual.trunk) == form


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("ViT-B-32-SigLIP2-256", "gelu_pytorch_tanh"),
        ("ViT-L-16-SigLIP2-512", "gelu_pytorch_tanh"),
        ("ViT-SO400M-16-SigLIP2-384", "gelu_pytorch_tanh"),
        ("ViT-B-16-SigLIP2", "gelu"),
    ],
)
def test_an_export_keeps_the_gelu_of_open_clips_config(name, act):
    assert hf_siglip.to_transformers(open_clip.get_model_config(name), name)["vision_config"]["hidden_act"] == act


@pytest.mark.parametrize(("sizes", "family"), hf_siglip.FAMILIES.items())
def test_timms_towers_have_the_sizes_of_the_table(sizes, family):
    size = next(name for name in timm.list_models(f"{family}_*") if "gap" not in name)
    with torch.device("meta"):
        trunk = timm.create_model(size, num_classes=0, global_pool="map")
    block = trunk.blocks[0]
    assert sizes == (
        *trunk.patch_embed.patch_size[:1],
        trunk.embed_dim,
        len(trunk.blocks),
        block.attn.num_heads,
        block.mlp.fc1.out_features,
    )


@pytest.mark.parametrize(
    ("side", "change", "words"),
    [
        (
            "vision_config",
            {"hidden_size": 24},
            "timm has no SigLIP image tower of these sizes .patch_size 8, hidden_size 24, .*hf-hub",
        ),
        ("vision_config", {"image_size": 48}, "of these sizes .*image_size 48"),
        ("vision_config", {"vision_use_head": False}, "its image tower is not timm's"),
        ("text_config", {"hidden_act": "quick_gelu"}, "text_config.hidden_act is quick_gelu, and open_clip's SigLIPs have gelu"),
    ],
)
def test_what_is_not_converted_is_named(side, change, words, tower, tmp_path, monkeypatch):
    siglip_folder(tmp_path / "start")
    monkeypatch.setattr(timm, "is_model", lambda name: name == "vit_tiny_patch8_siglip_32")
    config = json.loads((tmp_path / "start/config.json").read_text())
    config[side] |= change
    (tmp_path / "start/config.json").write_text(json.dumps(config))
    with pytest.raises(HelipError, match=words):
        open_start(tmp_path / "start")


def test_a_missing_tokenizer_is_named(tower, tmp_path):
    siglip_folder(tmp_path / "start")
    (tmp_path / "start/tokenizer.json").unlink()
    with pytest.raises(HelipError, match=r"has no tokenizer\.json or spiece\.model; copy the tokenizer's files into it"):
        open_start(tmp_path / "start")


@pytest.mark.parametrize(("width", "inner"), [(88, 120), (104, 120), (1152, 4304), (768, 3072)])
def test_the_inner_width_survives_open_clips_rounding(width, inner):
    assert int(width * mlp_ratio({"hidden_size": width, "intermediate_size": inner})) == inner
