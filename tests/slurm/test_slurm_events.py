"""What happens to jobs on a real Slurm, all in one workflow so that the waiting is done once."""

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from workflows import HERE, Workflow, until

pytestmark = pytest.mark.long  # a dozen jobs, and Slurm's time limits are whole minutes


def process_of(flow: Workflow, rule: str) -> int:
    """The process of a rule's job on the node: the one that would write the result."""
    mine = str(flow.folder / ".snakemake/submitit" / rule).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"submitit.core._submit" in words and words[0].endswith(b"python") and any(w.startswith(mine) for w in words):
                return int(process.name)
    raise AssertionError(f"no process runs {rule}")


@pytest.fixture(scope="module")
def events(slurm, tmp_path_factory):
    """The workflow of events.smk after everything has happened to it. Dead jobs are reported while another job runs."""
    flow = Workflow(tmp_path_factory.mktemp("events") / "it's a folder", "events.smk", slurm.environ)
    flow.start("--keep-going", "--submitit-site", str(HERE / "site.yaml"))
    names = ("limit", "preempted", "spot", "requeued", "cancelled", "lost")
    running = [flow.folder / f"{name}.state" for name in names]
    until(lambda: all(path.exists() for path in running), 600, f"the jobs to run:\n{flow.printed}")

    slurm.call("scontrol", "requeue", flow.job_id("requeued"))
    slurm.call("scancel", flow.job_id("cancelled"))
    os.kill(process_of(flow, "lost"), signal.SIGKILL)  # as the kernel does when memory runs out
    # An urgent job wants GPUs that the one of lower priority holds.
    urgent = ["sbatch", "-p", "urgent", "-w", "n1", "--gres=gpu:v100:8", "-t", "5", "-o", "/dev/null", "--wrap", "sleep 2"]
    subprocess.run(urgent, env=slurm.environ, check=True, capture_output=True)
    for name in ("cancelled", "lost"):
        until(lambda name=name: f"rule {name}: job" in flow.printed, 600, f"'{name}' to be reported dead:\n{flow.printed[-4000:]}")
    (flow.folder / "reported").touch()  # the job `watched` waits for it
    assert flow.finish(1800) == 1
    return flow


def starts(flow: Workflow, name: str) -> list[int]:
    """The steps at which the starts of a training went on."""
    return [int(step) for step in re.findall(r"^from (\d+)", flow.read(f"{name}.out"), re.M)]


@pytest.mark.parametrize("name", ["limit", "preempted", "spot", "requeued"])
def test_interrupted_training_goes_on_from_its_state(events, name):
    first, *later = starts(events, name)
    assert first == 0
    assert later
    assert later == sorted(later)
    assert later[0] > 0


def test_log_of_a_requeued_job_is_appended_to(events):
    log = next(Path(line.split("log ")[1]) for line in events.printed.splitlines() if line.startswith("requeued: slurm job"))
    assert log.read_text().count("goes on from step") >= 2


@pytest.mark.parametrize("name", ["cancelled", "lost"])
def test_dead_job_leaves_nothing(events, name):
    assert not (events.folder / f"{name}.out").exists()
    assert (events.folder / "watched.out").exists()


def test_cancelled_job_is_called_cancelled(events):
    assert re.search(r"rule cancelled: job \d+ died \(CANCELLED\): it was cancelled", events.printed)


def test_killed_job_shows_its_log_and_suspects_memory(events):
    told = events.printed[events.printed.index("rule lost: job") :]
    assert re.match(r"rule lost: job \d+ died \(FAILED\): .* was killed, as happens when memory runs out: raise mem_mb of the rule", told)
    assert "task 0: Killed" in told[: told.index("--- rule lost\n")]


def test_failure_shows_the_end_of_the_rules_log(events):
    told = events.printed[events.printed.index("rule failing: job") :]
    assert re.match(r"rule failing: job \d+ failed: .* was killed, as happens when memory runs out: raise mem_mb of the rule", told)
    assert "last words: 42" in told[: told.index("--- rule failing\n")]


def test_two_jobs_at_once_see_different_gpus(events):
    seen = {events.read("first_gpu.out").strip(), events.read("second_gpu.out").strip()}
    assert seen == {"0", "1"}


def test_two_nodes_meet_are_warned_together_and_meet_again(events):
    assert events.read("wide.out") == "warned: 3 of 2\n3 of 2\n"


def test_shards_that_are_ready_together_are_one_array(events):
    assert sorted(events.read(f"shard{n}.txt").strip() for n in range(4)) == ["0", "1", "2", "3"]


def test_nothing_but_the_dead_jobs_failed(events):
    assert set(re.findall(r"^Error in rule (\w+)", events.printed, re.M)) == {"cancelled", "lost", "failing"}
    assert not list((events.folder / ".snakemake/submitit/jobs").glob("*"))
