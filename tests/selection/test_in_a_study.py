"""The stage `select`: a run of a study selects by its start checkpoint."""

import json
import shutil

import numpy as np
import pytest

from helip.cli import main
from helip.stages import BuildCorpus, model_of
from helip.study import Study, load

RUN = "\n  cc3m_clip_selected: {start: cc3m_clip, refine: {arm: control}, select: {batch_size: 16, batches: 2, keep: 0.5}}\n"
NAME = "s_clip_loss.keep0.5.batches2.batch_size16"


@pytest.fixture
def study(project, tmp_path, monkeypatch, corpus_folder, model_folder) -> Study:
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    runs = tmp_path / "experiments" / "paper" / "runs.yaml"
    runs.write_text(runs.read_text() + RUN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HELIP_RESULTS", raising=False)
    bound = load("smoke")
    shutil.copytree(corpus_folder, BuildCorpus(bound, "cc3m").folder)
    shutil.copytree(model_folder, model_of(bound, "cc3m_clip", "1").folder)
    return bound


def test_the_command_writes_what_the_training_waits_for(study, capsys):
    assert study.selection_name("cc3m_clip_selected") == NAME
    wanted = model_of(study, "cc3m_clip_selected", "1").inputs()[-1]
    assert wanted == study.root / "selections" / "cc3m_clip" / "seed1" / NAME / "keep.npy"
    assert main(["run", "smoke", "select", "cc3m_clip", "1", NAME]) == 0
    assert "kept 24 of 48 pairs" in capsys.readouterr().out
    assert np.load(wanted).sum() == 24
    metadata = json.loads(wanted.with_name("selection.json").read_text())
    assert metadata["inputs"]["start"] == model_of(study, "cc3m_clip", "1").digest


def test_a_selection_that_no_run_declares_is_refused(study, capsys):
    assert main(["run", "smoke", "select", "cc3m_clip", "1", "clip_score.keep0.5"]) == 2
    error = capsys.readouterr().err
    assert "no refinement of cc3m_clip selects by 'clip_score.keep0.5'; they select by" in error
    assert NAME in error


def test_a_checkpoint_that_is_not_there_is_named(study, capsys):
    assert main(["run", "smoke", "select", "cc3m_clip", "0", NAME]) == 2
    assert "seed0/open_clip_model.safetensors: is not there, and select cc3m_clip seed 0 " in capsys.readouterr().err


def test_a_mixture_has_a_name_that_is_a_folder(project, tmp_path, monkeypatch):
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    runs = tmp_path / "experiments" / "paper" / "runs.yaml"
    mixed = "score: {clip_score: 1, agreement: 0.5}, image_encoder: resnet50, text_encoder: bert, lemon: {k: 7}"
    runs.write_text(runs.read_text() + f"\n  mixed: {{start: cc3m_clip, refine: {{arm: control}}, select: {{{mixed}}}}}\n")
    monkeypatch.chdir(tmp_path)
    name = load("smoke").selection_name("mixed")
    start, lemon, end = name.partition(".lemon")
    assert start == "clip_score-agreement0.5.keep0.9"
    assert lemon and end.endswith(".image_encoderresnet50.text_encoderbert") and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
