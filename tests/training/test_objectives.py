import inspect
import math
from types import SimpleNamespace

import open_clip
import pytest
import torch
from tiny_objectives import OBJECTIVES, TEXT, TOWERS, batch_of, captions, refinement, tiny
from torch.nn.functional import normalize

from helip.config import (
    ClipObjective,
    CloobObjective,
    CyclipObjective,
    DeclipObjective,
    HnNceObjective,
    SlipObjective,
    TrainConfig,
)
from helip.errors import HelipError
from helip.losses import clip_loss, hard_negative_margin_loss
from helip.losses.cloob import cloob_loss
from helip.losses.cyclip import cross_modal_loss, in_modal_loss
from helip.losses.declip import multi_view_clip_loss, nearest_text_loss, simsiam_loss
from helip.losses.hn_nce import hn_nce_of
from helip.losses.simclr import simclr_loss
from helip.training.objectives import build_objective
from helip.training.objectives.captions import disturb
from helip.training.objectives.towers import backbone_features, backbone_width, encode_hidden_text

PLAN = SimpleNamespace(seeds=[0, 2], hard=[[1, 3], [4, -1]])


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains_every_tower(name, tower):
    model = tiny(tower)
    objective = build_objective(refinement(name), model)
    batch = batch_of(objective, 6, size=TOWERS[tower]["image_size"])
    for _ in range(2):  # DeCLIP's queue is empty in the first step
        features = objective.encode(model, batch)
        assert all(len(rows) == 6 for rows in features.values())
        torch.testing.assert_close(features["image_features"].norm(dim=1), torch.ones(6))
        loss, parts = objective.loss(features, model.logit_scale.exp(), PLAN)
        objective.after_step({k: v.detach() for k, v in features.items()})
    loss.backward()
    assert loss.ndim == 0
    assert "margin" in parts
    assert all(math.isfinite(float(v)) and not v.requires_grad for v in parts.values())
    wanting = [n for m in (model, objective) for n, p in m.named_parameters() if p.requires_grad and p.grad is None]
    assert not wanting
    assert all(torch.isfinite(p.grad).all() for m in (model, objective) for p in m.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_learns_to_match_pairs(name):
    steps, rate = (160, 5e-4) if name == "cloob" else (30, 2e-3)  # CLOOB contrasts averages over the batch: slower, and faster it collapses
    model = tiny()
    objective = build_objective(refinement(name, arm="control"), model)
    batch = batch_of(objective, 6)
    batch["images"] = [batch["images"][0] + 0.1 * view for view in batch["images"]]  # views of the same images
    optimiser = torch.optim.Adam([p for m in (model, objective) for p in m.parameters() if p.requires_grad], lr=rate)
    for step in range(steps):
        features = objective.encode(model, batch | {"sample_seeds": torch.arange(6) + 1000 * step})
        loss, _ = objective.loss(features, model.logit_scale.exp())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        objective.after_step({k: v.detach() for k, v in features.items()})
    with torch.no_grad():
        cosines = model.encode_image(batch["images"][0], normalize=True) @ model.encode_text(batch["tokens"], normalize=True).T
    assert cosines.argmax(1).tolist() == list(range(6))
    assert cosines.argmax(0).tolist() == list(range(6))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_micro_batches_give_the_same_features_and_loss(name):
    model = tiny().double()
    objective = build_objective(refinement(name), model).double()
    batch = batch_of(objective, 6)
    batch["images"] = [v.double() for v in batch["images"]]
    pieces = [
        {"images": [v[s] for v in batch["images"]], "tokens": batch["tokens"][s], "sample_seeds": batch["sample_seeds"][s]}
        for s in (slice(0, 2), slice(2, 6))
    ]
    whole = objective.encode(model, batch)
    cut = [objective.encode(model, piece) for piece in pieces]
    joined = {k: torch.cat([c[k] for c in cut]) for k in whole}
    for name in whole:
        torch.testing.assert_close(joined[name], whole[name], rtol=1e-10, atol=1e-12)
    a, b = (objective.loss(f, model.logit_scale.exp(), PLAN)[0].item() for f in (whole, joined))
    assert a == pytest.approx(b, rel=1e-10)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_nothing_is_drawn_from_the_global_generator(name):
    model = tiny()
    objective = build_objective(refinement(name), model)
    before = torch.get_rng_state()
    features = objective.encode(model, batch_of(objective, 6))
    objective.loss(features, model.logit_scale.exp(), PLAN)
    objective.after_step(features)
    assert torch.equal(torch.get_rng_state(), before)


def test_only_the_helip_arm_has_a_margin():
    model = tiny()
    batch = None
    totals = {}
    for arm in ("control", "cleaned", "helip"):
        objective = build_objective(refinement("clip", arm=arm, gamma=0.5), model)
        batch = batch or batch_of(objective, 6)
        features = objective.encode(model, batch)
        totals[arm], parts = objective.loss(features, model.logit_scale.exp(), PLAN)
        assert ("margin" in parts) == (arm == "helip")
    seeds, hard = torch.tensor(PLAN.seeds), torch.tensor(PLAN.hard)
    image, text = features["image_features"], features["text_features"]
    margin = hard_negative_margin_loss(image, text, seeds, hard)
    assert totals["control"].item() == totals["cleaned"].item()
    assert totals["control"].item() == pytest.approx(clip_loss(image, text, model.logit_scale.exp()).item(), rel=1e-6)
    assert totals["helip"].item() == pytest.approx((totals["control"] + 0.5 * margin).item(), rel=1e-6)


def test_gamma_0_and_an_empty_plan_are_the_control():
    model = tiny()
    control = build_objective(refinement("clip", arm="control"), model)
    features = control.encode(model, batch_of(control, 6))
    expected = control.loss(features, model.logit_scale.exp())[0].item()
    empty = SimpleNamespace(seeds=[], hard=torch.empty(0, 1, dtype=torch.int64))
    assert build_objective(refinement("clip", gamma=0.0), model).loss(features, model.logit_scale.exp(), PLAN)[0].item() == expected
    assert build_objective(refinement("clip"), model).loss(features, model.logit_scale.exp(), empty)[0].item() == expected


def test_a_pretraining_recipe_has_no_margin():
    objective = build_objective(TrainConfig(steps=1, batch_size=6, learning_rate=1e-3), tiny())
    assert objective.gamma == 0
    assert objective.augmentations == ("plain",)


def slip_by_hand(objective, f, image, text, scale):
    views = [normalize(objective.head(f[f"backbone_{i}"]), dim=1) for i in (1, 2)]
    return clip_loss(image, text, scale) + 0.3 * simclr_loss(*views, 0.2)


def cyclip_by_hand(objective, f, image, text, scale):
    return clip_loss(image, text, scale) + 0.1 * in_modal_loss(image, text) + 0.7 * cross_modal_loss(image @ text.T)


def declip_by_hand(objective, f, image, text, scale):
    images, texts = [image, normalize(f["second_embedding"], dim=1)], [text, f["second_text_features"]]
    projected = [objective.projector(f[f"{view}_embedding"]) for view in ("first", "second")]
    predicted = [objective.predictor(z) for z in projected]
    masked = f["masked_loss"].sum() / f["masked_count"].sum()
    simsiam = simsiam_loss(predicted[0], projected[0], predicted[1], projected[1])
    clip, nearest = multi_view_clip_loss(images, texts, scale), nearest_text_loss(images, texts, objective.queue, scale)
    return 0.4 * clip + 0.2 * nearest + 0.2 * simsiam + 0.2 * masked


UNEQUAL = [  # weights and constants that no other of the objective has (DeCLIP's are fixed), and the sum they stand for
    (SlipObjective(head=(24, 16), simclr_weight=0.3, simclr_temperature=0.2), slip_by_hand),
    (DeclipObjective(queue=10, head=(24, 12)), declip_by_hand),
    (CyclipObjective(in_modal=0.1, cross_modal=0.7), cyclip_by_hand),
    (CloobObjective(hopfield_beta=5.0, inverse_temperature=12.0), lambda _, f, image, text, scale: cloob_loss(image, text, 12.0, 5.0)),
    (HnNceObjective(alpha=0.6, beta=0.4), lambda _, f, image, text, scale: hn_nce_of(scale * image @ text.T, 0.6, 0.4)),
]


@pytest.mark.parametrize(("declared", "by_hand"), UNEQUAL, ids=[declared.name for declared, _ in UNEQUAL])
def test_an_objective_is_the_weighted_sum_it_declares(declared, by_hand):
    model = tiny().double()
    model.logit_scale.data.fill_(math.log(12))
    objective = build_objective(TrainConfig(objective=declared, steps=1, batch_size=6, learning_rate=1e-3), model).double().eval()
    steps = [batch_of(objective, 6, seed=seed) for seed in (0, 1)]
    for batch in steps:
        batch["images"] = [x.double() for x in batch["images"]]
    earlier, features = (objective.encode(model, batch) for batch in steps)
    objective.after_step(earlier)  # DeCLIP's queue is full
    scale = model.logit_scale.exp()
    expected = by_hand(objective, features, features["image_features"], features["text_features"], scale)
    assert objective.loss(features, scale)[0].item() == pytest.approx(expected.item(), rel=1e-9)


def test_defaults_are_the_published_constants():
    published = {
        ClipObjective: {},
        SlipObjective: {"simclr_weight": 1.0, "simclr_temperature": 0.1, "head": (4096, 256)},
        DeclipObjective: {"queue": 65536, "head": (1024, 512)},
        CyclipObjective: {"in_modal": 0.25, "cross_modal": 0.25},
        CloobObjective: {"inverse_temperature": 30.0, "hopfield_beta": 8.0},
        HnNceObjective: {"alpha": 1.0, "beta": 0.25},
    }
    for kind, constants in published.items():
        assert kind().model_dump(exclude={"name"}) == constants
    defaults = {p.name: p.default for p in inspect.signature(cloob_loss).parameters.values() if p.default is not p.empty}
    assert defaults == published[CloobObjective]
    assert inspect.signature(simclr_loss).parameters["temperature"].default == published[SlipObjective]["simclr_temperature"]


def test_slip_head_is_the_published_one():
    model = open_clip.CLIP(embed_dim=16, vision_cfg=TOWERS["vit"], text_cfg=TEXT)
    head = build_objective(TrainConfig(objective=SlipObjective(), steps=1, batch_size=6, learning_rate=1e-3), model).head
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [layer.out_features for layer in head if isinstance(layer, torch.nn.Linear)] == [4096, 4096, 256]


def test_cloob_fixes_the_temperature():
    model = tiny()
    objective = build_objective(refinement("cloob"), model)
    assert objective.fixed_logit_scale == 30
    assert model.logit_scale.exp().item() == pytest.approx(30)
    assert not model.logit_scale.requires_grad


def test_similarities_stay_in_single_precision_under_autocast():
    model = tiny()
    for name in OBJECTIVES:
        objective = build_objective(refinement(name), model)
        with torch.autocast("cpu", torch.bfloat16):
            features = objective.encode(model, batch_of(objective, 6))
            loss, _ = objective.loss(features, model.logit_scale.exp(), PLAN)
        assert loss.dtype == torch.float32
        loss.backward()


# ---------------------------------------------------------------- inside the towers


@pytest.mark.parametrize("tower", TOWERS)
def test_backbone_features_lead_to_the_embedding(tower):
    visual = tiny(tower).visual.eval()
    images = torch.randn(2, 3, TOWERS[tower]["image_size"], TOWERS[tower]["image_size"], generator=torch.Generator().manual_seed(0))
    hidden = backbone_features(visual, images)
    assert hidden.shape == (2, backbone_width(visual))
    match tower:
        case "vit":
            torch.testing.assert_close(hidden @ visual.proj, visual(images))
        case "timm":
            torch.testing.assert_close(visual.head(hidden), visual(images))
        case "resnet":
            last = visual.forward_intermediates(images, indices=[4])["image_intermediates"][0]
            torch.testing.assert_close(hidden, last.mean((2, 3)))


@pytest.mark.parametrize("projection_bias", [False, True])
def test_text_with_nothing_hidden_is_the_models_own(projection_bias):
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=16, vision_cfg=TOWERS["vit"], text_cfg=TEXT | {"proj_bias": projection_bias})
    tokens = captions(4)
    features, words = encode_hidden_text(model, tokens, torch.zeros_like(tokens, dtype=torch.bool), torch.randn(32))
    torch.testing.assert_close(features, model.encode_text(tokens))
    assert words.shape == (4, 12, 32)
    short, _ = encode_hidden_text(model, tokens[:, :11], torch.zeros(4, 11, dtype=torch.bool), torch.randn(32))
    assert tokens[:, 11].sum() == 0
    torch.testing.assert_close(short, features)


