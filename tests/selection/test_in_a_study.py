"""`helip select` as the rule calls it: a run of a study selects by its start checkpoint."""

import json
import shutil

import numpy as np
import pytest

from helip.cli import main
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
    shutil.copytree(corpus_folder, bound.corpus_dir("cc3m"))
    shutil.copytree(model_folder, bound.model_dir("cc3m_clip", "1"))
    return bound


def test_the_command_writes_what_the_training_waits_for(study, capsys):
    assert study.selection_name("cc3m_clip_selected") == NAME
    wanted = study.train_inputs("cc3m_clip_selected", "1")[-1]
    assert wanted == study.root / "selections" / "cc3m_clip" / "seed1" / NAME / "keep.npy"
    assert main(["select", "--study", "smoke", "--seed", "1", "cc3m_clip", NAME]) == 0
    assert "kept 24 of 48 pairs" in capsys.readouterr().out
    assert np.load(wanted).sum() == 24
    said = json.loads(wanted.with_name("selection.json").read_text())
    assert said["inputs"]["start"] == study.run_digest("cc3m_clip", "1")


def test_a_selection_that_no_run_declares_is_refused(study, capsys):
    assert main(["select", "--study", "smoke", "--seed", "1", "cc3m_clip", "clip_score.keep0.5"]) == 2
    said = capsys.readouterr().err
    assert "no refinement of cc3m_clip selects by 'clip_score.keep0.5'; they select by" in said
    assert NAME in said


def test_a_checkpoint_that_is_not_there_is_named(study, capsys):
    assert main(["select", "--study", "smoke", "--seed", "0", "cc3m_clip", NAME]) == 2
    assert "seed0: no open_clip model folder" in capsys.readouterr().err


def test_the_rule_calls_the_command_in_the_order_that_it_takes(project):
    """argparse takes no positional after an option that follows a positional: names come last, together."""
    assert "--seed {wildcards.seed} {wildcards.run} {wildcards.selection}" in (project / "rules" / "select.smk").read_text()


def test_a_mixture_has_a_name_that_is_a_folder(project, tmp_path, monkeypatch):
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    runs = tmp_path / "experiments" / "paper" / "runs.yaml"
    mixed = "score: {clip_score: 1, agreement: 0.5}, image_encoder: a, text_encoder: b, lemon: {k: 7}"
    runs.write_text(runs.read_text() + f"\n  mixed: {{start: cc3m_clip, refine: {{arm: control}}, select: {{{mixed}}}}}\n")
    monkeypatch.chdir(tmp_path)
    name = load("smoke").selection_name("mixed")
    start, lemon, end = name.partition(".lemon")
    assert start == "clip_score-agreement0.5.keep0.9"
    assert lemon and end.endswith(".image_encodera.text_encoderb") and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
