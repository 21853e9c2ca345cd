"""One spelling of a checkpoint in every command, and a sentence for the spellings that it replaced."""

import subprocess
import sys
from pathlib import Path

import pytest

from helip import encoders
from helip.cli import main
from helip.errors import HelipError
from helip.models.reference import ModelRef, parse


@pytest.mark.parametrize(
    ("text", "name", "pretrained", "folder"),
    [
        ("ViT-B-32@laion2b_s34b_b79k", "ViT-B-32", "laion2b_s34b_b79k", None),
        ("ViT-B-32@path/to/file.pt", "ViT-B-32", "path/to/file.pt", None),
        ("ViT-B-32@/data/a@b:c.pt", "ViT-B-32", "/data/a@b:c.pt", None),
        ("ViT-B-32", "ViT-B-32", None, None),
        ("hf-hub:org/name", "hf-hub:org/name", None, None),
        ("local-dir:model", "local-dir:model", None, "model"),
        ("local-dir:/a@b", "local-dir:/a@b", None, "/a@b"),
        ("mine/model", "local-dir:mine/model", None, "mine/model"),
        ("mine/model:x@y", "local-dir:mine/model:x@y", None, "mine/model:x@y"),
        ("slip_base.pt", "local-dir:slip_base.pt", None, "slip_base.pt"),
    ],
)
def test_each_spelling(text, name, pretrained, folder):
    reference = parse(text)
    assert reference == ModelRef(name, pretrained)
    assert reference.folder == (Path(folder) if folder else None)
    assert parse(str(reference)) == reference


def test_the_name_of_a_folder_that_is_there_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model", "model@1", "model:1"):
        Path(name).mkdir()
        assert parse(name).folder == Path(name)
    Path("w.pt").touch()
    assert parse("ViT-B-32@w.pt").file == Path("w.pt")
    assert parse("ViT-B-32@openai").file is None


@pytest.mark.parametrize("text", ["", "@openai", "ViT-B-32@", ":openai", "local-dir:", "hf-hub:"])
def test_half_a_name_is_none(text):
    with pytest.raises(HelipError, match=f"^'{text}' names no model; write NAME@TAG"):
        parse(text)


REFINE = "train --corpus x --out {tmp}/out --arm control --batch-size 8 --steps 1 --learning-rate 1"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (f"{REFINE} --start ViT-B-32@openai", "--start is no longer an option; write --model MODEL"),
        (f"{REFINE} --model ViT-B-32:a/b.pt", "'ViT-B-32:a/b.pt': NAME:PRETRAINED is no longer read; write ViT-B-32@a/b.pt"),
        (
            "interpolate --start ViT-B-32:openai --refined x --out {tmp}/out",
            "'ViT-B-32:openai': NAME:PRETRAINED is no longer read; write ViT-B-32@openai",
        ),
        (
            "select --corpus x --out {tmp}/out --model ViT-B-32 --pretrained openai",
            "--pretrained is no longer an option; write --model NAME@TAG",
        ),
        (
            "filter-pairs --corpus x --pairs x --out {tmp}/out --model ViT-B-32 --pretrained openai",
            "--pretrained is no longer an option; write --model NAME@TAG",
        ),
    ],
)
def test_an_old_spelling_is_one_sentence_with_the_new_one(command, sentence, tmp_path, capsys):
    assert main(command.format(tmp=tmp_path).split()) == 2
    assert sentence in capsys.readouterr().err


def test_an_encoder_is_written_alike():
    assert encoders.parse("open_clip-text:mine/model").model == "local-dir:mine/model"
    with pytest.raises(HelipError, match="write ViT-B-32@openai"):
        encoders.parse("open_clip-text:ViT-B-32:openai")


def test_reading_a_reference_imports_no_torch():
    code = "import sys, helip.models.reference as r; r.parse('ViT-B-32@openai'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
