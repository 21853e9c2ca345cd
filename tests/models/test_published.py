"""Published checkpoints, played by small random copies of their architectures: features must survive the import."""

import argparse
import json
import os
import pickle

import open_clip
import pytest
import torch
from published_copies import DeclipCopy, SlipCopy, declip_file, seeded, slip_file

from helip.errors import HelipError
from helip.models.published import import_checkpoint, read_published, slip
from helip.models.published.declip import published_declip
from helip.models.published.layout import check
from helip.models.published.slip import published_slip

CAPTIONS = ["a photo of a cat", "two dogs play with a red ball in the snow", "!"]


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
