"""`pip install .` alone is the library: it works where nothing of the reproduction framework is installed."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement

REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""
LOOP = """
import numpy as np
import torch
import helip

rng = np.random.default_rng(0)
image, text = rng.normal(size=(2, 6, 8))[:, rng.integers(0, 6, 64)] + 0.2 * rng.normal(size=(2, 64, 8))
masks = [helip.select(image, text, score, keep=0.75) for score in ("agreement", "ridge", "clip_score")]
masks.append(helip.select(image, text, "s_clip_loss", keep=0.75, temperature=0.1))
pairs = helip.mine(image, text, helip.MiningSpec(k=5, outliers=0.15), keep=masks[0])
pairs.save("pairs")
sampler = helip.HardPairSampler(helip.PairSet.load("pairs"), batch_size=16, keep=masks[0])
rows = torch.nn.functional.normalize(torch.from_numpy(np.stack([image, text])).requires_grad_(), dim=-1)
ids = next(iter(sampler))
helip.HelipLoss()(*rows[:, ids], 10.0, plan=sampler.plan(0)).backward()
print([int(keep.sum()) for keep in masks], len(ids), sampler.plan(0).hard.shape[1] > 0)
"""


@pytest.fixture(scope="module")
def absent(project):
    """The import names of the packages that only `.[lab]` installs."""
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    library, lab = ({Requirement(one).name.lower() for one in of} for of in
                    (declared["dependencies"], declared["optional-dependencies"]["lab"]))  # fmt: skip
    names = {name for name, of in packages_distributions().items() if {one.lower() for one in of} & (lab - library)}
    assert {"snakemake", "mlflow", "clip_benchmark", "submitit", "open_clip", "timm", "PIL", "pandas"} <= names
    return names | {"transformers", "huggingface_hub", "sqlalchemy"}


def run(absent, code, folder):
    lines = f"ABSENT = {sorted(absent)!r}{REFUSE}{code}"
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False, cwd=folder)


def test_a_loop_needs_nothing_of_the_framework(absent, tmp_path):
    done = run(absent, LOOP, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[48, 48, 48, 48] 16 True\n", "")


def test_a_command_names_what_it_lacks(absent, tmp_path):
    done = run(absent, "from helip.cli import main; sys.exit(main(['import', 'a.pt', '--out', 'b']))", tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.endswith("pip install 'helip[lab]' installs what the commands need\n") and "needs the package" in done.stderr
