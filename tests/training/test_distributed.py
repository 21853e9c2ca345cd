"""Two gloo processes against one: the same global batch, the same gradient, the same drawn pairs."""

import os
import socket
from pathlib import Path

import pytest
import torch
from forks import processes, quiet
from test_step import EFFICIENTNET
from timm.layers import BatchNormAct2d
from toys import ToyCorpus, ToyPairs, declaration, job, refinement

from helip import HardPairSampler, HelipLoss
from helip.errors import HelipError
from helip.io import read_json
from helip.models import loading as models
from helip.training import distributed, loop
from helip.training.distributed import DistributedContext, check_divides, join, leave
from helip.training.loop import Trainer, train


def run(folder: Path, what, count: int, **settings) -> dict:
    """What `what(folder, world, **said)` returns in the first of `count` processes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    started = [processes().Process(target=one_process, args=(folder, what, rank, count, port, settings)) for rank in range(count)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert [p.exitcode for p in started] == [0] * count, "".join(p.read_text() for p in folder.glob("said.*"))
    return torch.load(folder / "saved.pt", weights_only=True)


def one_process(folder: Path, what, rank: int, count: int, port: int, settings: dict) -> None:
    quiet(folder)
    torch.set_num_threads(1)
    world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in world.items()}
    world = join("cpu")
    saved = what(folder, world, **settings)
    if world.leads:
        torch.save(saved, folder / "saved.pt")
    world.barrier()
    leave()


def clip_in(folder: Path, world: DistributedContext) -> models.Clip:
    if not world.leads:
        world.barrier()
    clip = models.new(declaration(), ToyCorpus(), folder / "tokenizer", seed=0)
    if world.leads:
        world.barrier()
    return clip


def gradient(folder: Path, world: DistributedContext, **settings) -> dict:
    one = Trainer(job(folder, refinement(**settings), clip=clip_in(folder, world)), world)
    batch, inputs = next(one.batches())
    _, loss, parts = one.stepper.gradient(inputs, batch)
    trained = [*one.model.named_parameters(), *one.objective.named_parameters(prefix="objective")]
    gradients = {name: p.grad.clone() for name, p in trained if p.requires_grad}
    return {"ids": batch.ids.tolist(), "gradient": gradients, "loss": loss.item(), "margin": parts["margin"].item()}


def whole_training(folder: Path, world: DistributedContext, **settings) -> dict:
    one = job(folder, refinement(**settings), clip=clip_in(folder, world))
    assert train(one, world) == 0
    losses = [float(row.split(",")[1]) for row in (one.out / "curve.csv").read_text().splitlines()[1:]]
    return {"draws": read_json(one.out / "train.json")["draws"], "losses": losses}


SETTINGS = {
    "whole": {},
    "accumulated, captions beside the batch": {"accumulate": 2, "role": "negatives"},
    "slip": {"objective": {"name": "slip", "head": (8, 4)}},
    "declip": {"objective": {"name": "declip", "queue": 32}},
    "declip, accumulated": {"objective": {"name": "declip", "queue": 32}, "accumulate": 2},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_gradients_agree(tmp_path, settings):
    one, two = run(tmp_path / "one", gradient, 1, **settings), run(tmp_path / "two", gradient, 2, **settings)
    assert one["ids"] == two["ids"]
    assert one["margin"] > 0  # and hard pairs of one process's rows are rows of the other
    for name in one["gradient"]:
        a, b = one["gradient"][name], two["gradient"][name]
        assert (a - b).norm() <= 1e-5 * a.norm(), name  # rounding, which SLIP's batch normalisation amplifies
    assert abs(one["loss"] - two["loss"]) <= 1e-6 * one["loss"]


def batch_statistics(folder: Path, world: DistributedContext, **settings) -> dict:
    """What normalisation counted in a step of a tower that is run again in the backward pass, and the gradient."""
    models_of = folder / f"of-{world.rank}"
    clip = models.new(declaration(EFFICIENTNET), ToyCorpus(), models_of / "tokenizer", seed=0)
    one = Trainer(job(folder, refinement(**settings), clip=clip), world)
    one.model.double()
    batch, inputs = next(one.batches())
    inputs["images"] = [x.double() for x in inputs["images"]]
    one.stepper.gradient(inputs, batch)
    grown = {name: p.grad.clone() for name, p in one.model.visual.named_parameters()}
    return grown | {name: x.clone() for name, x in one.model.visual.named_buffers()}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_checkpoints_count_statistics_once_in_processes(tmp_path, accumulate):
    plain, again = (run(tmp_path / str(on), batch_statistics, 2, accumulate=accumulate, checkpoint_gradients=on) for on in (False, True))
    assert all(torch.allclose(x, again[name], rtol=1e-9, atol=1e-12) for name, x in plain.items())
    assert plain["trunk.bn1.num_batches_tracked"] == accumulate


def test_a_refinement_goes_alike_and_draws_the_same_pairs(tmp_path):
    one, two = run(tmp_path / "one", whole_training, 1), run(tmp_path / "two", whole_training, 2)
    assert one["draws"] == two["draws"]
    assert one["losses"] == pytest.approx(two["losses"], rel=8 * 1e-6)  # eight steps, each within the bound of one in the test above


def states_disagree(folder: Path, world: DistributedContext) -> dict:
    loop.state.latest = lambda folder, digest: None if world.rank else {"step": 6}
    with pytest.raises(HelipError) as refused:
        Trainer(job(folder, refinement(), clip=clip_in(folder, world)), world)
    return {"said": str(refused.value)}


def linear_gradient(folder: Path, world: DistributedContext) -> dict:
    """The gradient of HelipLoss over a linear layer, as DistributedDataParallel averages it."""
    rows = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    plan = HardPairSampler(ToyPairs(40), 8).plan(0)
    torch.manual_seed(0)
    layer = world.wrap(torch.nn.Linear(6, 5))
    own = torch.nn.functional.normalize(layer(rows), dim=1)[len(rows) // world.size * world.rank :][: len(rows) // world.size]
    HelipLoss(gamma=2.0, world_size=world.size)(own, own.roll(1, 1), 10.0, plan=plan).backward()
    return {name: p.grad for name, p in layer.named_parameters()}


def test_helip_loss_gathers_with_its_gradients(tmp_path):
    one, two = (run(tmp_path / str(count), linear_gradient, count) for count in (1, 2))
    for (_, alone), (_, together) in zip(sorted(one.items()), sorted(two.items()), strict=True):
        assert torch.allclose(alone, together, atol=1e-6) and alone.abs().max() > 0.01


def test_processes_that_find_different_states_are_refused(tmp_path):
    assert "the processes do not find the same state there" in run(tmp_path / "two", states_disagree, 2)["said"]


def test_batch_normalisation_is_synchronised_with_its_activation(monkeypatch):
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda module, **_: module)
    tower, images = torch.nn.Sequential(BatchNormAct2d(3), torch.nn.BatchNorm2d(3)).eval(), torch.randn(4, 3, 2, 2)
    expected = tower(images)
    synchronised = DistributedContext(size=2, device=torch.device("cuda", 0)).wrap(tower)
    assert all(isinstance(layer, torch.nn.SyncBatchNorm) for layer in synchronised)
    assert torch.equal(synchronised(images), expected)


def test_a_world_that_does_not_divide_the_batch_is_refused():
    check_divides(24, 4, 3)
    with pytest.raises(HelipError, match="batch_size 12 does not divide into 8 processes x 1 micro-batches: use a multiple of 8"):
        check_divides(12, 8, 1)
