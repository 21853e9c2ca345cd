"""Options against forgetting: each does what it says, on models of a few thousand weights."""

import csv
import math

import numpy as np
import open_clip
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from test_step import EFFICIENTNET
from tiny_objectives import TEXT, tiny
from toys import RESNET, ToyCorpus, declaration, job, refinement

from helip.config import EarlyStopping, Refinement, Retention, TrainConfig
from helip.errors import HelipError
from helip.losses.distillation import distillation
from helip.losses.hnml import helip_loss
from helip.models import frozen
from helip.models import loading as models
from helip.models.frozen import KEY, FrozenClip
from helip.models.loading import open_start
from helip.training import lora, watching
from helip.training.distributed import DistributedContext
from helip.training.layers import freeze, places, rates
from helip.training.loop import Trainer, train
from helip.training.optimisation import optimiser
from helip.training.retention import Retained
from helip.training.validation import Best


def settings(**given) -> Refinement:
    return Refinement(steps=4, batch_size=4, learning_rate=1.0, **given)


def trained(folder, **given) -> tuple[dict, dict]:
    """Weights before and after a training of a few steps."""
    one = job(folder, refinement(steps=3, warmup_steps=0, **given))
    before = {name: w.clone() for name, w in one.clip.model.state_dict().items()}
    assert train(one, DistributedContext()) == 0
    return before, load_file(folder / "model" / "open_clip_model.safetensors")


def changed(before: dict, after: dict) -> set[str]:
    return {name for name, w in before.items() if not torch.equal(w, after[name])}


@pytest.mark.parametrize("tower", ["vit", "resnet", "timm"])
def test_every_parameter_has_a_tower_and_a_depth(tower):
    result = places(tiny(tower))
    assert [name for name, place in result.items() if place.tower is None] == ["logit_scale"]
    blocks = {"vit": 2, "resnet": 4, "timm": 4}[tower]
    depths = {place.depth for place in result.values() if place.tower == "image"}
    assert depths == set(range(blocks + 2)) and {p.blocks for p in result.values() if p.tower == "text"} == {2}
    assert result["token_embedding.weight"].depth == 0 and result["text_projection"].depth == 3
    if tower == "vit":
        assert result["visual.conv1.weight"].depth == 0 and result["visual.proj"].depth == 3
        assert result["visual.transformer.resblocks.1.mlp.c_fc.weight"].depth == 2
    if tower == "resnet":
        assert result["visual.layer1.0.conv1.weight"].depth == 1 and result["visual.attnpool.positional_embedding"].depth == 5


def on_trunks(tower: str = "image", **more) -> FrozenClip:
    """Heads on frozen trunks, of which none is opened."""
    trunks = {f"{side}_trunk": {"dim": 6, "weights": "00", "encoder": {}} for side in ("image", "text")}
    return FrozenClip({"embed_dim": 4, KEY: {"hidden": 5, "dropout": 0.0, **trunks, **more}})


class Cut(torch.nn.Module):
    """The last two blocks of a trunk, numbered as they were, and what follows them."""

    width = 6

    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleDict({"3": torch.nn.Linear(6, 6), "4": torch.nn.Linear(6, 6)})
        self.conv_head, self.bn2 = torch.nn.Linear(6, 6), torch.nn.LayerNorm(6)


def test_what_follows_the_last_block_of_a_tower_is_deepest():
    model = open_clip.CLIP(embed_dim=16, vision_cfg=EFFICIENTNET, text_cfg=TEXT)
    result = {name.removeprefix("visual.trunk."): place for name, place in places(model).items()}
    last = result["conv_head.weight"].depth
    assert last == result["blocks.0.0.conv.weight"].blocks + 1 == 6
    assert result["bn2.weight"].depth == result["bn2.bias"].depth == result["visual.head.proj.weight"].depth == last
    assert result["conv_stem.weight"].depth == result["bn1.weight"].depth == 0
    freeze(model, settings(freeze_image=0.4))
    free = {name.removeprefix("visual.trunk.")[:8] for name, p in model.named_parameters() if p.requires_grad}
    assert {"bn2.bias", "bn2.weig", "blocks.2", "blocks.4"} <= free and not {"bn1.weig", "blocks.0", "blocks.1"} & free


