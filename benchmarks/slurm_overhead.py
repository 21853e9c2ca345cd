"""What the executor plugin costs a job beside Snakemake's own start: a chain of jobs that do nothing, through submitit and without.

python benchmarks/slurm_overhead.py [--cluster slurm] [--jobs 3] [--repeats 3]      (slurm: on a login node, or docs/howto/schedulers.md)

A job through the plugin starts a Snakemake of its own, as with every cluster executor; that start is measured too, as a local run of one
job, and taken off. What is left is the plugin's: pickling, sbatch, submitit's start on the node, and noticing the end.

On Slurm also what it costs to submit 200 jobs that are ready together, as one array and one by one; they are held, and cancelled.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROFILE = Path(__file__).resolve().parent.parent / "slurm"
CHAIN = """
rule all:
    localrule: True
    input: "{last}.txt"
rule first:
    output: "0.txt"
    shell: "touch {{output}}"
rule step:
    input: lambda w: f"{{int(w.n) - 1}}.txt"
    output: "{{n}}.txt"
    wildcard_constraints: n="[1-9][0-9]*"
    shell: "touch {{output}}"
"""

MANY = """
rule all:
    localrule: True
    input: expand("{{n}}.txt", n=range({jobs}))
rule one:
    output: "{{n}}.txt"
    shell: "touch {{output}}"
"""


def seconds(jobs: int, *arguments: str) -> float:
    """Wall-clock seconds of a snakemake that runs a chain of so many jobs."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        Path(folder, "Snakefile").write_text(CHAIN.format(last=jobs - 1))
        begin = time.perf_counter()
        command = [sys.executable, "-m", "snakemake", "--quiet", "all", *arguments]
        subprocess.run(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
        return time.perf_counter() - begin


def submission_seconds(jobs: int, array: int) -> float:
    """From the first sbatch to when Slurm has given the last of so many jobs its id, arrays of at most `array` of them."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        Path(folder, "Snakefile").write_text(MANY.format(jobs=jobs))
        Path(folder, "site.yaml").write_text("default: {extra: {hold: true}}\n")
        log = Path(folder, "log")
        held = ["--submitit-site", "site.yaml", "--submitit-array", str(array)]
        with open(log, "w") as out:
            controller = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--profile", str(PROFILE), *held], cwd=folder, stdout=out, stderr=out
            )
        begin = None
        while (submitted := len(re.findall("^one: slurm job", log.read_text(), re.M))) < jobs:
            if begin is None and any(Path(folder, ".snakemake/submitit/jobs").glob("*.json")):
                begin = time.perf_counter()  # noted before sbatch is called
            if controller.poll() is not None:
                sys.exit(f"snakemake ended after {submitted} jobs:\n{log.read_text()[-2000:]}")
            time.sleep(0.01)
        taken = time.perf_counter() - begin
        controller.send_signal(signal.SIGINT)
        controller.wait()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", default="local", choices=["local", "slurm"])
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    a = parser.parse_args()
    through = ["--profile", str(PROFILE), "--submitit-cluster", a.cluster]
    results = []
    for _ in range(a.repeats):
        one, many, plugin = seconds(1, "--cores", "1"), seconds(a.jobs, "--cores", "1"), seconds(a.jobs, *through)
        results.append(((plugin - many) / a.jobs - one, one))
    overhead, start = (statistics.median(column) for column in zip(*results, strict=True))
    print(f"{a.cluster}: {overhead:.2f} s a job by the plugin, {start:.2f} s by Snakemake's own start: ratio {overhead / start:.2f}")
    if a.cluster == "slurm":
        together, singly = submission_seconds(200, 500), submission_seconds(200, 1)
        print(f"200 jobs are submitted in {together:.1f} s as one array, in {singly:.1f} s one by one: ratio {together / singly:.2f}")


if __name__ == "__main__":
    main()
