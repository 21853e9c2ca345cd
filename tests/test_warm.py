"""Jobs beside a warm server: forked from a process that has imported torch, with the output, exit code and signals of their own."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from helip import warm

HELIP = f"{sys.executable} -m helip"


def _beside(tmp_path: Path, script: str, **environ) -> subprocess.CompletedProcess:
    """What a shell script beside a server ends with; the server imports nothing beforehand, to begin at once."""
    program = "import sys; from helip import warm; warm.IMPORTED = (); sys.exit(warm.main(sys.argv[1:]))"
    line = [sys.executable, "-c", program, "bash", "-c", textwrap.dedent(script)]
    return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=os.environ | environ, check=False)


def test_output_and_exit_code_are_those_of_the_job(tmp_path):
    ended = _beside(tmp_path, f"{HELIP} run nosuch train a 0 > out 2> err; echo $?; cat err; exit 7")
    assert ended.returncode == 7
    assert ended.stdout.splitlines()[0] == "2"
    assert "there is no study 'nosuch'" in ended.stdout


def test_a_command_that_ends_at_once_is_not_waited_for(tmp_path):
    """It ends while the server still imports."""
    program = "import sys, time; from helip import warm; warm.IMPORTED = ('slow',); sys.exit(warm.main(['true']))"
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(2)\n")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    ended = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, check=False, timeout=600)
    assert ended.returncode == 0


def test_a_job_is_forked_from_the_server(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os\nif 'HELIP_WARM' in os.environ: print('fresh', flush=True)\n")
    ended = _beside(tmp_path, f"{HELIP} run nosuch train a 0 2>&1", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert ended.stdout.count("fresh") == 1  # the process that asks, and no other
    assert "no study" in ended.stdout


def test_without_a_server_the_job_runs_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv(warm.VARIABLE, str(tmp_path / "nothing"))
    assert warm.delegate(["run"]) is None
    monkeypatch.delenv(warm.VARIABLE)
    assert warm.delegate(["run"]) is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR2, 140)])
def test_a_signal_reaches_the_job(tmp_path, number, code):
    """The job is a `run` that sleeps; what it was sent comes back as its exit code."""
    program = textwrap.dedent("""
        import sys, time
        from helip import cli, warm
        warm.IMPORTED = ()
        def sleep(arguments):
            open("begun", "w").close()
            time.sleep(3600)
        cli._run = sleep
        sys.exit(warm.main(sys.argv[1:]))
    """)
    script = f"{HELIP} run a b & job=$!; while [ ! -e begun ]; do sleep 0.05; done; kill -{int(number)} $job; wait $job; exit $?"
    ended = subprocess.run([sys.executable, "-c", program, "bash", "-c", script], cwd=tmp_path, check=False, timeout=600)
    assert ended.returncode == code


def test_a_job_ends_with_the_process_that_asked(tmp_path):
    program = textwrap.dedent("""
        import os, sys, time
        from helip import cli, warm
        warm.IMPORTED = ()
        def sleep(arguments):
            open("pid", "w").write(str(os.getpid()))
            os.rename("pid", "begun")
            time.sleep(3600)
        cli._run = sleep
        sys.exit(warm.main(sys.argv[1:]))
    """)
    script = f"{HELIP} run a b & job=$!; while [ ! -e begun ]; do sleep 0.05; done; kill -9 $job; wait $job"
    subprocess.run([sys.executable, "-c", program, "bash", "-c", script], cwd=tmp_path, check=False, timeout=600)
    assert not Path(f"/proc/{(tmp_path / 'begun').read_text()}").exists()  # the server waited until it was gone


def test_a_job_outlives_the_command_that_began_it(tmp_path):
    """As a job does whose snakemake is killed: the server ends after it."""
    program = textwrap.dedent("""
        import sys, time
        from helip import cli, warm
        warm.IMPORTED = ()
        def work(arguments):
            open("begun", "w").close()
            time.sleep(1)
            open("done", "w").close()
            return 0
        cli._run = work
        sys.exit(warm.main(sys.argv[1:]))
    """)
    script = f"{HELIP} run a b & while [ ! -e begun ]; do sleep 0.05; done; kill -9 $$"
    ended = subprocess.run([sys.executable, "-c", program, "bash", "-c", script], cwd=tmp_path, check=False, timeout=600)
    assert ended.returncode == 137
    assert (tmp_path / "done").exists()


def test_wrong_use_is_one_sentence(tmp_path, capsys):
    assert warm.main([]) == 2
    assert warm.main(["no-such-command-here"]) == 2
    assert "no-such-command-here: cannot be run" in capsys.readouterr().err
