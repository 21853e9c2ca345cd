"""The plugin's parts that need no Slurm: site file, requests, verdicts, names, logs, the launcher, GPU leases."""

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit import reasons
from snakemake_executor_plugin_submitit.queue import LocalQueue, Result, SlurmQueue, Verdict, verdict
from snakemake_executor_plugin_submitit.request import SubmissionError, flags, job_name, nodes_and_gpus, slurm_parameters, wish_for
from snakemake_executor_plugin_submitit.site import Site, Wish, read_site
from snakemake_interface_common.exceptions import WorkflowError

from helip.errors import HelipError
from helip.gpus import gpu_ids, lease
from helip.launch import first_host, rendezvous, srun, torchrun

ROOT = Path(__file__).parent.parent.parent

# ---------------------------------------------------------------- site and requests


def site(**sections) -> Site:
    return Site.model_validate(sections)


def test_later_layers_of_the_site_win_and_all_win_over_the_rule():
    ours = site(default={"partition": "cpu", "account": "a"}, gpu={"partition": "gpu"}, rules={"train": {"partition": "long"}})
    resources = {"partition": "from the rule", "qos": "high", "gpu": 1}
    assert wish_for(["encode"], {**resources, "gpu": 0}, ours).partition == "cpu"
    assert wish_for(["encode"], resources, ours).partition == "gpu"
    assert wish_for(["train"], resources, ours).partition == "long"
    assert wish_for(["train"], resources, ours).account == "a"
    assert wish_for(["train"], resources, ours).qos == "high"  # where the site says nothing the rule is heard
    assert wish_for(["train"], {"slurm_partition": "x"}, site()).partition == "x"


def test_a_rule_of_the_site_also_means_its_rules_per_study():
    ours = site(rules={"evaluate": {"runtime": 5}, "evaluate_paper": {"runtime": 9}})
    assert wish_for(["evaluate_smoke"], {}, ours).runtime == 5
    assert wish_for(["evaluate_paper"], {}, ours).runtime == 9
    assert wish_for(["evaluated"], {}, ours).runtime is None


