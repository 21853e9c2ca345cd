"""The README's code runs, commands on every page are those there are, and links lead somewhere."""

import re
import shlex
import shutil
import subprocess
import sys

import open_clip
import pytest
import yaml
from toys import RESNET, declaration, job, recipe

from helip.cli import COMMANDS, _class, main
from helip.cli.command import parse
from helip.config import GeneratedCorpus
from helip.data.build import build_corpus
from helip.models import loading
from helip.study import Study
from helip.training.distributed import DistributedContext
from helip.training.loop import train


def blocks(page, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_core_runs_as_written(project, tmp_path):
    (core,) = blocks(project / "README.md", "python")
    script = core + "\nassert loss.ndim == 0 and loss.item() > 0, loss\nassert len(batch.seeds) > 0\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A corpus of 300 pairs, and a small CLIP trained on it."""
    folder = tmp_path_factory.mktemp("readme")
    corpus = build_corpus(GeneratedCorpus(size=300, samples_per_shard=150), folder / "corpus")
    clip = loading.new(declaration(RESNET, context_length=32), corpus, folder / "start.tokenizer", seed=0)
    assert train(job(folder, recipe(steps=4), corpus, clip), DistributedContext()) == 0
    return folder


@pytest.fixture
def refining(project, start, tmp_path, monkeypatch):
    """The words of the README's command lines that refine a CLIP, of this start and corpus, in an empty folder."""
    (block,) = (b for b in blocks(project / "README.md", "bash") if "helip refine" in b)
    monkeypatch.chdir(tmp_path)
    for written, instead in {"/data/mine/*.tar": f"{start}/corpus/shards/*.tar", "ViT-B-32@laion2b_s34b_b79k": f"{start}/model"}.items():
        assert written in block
        block = block.replace(written, instead)
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


def test_refining_your_own_is_planned_as_written(refining, tmp_path, capsys):
    planned, refined = refining
    assert planned == [*refined, "--dry-run"] and main(planned) == 0
    printed = capsys.readouterr().out
    assert "about 300 images" in printed and all(arm in printed for arm in ("control", "selected", "helip"))
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_refining_your_own_runs_with_a_small_model(refining, tmp_path, capsys):
    assert main(refining[1]) == 0
    printed = capsys.readouterr().out
    assert "\nSelection" in printed and "\nHard pairs" in printed and (tmp_path / "mine/report.html").is_file()
    if (tmp_path / "mine/best_model").exists():  # none where no arm is better than the start
        model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}/mine/best_model")
        assert all(p.isfinite().all() for p in model.parameters())


def test_the_readme_has_at_most_150_lines(project):
    assert len((project / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "results/README.md"])
def test_files_that_a_page_links_to_are_there(project, page):
    path = project / page
    links = re.findall(r"\]\(([^)#]+)|(?:src|srcset)=\"([^\"]+)\"", path.read_text())
    local = [link for link in map("".join, links) if not link.startswith(("http:", "https:"))]
    assert local or page != "README.md"
    assert not [link for link in local if not (path.parent / link).exists()]


def test_the_ablation_and_its_encoder_are_written_as_shown(project, tmp_path):
    ablation, encoder = blocks(project / "README.md", "yaml")
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    for part, written in {"paper/runs.yaml": ablation, "studies/miniature.yaml": encoder}.items():
        (section,) = yaml.safe_load(written)
        file = tmp_path / "experiments" / part
        declared = file.read_text()
        assert len(re.findall(rf"^{section}:$", declared, re.MULTILINE)) == 1
        file.write_text(declared.replace(f"\n{section}:\n", "\n".join(["", f"{section}:", *written.splitlines()[1:], ""])))
    added = Study("miniature", tmp_path / "experiments").run("cc3m_clip_helip_dinov2")
    assert added.pairs is not None and added.pairs.image_encoder == "dinov2_vits14" and added.tables.keys() == {"table8"}


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
