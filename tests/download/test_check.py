"""`helip data check`: what is there, what will be, and what is wrong, before a GPU is used."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from helip.cli import main
from helip.download.check import check
from helip.stages import BuildCorpus, Encode, data_check
from helip.study import Study

CHECKPOINT = "download it from Google Drive"


@pytest.fixture
def study(project, data_root, tmp_path, monkeypatch):
    """The smoke study with real data of every kind, whole: $MINE/shards, $MINE/cifar10, $MINE/a.pt."""
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    mine = tmp_path / "mine"
    (mine / "shards").mkdir(parents=True)
    shutil.copy(sorted((data_root / "flickr8k/pairs").glob("*.tar"))[0], mine / "shards/00000.tar")
    shutil.copytree(data_root / "cifar10", mine / "cifar10")
    (mine / "a.pt").write_bytes(b"weights")
    monkeypatch.setenv("MINE", str(mine))
    file = tmp_path / "experiments/studies/smoke.yaml"
    content = yaml.safe_load(file.read_text())
    content["seeds"] = [0]
    content["corpora"]["yfcc15m_v1"] = {"kind": "webdataset", "path": "$MINE/shards", "obtain": "ask for YFCC"}
    content["corpora"]["cc12m"] = {"kind": "downloaded", "table": "t.csv", "mirror": "https://example.org/{0..1}.tar"}
    content["corpora"]["open29m"] = {"kind": "union", "of": ["cc3m", "yfcc15m_v1"]}
    expected = {"items": 5000, "classes": 10}
    content["evaluation"]["cifar10"] = {"kind": "wds", "task": "classification", "path": "$MINE/cifar10", "expected": expected}
    content["published"] = {"cc3m_clip": {"path": "$MINE/a.pt", "obtain": CHECKPOINT}}
    file.write_text(yaml.safe_dump(content))

    def load(change=lambda content: None) -> Study:
        content = yaml.safe_load(file.read_text())
        change(content)
        file.write_text(yaml.safe_dump(content))
        return Study("smoke", tmp_path / "experiments", tmp_path / "results")

    load.mine = mine
    return load


def states(bound) -> dict[str, tuple[str, str]]:
    return {
        f.name if f.kind != "evaluation set" else f"set {f.name}": (f.state, f.detail)
        for f in check(bound, lambda corpus: BuildCorpus(bound, corpus).folder)
    }


def test_all_there(study):
    findings = states(study())
    assert {name: state for name, (state, _) in findings.items()} == {
        "cc3m": "will be made", "yfcc15m_v1": "there", "cc12m": "will be fetched", "open29m": "will be made",
        "set imagenet": "will be made", "set cifar10": "there", "set cifar100": "will be made", "set caltech101": "will be made",
        "set flickr30k": "will be made", "cc3m_clip": "there",
    }  # fmt: skip
    assert findings["set cifar10"][1] == "5000 items, 10 classes"


def test_an_absent_folder_says_what_to_put_there(study):
    shutil.rmtree(study.mine / "shards")
    (study.mine / "a.pt").unlink()
    findings = states(study())
    assert findings["yfcc15m_v1"][0] == "missing" and "ask for YFCC" in findings["yfcc15m_v1"][1]
    assert findings["cc3m_clip"][0] == "missing" and CHECKPOINT in findings["cc3m_clip"][1]


def test_what_several_sources_lack_is_said_once(study, monkeypatch, capsys):
    bound = study(lambda c: c["corpora"].update(yfcc15m_v2={"kind": "webdataset", "path": "$MINE/other"}))
    monkeypatch.delenv("MINE")
    monkeypatch.setattr("helip.study.load", lambda name: bound)
    assert main(["data", "check", "smoke"]) == 2
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert "missing         corpus         yfcc15m_v1     $MINE/shards: ask for YFCC" in lines
    assert lines[lines.index("to do:") + 1 :] == [
        "- set $MINE to the folder that holds corpus yfcc15m_v1, corpus yfcc15m_v2, evaluation set cifar10, checkpoint cc3m_clip"
    ]
    assert "4 of 11 sources are missing" in printed.err


def test_a_truncated_shard_is_found_without_reading_it_all(study):
    shard = study.mine / "shards/00000.tar"
    shard.write_bytes(shard.read_bytes()[:-20_000])
    assert "is truncated" in states(study())["yfcc15m_v1"][1]


def test_another_number_of_items_or_other_class_names_are_found(study):
    def expect(**more):
        return lambda c: c["evaluation"]["cifar10"]["expected"].update(more)

    assert states(study(expect(items=10000)))["set cifar10"] == (
        "missing", "evaluation -> cifar10: items should be 10000 and is 5000; it is another set or version",
    )  # fmt: skip
    names = "bb3914949cecedee6d1257f7f5fdb8f43fa3b2c8095fd1763161caf1b873fe59"
    assert states(study(expect(items=5000, class_names=names)))["set cifar10"][0] == "there"
    assert "class names should be 0000" in states(study(expect(class_names="0000")))["set cifar10"][1]


def test_a_truncated_evaluation_archive_is_found(study):
    tar = study.mine / "cifar10/test/0.tar"
    tar.write_bytes(tar.read_bytes()[:-5000])
    assert states(study())["set cifar10"][0] == "missing"


@pytest.mark.parametrize("name", ["mscoco_captions", "flickr30k", "flickr8k"])
def test_a_missing_file_is_reported_and_no_shell_fetches_it(study, tmp_path, monkeypatch, name):
    """CLIP benchmark runs wget, unzip and kaggle for what it misses, whatever it is told of downloads."""
    (tmp_path / "bin").mkdir()
    for program in ("wget", "unzip", "kaggle"):
        (tmp_path / "bin" / program).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (tmp_path / "bin" / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (study.mine / "set").mkdir()
    declared = {"kind": "clip_benchmark", "task": "retrieval", "name": name, "root": "$MINE/set"}
    state, detail = states(study(lambda c: c["evaluation"].update(mscoco=declared)))["set mscoco"]
    assert state == "missing" and f"{study.mine / 'set'}" in detail
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_that_is_not_the_pinned_one_is_found(study):
    change = lambda c: c["published"]["cc3m_clip"].update(sha256="0" * 64)  # noqa: E731
    assert f"{'0' * 64} is declared" in states(study(change))["cc3m_clip"][1]


def test_an_indexed_corpus_whose_shard_changed_is_found(study):
    from helip.data.build import build_corpus

    bound = study()
    build_corpus(bound.declaration.corpora["yfcc15m_v1"], BuildCorpus(bound, "yfcc15m_v1").folder)
    assert states(bound)["yfcc15m_v1"][0] == "there" and "pairs, digest" in states(bound)["yfcc15m_v1"][1]
    with tarfile.open(study.mine / "shards/00000.tar", "a") as archive:
        archive.addfile(tarfile.TarInfo("more.txt"))
    (study.mine / "shards/00000.tar").open("ab").write(b"\0" * 10240)
    assert "has changed since" in states(bound)["yfcc15m_v1"][1]


def test_the_command_prints_a_line_each_and_fails_with_2(study, monkeypatch, tmp_path, capsys):
    bound = study()
    monkeypatch.setattr("helip.study.load", lambda name: bound)
    assert main(["data", "check", "smoke", "--out", str(tmp_path / "data.json")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 11  # the last says what to do next
    assert len(json.loads((tmp_path / "data.json").read_text())["findings"]) == 10
    shutil.rmtree(study.mine / "shards")
    assert main(["data", "check", "smoke", "--out", str(tmp_path / "again.json")]) == 2
    printed = capsys.readouterr()
    assert re.search(r"smoke.yaml: 1 of 10 sources are missing .* take them out of the study", printed.err)
    assert not (tmp_path / "again.json").exists() and "ask for YFCC" in printed.out


TARGET = "results/smoke/features/cc3m/dino_vits8/features.npy"
PAIRS = "results/smoke/pairs/cc3m.hpm.dino_vits8.sentence/pairs.json"  # of these features and others


def snakemake(folder, *options: str, target: str = TARGET) -> tuple[int, str]:
    """The exit code of snakemake for a target, by default the features of the smoke study, and what it prints."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'slurm'}"}
    command = [sys.executable, "-m", "snakemake", *options, "--", target]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def planned(folder, target: str = TARGET) -> dict[str, int]:
    """Jobs by rule of a dry run."""
    code, printed = snakemake(folder, "-n", "--quiet", "reason", target=target)
    assert code == 0, printed
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", printed.partition("Job stats:")[2], re.MULTILINE)}


