"""A Slurm of counting fakes: how often it is asked about 200 jobs, and what follows when it loses a node."""

import os
import re
import sys
import time

import pytest
from conftest import Workflow

# After 8 seconds does the work of its job or array: the outputs and submitit's result files. $LOSE: the first never does.
SBATCH = """
import os, pathlib, pickle, re, shlex, sys, time
with open(os.environ["CALLS"], "a") as calls:
    print("sbatch", file=calls)
script = pathlib.Path(sys.argv[1]).read_text()
folder = pathlib.Path(shlex.split(next(line for line in script.splitlines() if line.startswith("srun")))[-1])
array = re.search(r"--array=0-(\\d+)", script)
main = os.getpid()
ids = [f"{main}_{i}" for i in range(int(array[1]) + 1)] if array else [str(main)]
print("Submitted batch job", main, flush=True)
lost = "LOSE" in os.environ and pathlib.Path(os.environ["CALLS"]).read_text().count("sbatch") == 1
if not lost and os.fork() == 0:
    os.close(1), os.close(2)  # submitit waits for both
    time.sleep(8)
    os.makedirs("done", exist_ok=True)
    for one in ids:
        command = (folder / f"{one}_submitted.pkl").read_bytes().decode("latin-1")
        pathlib.Path("done", re.search(r"one:n=(\\d+)", command)[1]).touch()
        (folder / f"{one}_0_result.pkl").write_bytes(pickle.dumps(("success", 0)))
"""
SQUEUE = """
import os, sys
with open(os.environ["CALLS"], "a") as calls:
    print("squeue", file=calls)
ids = next(word for word in sys.argv if word.startswith("--jobs="))[7:].split(",")
state = os.environ.get("LOSE", "RUNNING") if open(os.environ["CALLS"]).read().count("sbatch") == 1 else "RUNNING"
print("\\n".join(f"{one}|{state}" for one in ids))
"""


@pytest.fixture
def flow(tmp_path) -> Workflow:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, source in (("sbatch", SBATCH), ("squeue", SQUEUE), ("srun", ""), ("scancel", ""), ("sacct", "")):
        (programs / name).write_text(f"#!{sys.executable}\n{source}")
        (programs / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    return Workflow(tmp_path / "flow", "many.smk", environ)


def calls(flow: Workflow, program: str) -> int:
    return (flow.folder.parent / "calls").read_text().split().count(program)


def test_slurm_is_asked_once_a_cycle_however_many_jobs_there_are(flow):
    begin = time.monotonic()
    assert flow.run(seconds=200) == 0, flow.said[-3000:]
    assert len(re.findall(r"^one: slurm job \d+_\d+", flow.said, re.M)) == 200
    assert calls(flow, "sbatch") == 1
    # poll_s is 2 in these tests, and no cycle asks twice
    assert 2 <= calls(flow, "squeue") <= (time.monotonic() - begin) / 2 + 1


def test_job_that_slurm_drops_with_its_node_is_submitted_again(flow):
    flow.environ["LOSE"] = "NODE_FAIL"
    assert flow.run("done/5", seconds=120) == 0, flow.said[-3000:]
    assert re.search(r"^one: job \d+ ended as NODE_FAIL; submitting it again", flow.said, re.M)
    assert calls(flow, "sbatch") == 2


def test_job_that_slurm_drops_too_often_fails(flow):
    flow.environ["LOSE"] = "NODE_FAIL"
    assert flow.run("done/5", "--submitit-requeues", "0", seconds=120) == 1
    assert re.search(r"rule one: job \d+ died \(NODE_FAIL\): its nodes failed more often than `requeues` allows", flow.said)
    assert calls(flow, "sbatch") == 1