def test_a_head_has_as_many_blocks_as_layers_with_weights():
    model = on_trunks()
    result = places(model)
    assert [result[f"image_head.layers.{n}.weight"].depth for n in (0, 3)] == [1, 2]
    assert {place.blocks for place in result.values() if place.tower} == {2}
    freeze(model, settings(freeze_image=0.5, freeze_text=0.5))
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    assert free == {"logit_scale", *(f"{side}_head.layers.3.{what}" for side in ("image", "text") for what in ("weight", "bias"))}
    factors, named = rates(on := on_trunks(), settings(layer_decay=0.1)), dict(on.named_parameters())
    of = [factors.get(id(named[f"text_head.layers.{n}.weight"]), 1.0) for n in (0, 3)]
    assert of == [pytest.approx(0.01), pytest.approx(0.1)]


def test_heads_come_after_the_blocks_of_their_trunks(monkeypatch):
    monkeypatch.setattr(frozen, "last_blocks", lambda config, side: Cut())
    model = on_trunks(unfrozen_blocks=2, context_length=4)
    depths = {name: place.depth for name, place in places(model).items() if place.tower == "image"}
    order = ("image_blocks.blocks.3", "image_blocks.blocks.4", "image_head.layers.0", "image_head.layers.3")
    assert [depths[f"{name}.weight"] for name in order] == [1, 2, 3, 4]
    assert depths["image_blocks.conv_head.weight"] == depths["image_blocks.bn2.weight"] == 2  # go with the trunk's last block
    freeze(model, settings(freeze_image=0.5))
    free = {name for name, p in model.named_parameters() if p.requires_grad and name.startswith("image_")}
    assert free == {f"image_head.layers.{n}.{what}" for n in (0, 3) for what in ("weight", "bias")}


@pytest.mark.parametrize("shares", [(0.9, 0.9), (0.9, 1.0)])
def test_a_freeze_that_leaves_no_tower_is_refused(shares):
    with pytest.raises(HelipError, match=r"freeze_image 0.9 and freeze_text .*: nothing of the towers is left to train; lower one"):
        freeze(on_trunks(), settings(freeze_image=shares[0], freeze_text=shares[1]))
    freeze(one := on_trunks(), settings(freeze_image=shares[0]))
    assert {name.split(".")[0] for name, p in one.named_parameters() if p.requires_grad} == {"text_head", "logit_scale"}