@pytest.fixture
def on_gpus(project, tmp_path):
    """A folder whose smoke study encodes on a GPU; calling it with a part of the study declares that too."""
    for part in ("Snakefile", "rules", "experiments", "profiles"):
        (shutil.copytree if (project / part).is_dir() else shutil.copy)(project / part, tmp_path / part)
    file = tmp_path / "experiments/studies/smoke.yaml"

    def declare(**changes: dict) -> Path:
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))
        return tmp_path

    assert data_check(Encode(Study("smoke", tmp_path / "experiments"), "cc3m", "dino_vits8")) == []
    declare(resources={"encode": {"gpu": 1}})
    return declare


def make_features(folder, *more: str) -> None:
    """What stands for the features and all behind them, one second after another, and more after those."""
    encoder = ("encoders/cc3m/dino_vits8/model.safetensors", "encoders/cc3m/dino_vits8/encoder.json")
    made = ["corpora/cc3m/manifest.json", *encoder, *(f"features/cc3m/dino_vits8/features.{kind}" for kind in ("npy", "json")), *more]
    for second, name in enumerate(made):
        path = folder / "results/smoke" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (1e9 + second, 1e9 + second))


def test_gpu_jobs_wait_for_the_check_but_do_not_depend_on_it(on_gpus):
    folder = on_gpus()
    assert planned(folder)["check_data"] == 1
    make_features(folder, "data.json")
    assert planned(folder) == {}  # although data.json is the newest
    (folder / "results/smoke/data.json").unlink()
    others = planned(folder, target=PAIRS)
    assert (others["check_data"], others["encode"]) == (1, 1)  # the other features alone


