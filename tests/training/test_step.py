"""The gradient of a step: cut into micro-batches, checkpointed, in low precision."""

import copy

import pytest
import torch
from timm.layers import convert_sync_batchnorm
from toys import RESNET, VIT, ToyCorpus, declaration, job, refinement

from helip.losses.clip import symmetric_info_nce
from helip.losses.hnml import margin_of
from helip.models import loading as models
from helip.training.distributed import DistributedContext
from helip.training.loop import Trainer

EFFICIENTNET = {"timm_model_name": "test_efficientnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32}


def training(folder, vision=None, double=True, **settings) -> Trainer:
    corpus = ToyCorpus()
    clip = models.new(declaration(vision), corpus, folder / "tokenizer", seed=0) if vision else None
    one = Trainer(job(folder, refinement(**settings), corpus, clip), DistributedContext())
    if double:
        one.model.double()
        one.objective.double()
    return one


def gradient(one: Trainer, double=True) -> tuple[torch.Tensor, torch.Tensor]:
    batch, inputs = next(one.batches())
    if double:
        inputs["images"] = [x.double() for x in inputs["images"]]
    _, loss, _ = one.stepper.gradient(inputs, batch)
    trained = [p for p in (*one.model.parameters(), *one.objective.parameters()) if p.requires_grad]
    return torch.cat([p.grad.flatten() for p in trained]), loss


@pytest.mark.parametrize(("pieces", "role"), [(2, "batch"), (3, "batch"), (12, "batch"), (3, "negatives")])
def test_accumulation_gives_the_gradient_of_the_whole_batch(tmp_path, pieces, role):
    whole, loss = gradient(training(tmp_path, role=role))
    cut, cut_loss = gradient(training(tmp_path, accumulate=pieces, role=role))
    assert torch.allclose(cut, whole, rtol=1e-9, atol=1e-12)
    assert torch.allclose(loss, cut_loss, rtol=1e-9)
    assert whole.abs().max() > 1e-3


OBJECTIVES = [
    {"name": "slip", "head": (8, 4)},
    {"name": "declip", "queue": 32},
    {"name": "cyclip"},
    {"name": "cloob"},
    {"name": "hn_nce"},
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=[o["name"] for o in OBJECTIVES])
def test_every_objective_accumulates(tmp_path, objective):
    whole, loss = gradient(training(tmp_path, objective=objective))
    cut, cut_loss = gradient(training(tmp_path, objective=objective, accumulate=3))
    assert torch.allclose(loss, cut_loss, rtol=1e-6)
    assert (cut - whole).norm() <= 1e-6 * whole.norm()


@pytest.mark.parametrize("synchronised", [False, True], ids=["one GPU", "several GPUs"])
def test_accumulation_counts_batch_statistics_once(tmp_path, synchronised):
    one = training(tmp_path, RESNET, accumulate=2)
    if synchronised:
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(one.model)
    norm = one.model.visual.bn1
    assert isinstance(norm, torch.nn.SyncBatchNorm) == synchronised
    batch, inputs = next(one.batches())
    inputs["images"] = [x.double() for x in inputs["images"]]
    by_hand = copy.deepcopy(one.model).train()
    for half in inputs["images"][0].chunk(2):
        by_hand.encode_image(half)
    one.stepper.gradient(inputs, batch)
    assert norm.num_batches_tracked == 2
    assert norm.momentum == 0.1
    assert torch.allclose(norm.running_mean, by_hand.visual.bn1.running_mean)


@pytest.mark.parametrize("synchronised", [False, True], ids=["one GPU", "several GPUs"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_checkpointing_counts_batch_statistics_once(tmp_path, accumulate, synchronised):
    ends = []
    for checkpoints in (False, True):
        one = training(tmp_path, EFFICIENTNET, accumulate=accumulate, checkpoint_gradients=checkpoints)
        if synchronised:
            convert_sync_batchnorm(one.model)
        grown, _ = gradient(one)
        ends.append((grown, {name: x.clone() for name, x in one.model.visual.named_buffers()}))
        assert all(x == accumulate for name, x in ends[-1][1].items() if name.endswith("num_batches_tracked"))
        assert {m.momentum for m in one.model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)} == {0.1}
    (whole, plain), (checkpointed, statistics) = ends
    assert torch.allclose(whole, checkpointed, rtol=1e-9, atol=1e-12)
    assert all(torch.allclose(x, statistics[name], rtol=1e-9) for name, x in plain.items()) and len(plain) > 10


def test_checkpointing_changes_nothing(tmp_path):
    whole, _ = gradient(training(tmp_path))
    checkpointed, _ = gradient(training(tmp_path, checkpoint_gradients=True))
    assert torch.allclose(whole, checkpointed, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_is_near_full_precision(tmp_path, precision):
    whole, loss = gradient(training(tmp_path, double=False), double=False)
    one = training(tmp_path, double=False, precision=precision)
    if precision == "fp16":
        one.stepper.scaler.load_state_dict(one.stepper.scaler.state_dict() | {"scale": 2.0**10})  # the usual 2^16 overflows at first
    low, low_loss = gradient(one, double=False)
    low = low / one.stepper.scaler.get_scale()
    assert low_loss.dtype == torch.float32
    # A rounding to nearest has a relative error of at most u, half of eps: u / sqrt(3) as a root mean square. A tower of one block has 8
    # products (patches or tokens, in, q k, attention v, out, two of the MLP, head), each of which rounds two factors and its result: 24
    # roundings. They turn its unit feature by sqrt(24 / 3) u in a random direction of 16, both towers the cosine by sqrt(2 / 16) of that,
    # and the logit by `scale` times as much. A row's loss is one logit less a weighted mean of others: at most sqrt(2) times that; the
    # loss is the mean of 12 rows. The gradient has the rows' error, and that of its own roundings: those 24 and twice as many backwards.
    u, scale = torch.finfo(getattr(torch, {"bf16": "bfloat16", "fp16": "float16"}[precision])).eps / 2, one.model.logit_scale.exp().item()
    row = 2**0.5 * scale * (2 / 16) ** 0.5 * (24 / 3) ** 0.5 * u
    turned = (row**2 + 72 / 3 * u**2) ** 0.5
    assert abs(low_loss - loss) < 3 * row / 12**0.5
    assert 1 - torch.cosine_similarity(low.double(), whole.double(), dim=0) < (3 * turned) ** 2 / 2


def test_fp16_skips_a_step_whose_gradient_overflows(tmp_path):
    one = training(tmp_path, double=False, precision="fp16")
    before = copy.deepcopy(one.model.state_dict())
    one.stepper.scaler.load_state_dict(one.stepper.scaler.state_dict() | {"scale": 2.0**60})
    batch, inputs = next(one.batches())
    loss, _ = one.stepper(inputs, batch, 0.1)
    assert loss.isfinite()
    assert all(torch.equal(before[n], w) for n, w in one.model.state_dict().items())
    assert one.stepper.scaler.get_scale() == 2.0**59


def test_clipping_bounds_the_gradient(tmp_path):
    one = training(tmp_path, double=False, clip_norm=1e-3)
    batch, inputs = next(one.batches())
    unclipped = training(tmp_path, double=False)
    for trainer in (one, unclipped):
        trainer.stepper(inputs, batch, 0.1)
    norm, whole = (torch.cat([p.grad.flatten() for p in t.model.parameters()]).norm().item() for t in (one, unclipped))
    assert norm == pytest.approx(1e-3 * whole / (whole + 1e-6), rel=1e-5)  # torch adds 1e-6 to the norm it divides by


def test_clipping_is_of_the_unscaled_gradient(tmp_path):
    """AdamW's first moment is 0.1 of the gradient that it takes, whose norm is the bound and not the bound over the loss's scale."""
    one = training(tmp_path, double=False, clip_norm=1e-3, precision="fp16")
    one.stepper.scaler.load_state_dict(one.stepper.scaler.state_dict() | {"scale": 2.0**10})
    batch, inputs = next(one.batches())
    one.stepper(inputs, batch, 0.1)
    moments = [state["exp_avg"].flatten() for state in one.stepper.optimiser.state.values()]
    assert torch.cat(moments).norm().item() == pytest.approx(0.1 * 1e-3, rel=0.01)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_dropout_is_drawn_from_the_seed_of_the_step(tmp_path, accumulate):
    one = training(tmp_path, VIT | {"patch_dropout": 0.5}, double=False, accumulate=accumulate)
    batch, inputs = next(one.batches())
    losses = [one.stepper(inputs, batch, 0.0, seed)[0].item() for seed in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]


def test_a_step_keeps_the_logit_scale_within_its_bounds(tmp_path):
    one = training(tmp_path, double=False)
    batch, inputs = next(one.batches())
    for beyond, bound in ((9.0, 100), (-1.0, 1)):
        one.model.logit_scale.data.fill_(beyond)
        one.stepper(inputs, batch, 0.0)
        assert one.model.logit_scale.exp().item() == pytest.approx(bound, rel=1e-6)


def test_the_margin_is_part_of_the_gradient(tmp_path):
    with_margin, _ = gradient(training(tmp_path, gamma=1.0))
    without, _ = gradient(training(tmp_path, gamma=0.0))
    assert not torch.allclose(with_margin, without, rtol=1e-4, atol=1e-8)


def test_captions_beside_the_batch_are_columns_of_the_loss(tmp_path):
    one = training(tmp_path, role="negatives", p=2, gamma=0.5)
    batch, inputs = next(one.batches())
    inputs["images"] = [x.double() for x in inputs["images"]]
    _, loss, parts = one.stepper.gradient(inputs, batch)
    further = batch.captions[batch.captions >= 0].tolist()
    assert len(further) >= 10
    with torch.no_grad():
        captions = [one.job.corpus.caption(i) for i in [*batch.ids.tolist(), *further]]
        image = one.model.encode_image(inputs["images"][0], normalize=True)
        text = one.model.encode_text(one.job.clip.tokenize(captions), normalize=True)
        similarity, scale = image @ text.T, one.model.logit_scale.exp()
        clip = symmetric_info_nce(scale * similarity)
        margin = margin_of(similarity, batch.seeds, batch.hard)
    assert parts["clip"].item() == pytest.approx(clip.item(), rel=1e-9)
    assert loss.item() == pytest.approx((clip + 0.5 * margin).item(), rel=1e-9)


def test_short_captions_have_the_same_features():
    model = models.build(declaration().config).double().eval()
    tokens = torch.tensor([[1, 3, 4, 200, 0, 0], [1, 3, 200, 0, 0, 0]])
    whole = torch.nn.functional.pad(tokens, (0, 10))
    model.token_embedding = torch.nn.Embedding(300, 16).double()
    a, b = model.encode_text(tokens, normalize=True), model.encode_text(whole, normalize=True)
    assert torch.allclose(a, b, rtol=1e-10)