def test_frozen_blocks_are_the_first_and_what_lies_before():
    model = tiny()
    freeze(model, settings(freeze_image=0.5, freeze_text=1.0))
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    image = {name for name, place in places(model).items() if place.tower == "image" and place.depth >= 2}
    assert free == image | {"logit_scale"} and "visual.transformer.resblocks.1.ln_1.weight" in image
    with pytest.raises(HelipError, match="freeze_image 0.1: is no block of the image tower's 2"):
        freeze(tiny(), settings(freeze_image=0.1))
    with pytest.raises(ValidationError, match="nothing is left to train"):
        settings(freeze_image=1, freeze_text=1)
    with pytest.raises(ValueError, match="image_rate 0.1 has no effect beside freeze_image 1, which trains none of that tower"):
        settings(freeze_image=1, image_rate=0.1)
    assert settings(freeze_image=1, text_rate=0.1).text_rate == 0.1 and settings(freeze_text=0.5, text_rate=0.1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_frozen_tower_stays_as_it_was(tmp_path, accumulate):
    corpus = ToyCorpus()
    clip = models.new(declaration(RESNET), corpus, tmp_path / "tokenizer", seed=0)
    one = job(tmp_path, refinement(steps=3, freeze_image=1.0, accumulate=accumulate), corpus, clip)
    before = {name: w.clone() for name, w in clip.model.state_dict().items()}
    assert train(one, DistributedContext()) == 0
    moved = changed(before, load_file(tmp_path / "model" / "open_clip_model.safetensors"))
    assert moved and not any(name.startswith("visual.") for name in moved)  # batch statistics among them


def test_rates_by_tower_and_depth():
    model = tiny()
    recipe = settings(image_rate=0.5, text_rate=2.0, layer_decay=0.1)
    factors, names = rates(model, recipe), dict(model.named_parameters())
    of = lambda name: factors.get(id(names[name]), 1.0)  # noqa: E731
    assert of("visual.proj") == 0.5 and of("text_projection") == 2.0 and of("logit_scale") == 1.0
    assert of("visual.transformer.resblocks.1.mlp.c_fc.weight") == pytest.approx(0.05)
    assert of("visual.conv1.weight") == pytest.approx(0.5e-3) and of("token_embedding.weight") == pytest.approx(2e-3)
    plain = optimiser([tiny()], settings())
    assert [group["factor"] for group in plain.param_groups] == [1.0, 1.0]


def test_the_optimiser_steps_by_each_rate(tmp_path):
    one = Trainer(job(tmp_path, refinement(image_rate=0.25, weight_decay=0.0, gamma=0.0)), DistributedContext())
    batch, inputs = next(one.batches())
    before = {name: p.detach().clone() for name, p in one.model.named_parameters()}
    one.stepper(inputs, batch, 1e-3)
    # the first step of AdamW is the learning rate wherever the gradient is far above eps
    most = {n: float((p.detach() - before[n]).abs().max()) for n, p in one.model.named_parameters()}
    assert most["visual.proj"] == pytest.approx(0.25e-3, rel=1e-2) and most["text_projection"] == pytest.approx(1e-3, rel=1e-2)


def test_low_rank_updates_are_merged_on_export(tmp_path):
    before, after = trained(tmp_path, lora=2)
    assert before.keys() == after.keys()
    moved = changed(before, after) - {"logit_scale"}
    assert {"visual.transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks.0.mlp.c_fc.weight"} <= moved
    for name in moved:
        assert "resblocks" in name and torch.linalg.matrix_rank((after[name] - before[name]).double(), rtol=1e-4) == 2
    start = open_start(tmp_path / "model").model.eval()
    assert all(torch.equal(w, after[n]) for n, w in start.state_dict().items())


def test_a_low_rank_update_is_nothing_before_it_is_trained():
    model, pixels, tokens = tiny().eval(), torch.rand(2, 3, 32, 32), torch.randint(1, 40, (2, 12))
    plain = model.encode_image(pixels), model.encode_text(tokens)
    assert lora.add(model, 2) == 2 * 2 * 4  # towers, blocks; in_proj, out_proj, c_fc, c_proj
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(name == "logit_scale" or name.endswith((".up", ".down")) for name in free)
    assert torch.allclose(model.encode_image(pixels), plain[0], atol=1e-6) and torch.allclose(
        model.encode_text(tokens), plain[1], atol=1e-6
    )
    with pytest.raises(HelipError, match="lora 64: the smallest matrix has rank 32"):
        lora.add(tiny(), 64)


@torch.no_grad()
def test_a_merged_matrix_is_the_formula():
    model, pixels, tokens = tiny().eval(), torch.rand(2, 3, 32, 32), torch.randint(1, 40, (2, 12))
    before = {name: w.clone() for name, w in model.state_dict().items()}
    lora.add(model, 2)
    updates = {name: p.normal_(std=0.1) for name, p in model.named_parameters() if p.requires_grad and name != "logit_scale"}
    merged = lora.merged_state(model)
    for module, field in (("visual.transformer.resblocks.1.attn", "in_proj_weight"), ("transformer.resblocks.0.attn.out_proj", "weight")):
        up, down = (updates[f"{module}.parametrizations.{field}.0.{part}"] for part in ("up", "down"))
        assert torch.allclose(merged[f"{module}.{field}"], before[f"{module}.{field}"] + up @ down, atol=1e-6)
    plain = tiny().eval()
    plain.load_state_dict(merged)
    assert torch.allclose(plain.encode_image(pixels), model.encode_image(pixels), atol=1e-6)
    assert torch.allclose(plain.encode_text(tokens), model.encode_text(tokens), atol=1e-6)


def test_the_docs_have_a_row_for_each_option(project):
    """Whatever a refinement has beyond losses, batches and hard pairs is against forgetting."""
    page = (project / "docs" / "howto" / "not_forgetting.md").read_text()
    rows = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    other = {"arm", "pairs", "keep", "seed_fraction", "p", "role", "gamma", "margin_on", "symmetric_margin", "drop_noise", "duplicates",
             "false_negatives", "early_stopping", "soft"}  # fmt: skip
    own = set(Refinement.model_fields) - set(TrainConfig.model_fields) - other
    assert {"lora", "distill", "moments", "retention", "freeze_text", "layer_decay"} <= own
    assert [name for name in sorted(own | {"ema"}) if f"`{name}" not in rows] == []


def test_distillation_by_hand_and_at_the_start():
    own, start = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.zeros(2, 2)
    p = math.exp(1) / (math.exp(1) + 1)
    divergence = 0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p))  # of row 0, and of column 0; the others are alike
    assert float(distillation(own, start)) == pytest.approx(divergence / 2)
    assert float(distillation(own, own)) == pytest.approx(0, abs=1e-7)


def test_distillation_keeps_a_model_near_its_start(tmp_path):
    ends = []
    for weight in (1e-9, 100.0):
        trained(tmp_path / str(weight), distill=weight, gamma=0.0)
        with open(tmp_path / str(weight) / "model" / "curve.csv") as f:
            rows = [float(row["distill"]) for row in csv.DictReader(f)]
        assert rows[0] == pytest.approx(0, abs=1e-6)
        ends.append(rows[-1])
    assert 0 < ends[1] < ends[0] / 2


