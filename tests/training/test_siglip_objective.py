"""A model with a logit bias is refined by the sigmoid loss, its margin included; softmax and sigmoid are not confused."""

import math

import pytest
import torch
from safetensors.torch import load_file
from test_distributed import run
from test_step import gradient
from tiny_objectives import tiny
from toys import ToyCorpus, declaration, job, refinement

from helip.config import Model, Refinement, TrainConfig
from helip.errors import HelipError
from helip.losses.hnml import margin_of
from helip.losses.siglip import sigmoid_of
from helip.models import loading as models
from helip.training.distributed import DistributedContext
from helip.training.loop import Trainer, train
from helip.training.objectives import build_objective

SCALE, BIAS = 117.0, -12.9  # of the published SigLIPs
SIGLIP = {"name": "siglip"}


def sigmoid_clip(folder):
    config = declaration().config | {"init_logit_scale": math.log(SCALE), "init_logit_bias": BIAS, "custom_text": True}
    return models.new(Model(config=config, tokenizer="corpus", vocabulary=300), ToyCorpus(), folder / "tokenizer", 0)


def trainer(folder, **settings):
    one = Trainer(job(folder, refinement(objective=SIGLIP, **settings), clip=sigmoid_clip(folder)), DistributedContext())
    one.model.double()
    return one


def test_its_loss_is_the_sigmoid_and_the_margin(tmp_path):
    one = trainer(tmp_path, gamma=0.5)
    plan, inputs = next(one.batches())
    inputs["images"] = [x.double() for x in inputs["images"]]
    features, loss, parts = one.stepper.gradient(inputs, plan)
    image, text = features["image_features"], features["text_features"]
    own = sigmoid_of(SCALE * image @ text.T + BIAS)
    margin = margin_of(image @ text.T, plan.seeds, plan.hard)
    assert parts["siglip"].item() == pytest.approx(own.item(), rel=1e-6)
    assert parts["margin"].item() == pytest.approx(margin.item(), rel=1e-6) and margin > 0
    assert loss.item() == pytest.approx((own + 0.5 * margin).item(), rel=1e-6)


def test_the_bias_has_its_gradient_once(tmp_path):
    one = trainer(tmp_path, gamma=0.0)
    plan, inputs = next(one.batches())
    inputs["images"] = [x.double() for x in inputs["images"]]
    features, _, _ = one.stepper.gradient(inputs, plan)
    bias = torch.tensor(BIAS, dtype=torch.float64, requires_grad=True)
    sigmoid_of(SCALE * features["image_features"] @ features["text_features"].T + bias).backward()
    assert one.model.logit_bias.grad.item() == pytest.approx(bias.grad.item(), rel=1e-5)


def test_it_accumulates(tmp_path):
    whole, loss = gradient(trainer(tmp_path))
    cut, cut_loss = gradient(trainer(tmp_path, accumulate=3))
    assert torch.allclose(loss, cut_loss, rtol=1e-6)
    assert (cut - whole).norm() <= 1e-6 * whole.norm()


def in_a_process(folder, world, accumulate):
    own = sigmoid_clip(folder / f"of-{world.rank}")
    one = Trainer(job(folder, refinement(objective=SIGLIP, accumulate=accumulate), clip=own), world)
    plan, inputs = next(one.batches())
    _, loss, _ = one.stepper.gradient(inputs, plan)
    return {"loss": loss.item()} | {name: p.grad.clone() for name, p in one.model.named_parameters()}


def test_two_processes_have_the_gradient_of_one(tmp_path):
    one, two = run(tmp_path / "one", in_a_process, 1, accumulate=1), run(tmp_path / "two", in_a_process, 2, accumulate=2)
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-6)
    for name in one.keys() - {"loss"}:  # the bias and the scale among them
        assert (one[name] - two[name]).norm() <= 1e-4 * one[name].norm(), name


def test_a_refinement_keeps_scale_and_bias_and_opens_again(tmp_path):
    recipe = refinement(objective=SIGLIP, steps=3, learning_rate=1e-4)
    assert train(job(tmp_path, recipe, clip=sigmoid_clip(tmp_path)), DistributedContext()) == 0
    weights = load_file(tmp_path / "model/open_clip_model.safetensors")
    assert weights["logit_scale"].exp().item() == pytest.approx(SCALE, rel=1e-2)  # not cut at CLIP's 100
    assert weights["logit_bias"].item() == pytest.approx(BIAS, rel=1e-2)
    assert weights["logit_bias"] != torch.tensor(BIAS)
    assert models.open_start(tmp_path / "model").model.logit_bias.item() == weights["logit_bias"].item()


def test_low_rank_updates_train_scale_and_bias(tmp_path):
    recipe = refinement(objective=SIGLIP, steps=3, learning_rate=1e-4, lora=2)
    assert train(job(tmp_path, recipe, clip=sigmoid_clip(tmp_path)), DistributedContext()) == 0
    model = models.open_start(tmp_path / "model").model
    assert model.logit_bias.item() == pytest.approx(BIAS, rel=1e-2)
    assert model.logit_bias != torch.tensor(BIAS) and model.logit_scale != torch.tensor(math.log(SCALE))


def settings(kind, **more):
    return kind(steps=1, batch_size=6, learning_rate=1e-3, **more)


def test_softmax_and_sigmoid_are_not_confused(tmp_path):
    with pytest.raises(HelipError, match="has no logit_bias: start from a SigLIP, or set objective clip"):
        build_objective(settings(TrainConfig, objective=SIGLIP), tiny())
    with pytest.raises(HelipError, match="made for the sigmoid loss .*: set objective siglip"):
        build_objective(settings(Refinement, arm="control"), sigmoid_clip(tmp_path).model)


def test_captions_beside_the_batch_are_of_the_softmax():
    with pytest.raises(ValueError, match="role negatives"):
        settings(Refinement, objective=SIGLIP, role="negatives")
