"""The launcher keeps exit codes: Slurm's requeue depends on one."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from helip.training import Interrupts, processes
from helip.training.processes import processes_wanted, relaunch

SAYS_AND_WAITS = """
import pathlib, signal, sys, time, os
def leave(*_):
    time.sleep(float(sys.argv[2]))
    sys.exit(75)
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, leave)
pathlib.Path(sys.argv[1], os.environ["RANK"]).touch()
time.sleep(3000)
"""
ALONE = """
import sys
from helip.training.processes import relaunch
sys.exit(relaunch(2, sys.argv[2:], ("-c", sys.argv[1])))
"""
ONE_OF_TWO = """
import sys
from helip.training import processes
processes.GRACE = 0.5
node = processes.Node(2, int(sys.argv[1]), f"localhost:{sys.argv[2]}")
sys.exit(processes.run([sys.executable, "-c", *sys.argv[3:]], 1, node))
"""
# a signal comes right before the processes are started, or right after they have ended
AT_THE_EDGES = """
import os, signal, sys
from helip.training import processes
launch = processes.elastic_launch
def launched(config, command):
    def run(*arguments):
        if sys.argv[2] == "before":
            os.kill(os.getpid(), int(sys.argv[1]))
        launch(config, command)(*arguments)
        os.kill(os.getpid(), int(sys.argv[1]))
    return run
processes.elastic_launch = launched
sys.exit(processes.relaunch(1, [], ("-c", "pass")))
"""


def python(code: str, *arguments: str | int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.DEVNULL)


def wait_for_two(folder: Path) -> None:
    until = time.monotonic() + 1800
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize(("code", "says"), [("sys.exit(0)", 0), ("sys.exit(2)", 2), ("sys.exit(75)", 75), ("os.kill(os.getpid(), 9)", 137)])
def test_exit_codes_are_kept(code, says):
    assert relaunch(2, [], ("-c", f"import os, sys; {code}")) == says


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_reaches_every_process_and_asks_to_be_requeued(tmp_path: Path, number):
    launcher = python(ALONE, SAYS_AND_WAITS, tmp_path, 1 if number == signal.SIGTERM else 0)
    wait_for_two(tmp_path)
    launcher.send_signal(number)
    assert launcher.wait(1800) == 75


@pytest.mark.parametrize(("when", "says"), [("before", 75), ("after", 0)])
def test_only_a_signal_before_the_processes_asks_for_a_requeue(when, says):
    assert python(AT_THE_EDGES, int(signal.SIGUSR2), when).wait(1800) == says


def test_a_signal_during_the_import_asks_for_a_requeue(monkeypatch):
    monkeypatch.setattr(processes, "elastic_launch", None)  # nothing is launched
    with Interrupts() as listening:
        os.kill(os.getpid(), signal.SIGTERM)
        assert relaunch(2, [], listening=listening) == 75


@pytest.mark.parametrize(
    ("codes", "stopped", "says"),
    [([-15, 1], [15], 75), ([-12, -9], [12], 75), ([1, -15], [], 1), ([1, 1], [15], 1), ([-15, -15], [], 143), ([-15, -9], [12], 143)],
)
def test_one_process_ended_by_the_signal_is_enough(codes, stopped, says):
    failures = {rank: ProcessFailure(rank, 1, code, "") for rank, code in enumerate(codes)}
    for rank, failure in failures.items():
        failure.timestamp = rank
    assert processes._code(ChildFailedError("a training", failures), stopped) == says


def test_both_of_two_nodes_ask_to_be_requeued(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    nodes = [python(ONE_OF_TWO, rank, port, SAYS_AND_WAITS, tmp_path, 0) for rank in range(2)]
    wait_for_two(tmp_path)  # ranks 0 and 1 of two: the nodes have met
    for node in nodes:
        node.send_signal(signal.SIGUSR2)
    assert [node.wait(1800) for node in nodes] == [75, 75]


def test_inside_torchrun_nothing_is_launched_again(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert processes_wanted() == 1
