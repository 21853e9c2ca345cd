"""Published checkpoints, played by small random copies of their architectures: features must survive the import."""

import argparse
import json
import os
import pickle
from collections import OrderedDict

import open_clip
import pytest
import timm
import torch
from torch import nn

from helip.errors import HelipError
from helip.models.published import import_checkpoint, read_published, slip
from helip.models.published.declip import published_declip
from helip.models.published.layout import check
from helip.models.published.slip import published_slip

CAPTIONS = ["a photo of a cat", "two dogs play with a red ball in the snow", "!"]


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A residual attention block under OpenAI's names."""

    def __init__(self, width, causal):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(OrderedDict(c_fc=nn.Linear(width, 4 * width), gelu=QuickGELU(), c_proj=nn.Linear(4 * width, width)))
        self.causal = causal

    def forward(self, x):
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1) if self.causal else None
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


def transformer(width, layers, causal):
    return nn.ModuleDict({"resblocks": nn.Sequential(*[Block(width, causal) for _ in range(layers)])})


def text_parts(module, vocabulary, width, layers=2):
    module.token_embedding = nn.Embedding(vocabulary, width)
    module.positional_embedding = nn.Parameter(torch.randn(77, width) * 0.1)
    module.transformer = transformer(width, layers, causal=True)
    module.ln_final = nn.LayerNorm(width)


def end_features(module, tokens):
    x = module.token_embedding(tokens) + module.positional_embedding
    x = module.ln_final(module.transformer["resblocks"](x))
    return x[torch.arange(len(x)), tokens.argmax(1)]


class SlipCopy(nn.Module):
    """As facebookresearch/SLIP builds it, with timm's smallest ViT."""

    def __init__(self, mlp=True, width=128, embed=32):
        super().__init__()
        self.visual = timm.create_model("vit_tiny_patch16_224", num_classes=0)
        text_parts(self, 49408, width)
        self.image_projection = nn.Parameter(torch.randn(192, embed) / 14)
        self.text_projection = nn.Parameter(torch.randn(width, embed) / 11)
        self.logit_scale = nn.Parameter(torch.tensor(3.5))
        if mlp:
            self.image_mlp = nn.Sequential(OrderedDict(layer1=nn.Linear(192, 8), bn1=nn.BatchNorm1d(8), relu1=nn.ReLU()))

    def encode_image(self, images):
        return self.visual(images) @ self.image_projection

    def encode_text(self, tokens):
        return end_features(self, tokens) @ self.text_projection


class OpenAiViT(nn.Module):
    def __init__(self, width=128, embed=32, patch=32, size=96):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width) * 0.1)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = transformer(width, 3, causal=False)
        self.proj = nn.Parameter(torch.randn(width, embed) / 11)

    def forward(self, images):
        x = self.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        return self.ln_post(self.transformer["resblocks"](self.ln_pre(x))[:, 0]) @ self.proj


class DeclipText(nn.Module):
    def __init__(self, width=128, embed=32):
        super().__init__()
        text_parts(self, 49409, width)
        self.text_projection = nn.Linear(width, embed)

    def forward(self, tokens):
        return self.text_projection(end_features(self, tokens))


class DeclipCopy(nn.Module):
    """As Sense-GVT/DeCLIP builds it: the text tower's name depends on the objective, and heads lie beside the towers."""

    def __init__(self, text_name):
        super().__init__()
        self.visual = OpenAiViT()
        setattr(self, text_name, DeclipText())
        self.logit_scale = nn.Parameter(torch.tensor([4.0]))
        if text_name == "encode_text":
            self.projector, self.predictor = nn.Linear(32, 8), nn.Linear(8, 32)
            self.text_label_predictor = nn.Linear(128, 10)
            self.nn_replacer_text = nn.Module()
            self.nn_replacer_text.register_buffer("bank", torch.randn(32, 4))
            self.nn_replacer_text.register_buffer("bank_ptr", torch.zeros(1, dtype=torch.int64))
        else:
            self.predictor_sim = nn.Linear(128, 8)
        self.text = [getattr(self, text_name)]  # in a list, so that the state has it once


def saved(model, place="state_dict", **more):
    return {place: {f"module.{name}": w for name, w in model.state_dict().items()}, "epoch": 3} | more


def slip_file(folder, model, **more):
    path = folder / "slip.pt"
    torch.save(saved(model, best_acc1=17.1, args=argparse.Namespace(model="SLIP_VITB16", lr=3e-3, betas=(0.9, 0.98)), **more), path)
    return path


def declip_file(folder, model):
    path = folder / "declip.pth.tar"
    torch.save(saved(model, place="model", step=7), path)
    return path


def seeded(kind, *arguments):
    torch.manual_seed(0)
    return kind(*arguments).eval()


@pytest.fixture
def small_tower(monkeypatch):
    """Widths that the published files do not have, for small copies."""
    monkeypatch.setitem(slip.TOWERS, 192, "vit_tiny_patch16_224")


