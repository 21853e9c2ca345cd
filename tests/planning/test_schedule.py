"""Wall-clock of jobs laid out by hand, what one table adds, and the list of runs."""

import json
import re

import pytest

from helip.io import write_json
from helip.planning import artefacts, plan_text, runs, runs_text
from helip.planning.jobs import added_by
from helip.planning.schedule import Job, duration, wall_clock
from helip.stages import BuildEvaluationSet, Evaluate, model_of
from helip.study import Study


@pytest.mark.parametrize(
    ("devices", "hours"),
    [
        (1, 8.0),  # 3 + 2 + 1 + 2, one after the other
        (2, 5.0),  # the chain 3 -> 2, and beside it 1 and 2
        (8, 5.0),  # no shorter than the chain
    ],
)
def test_wall_clock_by_hand(devices, hours):
    jobs = [Job(3.0, 1, ()), Job(2.0, 1, (0,)), Job(1.0, 1, ()), Job(2.0, 1, (2,))]
    assert wall_clock(jobs, devices) == hours


def test_a_job_waits_until_enough_gpus_are_free():
    jobs = [Job(1.0, 1, ()), Job(4.0, 1, ()), Job(1.0, 8, (0,))]
    assert wall_clock(jobs, 8) == 5.0  # the job of 8 begins when that of 4 hours has ended
    assert wall_clock(jobs, 4) is None
    assert wall_clock([Job(2.0, 0, ()), Job(3.0, 0, ())], 1) == 3.0  # what holds nothing runs beside everything
    assert wall_clock([], 1) == 0.0


def test_hours_as_a_person_reads_them():
    assert [duration(h) for h in (0.005, 0.2, 7.53, 47.9, 76.8)] == ["18 s", "12 min", "7.5 h", "47.9 h", "3.2 days"]


@pytest.fixture(scope="module")
def paper(project):
    return Study("paper", project / "experiments")


def test_the_plan_says_what_is_assumed_and_how_long(paper):
    planned = artefacts(paper, ["table1"])
    lines = plan_text(paper, planned, whole=False).splitlines()
    assert lines[0].startswith("An estimate: all") and "are assumed and none was measured" in lines[0]
    assert lines[-1].startswith("Wall-clock of what is left (no waiting in queues") and "8 GPUs: " in lines[-1] and "256 GPUs" in lines[-1]
    assert plan_text(paper, planned, devices=4, whole=False).splitlines()[-1].endswith("never on 4 GPUs, since one job asks for 8.")


def test_what_table_11_alone_adds(paper):
    planned = artefacts(paper)
    added = {one.run for one in added_by(paper, "table11", planned) if one.name == "train"}
    assert "cc3m_clip_select_clip10" in added and "cc3m_clip_helip" not in added
    assert re.search(rf"of these for table11 alone \| +{len(added_by(paper, 'table11', planned))} \|", plan_text(paper, planned))


@pytest.fixture
def smoke(project, tmp_path):
    return Study("smoke", project / "experiments", tmp_path)


def test_runs_have_their_state_cost_and_tables(smoke):
    for seed in ("0", "1"):
        folder = model_of(smoke, "cc3m_clip", seed).folder
        folder.mkdir(parents=True)
        (folder / "train.json").write_text(json.dumps({"wall_clock_seconds": 90.0}))
    model_of(smoke, "cc3m_clip_control", "0").state.mkdir(parents=True)
    by_name = {line.run: line for line in runs(smoke)}
    assert by_name["cc3m_clip"].state == "2 trained, 0 evaluated" and by_name["cc3m_clip"].cost == "3 min"
    assert (by_name["cc3m_clip_control"].state, by_name["cc3m_clip_control"].cost) == ("under way", "?")
    assert by_name["cc3m_clip_cleaned"].state == "not begun"
    for path in (path for seed in ("0", "1") for path in Evaluate(smoke, "cc3m_clip", seed).outputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert {line.run: line.state for line in runs(smoke)}["cc3m_clip"] == "done"
    assert by_name["cc3m_clip_hn_nce"].tables == ("table6",)
    page = runs_text(smoke)
    assert "Is it enough to weight the negatives of a random batch" in page
    assert "160 of 191 runs are left out" in page and "  encoder t5: cc3m_clip_helip_t5" in page
    assert "  corpus cc12m: cc12m_clip, cc12m_clip_control, cc12m_clip_cleaned, cc12m_clip_helip and 23 more" in page
    assert "cc12m_clip_helip_interpolated" not in page and "cc12m_clip_helip_interpolated" in runs_text(smoke, every_name=True)


def test_a_run_of_other_settings_is_not_done(smoke):
    for one in (model_of(smoke, run, seed) for run in ("cc3m_clip", "cc3m_clip_helip") for seed in ("0", "1")):
        write_json(one.folder / "train.json", {"digest": one.digest})
        for path in Evaluate(smoke, one.run, one.seed).outputs:
            write_json(path, {})
    assert {line.run: line.state for line in runs(smoke)}["cc3m_clip"] == "done"
    file = model_of(smoke, "cc3m_clip", "1").folder / "train.json"
    write_json(file, {"digest": "of another learning rate"})
    by_name = {line.run: line for line in runs(smoke)}
    assert by_name["cc3m_clip"].state == "1 trained, 1 evaluated, 1 of other settings" and not by_name["cc3m_clip"].measured
    evaluated = BuildEvaluationSet(smoke, "imagenet").output
    write_json(evaluated, {"inputs": {"evaluation_digest": "of another set"}})
    assert {line.run: line.state for line in runs(smoke)}["cc3m_clip_helip"] == "2 trained, 0 evaluated"


def test_without_costs_a_sum_is_unknown_and_not_zero(project):
    smoke = Study("smoke", project / "experiments", project / "no results here")
    page = plan_text(smoke, artefacts(smoke))
    assert page.startswith("Jobs are counted; the study declares no costs")
    (total,) = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| all ")]
    assert total[-4:-1] == ["?", "?", "?"]
