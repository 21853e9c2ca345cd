"""The project's own graph on a real Slurm: when a job fails, its sentence and the path of its log are the last thing on the screen."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.long  # two runs of Snakemake through Slurm
ROOT = Path(__file__).parent.parent.parent
FAST = ("--profile", "slurm", "--submitit-poll-s", "2", "--latency-wait", "5")
LOG = "results/smoke/logs/corpus/cc3m.log"


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose smoke study has a corpus of one sample, an image that cannot be decoded."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for part in ("rules", "slurm", "local", "profiles", "experiments"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "slurm/site.yaml").unlink(missing_ok=True)
    study = folder / "experiments/studies/smoke.yaml"
    broken = {"cc3m": {"kind": "webdataset", "label": "broken", "path": "pairs"}}
    study.write_text(yaml.safe_dump(yaml.safe_load(study.read_text()) | {"corpora": broken}))
    (folder / "pairs").mkdir()
    with tarfile.open(folder / "pairs/0.tar", "w") as shard:
        for name, content in {"a.jpg": b"no image", "a.txt": b"words"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            shard.addfile(entry, io.BytesIO(content))
    return folder


@pytest.mark.parametrize("quiet", [(), ("--quiet", "rules")], ids=["told all", "quiet"])
def test_a_failed_jobs_sentence_and_log_come_last(slurm, checkout, quiet):
    environ = {**slurm.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'slurm'}"}
    environ = {key: value for key, value in environ.items() if key not in ("HELIP_DATA", "HELIP_RESULTS", "SNAKEMAKE_PROFILE")}
    command = [sys.executable, "-m", "snakemake", *FAST, *quiet, "--", "results/smoke/corpora/cc3m/index.npy"]
    done = subprocess.run(command, cwd=checkout, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert quiet or "corpus: slurm job " in done.stdout
    sentence, *logs = done.stdout.rstrip().splitlines()[-2:]
    assert sentence.startswith("corpus failed: "), done.stdout[-4000:]
    assert "helip run: cc3m: no usable sample (1 undecodable image)" in sentence
    assert logs == [f"  log: {LOG}"] and "no usable sample" in (checkout / LOG).read_text()
