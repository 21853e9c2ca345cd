"""helip.launch and helip.gpus: rendezvous of nodes, leases of GPUs. Needs neither Slurm nor GPU."""

import fcntl
import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from workflows import until

from helip.errors import HelipError
from helip.gpus import gpu_ids, lease
from helip.launch import _run, first_host, rendezvous, srun, worker_line

ROOT = Path(__file__).parent.parent.parent


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
    line = worker_line(["helip", "train"], 8, environ)
    assert line[-7:] == [
        "--nnodes=2",
        "--node-rank=1",
        "--master-addr=n1",
        "--master-port=23456",
        "--nproc-per-node=8",
        "helip",
        "train",
    ]
    step = srun(["helip", "train"], 16, 2, {"SLURM_CPUS_PER_TASK": "10"})
    assert step[:2] == ["srun", "--overlap"]
    assert {"--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=10", "--worker"} <= set(step)


def test_the_nodes_of_a_job_start_as_its_site_says():
    step = srun(["helip", "train"], 16, 2, {"HELIP_SRUN": "--mpi=none '--comment=a b'"})
    assert step[step.index("--ntasks-per-node=1") + 1 : step.index(sys.executable)] == ["--mpi=none", "--comment=a b"]
    assert not [word for word in step if word.startswith("--cpus-per-task")]  # the job was not given any: its site refuses the flag


def test_gpu_ids_come_from_the_first_that_says(tmp_path):
    for name in ("nvidia1", "nvidia0", "nvidia10", "nvidiactl"):
        (tmp_path / name).touch()
    assert gpu_ids({}, tmp_path) == ["0", "1", "10"]
    assert gpu_ids({"CUDA_VISIBLE_DEVICES": "2,GPU-5a"}, tmp_path) == ["2", "GPU-5a"]
    assert gpu_ids({"CUDA_VISIBLE_DEVICES": "2", "HELIP_GPUS": "3, 4"}, tmp_path) == ["3", "4"]
    for none in ("", "-1", "NoDevFiles"):
        assert gpu_ids({"CUDA_VISIBLE_DEVICES": none}, tmp_path) == []


def test_a_folder_for_leases_is_made_or_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path / "no" / "such" / "parent"))
    with lease(1, ["0"]) as ids:
        assert ids == ["0"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path / "file"))
    with pytest.raises(HelipError, match=r"file: cannot be made \(File exists\); set HELIP_LEASES"), lease(1, ["0"]):
        pass


def test_a_command_that_cannot_be_run_is_named(tmp_path):
    (tmp_path / "script").write_text("")
    with pytest.raises(HelipError, match=r"script: cannot be run \(Permission denied\); correct the rule"):
        _run([str(tmp_path / "script")], {})


def test_lease_gives_each_its_own_and_too_many_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path))
    with lease(2, ["0", "1", "2"]) as first, lease(1, ["0", "1", "2"]) as second:
        assert (first, second) == (["0", "1"], ["2"])
    with lease(3, ["0", "1", "2"]) as all_again:
        assert len(all_again) == 3
    with pytest.raises(HelipError, match=r"asks for 2 GPUs and this machine offers 1 \(0\)"), lease(2, ["0"]):
        pass


def test_a_gpu_named_twice_is_one_and_less_than_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path))
    for count, ids in ((2, ["0", "0"]), (-1, ["0"])):
        with pytest.raises(HelipError, match=rf"asks for {count} GPUs and this machine offers 1 \(0\)"), lease(count, ids):
            pass


def waiting_for(lock: Path) -> int:
    """How many wait for a lock of the kernel: each is a line `1: -> FLOCK ... major:minor:inode ...`."""
    inode = f":{lock.stat().st_ino}"
    return sum("->" in line and line.split()[6].endswith(inode) for line in Path("/proc/locks").read_text().splitlines())


def test_gpus_are_leased_in_the_order_of_asking(tmp_path, monkeypatch):
    """Why these are locks of our own: filelock asks again and again in random pauses, so whoever asks last may be first.

    The kernel's queue is in order. A lease must also survive exec, which filelock's would by `on_acquired`.
    """
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path))
    served = []

    def ask(name: int) -> None:
        with lease(1, ["0"], poll_s=0.01):
            served.append(name)

    names = list(range(6))
    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    with lease(1, ["0"]):
        for name, thread in enumerate(threads):
            thread.start()  # the first waits for the GPU and holds the gate, the others wait in turn behind it
            until(lambda name=name: (tmp_path / "gate.lock").exists() and waiting_for(tmp_path / "gate.lock") == name, 600, "its turn")
            until(lambda: not is_free(tmp_path / "gate.lock"), 600, "the first to hold the gate")
    for thread in threads:
        thread.join()
    assert served == names


def is_free(lock: Path) -> bool:
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_four_commands_on_two_gpus_never_share_one(tmp_path):
    """Each command notes when it had which GPU; the intervals of one GPU must not overlap."""
    note = "import os, sys, time; a = time.time(); time.sleep(0.4); print(os.environ['CUDA_VISIBLE_DEVICES'], a, time.time())"
    environ = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    environ |= {"HELIP_LEASES": str(tmp_path), "HELIP_GPUS": "5,6", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "helip.launch", "--gpus", "1", sys.executable, "-c", note]
    started = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    held = [process.communicate(timeout=1800)[0].split() for process in started]
    assert {gpu for gpu, _, _ in held} == {"5", "6"}
    for gpu in ("5", "6"):
        spans = sorted((float(a), float(b)) for g, a, b in held if g == gpu)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_killed_command_gives_its_gpu_back(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path))
    environ = {**os.environ, "HELIP_GPUS": "0", "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen(
        [sys.executable, "-m", "helip.launch", "--gpus", "1", "sh", "-c", "echo on; exec sleep 3000"], env=environ, stdout=-1
    )
    assert holder.stdout.readline() == b"on\n"
    assert not is_free(tmp_path / "0.lock")  # the lease has survived the exec of sh and that of sleep
    holder.kill()
    holder.wait()
    assert is_free(tmp_path / "0.lock")
    with lease(1, ["0"]) as mine:
        assert mine == ["0"]


def test_launcher_says_what_is_wrong_in_a_sentence(tmp_path):
    def launched(*arguments: str, **more: str) -> tuple[int, str]:
        environ = {**os.environ, "HELIP_LEASES": str(tmp_path), "PYTHONPATH": str(ROOT), **more}
        done = subprocess.run([sys.executable, "-m", "helip.launch", *arguments], env=environ, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    code, error = launched("--gpus", "2", "true", HELIP_GPUS="0")
    assert code == 2
    assert "asks for 2 GPUs and this machine offers 1" in error
    code, error = launched("--gpus", "0", "no-such-command")
    assert (code, error) == (2, "helip launch: no-such-command: no such command; install it or correct the rule\n")