def test_warmed_moments_change_no_weight(tmp_path):
    one = Trainer(job(tmp_path, refinement(moments=3)), DistributedContext())
    before = {name: w.clone() for name, w in one.model.state_dict().items()}

    class Never:
        seen = False

    assert one._warm(Never()) and not changed(before, one.model.state_dict())
    states = one.stepper.optimiser.state.values()
    assert {float(state["step"]) for state in states} == {3.0}
    assert all(state["exp_avg"].abs().sum() > 0 for state in states if state["exp_avg"].ndim > 1)
    later = [one.sampler(step).ids for step in range(one.steps, one.steps + 3)]
    assert not any(np.array_equal(one.sampler(step).ids, ids) for step in range(3) for ids in later)


def test_what_is_retained_by_hand():
    """Two points below the first are allowed: 48 of 50 is kept, 47.9 is not, whatever came between."""
    model, one = torch.nn.Linear(1, 1), Retained(Retention(set="x", every=1, stop=2.0))
    for step, (score, kept, fell) in enumerate([(50.0, 0, False), (55.0, 1, False), (48.0, 2, False), (47.9, 2, True)]):
        one.see(model, score, step)
        assert (one.first, one.step, one.fell) == (50.0, kept, fell)


def test_of_equal_validations_the_earlier_is_kept():
    model, one = torch.nn.Linear(1, 1), Best(EarlyStopping(patience=2, every=1))
    for step, (score, best, exhausted) in enumerate([(0.3, 0, False), (0.5, 1, False), (0.5, 1, False), (0.4, 1, True)]):
        one.see(model, score, step)
        assert (one.step, one.exhausted) == (best, exhausted)


def test_a_fall_of_retention_ends_the_training(tmp_path):
    scores, seen = iter([50.0, 49.0, 46.0]), []

    def score(model):
        seen.append({name: w.clone() for name, w in model.state_dict().items()})
        return next(scores)

    watched = refinement(steps=8, retention=Retention(set="anything", every=2, stop=3.0))
    assert train(job(tmp_path, watched, retention_score=score), DistributedContext()) == 0
    exported = open_start(tmp_path / "model").model.state_dict()
    assert len(seen) == 3 and all(torch.equal(w, seen[1][n]) for n, w in exported.items())  # of step 2, before the fall
    text = (tmp_path / "model" / "train.json").read_text()
    assert '"retained_step": 2' in text and "retention fell more than 3 points: exported is step 2" in text


def test_what_was_retained_is_not_called_the_start(tmp_path, monkeypatch):
    recalls, scores = iter([0.5, 0.4, 0.3]), iter([50.0, 49.0, 40.0])
    monkeypatch.setattr(watching, "held_out_recall", lambda *_: next(recalls))
    watched = refinement(
        steps=8, retention=Retention(set="anything", every=2, stop=3.0), early_stopping=EarlyStopping(every=2, held_out=0.1)
    )
    assert train(job(tmp_path, watched, retention_score=lambda model: next(scores)), DistributedContext()) == 0
    text = (tmp_path / "model" / "train.json").read_text()
    assert '"retained_step": 2' in text and '"best_step": 0' in text and "what is exported is the start" not in text


def test_the_margin_is_of_cosines_or_of_logits():
    image, text = torch.eye(3), torch.tensor([[0.8, 0.6, 0], [0, 0.8, 0.6], [0.6, 0, 0.8]])
    # image 0: its hard pair 1 has cosine 0, negative 2 has 0.6
    losses = [helip_loss(image, text, 10.0, np.array([0]), np.array([[1]]), gamma=g, margin_on=on) for g, on in
              ((0.0, "cosines"), (1.0, "cosines"), (1.0, "logits"))]  # fmt: skip
    assert float(losses[1] - losses[0]) == pytest.approx(0.6, abs=1e-5)
    assert float(losses[2] - losses[0]) == pytest.approx(6.0, abs=1e-5)


def test_a_recipe_says_what_the_margin_is_of(tmp_path):
    parts = []
    for on in ("cosines", "logits"):
        one = Trainer(job(tmp_path / on, refinement(margin_on=on)), DistributedContext())
        batch, inputs = next(one.batches())
        parts.append(float(one.stepper.gradient(inputs, batch)[2]["margin"]))
    assert parts[1] == pytest.approx(parts[0] * float(one.model.logit_scale.exp()), rel=1e-5) and parts[0] > 0