@pytest.mark.parametrize(("name", "width"), [("RN50", 2048), ("ViT-B-16", 768), ("ViT-B-32", 768)])
def test_the_papers_architectures(name, width):
    """Shapes alone, on the meta device: building and running them with numbers takes seconds and gigabytes."""
    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(name))
        for objective in (build_objective(refinement(n), model) for n in ("clip", "slip")):
            images = [torch.empty(2, 3, 224, 224) for _ in objective.augmentations]
            batch = {"images": images, "tokens": torch.zeros(2, 77, dtype=torch.int64), "sample_seeds": torch.arange(2)}
            features = objective.encode(model, batch)
        assert features["image_features"].shape == (2, 1024 if name == "RN50" else 512)
        assert features["backbone_1"].shape == (2, width)
        assert build_objective(refinement("declip"), model).guess.weight.shape == (49408, 512)


def test_unknown_towers_are_refused():
    model = tiny()
    model.visual = torch.nn.Linear(1, 1)
    with pytest.raises(HelipError, match="cannot look inside a Linear"):
        build_objective(refinement("slip"), model)
    custom = open_clip.CustomTextCLIP(embed_dim=16, vision_cfg=TOWERS["vit"], text_cfg=TEXT)
    with pytest.raises(HelipError, match="objective declip needs CLIP's own text transformer"):
        build_objective(refinement("declip"), custom)


