"""200 jobs at once on a Slurm of counting fakes: how often is it asked, and what does a job cost the controller."""

import os
import re
import sys
import time

from conftest import Workflow

# Takes an array, and after 8 seconds does its work for it: the outputs and submitit's result files.
SBATCH = """
import os, pathlib, pickle, re, shlex, sys, time
with open(os.environ["CALLS"], "a") as calls:
    print("sbatch", file=calls)
script = pathlib.Path(sys.argv[1]).read_text()
folder = pathlib.Path(shlex.split(next(line for line in script.splitlines() if line.startswith("srun")))[-1])
count = int(re.search(r"--array=0-(\\d+)", script)[1]) + 1
main = os.getpid()
print("Submitted batch job", main, flush=True)
if os.fork() == 0:
    os.close(1), os.close(2)  # submitit waits for both
    time.sleep(8)
    os.makedirs("done", exist_ok=True)
    for i in range(count):
        command = (folder / f"{main}_{i}_submitted.pkl").read_bytes().decode("latin-1")
        pathlib.Path("done", re.search(r"one:n=(\d+)", command)[1]).touch()
        (folder / f"{main}_{i}_0_result.pkl").write_bytes(pickle.dumps(("success", 0)))
"""
SQUEUE = """
import os, sys
with open(os.environ["CALLS"], "a") as calls:
    print("squeue", file=calls)
ids = next(word for word in sys.argv if word.startswith("--jobs="))[7:].split(",")
print("\\n".join(f"{one}|RUNNING" for one in ids))
"""


def test_slurm_is_asked_once_a_cycle_however_many_jobs_there_are(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, source in (("sbatch", SBATCH), ("squeue", SQUEUE), ("srun", ""), ("scancel", "")):
        (programs / name).write_text(f"#!{sys.executable}\n{source}")
        (programs / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    flow = Workflow(tmp_path / "flow", "many.smk", environ)
    begin = time.monotonic()
    assert flow.run(seconds=200) == 0, flow.said[-3000:]
    calls = (tmp_path / "calls").read_text().split()
    assert len(re.findall(r"^one: slurm job \d+_\d+", flow.said, re.M)) == 200
    assert calls.count("sbatch") == 1
    # poll_s is 2 in these tests, and no cycle asks twice
    assert 2 <= calls.count("squeue") <= (time.monotonic() - begin) / 2 + 1
