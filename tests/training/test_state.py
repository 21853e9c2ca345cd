"""Killed at any moment and started again, a training ends with the bits it would have had."""

import os
import random
import re
import resource
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from forks import processes, quiet
from safetensors.torch import load_file
from toys import job, recipe, refinement

from helip.config import EarlyStopping
from helip.errors import HelipError
from helip.io import read_json
from helip.models import interpolation
from helip.models import published as importing
from helip.models.export import export
from helip.models.layout import WEIGHTS
from helip.training import state
from helip.training.curve import MetricsLog
from helip.training.distributed import DistributedContext
from helip.training.loop import REQUEUE, train

KILLS = 20
PLAIN = {"steps": 30, "save_every": 1, "clip_norm": 1.0}
EVERYTHING = PLAIN | {
    "steps": 24, "ema": 0.9, "accumulate": 2, "early_stopping": EarlyStopping(every=8, patience=9, held_out=0.2),
    "augmentation": {"crop_scale": (0.5, 1.0), "flip": 0.5},
}  # fmt: skip

DECLIP = PLAIN | {"steps": 24, "objective": {"name": "declip", "queue": 64, "head": (16, 8)}, "precision": "fp16"}
RECIPES = {"plain": PLAIN, "everything": EVERYTHING, "declip in half precision": DECLIP}


def attempt(folder: Path, settings: dict, moment: float | None, number: int = signal.SIGKILL) -> int:
    """One process that trains in `folder` and is sent a signal `moment` seconds after its training begins; its exit code."""
    process = processes().Process(target=train_until, args=(folder, settings, moment, number))
    process.start()
    process.join(120)
    return process.exitcode


def train_until(folder: Path, settings: dict, moment: float | None, number: int) -> None:
    quiet(folder)
    torch.set_num_threads(1)
    one = job(folder, refinement(**settings))
    if moment is not None:
        threading.Timer(moment, os.kill, (os.getpid(), number)).start()
    code = train(one, DistributedContext())
    os._exit(code)  # at once: the timer may still run


def result(folder: Path) -> tuple:
    """Weights, curve without the timings, digest of all draws."""
    rows = (folder / "model/curve.csv").read_text().splitlines()
    timing = rows[0].split(",").index("samples_per_second")
    curve = [[cell for i, cell in enumerate(row.split(",")) if i != timing] for row in rows]
    return load_file(folder / "model/open_clip_model.safetensors"), curve, read_json(folder / "model/train.json")["draws"]


def assert_same(a: tuple, b: tuple) -> None:
    assert a[1:] == b[1:]
    assert a[0].keys() == b[0].keys()
    assert all(torch.equal(w, b[0][name]) for name, w in a[0].items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Path]:
    """Folders of trainings that nobody interrupted."""
    folders = {}
    for name, settings in RECIPES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        assert attempt(folders[name], settings, None) == 0
    return folders


@pytest.mark.parametrize(("name", "settings"), RECIPES.items())
def test_sigkill_at_random_moments_changes_nothing(tmp_path, whole, name, settings):
    expected, moments = result(whole[name]), random.Random(0)
    seconds = read_json(whole[name] / "model/train.json")["wall_clock_seconds"]
    kills = in_save = trainings = 0
    while kills < KILLS // 2 or not in_save:  # with a save after every step, some kill soon hits one
        folder = tmp_path / str(trainings)
        folder.mkdir(exist_ok=True)
        code = attempt(folder, settings, moments.uniform(0, max(0.2, 0.4 * seconds)))
        kills += code == -signal.SIGKILL
        in_save += bool(list((folder / "state").glob(".step*")))
        if code == 0:
            assert_same(result(folder), expected)
            trainings += 1
    folder = tmp_path / str(trainings)
    folder.mkdir(exist_ok=True)
    assert attempt(folder, settings, None) == 0
    assert_same(result(folder), expected)