def test_extra_flags_of_all_layers_are_joined():
    ours = site(default={"extra": {"exclude": "n1", "mail-type": "END"}}, rules={"mine": {"extra": {"exclude": "n2"}}})
    assert wish_for(["mine"], {"slurm_extra": "--comment='a b' --exclusive"}, ours).extra == {
        "comment": "a b",
        "exclusive": True,
        "mail-type": "END",
        "exclude": "n2",
    }
    with pytest.raises(SubmissionError, match="'-x' is no long option"):
        flags("-x n1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default: {partitoin: x}", "default -> partitoin: Extra inputs"),
        ("rules: {train: {runtime: soon}}", "rules -> train -> runtime: Input should be a valid integer"),
        ("gpu: [1", "not readable as YAML"),
        ("- 1", "the file: Input should be a valid dictionary"),
    ],
)
def test_wrong_site_file_is_one_sentence(tmp_path, text, said):
    file = tmp_path / "site.yaml"
    file.write_text(text)
    with pytest.raises(WorkflowError) as caught:
        read_site(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_named_site_file_must_exist_and_the_usual_one_need_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_site(None) == Site()
    with pytest.raises(WorkflowError, match=r"no\.yaml: the site file cannot be read"):
        read_site(Path("no.yaml"))


def test_example_site_file_is_valid():
    example = read_site(ROOT / "slurm/site.example.yaml")
    assert example.wish(["train"], 8).partition == "long"


@pytest.mark.parametrize(
    ("gpus", "wish", "expected"), [(0, {}, (1, 0)), (8, {}, (1, 8)), (16, {"gpus_per_node": 8}, (2, 8)), (4, {"nodes": 2}, (2, 2))]
)
def test_gpus_are_spread_over_nodes(gpus, wish, expected):
    assert nodes_and_gpus(gpus, Wish(**wish)) == expected


def test_gpus_that_cannot_be_shared_evenly_are_refused():
    with pytest.raises(SubmissionError, match="12 GPUs cannot be shared evenly by 5 nodes"):
        nodes_and_gpus(12, Wish(nodes=5))


def test_request_of_two_nodes():
    said = slurm_parameters("train", 10, 16, Wish(gpus_per_node=8, gpu_model="v100", mem_mb=64000, runtime=600), 120)
    assert (said["nodes"], said["gres"], said["cpus_per_task"], said["mem"], said["time"]) == (2, "gpu:v100:8", 10, "64000MB", 600)
    assert said["srun_args"] == ["--cpus-per-task=10", "--nodes=1", "--ntasks=1"]
    assert said["additional_parameters"] == {"requeue": True}


def test_job_names_survive_any_wildcard():
    assert job_name("train", "cc3m_clip", "0r1") == "train.cc3m_clip.0r1"
    assert job_name("a b", "x'; rm -rf /") == "a-b.x-rm--rf-"


# ---------------------------------------------------------------- what a state means


@pytest.mark.parametrize(
    ("result", "state", "quiet", "expected"),
    [
        (Result(None), None, 0, Verdict.DONE),
        (Result(None), "RUNNING", 0, Verdict.DONE),  # the result is written before Slurm calls the job completed
        (Result("boom"), "RUNNING", 0, Verdict.FAILED),
        (None, None, 0, Verdict.RUNNING),  # not asked yet
        (None, "PENDING", 999, Verdict.RUNNING),
        (None, "REQUEUED", 999, Verdict.RUNNING),
        (None, "NODE_FAIL", 1, Verdict.RUNNING),  # Slurm may be requeueing it
        (None, "NODE_FAIL", 20, Verdict.LOST),
        (None, "PREEMPTED", 20, Verdict.LOST),
        (None, "TIMEOUT", 20, Verdict.LOST),
        (None, "OUT_OF_MEMORY", 20, Verdict.FAILED),
        (None, "CANCELLED", 20, Verdict.FAILED),
        (None, "COMPLETED", 20, Verdict.FAILED),  # without a result
        (None, None, 20, Verdict.FAILED),  # gone from the queue
    ],
)
def test_verdicts(result, state, quiet, expected):
    assert verdict(result, state, quiet, settle_s=15) is expected


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """programs(name, script): a fake Slurm command before the real ones on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def fake(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return fake


def test_squeue_is_read(programs):
    programs("squeue", "echo '7|RUNNING'; echo '8_0|PENDING'; echo '8_1|OUT_OF_MEMORY'")
    assert SlurmQueue().states(["7", "8_0", "8_1", "9"]) == {"7": "RUNNING", "8_0": "PENDING", "8_1": "OUT_OF_MEMORY"}


def test_job_that_squeue_has_forgotten_is_gone_and_a_silent_slurm_says_nothing(programs):
    programs("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert SlurmQueue().states(["7"]) == {}
    programs("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    queue = SlurmQueue()
    assert queue.states(["7"]) is None
    assert "Unable to contact" in queue.trouble


def test_reason_of_a_death_comes_from_sacct_where_there_is_one(programs):
    programs("sacct", "echo OUT_OF_MEMORY")
    assert SlurmQueue().epitaph("7") == "OUT_OF_MEMORY"
    assert reasons.why("7", "OUT_OF_MEMORY", None) == (
        "job 7 died (OUT_OF_MEMORY): it ran out of memory; raise mem_mb of the rule (`rules:` in slurm/site.yaml)"
    )
    programs("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert SlurmQueue().epitaph("7") == ""
    assert reasons.why("7", "CANCELLED by 1000", None).startswith("job 7 died (CANCELLED by 1000): it was cancelled")
    assert reasons.why("7", None, None) == "job 7 died: it left the queue without a result"


def test_process_ids_that_were_given_to_another_program_are_not_ours():
    assert LocalQueue().states([str(os.getpid()), "999999999"]) == {}


def test_tail_shows_the_rules_log_then_the_jobs(tmp_path):
    rule, job = tmp_path / "rule.log", tmp_path / "job.log"
    rule.write_bytes(b"\n".join(b"line %d" % i for i in range(100)) + b"\n\xff broken\n")
    said = reasons.tail("train", job, [str(rule), "absent.log"], lines=3)
    assert said.splitlines()[1:] == [
        f"--- rule train, the end of {rule}",
        "line 98",
        "line 99",
        "\ufffd broken",
        f"--- rule train, the end of {job}",
        "(empty or missing: the job never started, or its folder is not shared with the node)",
        "--- rule train",
    ]


# ---------------------------------------------------------------- launcher


@pytest.mark.parametrize(
    ("nodes", "first"), [("v7", "v7"), ("v[007-009,12],w1", "v007"), ("a-1,b-2", "a-1"), ("n[3]-ib", "n3-ib"), ("gpu[01,05-07]", "gpu01")]
)
def test_first_host_of_a_node_list(nodes, first):
    assert first_host(nodes) == first


def test_nodes_meet_where_srun_was_called_at_a_port_of_the_job():
    environ = {"SLURM_JOB_ID": "123456", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_PROCID": "1"}
    assert rendezvous(environ) == ("n1", 20000 + 123456 % 20000)
    assert rendezvous({**environ, "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7"})[0] == "10.0.0.7"
    with pytest.raises(HelipError, match="several nodes need a Slurm job"):
        rendezvous({})
    line = torchrun(["helip", "train"], 8, environ)
    assert line[-8:] == [
        "--nnodes=2",
        "--node-rank=1",
        "--master-addr=n1",
        "--master-port=23456",
        "--nproc-per-node=8",
        "--no-python",
        "helip",
        "train",
    ]
    step = srun(["helip", "train"], 16, 2, {"SLURM_CPUS_PER_TASK": "10"})
    assert step[:2] == ["srun", "--overlap"]
    assert {"--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=10", "--worker"} <= set(step)


# ---------------------------------------------------------------- leases


def test_gpu_ids_come_from_the_first_that_says(tmp_path):
    for name in ("nvidia1", "nvidia0", "nvidia10", "nvidiactl"):
        (tmp_path / name).touch()
    assert gpu_ids({}, tmp_path) == ["0", "1", "10"]
    assert gpu_ids({"CUDA_VISIBLE_DEVICES": "2,GPU-5a"}, tmp_path) == ["2", "GPU-5a"]
    assert gpu_ids({"CUDA_VISIBLE_DEVICES": "2", "HELIP_GPUS": "3, 4"}, tmp_path) == ["3", "4"]
    assert gpu_ids({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []


def test_lease_gives_each_its_own_and_too_many_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path))
    with lease(2, ["0", "1", "2"]) as first, lease(1, ["0", "1", "2"]) as second:
        assert (first, second) == (["0", "1"], ["2"])
    with lease(3, ["0", "1", "2"]) as all_again:
        assert len(all_again) == 3
    with pytest.raises(HelipError, match=r"asks for 2 GPUs and this machine offers 1 \(0\)"), lease(2, ["0"]):
        pass


def test_four_commands_on_two_gpus_never_share_one(tmp_path):
    """Each command notes when it had which GPU; the intervals of one GPU must not overlap."""
    note = "import os, sys, time; a = time.time(); time.sleep(0.4); print(os.environ['CUDA_VISIBLE_DEVICES'], a, time.time())"
    environ = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    environ |= {"HELIP_LEASES": str(tmp_path), "HELIP_GPUS": "5,6", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "helip.launch", "--gpus", "1", sys.executable, "-c", note]
    started = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    held = [process.communicate(timeout=60)[0].split() for process in started]
    assert {gpu for gpu, _, _ in held} == {"5", "6"}
    for gpu in ("5", "6"):
        spans = sorted((float(a), float(b)) for g, a, b in held if g == gpu)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_killed_command_gives_its_gpu_back(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path))
    environ = {**os.environ, "HELIP_GPUS": "0", "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen(
        [sys.executable, "-m", "helip.launch", "--gpus", "1", "sh", "-c", "echo on; exec sleep 60"], env=environ, stdout=-1
    )
    assert holder.stdout.readline() == b"on\n"
    begin = time.monotonic()
    holder.kill()
    holder.wait()
    with lease(1, ["0"]) as mine:
        assert mine == ["0"]
    assert time.monotonic() - begin < 5


def test_launcher_says_what_is_wrong_in_a_sentence(tmp_path):
    def said(*arguments: str, **more: str) -> tuple[int, str]:
        environ = {**os.environ, "HELIP_LEASES": str(tmp_path), "PYTHONPATH": str(ROOT), **more}
        done = subprocess.run([sys.executable, "-m", "helip.launch", *arguments], env=environ, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    code, error = said("--gpus", "2", "true", HELIP_GPUS="0")
    assert code == 2
    assert "asks for 2 GPUs and this machine offers 1" in error
    code, error = said("--gpus", "0", "no-such-command")
    assert (code, error) == (2, "helip launch: no-such-command: no such command; install it or correct the rule\n")