# ---------------------------------------------------------------- DeCLIP's state


def test_the_queue_holds_the_latest_texts_and_is_saved():
    model = tiny()
    objective = build_objective(refinement("declip"), model)  # a queue of 10
    steps = [objective.encode(model, batch_of(objective, 4, seed=s)) for s in range(3)]
    with torch.no_grad():
        assert objective.loss(steps[0], model.logit_scale.exp())[1]["nearest"] == 0
        for features in steps:
            objective.after_step(features)
        pushed = torch.cat([f[k] for f in steps for k in ("second_text_features", "text_features")])  # 24 rows, two turns of the queue
    assert int(objective.queued) == 24
    latest = {tuple(row.tolist()) for row in pushed[-10:]}
    assert {tuple(row.tolist()) for row in objective.queue} == latest
    restored = build_objective(refinement("declip"), tiny(seed=1))
    restored.load_state_dict(objective.state_dict())
    assert torch.equal(restored.queue, objective.queue)
    a, b = (o.loss(steps[0], model.logit_scale.exp())[0].item() for o in (objective, restored))
    assert a == b


def test_a_batch_larger_than_the_queue():
    model = tiny()
    objective = build_objective(refinement("declip"), model)
    features = objective.encode(model, batch_of(objective, 8))
    objective.after_step(features)
    texts = torch.cat([features["second_text_features"], features["text_features"]])
    assert torch.equal(objective.queue, texts[-10:])
    assert int(objective.queued) == 10


def test_declips_second_caption_is_the_first_disturbed():
    model = tiny()
    objective = build_objective(refinement("declip"), model)
    batch = batch_of(objective, 4)
    disturbed = disturb(batch["tokens"], batch["sample_seeds"])
    features = objective.encode(model, batch)
    torch.testing.assert_close(features["second_text_features"], model.encode_text(disturbed, normalize=True))
    assert not torch.equal(disturbed, batch["tokens"])


def test_objectives_leave_no_trace_in_the_model():
    model = tiny()
    before = set(model.state_dict())
    for name in OBJECTIVES:
        build_objective(refinement(name), model)
    assert set(model.state_dict()) == before
