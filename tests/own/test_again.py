"""The same command again, with the same words or others: what is kept, what is made anew, and what is refused before anything is lost."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import yaml
from archives import noisy

from helip.cli import main
from helip.errors import HelipError
from helip.io import read_json, write_json
from helip.own import refine
from helip.own.demo import demo
from helip.own.files import write
from helip.own.refine import RECORD, Way, dry_run
from helip.own.start import StartFacts
from helip.own.study import Machine, Request

CONFIG = {"embed_dim": 16, "vision_cfg": {"image_size": 32}, "text_cfg": {"context_length": 16}}
START = StartFacts("local-dir:/start", "", CONFIG, 1_000_000, False, 32, 0.01, 0.001, 0.05, 4_000_000)
FROZEN = ("image", "text")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of 60 captioned images, and a start that need not be opened."""
    monkeypatch.setattr(refine, "look_at", lambda *_: START)
    monkeypatch.setattr(refine, "digest_of", lambda *_: "x")
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(60):
        add(folder, n)
    return folder


def add(folder, n):
    (folder / f"{n}.jpg").write_bytes(noisy(seed=n))
    (folder / f"{n}.txt").write_text(f"caption {n}")


def asked(photos, **options) -> Request:
    return Request(model="local-dir:/start", data=str(photos), arms=("control", "helip"), **options)


def declared(way) -> dict:
    refine._declare(*way)
    return yaml.safe_load((way[1].out / "experiments/studies/own.yaml").read_text())


def test_refused_options_leave_the_folder_as_it_was(photos, tmp_path):
    way = Way(tmp_path / "out", Machine(2, 0))
    before = declared((asked(photos, freeze=FROZEN), way))
    with pytest.raises(HelipError, match="checkpoint_gradients"):
        declared((asked(photos, freeze=FROZEN, refinement={"checkpoint_gradients": True}), way))
    assert declared((asked(photos, freeze=FROZEN), way)) == before
    assert declared((asked(photos, freeze=FROZEN, refinement={"epochs": 2.0}), way))["refinement"]["epochs"] == 2.0


