"""The launcher keeps exit codes: Slurm's requeue depends on one."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helip.training.processes import processes_wanted, relaunch

SAYS_AND_WAITS = """
import pathlib, signal, sys, time, os
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, lambda *_: sys.exit(75))
pathlib.Path(sys.argv[1], os.environ["RANK"]).touch()
time.sleep(60)
"""
LAUNCHES = """
import sys
from helip.training.processes import relaunch
sys.exit(relaunch(2, [sys.argv[2]], ("-c", sys.argv[1])))
"""


@pytest.mark.parametrize("code", [0, 2, 75])
def test_exit_codes_are_kept(code):
    assert relaunch(2, [], ("-c", f"import sys; sys.exit({code})")) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_reaches_every_process_and_asks_to_be_requeued(tmp_path: Path, number):
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHES, SAYS_AND_WAITS, str(tmp_path)], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    launcher.send_signal(number)
    assert launcher.wait(40) == 75


def test_inside_torchrun_nothing_is_launched_again(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert processes_wanted() == 1
