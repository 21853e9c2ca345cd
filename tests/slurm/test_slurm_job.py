"""What runs on the node: signals, GPUs, and that nothing outlives it. Needs no Slurm."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.job import ShellJob
from submitit.core.utils import UncompletedJobError
from workflows import until


@pytest.fixture(autouse=True)
def _handlers():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def job(tmp_path: Path, command: str, **more) -> ShellJob:
    return ShellJob(command, str(tmp_path), grace_s=600, **more)


def test_command_runs_in_its_folder_and_its_status_counts(tmp_path):
    assert job(tmp_path, 'echo "it\'s" > said; test -z "$(cat)"')() == 0  # its stdin is empty
    assert (tmp_path / "said").read_text() == "it's\n"
    with pytest.raises(RuntimeError, match="exit status 3"):
        job(tmp_path, "exit 3")()


def test_job_sees_the_gpus_it_leased_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("HELIP_GPUS", "0,1,2,3")  # of the controller's machine: not for the job
    command = 'echo "$CUDA_VISIBLE_DEVICES ${HELIP_GPUS-unset}" > said'
    job(tmp_path, command)()
    assert (tmp_path / "said").read_text() == " unset\n"
    job(tmp_path, command, gpus=2, offered=["5", "6", "7"])()
    assert (tmp_path / "said").read_text() == "5,6 unset\n"


def test_gpus_that_slurm_assigned_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    job(tmp_path, "echo $CUDA_VISIBLE_DEVICES > said", gpus=1)()
    assert (tmp_path / "said").read_text() == "3\n"


def test_checkpoint_warns_who_listens_and_asks_for_the_same_line(tmp_path):
    """USR2 reaches the training and no other process of the command; the copy that is requeued can be pickled."""
    python = "import signal, sys; signal.signal(12, lambda *a: sys.exit(75)); print(flush=True); signal.pause()"
    listens = f"{sys.executable} -c '{python}' > up; echo $? > code"
    one, again = job(tmp_path, listens), []

    def warn():
        until(lambda: (tmp_path / "up").exists() and (tmp_path / "up").read_text(), 600, "the training")
        again.append(one.checkpoint().function)

    threading.Thread(target=warn).start()
    assert one() == 0
    until(lambda: again, 600, "the checkpoint")
    assert (tmp_path / "code").read_text() == "75\n"
    copy = pickle.loads(pickle.dumps(again[0]))
    assert (copy.command, copy.cwd) == (one.command, one.cwd)
    assert copy.finished  # the line came to its end within the grace: a requeued copy has nothing to run
    assert copy() == 0


@pytest.mark.parametrize("code", [0, 75])
def test_a_job_done_in_its_last_grace_is_done(tmp_path, code):
    """At the last warning submitit's handler calls checkpoint, and then raises since it requeues no more."""
    python = f"import signal, sys; signal.signal(12, lambda *a: sys.exit({code})); print(flush=True); signal.pause()"
    one = job(tmp_path, f"{sys.executable} -c '{python}' > up")
    before = signal.getsignal(signal.SIGUSR2)

    def last_warning(*_):
        one.checkpoint()
        raise UncompletedJobError("Job not requeued because: timed-out too many times.")

    def warn():
        until(lambda: (tmp_path / "up").exists() and (tmp_path / "up").read_text(), 600, "the training")
        os.kill(os.getpid(), signal.SIGUSR2)

    signal.signal(signal.SIGUSR2, last_warning)
    threading.Thread(target=warn).start()
    try:
        with nullcontext() if code == 0 else pytest.raises(UncompletedJobError):
            assert one() == 0
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_nothing_outlives_a_killed_job(tmp_path):
    code = (
        f"from snakemake_executor_plugin_submitit.job import ShellJob; ShellJob('sleep 3000 & echo $! > pid; wait', {str(tmp_path)!r}, 1)()"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 600, "the command")
    sleeper = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}")
    assert sleeper.exists()
    process.kill()
    process.wait()
    until(lambda: not sleeper.exists(), 600, "its end")


def test_stopped_job_lets_its_training_save(tmp_path, monkeypatch):
    """Slurm says TERM when it takes the node away: bash must not end before the training; then the job waits for its end."""
    monkeypatch.setattr("snakemake_executor_plugin_submitit.job.TERM_PATIENCE_S", 1.5)
    saves = "import pathlib, signal, sys, time; signal.signal(15, lambda *a: (time.sleep(1), sys.exit(75))); "
    saves += "pathlib.Path('up').touch(); signal.pause()"
    one = job(tmp_path, f'{sys.executable} -c "{saves}"; echo $? > code')

    def stop():
        until((tmp_path / "up").exists, 600, "the command")
        os.killpg(one._child.pid, signal.SIGTERM)  # as Slurm does, and tells the job too
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    assert one() == 0
    assert (tmp_path / "code").read_text() == "75\n"

    begin = time.monotonic()
    (tmp_path / "up").unlink()
    one.command = f'{sys.executable} -c "{saves}"'
    threading.Thread(target=stop).start()
    with pytest.raises(RuntimeError, match="exit status 75"):
        one()
    assert time.monotonic() - begin > 1 + 1.5


def test_job_that_is_told_to_stop_and_does_not_is_killed(tmp_path):
    one = job(tmp_path, "touch up; sleep 3000", offered=[])
    one.grace_s = 0.5
    threading.Thread(target=lambda: (until((tmp_path / "up").exists, 600, "it"), os.kill(os.getpid(), signal.SIGTERM))).start()
    with pytest.raises(RuntimeError, match="exit status -9"):
        one()


def test_log_of_an_earlier_start_is_kept(tmp_path):
    """Snakemake removes a rule's log before it runs the rule."""
    one = job(tmp_path, "rm -f log; echo $RANDOM-start > log", logs=["log", "absent.log"])
    logs = []
    for _ in range(3):
        one()
        logs.append((tmp_path / "log").read_text())
    assert (tmp_path / "log.earlier").read_text() == logs[0] + logs[1]
    assert not (tmp_path / "absent.log.earlier").exists()
