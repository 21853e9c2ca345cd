"""Two kinds of the smoke study rehearsed for real, what is made of it, and the plan that reads it."""

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
import yaml

from helip.config.training import Objective
from helip.errors import HelipError
from helip.planning import artefacts, measured, plan_text, summary
from helip.planning.jobs import cost_of
from helip.rehearsal import Kind, Rehearsal, kinds, rehearse
from helip.rehearsal.fit import SIMILARITIES, predict
from helip.rehearsal.jobs import train
from helip.rehearsal.jobs.train import saved_tensors
from helip.rehearsal.measured import Measured, Point, at
from helip.rehearsal.report import costs, markdown, write
from helip.rehearsal.scale import Scale
from helip.stages import Train
from helip.study import Study

HERE = {"machine": "a machine", "date": "2026-01-02", "commit": "abc"}  # of costs


@pytest.fixture
def experiments(project, tmp_path, monkeypatch):
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    (tmp_path / "experiments/studies/paper.costs.yaml").unlink(missing_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "experiments"


@pytest.fixture(scope="module")
def paper(project) -> Study:
    return Study("paper", project / "experiments")


def test_kinds_are_the_distinct_jobs_each_once(paper):
    every = all_kinds(paper)
    assert len({kind.title for kind in every}) == len(every)
    titles = {kind.title for kind in every}
    assert {"corpus laion8m", "encode t5", "import cc3m_slip", "evaluate mscoco", "probe sun397", "select vit_b32"} <= titles
    assert {"train vit_b16 clip hard+margin 1024/1 fp16", "train vit_b32 clip negatives 4096/2 fp16"} <= titles
    assert {"mine hpm k500 image0.5 text0.5", "mine hpm k500 outliers0.15", "mine hpm k100 imagenone textnone below0.98"} <= titles
    jobs = sum(kind.jobs for kind in every if kind.stage == "train")
    assert jobs == sum(one.label == "train" for one in artefacts(paper))
    trained_instead = {kind.name for kind in every if kind.stage == "train" and kind.jobs == 0}
    assert trained_instead == {"vit_b16 slip plain 4096/8 fp16", "vit_b32 slip plain 4096/8 fp16", "vit_b32 declip plain 4096/4 fp16"}


@pytest.mark.long
def test_two_kinds_of_a_study_run_for_real(experiments, tmp_path):
    study = Study("smoke", results=tmp_path / "results")
    lines: list[str] = []
    scale = Scale("cpu", batch=8, samples=24)
    rehearsal = rehearse(study, scale, ["table6"], only=("train", "corpus"), within_s=None, say=lines.append)
    assert [measured.failure for _, measured in rehearsal.results] == [""] * len(rehearsal.results)
    (corpus, made), *trained = rehearsal.results
    assert (corpus.title, made.largest.units) == ("corpus cc3m", 24)
    plain = dict(trained)[next(kind for kind, _ in trained if kind.name == "rn50 clip plain 64/1 fp32")]
    assert [point.size for point in plain.points] == [4, 8]
    assert plain.points[0].saved_mb < plain.points[1].saved_mb
    assert "batch cut from 64" in plain.notes and plain.largest.bytes > 1e6
    files = write(rehearsal, tmp_path / "page.html", experiments / "studies/smoke.costs.yaml")
    assert all(file.exists() for file in files)
    assert json.loads(files[2].read_text())["kinds"][0]["kind"] == "corpus cc3m"
    stored = yaml.safe_load((experiments / "studies/smoke.costs.yaml").read_text())
    assert stored["train.rn50.clip"]["seconds"] > 0  # of a study that asks for no GPU, a CPU tells the time
    priced = {cost_of(one).origin.partition(":")[0] for one in artefacts(study, ["table6"]) if one.name == "train"}
    assert priced == {"measured"}
    assert not [path for path in (study.root / "rehearsal").iterdir() if path.is_dir()]


def test_each_arm_with_pairs_is_rehearsed_with_some(experiments, tmp_path, monkeypatch):
    study, scale = Study("smoke"), Scale("cpu", batch=8, samples=24)
    monkeypatch.setattr(train, "Corpus", SimpleNamespace(open=lambda folder: None))
    monkeypatch.setattr(train, "Few", lambda corpus, size: range(size))
    monkeypatch.setattr(train, "loading", SimpleNamespace(new=lambda *_: None))
    monkeypatch.setattr(train, "TrainJob", lambda **parts: SimpleNamespace(**parts))
    rows = {}
    for arm in ("control", "cleaned", "helip"):
        one = Train(study, f"cc3m_clip_{arm}", "0")
        job = SimpleNamespace(kind=SimpleNamespace(one=one, name=arm), scale=scale, size=8, device="cpu", sample=tmp_path, folder=tmp_path)
        made = train._job(job, SimpleNamespace(leads=True, barrier=lambda: None), Point(8))
        rows[arm] = made.pairs and len(made.pairs)
    assert rows == {"control": None, "cleaned": 32, "helip": 32}  # four batches


@functools.cache
def all_kinds(study: Study) -> list[Kind]:
    return kinds(study)


def kind_of(study: Study, title: str) -> Kind:
    return next(kind for kind in all_kinds(study) if kind.title == title)


def test_a_line_through_two_sizes():
    assert at([(4, 100.0), (8, 140.0)], 128) == pytest.approx(140 + 10 * 120)
    assert at([(4, 100.0), (8, 90.0)], 128) == 90  # less for more is noise
    assert at([(4, 100.0)], 128) is None


@pytest.mark.parametrize(("each_mb", "problem"), [(100.0, False), (500.0, True)])
def test_a_batch_that_does_not_fit_is_found(paper, each_mb, problem):
    kind = kind_of(paper, "train vit_b16 slip plain 4096/8 fp16")  # 4,096 of 8 GPUs in 8 parts: 64 rows a process
    fixed, squares = 2400.0, SIMILARITIES["slip"] * 4 * 4096**2 / (1 << 20)
    points = [Point(b, repetitions=[1.0], saved_mb=b / 2 * each_mb, fixed_mb=fixed) for b in (4, 8)]  # in two parts each
    measured = Measured(points, "cpu")
    predict(kind, measured, Scale("cpu"))
    gib = (fixed + 64 * each_mb + squares) / 1024
    assert measured.predictions[0].startswith(f"{gib:.1f} GiB of a GPU's 32 for 64 rows")
    assert bool(measured.problems) is problem
    if problem:
        assert "set checkpoint_gradients" in measured.failure


def test_the_matrices_of_every_objective_are_counted():
    union, _ = get_args(Objective)
    assert SIMILARITIES.keys() == {one.model_fields["name"].default for one in get_args(union)}


def test_what_a_step_keeps_at_once_is_counted():
    """Of two micro-batches one after the other it is that of one; parameters do not count, nor does a tensor count twice."""
    first, second = torch.nn.Linear(1000, 500, bias=False), torch.nn.Linear(500, 10, bias=False)
    net = torch.nn.Sequential(first, torch.nn.ReLU(), second)
    trainer, point = SimpleNamespace(model=net, world=SimpleNamespace(device=torch.device("cpu"))), Point(8)
    with saved_tensors(trainer, point):
        for _ in range(2):
            net(torch.zeros(64, 1000)).sum().backward()
    # 64 inputs of 1,000 numbers, and the 500 that come out of the first layer, which both ReLU and the second layer keep
    assert point.saved_mb == pytest.approx(4 * 64 * (1000 + 500) / 2**20)


def test_the_lists_of_a_mining_job_are_counted(paper):
    kind = kind_of(paper, "mine hpm k500 image0.5 text0.5")
    measured = Measured([Point(n, repetitions=[9.0], host_mb=mb) for n, mb in ((2048, 900.0), (4096, 1900.0))], "cpu")
    predict(kind, measured, Scale("cpu"))
    targets = 30571103 / 7  # Open29M in jobs of at most 5 million
    assert measured.predictions[0] == f"{8 * 500 * targets / 2**30:.1f} GiB of lists for a job's targets, in memory"


def test_an_earlier_sitting_is_not_run_again(experiments, tmp_path):
    study, scale = Study("smoke", results=tmp_path / "results"), Scale("cpu", batch=8)
    every = kinds(study, ["table6"])
    some = [(kind, Measured([Point(8, 1.0, [0.5], machine="a machine", date="2026-01-02", commit="abc")], "cpu")) for kind in every[:4]]
    page = tmp_path / "page.html"
    write(Rehearsal(study, scale, some, every[4:], 60.0), page, tmp_path / "costs.yaml")
    again = rehearse(study, scale, ["table6"], within_s=0, earlier=page.with_suffix(".json"), say=str)
    taken = [kind.title for kind in every[:4] if kind.stage != "corpus"]
    assert [kind.title for kind, _ in again.results] == taken and again.earlier == len(taken) > 1
    assert {kind.title for kind in again.unseen} == {kind.title for kind in every} - set(taken)
    assert "a machine (2026-01-02, commit abc) in 0 minutes and, 3 of the kinds, in an earlier sitting" in markdown(again)
    known = rehearse(study, scale, ["table6"], [every[1].stage], 0, page.with_suffix(".json"), str)
    assert every[1].title not in [kind.title for kind, _ in known.results]  # what is asked for by --only is run again
    page.with_suffix(".json").write_text('{"kinds": [{}]}')
    with pytest.raises(HelipError, match="is not the JSON that a rehearsal"):
        rehearse(study, scale, ["table6"], earlier=page.with_suffix(".json"))


def test_a_job_longer_than_its_limit_is_found(paper):
    kind = kind_of(paper, "corpus cc12m")
    measured = Measured([Point(300, repetitions=[0.3], start=10)], "cpu")
    predict(kind, measured, Scale("cpu"))
    assert any(
        "raise runtime of corpus" in problem for problem in measured.problems
    )  # 12.4 million x 0.3 s are 65 hours for 16 workers; 48 are allowed


def test_a_cpu_tells_no_time_of_a_gpu_job(paper):
    train, corpus = kind_of(paper, "train vit_b32 clip plain 4096/2 fp16"), kind_of(paper, "corpus cc3m")
    measured = [(corpus, Measured([Point(300, repetitions=[0.16], bytes=30000.0)], "cpu"))]
    measured.append((train, Measured([Point(8, repetitions=[0.5], bytes=6e8)], "cpu")))
    entries = costs(Rehearsal(paper, Scale("cpu"), measured, [], 1.0))
    assert entries["corpus.cc3m"]["seconds"] == 0.01  # by 16 workers
    assert "seconds" not in entries["train.vit_b32.clip"] and entries["train.vit_b32.clip"]["bytes"] == 6e8
    on_gpu = costs(Rehearsal(paper, Scale("cuda"), measured, [], 1.0))
    assert on_gpu["train.vit_b32.clip"]["seconds"] == pytest.approx(0.5 / 8)  # one process here, eight in the study


def test_a_second_rehearsal_keeps_what_it_did_not_come_to(paper, tmp_path):
    corpus = (kind_of(paper, "corpus cc3m"), Measured([Point(300, repetitions=[0.16], bytes=30000.0)], "cpu"))
    point = Point(8, repetitions=[0.5], bytes=6e8, machine="another, with a GPU", date="2026-02-03", commit="def")
    train = (kind_of(paper, "train vit_b32 clip plain 4096/2 fp16"), Measured([point], "cuda"))
    file = tmp_path / "costs.yaml"
    file.write_text(
        yaml.safe_dump({key: HERE | {"seconds": 7.0, "device": "cpu"} for key in ("corpus.cc3m", "corpus.cc12m", "corpus.gone")})
    )
    for results in ([corpus], [train]):
        write(Rehearsal(paper, Scale("cuda"), results, [], 1.0), tmp_path / "page.html", file)
    stored = yaml.safe_load(file.read_text())
    assert set(stored) == {"corpus.cc3m", "corpus.cc12m", "train.vit_b32.clip"}  # no kind of the study costs corpus.gone
    assert (stored["corpus.cc3m"]["seconds"], stored["corpus.cc12m"]["seconds"]) == (0.01, 7.0)
    assert stored["corpus.cc12m"]["machine"] == "a machine"
    assert {name: stored["train.vit_b32.clip"][name] for name in HERE} == {
        "machine": "another, with a GPU",
        "date": "2026-02-03",
        "commit": "def",
    }


def test_the_plan_takes_measured_costs_for_assumed_ones(experiments):
    file = experiments / "studies/paper.costs.yaml"
    study = Study("paper")
    before = {line.stage: line for line in summary(study, artefacts(study, ["table1"]))}
    file.write_text(yaml.safe_dump({"train.vit_b32.clip": HERE | {"seconds": 0.0, "start": 0.0, "spread": 1.5, "device": "cuda"}}))
    planned = artefacts(study, ["table1"])
    after = {line.stage: line for line in summary(study, planned)}
    assert after["train"].gpu_hours < before["train"].gpu_hours
    assert "train.vit_b32.clip: measured: a machine, 2026-01-02, commit abc" in after["train"].origins
    assert any(origin.startswith("train.rn50: assumed") for origin in after["train"].origins)
    file.write_text(yaml.safe_dump({"train.vit_b32.clip": HERE | {"bytes": 1.0, "device": "cpu"}}))
    only_disk = {line.stage: line for line in summary(study, artefacts(study, ["table1"]))}
    assert only_disk["train"].gpu_hours == before["train"].gpu_hours and only_disk["train"].disk_gb < before["train"].disk_gb


def test_measured_costs_alone_make_a_whole_plan(experiments):
    """As `helip rehearse` leaves a study that declares none: the wall-clock is there, and what no cost is known of is named."""
    costs, study = experiments / "studies/smoke.costs.yaml", Study("smoke")
    costs.write_text(yaml.safe_dump({"train": HERE | {"seconds": 0.5, "start": 36.0, "device": "cpu"}}))
    page = plan_text(study, artefacts(study, ["table1"]), 4, whole=False)
    # two starts of 12 steps of 64 and then six refinements of 6, each with 36 s to begin, on 4 cores: 420 s and two turns of 228 s
    assert "Wall-clock of what is left (no other work on them): 4 cores: 15 min." in page
    assert "evaluate: 8 of 8 jobs are not in the sums: no cost is declared" in page
    assert "Costs, from experiments/studies/smoke.costs.yaml:" in page


def test_features_of_wide_models_are_priced_as_wide(experiments):
    """A start of ResNet-50 has 1,024 numbers a tower, one of ViT-B/32 512."""
    study = Study("paper")
    costs = {f"select.{model}": HERE | {"bytes": wide, "device": "cpu"} for model, wide in (("rn50", 8197.0), ("vit_b32", 4101.0))}
    (experiments / "studies/paper.costs.yaml").write_text(yaml.safe_dump(costs))
    selects = {one.run: one for one in artefacts(study, ["table11"]) if one.name == "select"}
    assert {cost_of(selects[run]).bytes for run in selects if run.startswith("cc3m")} == {8197.0}
    assert {cost_of(selects[run]).bytes for run in selects if run.startswith("laion8m")} == {4101.0}
    assert {kind.cost for kind in all_kinds(study) if kind.stage in ("select", "filter")} == {
        "select.rn50", "select.vit_b32", "filter.rn50", "filter.vit_b32",
    }  # fmt: skip
    assert "Costs, from experiments/studies/paper.yaml and experiments/studies/paper.costs.yaml:" in plan_text(study, [*selects.values()])


def test_the_plan_gives_a_range(experiments):
    study = Study("paper")
    planned = artefacts(study, ["table8"])
    text = measured.remarks(planned)
    hours = sum(line.gpu_hours for line in summary(study, planned))
    assert text.startswith(f"GPU-hours: {hours:,.0f}, between {hours / 2:,.0f} and {2 * hours:,.0f}")
    assert text.endswith("all of them by assumed costs.")


def test_costs_are_no_study_and_wrong_ones_are_a_sentence(experiments):
    from helip.study import names

    file = experiments / "studies/paper.costs.yaml"
    file.write_text(yaml.safe_dump({"trian": HERE | {"seconds": 1.0, "device": "cpu"}}))
    assert "paper.costs" not in names()
    study = Study("paper")
    with pytest.raises(HelipError, match=r"costs -> trian: there is no such stage; did you mean 'train'"):
        summary(study, [])
    file.write_text(yaml.safe_dump({"train": {"seconds": 1.0}}))
    with pytest.raises(HelipError, match=r"paper\.costs\.yaml: train -> machine"):
        summary(study, [])


def test_the_table_says_what_failed_and_what_was_left(paper):
    kind, other = kind_of(paper, "encode t5"), kind_of(paper, "encode bert")
    point = Point(16, repetitions=[0.1], failure="weights missing; fetch them | once", notes=["random weights"])
    rehearsal = Rehearsal(paper, replace(Scale("cpu"), batch=4), [(kind, Measured([point], "cpu"))], [other], 60.0)
    table = markdown(rehearsal)
    assert "would fail: weights missing; fetch them \\| once" in table and "batches cut to 4" in table
    assert "No time was left for 1: encode bert." in table
    assert Path(measured.costs_file(paper)).name == "paper.costs.yaml"
