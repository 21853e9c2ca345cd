"""What an import into MLflow costs when nothing has changed, beside the first import of the same trainings.

python benchmarks/tracking.py [--rounds 3] [--steps 1000]

12 trainings of the smoke study (4 runs, 3 seeds), posed by files as trainings leave them. Each import is a process of its own, `helip track
smoke`, and CPU seconds are all of its own, Python's start included. The first import also makes the store's tables.
"""

import argparse
import base64
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

from helip.stages import metrics_file, model_of
from helip.study import Study

ROOT = Path(__file__).resolve().parent.parent
RUNS = ("cc3m_clip", "cc3m_clip_control", "cc3m_clip_cleaned", "cc3m_clip_helip")


def pose(folder: Path, steps: int) -> None:
    """Makes the declarations and results of 12 trainings, with curves of so many steps and hits on 1,000 items of every set."""
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    file = folder / "experiments/studies/smoke.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"seeds": [0, 1, 2]}))
    study = Study("smoke", folder / "experiments", folder / "results")
    for run in RUNS:
        for seed in study.run(run).seeds:
            pose_training(study, run, seed, steps)


def pose_training(study: Study, run: str, seed: str, steps: int) -> None:
    rng, trained = np.random.default_rng(int(seed)), model_of(study, run, seed).folder
    trained.mkdir(parents=True)
    (trained / "train.json").write_text(json.dumps({"written": "2026-11-22T10:00:30+00:00", "wall_clock_seconds": 12.0}))
    (trained / "curve.csv").write_text("step,loss\n" + "".join(f"{step},{loss:.6f}\n" for step, loss in enumerate(rng.random(steps))))
    for name, task in (*study.tasks("evaluate"), *study.tasks("probe")):
        hits = rng.random(1000) < 0.5
        packed = {"bits": base64.b64encode(np.packbits(hits).tobytes()).decode(), "length": 1000}
        names = ("image_recall_at_1", "text_recall_at_1") if task == "retrieval" else ("acc1",)
        values, items = dict.fromkeys(names, 100 * float(hits.mean())), dict.fromkeys(names, packed)
        path = metrics_file(study, run, seed, name, task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"set": name, "task": task, "n": 1000, "metrics": values, "per_item": items}))


def imported(folder: Path, expected: str) -> float:
    """CPU seconds of one `helip track`, which says how many runs it imported and how many were unchanged."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = {key: value for key, value in os.environ.items() if key not in ("HELIP_RESULTS", "MLFLOW_TRACKING_URI")}
    command = [sys.executable, "-m", "helip", "track", "smoke"]
    done = subprocess.run(command, cwd=folder, env=environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or expected not in done.stdout:
        sys.exit(f"expected '{expected}':\n{done.stdout}{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="of each curve")
    a = parser.parse_args()
    rounds = []
    for _ in range(a.rounds):
        with tempfile.TemporaryDirectory() as name:
            pose(Path(name), a.steps)
            rounds.append((imported(Path(name), "12 runs imported, 0 unchanged"), imported(Path(name), "0 runs imported, 12 unchanged")))
    first, again = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(later / earlier for earlier, later in rounds)
    print(f"12 trainings, curves of {a.steps} steps: first import {first:.2f} s of CPU, unchanged {again:.2f} s: ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
