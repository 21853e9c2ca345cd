"""A Slurm of counting fakes: how often it is asked about 200 jobs, and what follows when it loses some."""

import json
import os
import re
import sys
import time

import pytest
from workflows import Workflow

# When squeue has been asked twice it does the work of its job or array: the outputs and submitit's result files.
# $FATES, {n: states}: what instead becomes of the job that makes done/n, the first time it is submitted, the second time...
SBATCH = """
import json, os, pathlib, pickle, re, shlex, sys, time
with open(os.environ["CALLS"], "a") as calls:
    print("sbatch", file=calls)
script = pathlib.Path(sys.argv[1]).read_text()
folder = pathlib.Path(shlex.split(next(line for line in script.splitlines() if line.startswith("srun")))[-1])
array = re.search(r"--array=0-(\\d+)", script)
main = os.getpid()
ids = [f"{main}_{i}" for i in range(int(array[1]) + 1)] if array else [str(main)]
print("Submitted batch job", main, flush=True)
if os.fork() == 0:
    os.close(1), os.close(2)  # submitit waits for both
    fates = json.loads(os.environ.get("FATES", "{}"))
    work = {}
    for one in ids:
        while not (folder / f"{one}_submitted.pkl").exists():
            time.sleep(0.05)
        n = re.search(r"one:n=(\\d+)", (folder / f"{one}_submitted.pkl").read_bytes().decode("latin-1"))[1]
        before = os.environ["CALLS"] + f".{n}"
        again = os.path.exists(before) and len(open(before).read())
        open(before, "a").write("x")
        if again < len(fates.get(n, [])):
            open(os.environ["CALLS"] + ".dead", "a").write(f"{one}|{fates[n][again]}\\n")
        else:
            work[one] = n
    while open(os.environ["CALLS"]).read().split().count("squeue") < 2:
        time.sleep(0.05)
    os.makedirs("done", exist_ok=True)
    for one, n in work.items():
        pathlib.Path("done", n).touch()
        (folder / f"{one}_0_result.pkl").write_bytes(pickle.dumps(("success", 0)))
"""
DEAD = """
import os, pathlib, sys
with open(os.environ["CALLS"], "a") as calls:
    print(os.path.basename(sys.argv[0]), file=calls)
ids = next(word for word in sys.argv if word.startswith("--jobs="))[7:].split(",")
file = pathlib.Path(os.environ["CALLS"] + ".dead")
dead = dict(line.split("|") for line in file.read_text().splitlines()) if file.exists() else {}
"""
# Slurm has forgotten what ran out of memory; its accounting has not.
SQUEUE = DEAD + "print(*(f\"{i}|{dead.get(i, 'RUNNING')}\" for i in ids if dead.get(i) != 'OUT_OF_MEMORY'), sep='\\n')\n"
SACCT = DEAD + "print(dead[ids[0]])\n"


pytestmark = pytest.mark.long  # 200 jobs


@pytest.fixture
def flow(tmp_path) -> Workflow:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, source in (("sbatch", SBATCH), ("squeue", SQUEUE), ("srun", ""), ("scancel", ""), ("sacct", SACCT)):
        (programs / name).write_text(f"#!{sys.executable}\n{source}")
        (programs / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    return Workflow(tmp_path / "flow", "many.smk", environ)


def calls(flow: Workflow, program: str) -> int:
    return (flow.folder.parent / "calls").read_text().split().count(program)


def test_slurm_is_asked_once_a_cycle_however_many_jobs_there_are(flow):
    begin = time.monotonic()
    assert flow.run(seconds=1800) == 0, flow.printed[-3000:]
    assert len(re.findall(r"^one: slurm job \d+_\d+", flow.printed, re.M)) == 200
    assert calls(flow, "sbatch") == 1
    # poll_s is 2 in these tests, and no cycle asks twice
    assert 2 <= calls(flow, "squeue") <= (time.monotonic() - begin) / 2 + 1


def test_what_becomes_of_jobs_that_slurm_loses(flow):
    """Submitted again when it was the cluster's fault, as often as declared; else reported with the reason, here from sacct."""
    flow.environ["FATES"] = json.dumps(
        {1: ["NODE_FAIL"], 2: ["NODE_FAIL", "NODE_FAIL"], 3: ["OUT_OF_MEMORY"], 4: ["COMPLETED"], 5: ["CANCELLED by 1000"]}
    )
    targets = [f"done/{n}" for n in range(1, 6)]
    assert flow.run(*targets, "--keep-going", "--submitit-requeues", "1", "--submitit-array", "1", seconds=1800) == 1
    printed = flow.printed
    assert len(re.findall(r"^one: job \d+ ended as NODE_FAIL; submitting it again", printed, re.M)) == 2
    assert (flow.folder / "done/1").exists()
    assert calls(flow, "sbatch") == 5 + 2
    for why in (
        "(NODE_FAIL): its nodes failed more often than `requeues` allows",
        "(OUT_OF_MEMORY): it ran out of memory; raise mem_mb of the rule",
        "(COMPLETED): Slurm calls it completed, but it left no result: is the log folder on a file system that the nodes share?",
        "(CANCELLED by 1000): it was cancelled",
    ):
        assert re.search(rf"^rule one: job \d+ died {re.escape(why)}", printed, re.M), why
    assert printed.count("--- rule one, the end of") == 4
