"""The whole of `helip demo` and `helip refine`: from nothing to an answer, stopped and gone on with, edited and kept."""

import os
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from helip.cli import main
from helip.errors import HelipError
from helip.io import read_json

pytestmark = pytest.mark.long


def helip(folder, project, *arguments, **options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(project), *filter(None, [os.environ.get("PYTHONPATH")])])}
    return subprocess.Popen(
        [sys.executable, "-m", "helip", *arguments], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        **options,
    )  # fmt: skip


def models_of(folder):
    return sorted((folder / "demo/mine/results/own/models").glob("*/*/open_clip_model.safetensors"))


def finished(folder):
    """The models whose jobs Snakemake has recorded as ended: it evaluates no other ones."""
    evaluated = {path.parent.relative_to(path.parents[2]) for path in (folder / "demo/mine/results/own/metrics").glob("*/*/*.json")}
    return [path for path in models_of(folder) if path.parent.relative_to(path.parents[2]) in evaluated]


@pytest.fixture(scope="module")
def demo(tmp_path_factory, project):
    """A folder in which the demo was killed after its first training, and then run again."""
    folder = tmp_path_factory.mktemp("demo")
    killed = helip(folder, project, "demo", start_new_session=True)
    until = time.monotonic() + 1200
    while len(finished(folder)) < 2 and time.monotonic() < until:
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    made = {path: path.stat().st_mtime_ns for path in finished(folder)}
    ran = helip(folder, project, "demo")
    out, err = ran.communicate(timeout=1800)
    assert ran.returncode == 0, err
    return folder, made, out


def test_what_a_killed_command_made_is_kept(demo):
    folder, made, _ = demo
    assert made and all(path.stat().st_mtime_ns == when for path, when in made.items())
    assert len(models_of(folder)) == 7


def test_the_answer_is_printed_and_the_best_model_opens(demo):
    folder, _, out = demo
    assert "Selection " in out and "Hard pairs " in out and ("Best on validation: " in out or "keep the start" in out)
    answer = read_json(folder / "demo/mine/results/own/answer/answer.json")
    assert len(answer["hard"]) == len(answer["lowest"]) == 50
    assert (folder / "demo/mine/report.html").is_file()
    from helip.models.loading import open_start

    assert open_start(folder / "demo/mine/best_model").image_size == (32, 32)


def test_a_second_run_schedules_nothing(demo, project):
    folder, _, out = demo
    again = helip(folder, project, "demo")
    printed, _ = again.communicate(timeout=600)
    assert again.returncode == 0 and "(0 jobs in " in printed
    assert printed.split("model   ")[0].split("Continued")[1] == out.split("model   ")[0].split("Continued")[1]


def test_an_edited_study_is_taken_and_never_written_over(demo, project, capsys, monkeypatch):
    folder, _, _ = demo
    file = folder / "demo/mine/experiments/studies/own.yaml"
    monkeypatch.chdir(folder)
    before = file.read_text()
    file.write_text(before.replace("seeds:", "seeds:  # mine", 1))
    usual = ["--model", "demo/start", "--data", "demo/pairs/shards", "--out", "demo/mine", "--cores", "1", "--gpus", "0"]
    assert main(["refine", *usual, "--seeds", "2"]) == 2
    assert "own.yaml: was edited, and the options changed since; run `snakemake report.html`" in capsys.readouterr().err
    assert "# mine" in file.read_text()
    file.write_text(before)


def test_heads_on_the_towers_begin_where_the_start_stands(demo, project):
    folder, _, _ = demo
    usual = ["--model", "demo/start", "--data", "demo/pairs/shards", "--cores", "1", "--gpus", "0"]
    ran = helip(folder, project, "refine", *usual, "--freeze", "image,text", "--arms", "helip", "--epochs", "2", "--out", "heads")
    out, err = ran.communicate(timeout=1200)
    assert ran.returncode == 0, err
    assert "best_model: the model that is best on validation; helip alone opens it" in out or "keep the start" in out
    heads, towers = (read_json(folder / run / "results/own/answer/answer.json")["rows"] for run in ("heads", "demo/mine"))
    assert [row["run"] for row in heads[:3]] == ["start", "control", "helip"]
    assert heads[0] == towers[0]
    start, trained = (load_file(folder / f"heads/results/own/models/{run}/seed0/open_clip_model.safetensors") for run in ("start", "helip"))
    layer = "image_head.layers.0.weight"
    assert (trained[layer] - start[layer]).abs().max() > 1e-3
    clip = read_json(folder / "heads/results/own/models/helip/seed0/open_clip_config.json")["model_cfg"]
    assert clip["frozen"]["head"] == "residual"


def test_other_files_are_never_mixed_with(tmp_path, monkeypatch):
    from helip.own.refine import _check_folder

    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(HelipError, match="holds other files"):
        _check_folder(tmp_path)
