"""A model card says what was measured and no more, and the hub can read it; what is pushed names no machine."""

import dataclasses

import huggingface_hub
import pytest
import yaml
from huggingface_hub.errors import HFValidationError

from helip.cli import main
from helip.io import write_json
from helip.models.card import CardFacts, Measured, model_card

FACTS = CardFacts(
    name="photos-helip",
    start="hf-hub:org/start",
    arm="helip",
    answer="Hard pairs help: R@1 41.20 -> 42.60 (+1.40 [+0.60, +2.10]).",
    data=[("pairs", "8,000"), ("held out", "1,000")],
    training=[("steps", "500"), ("seeds", "3")],
    measured=[
        Measured("control", "own|held out", "R@1", 41.2),
        Measured("helip", "own|held out", "R@1", 42.6, 1.4, 0.6, 2.1),
        Measured("helip", "imagenet", "top-1", 60.0, -0.2, -0.5, 0.1),
    ],
    limits=["Captions are English."],
    license="mit",
)


def test_a_card_says_what_was_measured():
    card = model_card(FACTS)
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "base_model": "org/start",
        "library_name": "open_clip",
        "license": "mit",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["clip", "hard-pair-refinement", "arxiv:2305.05208"],
    }
    assert "# photos-helip\n\nHard pairs help: R@1 41.20 -> 42.60 (+1.40 [+0.60, +2.10])." in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| arm | set | metric | value | over plain continued training, 95 % interval |"
    assert rows[2:] == [
        "| control | own\\|held out | R@1 | 41.20 |  |",
        "| helip | own\\|held out | R@1 | 42.60 | **+1.40 [+0.60, +2.10]** |",
        "| helip | imagenet | top-1 | 60.00 | -0.20 [-0.50, +0.10], not shown |",
    ]
    assert "- pairs: 8,000\n- held out: 1,000" in text
    assert "- Captions are English.\n- What the start learnt" in text
    assert huggingface_hub.ModelCard(card).data.license == "mit"


def test_a_card_of_the_start_says_that_nothing_was_better():
    card = model_card(dataclasses.replace(FACTS, arm="start"))
    assert "`hf-hub:org/start` itself: no arm of its refinement (HELIP, arXiv 2305.05208) was better on validation." in card
    assert "trained further" not in card


def test_a_card_without_facts_makes_none_up():
    bare = CardFacts("x", "ViT-B-32@openai", "control", "It did not help.", [], [], [], formats=("transformers",))
    _, front, text = model_card(bare).split("---\n", 2)
    assert yaml.safe_load(front).keys() == {"library_name", "pipeline_tag", "tags"}  # no licence, no base model
    assert "Nothing was measured." in text
    assert "## Data" not in text and "open_clip" not in text


@pytest.mark.parametrize(("low", "high", "shown"), [(0.1, 2, True), (-2, -0.1, True), (-0.1, 2, False), (0.0, 2, False)])
def test_a_gain_is_shown_where_its_interval_leaves_0_out(low, high, shown):
    assert Measured("a", "s", "m", 1.0, 0.5, low, high).is_shown is shown


class Hub:
    """Stands where the hub does: keeps what is sent."""

    def __init__(self, error=None):
        self.error, self.made, self.sent = error, [], {}

    def create_repo(self, repository, *, private, exist_ok):
        if self.error:
            raise self.error
        self.made.append((repository, private, exist_ok))
        return f"https://huggingface.co/{repository}"

    def upload_folder(self, *, repo_id, folder_path, ignore_patterns, commit_message):
        names = [p.relative_to(folder_path).as_posix() for p in folder_path.rglob("*") if p.is_file()]
        self.sent[repo_id] = sorted(huggingface_hub.utils.filter_repo_objects(names, ignore_patterns=ignore_patterns))


@pytest.fixture
def folder(tmp_path):
    for name in ("open_clip_config.json", "open_clip_model.safetensors", "train.json", "README.md", "onnx/import.json", "onnx/image.onnx"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text("{}")
    return tmp_path / "model"


def test_push_sends_the_model_and_names_no_machine(folder, monkeypatch, capsys):
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    assert main(["push", str(folder), "org/name", "--private"]) == 0
    assert hub.made == [("org/name", True, True)]
    assert hub.sent == {"org/name": ["README.md", "onnx/image.onnx", "open_clip_config.json", "open_clip_model.safetensors"]}
    assert capsys.readouterr().out.startswith("https://huggingface.co/org/name: holds")


def test_push_refuses_what_it_cannot_send(folder, tmp_path, monkeypatch, capsys):
    for error in (HFValidationError("Repo id must be in the form 'repo_name' or 'namespace/repo_name'"), OSError("no network")):
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda error=error: Hub(error))
        assert main(["push", str(folder), "org/name"]) == 2
        assert f"org/name: the hub did not take {folder} ({error}); log in with `hf auth login`" in capsys.readouterr().err
    assert main(["push", str(folder), "a/b/c"]) == 2
    assert "REPOSITORY: 'a/b/c' is not of the form ORG/NAME" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["push", str(tmp_path / "empty"), "org/name"]) == 2
    assert "empty: is no model (open_clip_config.json, config.json, towers.json) and no folder of models alone" in capsys.readouterr().err


def test_push_keeps_heads_on_frozen_trunks_here(folder, monkeypatch, capsys):
    """Their config names the trunks by this machine's paths."""
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    trunk = {"encoder": {"library": "open_clip", "model": "local-dir:/home/me/start"}}
    write_json(folder / "open_clip_config.json", {"model_cfg": {"frozen": {"image_trunk": trunk, "text_trunk": trunk}}})
    (folder / "train.json").unlink()
    for sent in (folder, folder.parent):
        assert main(["push", str(sent), "org/name"]) == 2
        assert f"{folder}: its trunks are frozen encoders of other libraries, and only helip opens it" in capsys.readouterr().err
    assert not hub.made


def test_push_never_sends_the_pairs_of_a_refinement(folder, tmp_path, monkeypatch, capsys):
    """OUT holds best_model beside the user's images and captions."""
    hub, out = Hub(), tmp_path / "mine"
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    pairs = out / "results/own/corpora/whole/shards/00000.tar"
    pairs.parent.mkdir(parents=True)
    pairs.write_text("images")
    (out / "refine.json").write_text("{}")
    (out / "best_model").symlink_to(folder)
    assert main(["push", str(out), "org/name"]) == 2 and not hub.made
    assert "no folder of models alone; give OUT/best_model or OUT/exports of `helip refine`" in capsys.readouterr().err
    (tmp_path / "exports").mkdir()
    folder.rename(tmp_path / "exports" / "open_clip")
    assert main(["push", str(tmp_path / "exports"), "org/name"]) == 0
    assert "open_clip/open_clip_model.safetensors" in hub.sent["org/name"]
    (tmp_path / "exports" / "pairs.tar").write_text("images")
    assert main(["push", str(tmp_path / "exports"), "org/other"]) == 2 and "org/other" not in hub.sent
