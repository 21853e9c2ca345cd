"""What a controller notes of its jobs, and what the next one reads. Needs no Slurm."""

import fcntl
from dataclasses import replace
from types import SimpleNamespace

import pytest
from snakemake.io import IOFile, flag
from snakemake.iocontainers import Params
from snakemake_executor_plugin_submitit.executor import Executor
from snakemake_executor_plugin_submitit.ledger import Ledger, Record, blank_record, identified, newer_than
from snakemake_executor_plugin_submitit.recovery import Recovery
from snakemake_interface_common.exceptions import WorkflowError


def record(**more) -> Record:
    return Record(work="w", parts=["p"], outputs=["a/b.txt"], **more)


def test_records_are_read_back_and_forgotten(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write(record(job_id="7", folder="/x", submitted=1.5))
    assert ledger.records() == [record(job_id="7", folder="/x", submitted=1.5)]
    (tmp_path / "jobs/broken.json").write_text("{")
    assert len(ledger.records()) == 1
    ledger.forget("w")
    assert ledger.records() == []


def test_one_controller_at_a_time_and_a_dead_one_holds_nothing(tmp_path):
    first = Ledger(tmp_path)
    with pytest.raises(WorkflowError, match=r"another snakemake submits jobs for this folder \(process \d+ on"):
        Ledger(tmp_path)
    first.release()  # as the kernel does for a killed process
    Ledger(tmp_path).release()


def test_a_controller_does_not_start_beside_a_plain_snakemake(tmp_path):
    Ledger(tmp_path).release()
    with open(tmp_path / "controller.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as the Snakefile does
        with pytest.raises(WorkflowError, match="another snakemake runs jobs in this folder, on its own machine; wait"):
            Ledger(tmp_path)
    Ledger(tmp_path).release()


@pytest.mark.parametrize(("place", "expected"), [(None, "12"), (3, "12_3")])
def test_id_that_was_given_and_not_noted_is_found(tmp_path, place, expected):
    """A controller killed right after sbatch: submitit has named the submission file by the id."""
    (tmp_path / "12_submission.sh").touch()
    assert identified(record(place=place, folder=str(tmp_path))).job_id == expected


def test_record_of_a_submission_that_never_was_is_not_taken_up(tmp_path):
    ledger = Ledger(tmp_path)
    (tmp_path / "logs").mkdir()
    ledger.write(record(folder=str(tmp_path / "logs")))
    assert ledger.records() == []


def test_newer_files(tmp_path):
    file = tmp_path / "input"
    file.touch()
    moment = file.stat().st_mtime
    assert newer_than([str(file), str(tmp_path / "absent")], moment) == []
    assert newer_than([str(file)], moment - 5) == [str(file)]


class Job(SimpleNamespace):
    """A job as Snakemake has it, or a group of one."""

    __hash__ = object.__hash__


def graph_job(*inputs, group: bool = False) -> Job:
    paths, rule = [IOFile(path) for path in inputs], SimpleNamespace(name="train")
    one = Job(name="train", rule=rule, input=paths, output=["model"], params={"d": "1"}, shellcmd="", is_group=lambda: False)
    return Job(name="g", input=paths, output=one.output, jobs=[one], is_group=lambda: True) if group else one


class Queue:
    """A queue in which every job runs, and which notes what is cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def states(self, ids):
        return {one: "RUNNING" for one in ids if one not in self.cancelled}

    def cancel(self, ids) -> None:
        self.cancelled += ids


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize(("kind", "taken_up"), [("ancient", True), ("order_only", True), (None, False)])
def test_a_check_made_again_ends_no_job_that_waited_for_it(tmp_path, monkeypatch, kind, taken_up, group):
    monkeypatch.chdir(tmp_path)
    ledger, queue = Ledger(tmp_path / "ledger"), Queue()
    one = graph_job(flag("data.json", kind) if kind else "data.json", group=group)
    ledger.write(replace(blank_record(one), job_id="7", folder="/nowhere", submitted=1000.0))
    (tmp_path / "data.json").touch()  # after the submission
    resumed = Recovery(ledger, queue, print).resumed([one])[one]
    assert (resumed is not None, queue.cancelled) == (taken_up, [] if taken_up else ["7"])


def test_what_only_comes_first_is_no_part_of_the_work():
    """Rules leave such an input out once the job is done, which ran all the same."""
    plain, waiting = graph_job("corpus"), graph_job("corpus", flag("data.json", "order_only"))
    assert blank_record(plain) == blank_record(waiting) != blank_record(graph_job("corpus", "pairs"))


def test_a_job_is_told_the_digests_of_all_its_parts():
    """The Snakemake inside it reads the study anew; a part without a digest in its params has none to be told."""
    parts = [SimpleNamespace(params=Params(fromdict=params)) for params in ({"digest": "a1"}, {"processes": 2}, {"digest": "b2"})]
    group = SimpleNamespace(is_group=lambda: True, jobs=parts)
    assert Executor.get_job_exec_prefix(None, group) == "export HELIP_DIGESTS='a1 b2'"
    assert Executor.get_job_exec_prefix(None, SimpleNamespace(is_group=lambda: False, params=Params(fromdict={}))) == ""
