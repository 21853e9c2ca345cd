"""The README's code runs as written."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml

from helip.config import Encoder, Run
from helip.declarations import read_yaml


def blocks(project, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (project / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_core_runs_as_written(project, tmp_path):
    (core,) = blocks(project, "python")
    script = core + "\nassert loss.ndim == 0 and loss.item() > 0, loss\nassert len(batch.seeds) > 0\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_ablation_is_a_run_and_the_encoder_a_binding(project, tmp_path):
    ablation, encoder = blocks(project, "yaml")
    (name,) = yaml.safe_load(ablation)
    (tmp_path / "runs.yaml").write_text(ablation)
    assert read_yaml(tmp_path / "runs.yaml", dict[str, Run])[name].base == "cc3m_clip_helip"
    (tmp_path / "encoders.yaml").write_text(encoder)
    assert read_yaml(tmp_path / "encoders.yaml", dict[str, Encoder])


def test_every_make_target_and_sub_command_that_the_readme_names_exists(project):
    shell = "\n".join(blocks(project, "bash")).replace("\\\n", " ")
    makefile = (project / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", shell, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for line in re.findall(r"^helip .*$", shell, re.MULTILINE):
        _, command, *arguments = shlex.split(line, comments=True)
        known = subprocess.run([sys.executable, "-m", "helip", command, "--help"], capture_output=True, text=True, check=True).stdout
        for option in (a for a in arguments if a.startswith("--")):
            assert option in known, f"{command} {option}"


@pytest.mark.parametrize("path", ["results/README.md", "docs/results.md", "docs/architecture.md"])
def test_the_pages_it_leads_to_are_there(project, path):
    assert (project / path).read_text().startswith("# ")