@pytest.mark.parametrize("executor", [(), ("--executor", "submitit", "--submitit-cluster", "local", "--submitit-poll-s", "1")])
def test_a_failed_check_makes_nothing_else_again(on_gpus, executor):
    folder = on_gpus()
    make_features(folder, "data.json")
    on_gpus(corpora={"cc3m": {"kind": "webdataset", "path": "nowhere", "obtain": "ask for it"}})
    once = (*executor, "-j1", "--seconds-between-status-checks", "1") if executor else ()
    code, printed = snakemake(folder, *once, "--forcerun", "check_data", target="results/smoke/data.json")
    assert code != 0 and "1 of" in (folder / "results/smoke/logs/check_data.log").read_text(), printed
    assert planned(folder) == {}
    others = planned(folder, target=PAIRS)
    assert (others["check_data"], others["encode"]) == (1, 1)


def test_jobs_are_planned_beside_a_check_of_older_declarations(on_gpus):
    """Snakemake forgets a job that waits for an `ancient` file while that file is made again."""
    folder = on_gpus()
    assert snakemake(folder, target="results/smoke/data.json")[0] == 0
    make_features(folder)
    on_gpus(corpora={"cc3m": {"kind": "webdataset", "path": "nowhere", "obtain": "ask for it"}})
    others = planned(folder, target=PAIRS)
    assert (others["check_data"], others["encode"], others["mine"]) == (1, 1, 1)
    make_features(folder, *(f"features/cc3m/sentence/features.{kind}" for kind in ("npy", "json")))
    assert planned(folder, target=PAIRS) == {"mine": 1, "total": 1}  # it uses no GPU, and stands behind jobs that do
