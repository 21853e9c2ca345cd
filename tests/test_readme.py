"""The README's code runs as written, and commands on every page are those there are."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from helip.cli import COMMANDS, _class
from helip.cli.command import parse
from helip.config import Encoder, Run
from helip.config.reading import read_yaml


def blocks(page, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_core_runs_as_written(project, tmp_path):
    (core,) = blocks(project / "README.md", "python")
    script = core + "\nassert loss.ndim == 0 and loss.item() > 0, loss\nassert len(batch.seeds) > 0\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_ablation_is_a_run_and_the_encoder_a_binding(project, tmp_path):
    ablation, encoder = blocks(project / "README.md", "yaml")
    (name,) = yaml.safe_load(ablation)
    (tmp_path / "runs.yaml").write_text(ablation)
    assert read_yaml(tmp_path / "runs.yaml", dict[str, Run])[name].base == "cc3m_clip_helip"
    (tmp_path / "encoders.yaml").write_text(encoder)
    assert read_yaml(tmp_path / "encoders.yaml", dict[str, Encoder])


def test_every_make_target_and_command_line_on_a_page_is_read(project):
    pages = [project / "README.md", *(project / "docs").rglob("*.md")]
    shell = "\n".join(b for page in pages for b in blocks(page, "(?:ba)?sh")).replace("\\\n", " ")
    makefile = (project / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", shell, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for line in re.findall(r"^helip .*$", shell, re.MULTILINE):
        _, *words = shlex.split(line, comments=True)
        command = next(name for name in COMMANDS if words[: len(name.split())] == name.split())
        parse(command, "a command", _class(command), words[len(command.split()) :])


@pytest.mark.parametrize("path", ["results/README.md", "docs/results/index.md"])
def test_the_pages_it_leads_to_are_there(project, path):
    assert (project / path).read_text().startswith("# ")


def test_make_clean_keeps_what_was_fetched(project, tmp_path):
    shutil.copy(project / "Makefile", tmp_path)
    for name in (
        "README.md",
        "table1.csv",
        "paper/downloads/cc3m/0.tar",
        "paper/checkpoints/a.pt",
        "paper/table1.csv",
        "smoke/pairs/x/pairs.json",
    ):
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    left = {str(p.relative_to(tmp_path / "results")) for p in (tmp_path / "results").rglob("*") if p.is_file()}
    assert left == {"README.md", "paper/downloads/cc3m/0.tar", "paper/checkpoints/a.pt"}