def test_a_kill_before_the_record_is_no_edit(photos, tmp_path, monkeypatch):
    way = Way(tmp_path / "out", Machine(2, 0))
    before = declared((asked(photos), way))

    def killed(path, value):
        if "pending" not in value:
            raise KeyboardInterrupt
        write_json(path, value)

    monkeypatch.setattr(refine, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        declared((asked(photos, refinement={"epochs": 2.0}), way))
    monkeypatch.setattr(refine, "write_json", write_json)
    assert declared((asked(photos), way)) == before


def test_a_kill_while_steps_are_fitted_is_no_edit(photos, tmp_path, monkeypatch):
    way = Way(tmp_path / "out", Machine(2, 0), minutes=9.0)
    study = declared((asked(photos), way))

    def killed(out, content, root):
        write(out, content, root)
        raise KeyboardInterrupt

    monkeypatch.setattr(refine, "write", killed)
    refine._set_steps(study, 7, asked(photos))
    with pytest.raises(KeyboardInterrupt):
        refine._write(way.out, study, read_json(way.out / RECORD) | {"steps": 7})
    monkeypatch.setattr(refine, "write", write)
    assert "steps" not in declared((asked(photos), way))["refinement"]  # they are fitted again
    assert "pending" not in read_json(way.out / RECORD)


def test_what_jobs_may_use_is_applied_the_second_time(photos, tmp_path, capsys):
    out = tmp_path / "out"
    before = declared((asked(photos), Way(out, Machine(2, 0, 8000), minutes=9.0)))
    write_json(out / RECORD, read_json(out / RECORD) | {"steps": 7})  # as is fitted into --minutes
    after = declared((asked(photos), Way(out, Machine(16, 0, 32000), minutes=9.0)))
    assert (before["resources"]["mine"], after["resources"]["mine"]) == (
        {"threads": 1, "mem_mb": 8000, "runtime": 720},
        {"threads": 8, "mem_mb": 32000, "runtime": 720},
    )
    assert after["refinement"]["steps"] == read_json(out / RECORD)["steps"] == 7 and "epochs" not in after["refinement"]
    file = out / "experiments/studies/own.yaml"
    file.write_text(file.read_text() + "# mine\n")
    declared((asked(photos), Way(out, Machine(1, 0, 1), minutes=9.0)))
    assert "was edited; it is taken as it is, whatever --gpus and --memory-mb say" in capsys.readouterr().err
    assert yaml.safe_load(file.read_text()) == after


def test_a_dry_run_is_of_the_options_that_it_has(photos, tmp_path):
    way = Way(tmp_path / "out", Machine(2, 0))
    declared((asked(photos), way))
    other = asked(photos, refinement={"steps": 7, "batch_size": 64, "learning_rate": 0.5})
    assert "7 steps of 64 pairs, learning rate 0.5" in dry_run(other, way)
    file = way.out / "experiments/studies/own.yaml"
    file.write_text(file.read_text() + "# mine\n")
    with pytest.raises(HelipError, match="was edited, and the options changed since"):
        dry_run(other, way)
    assert "about 9 steps of 16 pairs" in dry_run(asked(photos), way)


@pytest.mark.parametrize(
    ("refinement", "words"),
    [
        ({"objective": {"name": "siglip"}, "duplicates": "separate"}, "this one has no logit_bias: start from a SigLIP"),
        ({"lora": 64}, "lora 64: the smallest matrix has rank 32; give a smaller rank"),
        ({"trunk_rate": 0.1}, "trunk_rate 0.1: the model has no unfrozen blocks of a trunk; leave it out"),
        ({"freeze_image": 0.1}, "freeze_image 0.1: is no block of the image tower's 2"),
        ({"batch_size": 16, "accumulate": 3}, "batch_size 16 does not divide into 1 processes x 3 micro-batches"),
        ({"p": 20}, r"--p 20: a pair has 5 hard pairs at most \(mining: k, for about 48 pairs of training\); lower it"),
        ({"early_stopping": {"every": 5, "held_out": 0.01}}, "early_stopping: held_out 0.01 of 48 pairs is no pair at all: raise it"),
    ],
)
def test_what_a_start_cannot_take_is_said_first(refinement, words, photos, tmp_path, monkeypatch):
    narrow = {"width": 32, "layers": 2}
    config = CONFIG | {"vision_cfg": narrow | {"image_size": 32, "head_width": 32}, "text_cfg": narrow | {"heads": 2}}
    monkeypatch.setattr(refine, "look_at", lambda *_: dataclasses.replace(START, config=config))
    way = Way(tmp_path / "out", Machine(2, 0))
    for refused in (dry_run, refine.refine):
        with pytest.raises(HelipError, match=words):
            refused(asked(photos, refinement=refinement), way)
    assert not (way.out / RECORD).exists()


@pytest.mark.parametrize(
    ("refinement", "words"), [({"trunk_rate": 0.1}, "no unfrozen blocks"), ({"lora": 17}, "smallest matrix has rank 16")]
)
def test_what_heads_cannot_take_is_said_first(refinement, words, photos, tmp_path):
    with pytest.raises(HelipError, match=words):
        dry_run(asked(photos, freeze=FROZEN, refinement=refinement), Way(tmp_path / "out", Machine(2, 0)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "both towers are trained"),
        ({"refinement": {"freeze_image": 1.0}}, "the text tower is trained"),
        ({"refinement": {"freeze_text": 1.0}}, "the image tower is trained"),
        ({"refinement": {"freeze_text": 0.5}}, "both towers are trained"),
        ({"freeze": FROZEN}, "heads on both towers, which stay as they are, are trained"),
        ({"freeze": FROZEN, "refinement": {"freeze_text": 1.0}}, "the image head on both towers, which stay as they are, is trained"),
    ],
)
def test_a_plan_names_what_is_trained(options, words, photos, tmp_path):
    assert f"images of 32 pixels; {words}\n" in dry_run(asked(photos, **options), Way(tmp_path / "out", Machine(2, 0)))


