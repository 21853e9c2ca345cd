"""What a controller notes of its jobs, and what the next one reads. Needs no Slurm."""

import pytest
from snakemake_executor_plugin_submitit.ledger import Ledger, Record, identified, newer_than
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