def half_saved(value, file) -> None:
    """A process that dies in the middle of writing its state."""
    torch_save(value, file)
    file.flush()
    os.truncate(file.fileno(), file.tell() // 2)
    os.kill(os.getpid(), signal.SIGKILL)


torch_save = torch.save


def dies_while_saving(folder: Path, settings: dict, step: int) -> None:
    quiet(folder)
    torch.set_num_threads(1)
    torch.save = lambda value, file: half_saved(value, file) if value.get("step") == step else torch_save(value, file)
    train(job(folder, refinement(**settings)), DistributedContext())
    sys.exit(0)


def test_a_death_within_a_save_leaves_the_state_before(tmp_path, whole):
    process = processes().Process(target=dies_while_saving, args=(tmp_path, PLAIN, 7))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(list((tmp_path / "state").glob(".step*"))) == 1
    assert sorted(p.name for p in (tmp_path / "state").glob("step*")) == ["step000000005.pt", "step000000006.pt"]
    assert attempt(tmp_path, PLAIN, None) == 0
    assert_same(result(tmp_path), result(whole["plain"]))
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_time_limit_saves_and_asks_to_be_requeued(tmp_path, whole, number):
    settings = PLAIN | {"save_every": 1000}
    assert attempt(tmp_path, settings, 0.05, number) == REQUEUE == 75
    assert len(list((tmp_path / "state").glob("step*.pt"))) == 1
    assert not (tmp_path / "model").exists()
    assert attempt(tmp_path, settings, None) == 0
    assert_same(result(tmp_path), result(whole["plain"]))


# ---------------------------------------------------------------- files


def test_the_last_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        state.save(tmp_path, step, "mine", {"x": torch.tensor(step)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step000000002.pt", "step000000003.pt"]
    assert state.latest(tmp_path, "mine")["x"] == 3


def test_a_damaged_state_gives_way_to_the_one_before(tmp_path):
    for step in (1, 2):
        state.save(tmp_path, step, "mine", {})
    os.truncate(tmp_path / "step000000002.pt", 100)
    assert state.latest(tmp_path, "mine")["step"] == 1


def test_the_state_of_another_run_is_refused(tmp_path):
    state.save(tmp_path, 1, "theirs", {})
    with pytest.raises(HelipError, match="is the state of another run"):
        state.latest(tmp_path, "mine")


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_code_in_a_state_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"digest": "mine", "step": 1, "x": Malicious()}, tmp_path / "step000000001.pt")
    assert state.latest(tmp_path, "mine") is None
    assert not (tmp_path / "ran").exists()


def on_a_full_disk(folder: Path, what: str) -> None:
    """Writes it where a file may have 10,000 bytes, and what was said into `folder`."""
    quiet(folder)
    one = job(folder / "toy", recipe())
    weights = one.clip.model.state_dict()
    state.save(one.state_dir, 1, "toy", {"x": torch.zeros(10)})
    export(folder / "refined", one.clip, weights, MetricsLog().write, {})
    importing.read_published = lambda file: importing.Published("toy", {}, {}, weights)
    write = {
        "state": lambda: state.save(one.state_dir, 2, "toy", weights),
        "model": lambda: export(folder / "model", one.clip, weights, MetricsLog().write, {}),
        "interpolation": lambda: interpolation.write(str(folder / "refined"), folder / "refined", 0.5, folder / "mixed"),
        "import": lambda: importing.import_checkpoint(folder / "refined" / WEIGHTS, folder / "imported"),
    }
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        write[what]()
    except HelipError as error:
        (folder / "error").write_text(str(error))


@pytest.mark.parametrize("what", ["state", "model", "interpolation", "import"])
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, what):
    process = processes().Process(target=on_a_full_disk, args=(tmp_path, what))
    process.start()
    process.join(60)
    assert re.search(r"could not be written \(.*File too large.*\); free space", (tmp_path / "error").read_text())
    assert [p.name for p in (tmp_path / "toy/state").glob("*")] == ["step000000001.pt"]
    assert {p.name for p in tmp_path.iterdir()} - {"error", "toy", "refined"} == {p.name for p in tmp_path.glob("said.*")}