def test_data_that_changed_are_no_more_the_same(photos, tmp_path):
    way = Way(tmp_path / "out", Machine(2, 0))
    declared((asked(photos), way))
    manifest = way.out / "results/own/corpora/whole/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    declared((asked(photos), way))
    add(photos, 60)
    with pytest.raises(HelipError, match=r"photos: changed since .*out was made \(60 files then and 61 now, .*\); name another --out"):
        declared((asked(photos), way))
    shutil.rmtree(manifest.parent)  # as the sentence says
    declared((asked(photos), way))
    assert read_json(way.out / RECORD)["data"]["files"] == 61


def test_captions_of_a_folder_that_changed_are_seen(photos, tmp_path):
    way = Way(tmp_path / "out", Machine(2, 0))
    (photos / "60.txt").symlink_to("nowhere")  # a sample without an image, of no bytes
    declared((asked(photos), way))
    manifest = way.out / "results/own/corpora/whole/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    before = read_json(way.out / RECORD)["data"]
    assert before == {"files": 61, "bytes": sum(file.stat().st_size for file in photos.glob("*") if file.exists())}
    for n in range(10):
        (photos / f"{n}.txt").write_text("another caption")
    with pytest.raises(HelipError, match=f"changed since .* \\({before['bytes']} bytes then and {before['bytes'] + 60} now\\)"):
        declared((asked(photos), way))
    write_json(way.out / RECORD, read_json(way.out / RECORD) | {"data": before | {"bytes": 0}})  # as earlier versions recorded it
    declared((asked(photos), way))
    assert read_json(way.out / RECORD)["data"] == {"files": 61, "bytes": before["bytes"] + 60}


def test_packed_data_may_be_deleted(photos, tmp_path):
    way = Way(tmp_path / "out", Machine(2, 0))
    before = declared((asked(photos), way))
    manifest = way.out / "results/own/corpora/whole/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    shutil.rmtree(photos)
    assert declared((asked(photos), way)) == before


def test_a_plan_says_that_it_was_measured_elsewhere(photos, tmp_path):
    sentence = "The minutes are of this machine's CPU, since it has no GPU"
    assert sentence in dry_run(asked(photos, refinement={"precision": "fp16"}), Way(tmp_path / "out", Machine(2, 1), "slurm"))
    assert sentence not in dry_run(asked(photos), Way(tmp_path / "out", Machine(2, 0)))


def test_a_login_node_without_gpu_measures_on_its_cpu(tmp_path, monkeypatch):
    import torch

    from helip.own import arms, start

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert arms.suited(dataclasses.replace(START, parameters=10**8), 1000, "cuda")["precision"] == "fp16"
    devices = []
    monkeypatch.setattr(start, "_seconds", lambda clip, device, frozen: devices.append(device) or (1.0, 1.0, 1.0))
    monkeypatch.setattr("helip.models.loading.open_start", lambda reference: Opened())
    assert start.look_at("hf-hub:a/b", "cuda").measured_on == "cpu" and devices == ["cpu"]


class Opened:
    import torch

    model, config, image_size = torch.nn.Linear(2, 2), CONFIG, (32, 32)


def test_the_demo_keeps_a_folder_of_somebody_elses(tmp_path):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "mine.txt").write_text("mine")
    with pytest.raises(HelipError, match="holds other files; name a folder that is not there, or one that `helip demo` made"):
        demo(tmp_path, 1)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine.txt"]


def test_the_demos_own_folder_is_gone_on_with(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("helip.own.demo.make_start", lambda out: out / "start")
    monkeypatch.setattr("helip.own.demo.make_pairs", lambda folder, size, seed: folder / "shards")
    asked = []
    monkeypatch.setattr("helip.own.demo.refine", lambda request, way: asked.append(request))
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "manifest.json").write_text("{}")
    for name in ("start.state", "start", "pairs/shards"):
        (tmp_path / name).mkdir()
    (tmp_path / "start" / "open_clip_config.json").write_text("{}")
    demo(tmp_path, 1)
    assert Path(asked[0].data) == tmp_path / "pairs" / "shards"
    line = re.search(r"the same as: helip (.*)", capsys.readouterr().out)[1]
    monkeypatch.setattr("helip.own.refine.refine", lambda request, way: asked.append(request))
    assert main([*line.split(), "--cores", "1"]) == 0
    assert asked[1] == asked[0]