def images(size, count=2):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("mlp", [True, False], ids=["slip", "clip"])
def test_slip_features_survive(tmp_path, mlp, small_tower):
    original = seeded(SlipCopy, mlp)
    import_checkpoint(slip_file(tmp_path, original), tmp_path / "out")
    ours, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out'}")
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")(CAPTIONS)
    ours.eval()
    torch.testing.assert_close(ours.encode_image(images(224)), original.encode_image(images(224)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.encode_text(tokens), original.encode_text(tokens), rtol=1e-5, atol=1e-5)
    assert ours.logit_scale.item() == 3.5
    assert tuple(ours.visual.preprocess_cfg["mean"]) == (0.485, 0.456, 0.406)
    assert preprocess.transforms[0].interpolation.value == "bilinear"


@torch.no_grad()
@pytest.mark.parametrize("text_name", ["encode_text", "text_encoder"])
def test_declip_features_survive(tmp_path, text_name):
    original = seeded(DeclipCopy, text_name)
    import_checkpoint(declip_file(tmp_path, original), tmp_path / "out")
    ours, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out'}")
    clip_tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")(CAPTIONS)
    declip_tokens = torch.where(clip_tokens >= 49406, clip_tokens + 1, clip_tokens)  # its mask stands at 49406
    ours.eval()
    torch.testing.assert_close(ours.encode_image(images(96)), original.visual(images(96)), rtol=1e-5, atol=1e-5)
    expected = original.text[0](declip_tokens)
    torch.testing.assert_close(ours.encode_text(clip_tokens), expected, rtol=1e-5, atol=1e-5)
    silently_wrong = torch.cosine_similarity(original.text[0](clip_tokens), expected)
    assert silently_wrong.max() < 0.99  # what CLIP's tokens give without the import
    assert ours.vocab_size == 49408
    assert ours.logit_scale.shape == ()
    assert preprocess.transforms[0].interpolation.value == "bilinear"


def test_the_published_sizes_are_recognised(tmp_path):
    """SLIP's ViT-B and DeCLIP's ViT-B/32 by their shapes alone."""
    with torch.device("meta"):
        weights = open_clip.CLIP(
            embed_dim=512,
            quick_gelu=True,
            vision_cfg={"timm_model_name": "vit_base_patch16_224", "timm_pool": "token", "timm_proj": "linear"},
            text_cfg={},
        ).state_dict()
        declip = open_clip.CLIP(
            **(open_clip.get_model_config("ViT-B-32-quickgelu") | {"text_cfg": {"vocab_size": 49409, "proj_bias": True}})
        )
    weights = {k.replace("visual.trunk.", "visual."): w for k, w in weights.items()}
    weights["image_projection"] = weights.pop("visual.head.proj.weight").T
    published = published_slip(weights, "slip.pt")
    check(published, "slip.pt")
    assert published.model_cfg["vision_cfg"]["timm_model_name"] == "vit_base_patch16_224"
    assert published.model_cfg["text_cfg"] == {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
    names = {"visual": "visual", "logit_scale": "logit_scale"}
    declip = {k if k.split(".")[0] in names else f"encode_text.{k}": w for k, w in declip.state_dict().items()}
    published = published_declip(declip, "declip.pth.tar")
    check(published, "declip.pth.tar")
    assert published.model_cfg["vision_cfg"] == {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}
    assert published.model_cfg["text_cfg"]["vocab_size"] == 49408


def test_half_precision_becomes_single(tmp_path):
    original = seeded(DeclipCopy, "encode_text").half()
    published = read_published(declip_file(tmp_path, original))
    assert {w.dtype for w in published.weights.values()} == {torch.float32}


def test_what_lies_in_the_folder(tmp_path):
    file = declip_file(tmp_path, seeded(DeclipCopy, "encode_text"))
    import_checkpoint(file, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["import.json", "open_clip_config.json", "open_clip_model.safetensors"]
    metadata = json.loads((tmp_path / "out" / "import.json").read_text())
    assert metadata["declaration"]["layout"] == "DeCLIP"
    assert len(metadata["inputs"]["declip.pth.tar"]) == 64
    import_checkpoint(file, tmp_path / "out")  # an earlier import may be replaced


# ---------------------------------------------------------------- refusals


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def armed(folder, form):
    """A checkpoint that would create the file `exploded` if anything in it ran."""
    marker, path = folder / "exploded", folder / "bad.pt"
    state = {"module.a": torch.zeros(1)}
    match form:
        case "zip":
            torch.save({"state_dict": state, "args": Bomb(marker)}, path)
        case "in_the_namespace":
            torch.save({"state_dict": state, "args": argparse.Namespace(lr=Bomb(marker))}, path)
        case "legacy":
            torch.save({"state_dict": state, "args": Bomb(marker)}, path, _use_new_zipfile_serialization=False)
        case "bare_pickle":
            path.write_bytes(pickle.dumps({"state_dict": Bomb(marker)}, protocol=4))  # instructions that weights_only does not know
    return path, marker


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("form", ["zip", "in_the_namespace", "legacy", "bare_pickle"])
def test_a_malicious_pickle_does_not_run(tmp_path, form):
    path, marker = armed(tmp_path, form)
    why = "is no whole PyTorch checkpoint" if form == "bare_pickle" else r"refused, it holds (posix|nt)\.system"
    with pytest.raises(HelipError, match=rf"bad\.pt: {why}") as refusal:
        import_checkpoint(path, tmp_path / "out")
    assert not marker.exists()
    assert not (tmp_path / "out").exists()
    assert "\n" not in str(refusal.value)


def test_the_bomb_is_live(tmp_path):
    """The malicious file of these tests does run code where it is opened carelessly."""
    path, marker = armed(tmp_path, "zip")
    torch.load(path, weights_only=False)
    assert marker.exists()


class Stranger:
    pass


@pytest.mark.parametrize("thing", [Stranger(), Stranger, print], ids=["object", "class", "function"])
def test_anything_beyond_the_allow_list_is_refused(tmp_path, thing):
    path = slip_file(tmp_path, seeded(SlipCopy), extra=thing)
    with pytest.raises(HelipError, match=r"slip\.pt: refused, it holds"):
        read_published(path)


def test_the_allow_list_does_not_outlive_the_reading(tmp_path, small_tower):
    read_published(slip_file(tmp_path, seeded(SlipCopy)))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_broken_files(tmp_path):
    whole = declip_file(tmp_path, seeded(DeclipCopy, "encode_text")).read_bytes()
    cut, empty, text = tmp_path / "cut.pt", tmp_path / "empty.pt", tmp_path / "page.pt"
    cut.write_bytes(whole[: len(whole) // 2])
    empty.write_bytes(b"")
    text.write_text("<html>quota exceeded</html>")
    for path in (cut, empty, text):
        with pytest.raises(HelipError, match=rf"{path.name}: (is no whole PyTorch checkpoint|refused)"):
            read_published(path)
    with pytest.raises(HelipError, match=r"absent\.pt: cannot be read"):
        read_published(tmp_path / "absent.pt")
    with pytest.raises(HelipError, match="cannot be read"):
        read_published(tmp_path)


def test_other_checkpoints(tmp_path):
    path = tmp_path / "other.pt"
    for content, message in (
        ({"weights": {}}, "holds no weights under state_dict or model"),
        ([1, 2], "holds no weights"),
        ({"state_dict": {"a": 3}}, "holds no weights"),
        ({"state_dict": {"conv1.weight": torch.zeros(2)}}, "named neither as SLIP's nor as DeCLIP's"),
    ):
        torch.save(content, path)
        with pytest.raises(HelipError, match=message):
            read_published(path)


def without(model, *names):
    return {k: w for k, w in model.state_dict().items() if k not in names}


def test_weights_of_another_shape_or_name(tmp_path, monkeypatch):
    path = tmp_path / "odd.pt"

    def refused(state, message):
        torch.save({"state_dict": state}, path)
        with pytest.raises(HelipError, match=message):
            read_published(path)

    declip, slip_copy = seeded(DeclipCopy, "encode_text"), seeded(SlipCopy)
    refused(without(declip, "encode_text.ln_final.bias"), r"ln_final\.bias is absent in the file and 128 in the model")
    refused(without(declip, "logit_scale"), "has no weights 'logit_scale'")
    refused(declip.state_dict() | {"text_mapping.weight": torch.zeros(2, 2)}, r"text_mapping\.weight is 2x2 in the file and absent")
    refused(declip.state_dict() | {"encode_text.token_embedding.weight": torch.zeros(49408, 128)}, "vocabulary has 49408 words")
    refused(without(declip, "visual.class_embedding"), "its image tower is no ViT")
    refused(slip_copy.state_dict(), "image tower is 192 wide; those that timm has too, and can be imported, are 768 or 1024 wide")
    monkeypatch.setitem(slip.TOWERS, 192, "vit_small_patch16_224")
    refused(slip_copy.state_dict(), "is no SLIP checkpoint")
    refused(slip_copy.state_dict() | {"logit_scale": torch.tensor(float("nan"))}, "logit_scale is not finite")


def test_folders_that_must_not_be_replaced(tmp_path):
    file = declip_file(tmp_path, seeded(DeclipCopy, "encode_text"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(HelipError, match="mine: has no import.json, so it holds something else"):
        import_checkpoint(file, tmp_path / "mine")
    with pytest.raises(HelipError, match="has no import.json"):
        import_checkpoint(file, tmp_path)
    import_checkpoint(file, tmp_path / "out")
    inside = tmp_path / "out" / "declip.pth.tar"
    file.rename(inside)
    with pytest.raises(HelipError, match="declip.pth.tar, which is read, and would be deleted with it"):
        import_checkpoint(inside, tmp_path / "out")
    assert inside.exists()


def test_the_command(tmp_path, capsys):
    from helip.cli import main

    file = declip_file(tmp_path, seeded(DeclipCopy, "text_encoder"))
    assert main(["import", str(file), "--out", str(tmp_path / "out")]) == 0
    assert "a DeCLIP checkpoint" in capsys.readouterr().out
    assert (tmp_path / "out" / "open_clip_model.safetensors").exists()
