"""The worked examples of docs/howto/library.md, as they stand there, for a few epochs on 64 pairs of six concepts."""

import os
import re

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

import helip
from helip.models import tokenizer

LOOP, TRAINER, SENTENCES = "open_clip's model and a plain loop", "Hugging Face's CLIP and its Trainer", "sentence-transformers' CLIP"
COLOURS = ("red", "green", "blue", "yellow", "white", "black")
VISION = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32, "patch_size": 16}
TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 16}


@pytest.fixture
def code(project):
    """The code of a section of the page."""
    sections = (project / "docs" / "howto" / "library.md").read_text().split("\n## ")
    return lambda title: re.search(r"```python\n(.*?)```", next(s for s in sections if s.startswith(title)), re.S)[1]


@pytest.fixture
def given():
    """What the page takes as given, and names that its first section makes."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    concept = rng.integers(0, 6, 64)
    return {
        "helip": helip,
        "torch": torch,
        "concept": concept,
        "images": torch.from_numpy(rng.normal(size=(6, 3, 32, 32))[concept] + 0.1 * rng.normal(size=(64, 3, 32, 32))).float(),
        "image_features": rng.normal(size=(6, 8))[concept] + 0.2 * rng.normal(size=(64, 8)),
        "text_features": rng.normal(size=(6, 8))[concept] + 0.2 * rng.normal(size=(64, 8)),
        "losses": [],
    }


def mined(given, seen):
    """The sampler and the loss of the first section; the loss notes the plan's ids and the loss it gave."""
    pairs = helip.mine(given["image_features"], given["text_features"], helip.MiningSpec(k=5, outliers=0.15), workers=1)
    given["sampler"], loss_of = helip.HardPairSampler(pairs, batch_size=16), helip.HelipLoss(gamma=1.0)

    def noted(image, text, scale, plan):
        loss = loss_of(image, text, scale, plan=plan)
        seen.append((plan.ids.tolist(), image.detach(), float(loss.detach())))
        return loss

    given["loss_of"] = noted
    return [given["sampler"]._plans(step).ids.tolist() for step in range(6 * len(given["sampler"]))]


def clip_folder(folder):
    """A tiny CLIPModel with its processor, whose vocabulary is learnt from the captions."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast

    folder.mkdir()
    words = tokenizer.learn((f"a {colour} square" for colour in COLOURS), 300, folder)
    config = CLIPConfig(text_config=TEXT | {"vocab_size": words, "eos_token_id": words - 1}, vision_config=VISION, projection_dim=16)
    model = CLIPModel(config)
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    images = CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False)
    CLIPProcessor(images, PreTrainedTokenizerFast.from_pretrained(folder, model_max_length=16)).save_pretrained(folder)
    return model


def test_a_plain_loop_with_open_clip(code, given):
    concept = given["concept"]
    given["tokens"] = torch.from_numpy(np.concatenate([np.full((64, 1), 48), 1 + concept[:, None], np.full((64, 6), 0)], 1))
    given["model"] = open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16},
        text_cfg={"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1},
    )
    exec(code(LOOP), given)
    assert given["keep"].sum() == 58 and np.mean(given["losses"][-4:]) < np.mean(given["losses"][:4])


def test_the_trainer_of_transformers(code, given, tmp_path, monkeypatch):
    pytest.importorskip("accelerate", reason="accelerate is not installed: pip install 'helip[trainers]'")
    monkeypatch.chdir(tmp_path)
    seen = []
    plans = mined(given, seen)
    given["clip"] = clip_folder(tmp_path / "clip")
    words = torch.full((64, 5), 0)
    words[:, :3] = torch.tensor([[1, 3 + c, given["clip"].config.text_config.eos_token_id] for c in given["concept"]])
    given["rows"] = [
        {"id": i, "pixel_values": given["images"][i], "input_ids": words[i], "attention_mask": (words[i] > 0).long()} for i in range(64)
    ]
    exec(code(TRAINER), given)
    assert [ids for ids, _, _ in seen] == plans
    losses = [loss for _, _, loss in seen]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1
    logged = [one["loss"] for one in given["trainer"].state.log_history if "loss" in one]
    assert logged == pytest.approx(losses, abs=1e-3)


def test_the_trainer_of_sentence_transformers(code, given, tmp_path, monkeypatch):
    for name in ("accelerate", "datasets"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'helip[trainers]'")
    from sentence_transformers import SentenceTransformer

    monkeypatch.chdir(tmp_path)
    seen = []
    plans = mined(given, seen)
    clip_folder(tmp_path / "clip")
    given["model"] = model = SentenceTransformer(str(tmp_path / "clip"), device="cpu")
    given["pictures"] = pictures = [Image.new("RGB", (32, 32), COLOURS[c]) for c in given["concept"]]
    given["captions"] = [f"a {COLOURS[c]} square" for c in given["concept"]]
    with torch.inference_mode():
        first = normalize(model(model.preprocess([pictures[i] for i in plans[0]]))["sentence_embedding"], dim=-1)
    exec(code(SENTENCES), given)
    assert [ids for ids, _, _ in seen] == plans
    assert torch.allclose(seen[0][1], first, atol=1e-5)  # the rows are those that the plan names
    assert np.mean([loss for _, _, loss in seen[-3:]]) < np.mean([loss for _, _, loss in seen[:3]]) - 0.1
