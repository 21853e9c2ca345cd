"""The notebook runs from its first cell to its last, and the steps of the container recipe set a copy of the project up."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

pytestmark = pytest.mark.long


def test_the_notebook_runs_to_its_end(project, tmp_path):
    cells = json.loads((project / "docs" / "tutorials" / "first_hour.ipynb").read_text())["cells"]
    code = "\n\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "code")
    code += "\nassert quality['auc'] > 0.8 and 0 < false_negatives.mean() < 1 and len(models) == 9, (quality, models)\n"
    environment = os.environ | {"MPLBACKEND": "agg", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"^helip +[+-]\d+\.\d points .* 95 % interval \[[+-]", done.stdout, re.MULTILINE), done.stdout


def steps(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in order, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", dockerfile)
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word.isupper()]


def test_the_steps_of_the_container_set_up_a_copy(project, tmp_path):
    if shutil.which("git") is None or not (project / ".git").exists():
        pytest.skip("no git checkout to copy, as the container's build context is")
    here = tmp_path / "helip"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True).stdout
    environment, ran = dict(os.environ), []
    for word, rest in steps((project / "Dockerfile").read_text()):
        match word:
            case "WORKDIR":
                assert rest == "/helip"
                here.mkdir()
            case "COPY":
                assert rest == ". ."
                for name in filter(None, tracked.split("\0")):
                    (here / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(project / name, here / name, follow_symlinks=False)
                _sees_installed_packages(here)
            case "RUN" if rest.startswith("apt-get"):
                assert {"g++", "git", "make"} <= set(rest.split())
            case "RUN":
                command = rest.replace("PYTHON=python3.11", f"PYTHON={sys.executable}")
                subprocess.run(command, shell=True, cwd=here, env=environment, check=True, capture_output=True)
                ran.append(rest)
            case "ENV" if rest.startswith("PATH="):
                environment["PATH"] = rest.removeprefix("PATH=").replace("/helip", str(here)).replace("$PATH", environment["PATH"])
            case "CMD":
                done = subprocess.run(json.loads(rest), cwd=here, env=environment, capture_output=True, text=True, check=True)
                assert "your own data" in done.stdout and shutil.which("helip", path=environment["PATH"]) == str(here / ".venv/bin/helip")
    assert ran == ["make setup PYTHON=python3.11"]


def _sees_installed_packages(here) -> None:
    """An environment that sees this one's packages: pip then downloads only what is missing or of another version."""
    subprocess.run([sys.executable, "-m", "venv", here / ".venv"], check=True)
    purelib = here / ".venv" / os.path.relpath(sysconfig.get_path("purelib"), sys.prefix)
    (purelib / "installed.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")


def test_the_container_recipe_passes_its_linter(project):
    linter = project / ".venv-docs" / "bin" / "hadolint"
    if not linter.exists():
        pytest.skip("hadolint comes with `make docs-tools`")
    done = subprocess.run([linter, "--no-color", project / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
