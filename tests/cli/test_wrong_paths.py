"""Files in place of folders, folders in place of files, and what is empty, damaged or not there: one sentence and exit code 2."""

import numpy as np
import pytest

from helip.cli import main

WRONG = {
    "corpus --data empty --out o": "empty: is a file of no kind that is read; name .tar shards",
    "corpus --data folder --out o": "holds no shards, no image with a caption beside it and no table",
    "corpus --data head.csv --out file": "file: is no folder that can be replaced",
    "corpus --data head.csv --out file/o": "file/o: could not be written (File exists); correct the path",
    "encode --corpus gone --encoder timm:resnet18 --out o": "gone/manifest.json: not found; make it with `helip corpus`",
    "encode --corpus file --encoder timm:resnet18 --out o": "file/manifest.json: not found; make it with `helip corpus`",
    "mine --image-features gone --out o": "gone: could not be read or written (No such file or directory); correct the path",
    "mine --image-features a.npy --text-features text.npy --out o": "text.npy: not a whole .npy array, it is truncated or of another "
    "format (it holds no numbers); extract the features again",
    "mine --image-features a.npy --text-features b.npy --out o --k 3 --memory lots": "memory: 'lots' is no size",
    "merge-pairs file --out o": "file/pairs.json: not found; make it with `helip mine`",
    "filter-pairs --corpus folder --pairs folder --model folder --out o": "folder/manifest.json: not found; make it with `helip corpus`",
    "export-pairs folder --out o.csv": "folder/pairs.json: not found; make it with `helip mine`",
    "export-mask gone --corpus folder --out o.csv": "folder/manifest.json: not found",
    "refine --model text.pt --data head.csv --out o": "--model text.pt: is a file, whose architecture is not known; write NAME@TAG",
    "train --corpus folder --model folder --out o --recipe folder": "folder: cannot be read (Is a directory)",
    "train --corpus folder --model folder --out o --recipe bad.yaml": "bad.yaml: not readable as YAML",
    "train --corpus folder --model folder --out o --recipe empty.yaml": "empty.yaml: batch_size: is missing (and 1 more)",
    "pack-set birds folder --out o": "NAME: 'birds' is none of cub, sun397, caltech101",
    "push gone a/b": "gone: is no model (open_clip_config.json",
    "run smoke train x": "there is no study 'smoke'; no study is there: go to the project's folder",
    "ui --store file": "file: is no store of MLflow",
    "ui --store folder": "folder: is no store of MLflow",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    contents = {"file": "x", "head.csv": "image,caption\n", "text.npy": "hello", "text.pt": "no weights", "bad.yaml": "a: [1\n b: }"}
    for name, content in {**contents, "empty": "", "empty.yaml": ""}.items():
        (tmp_path / name).write_text(content)
    for seed, name in enumerate(("a", "b")):
        np.save(f"{name}.npy", np.random.default_rng(seed).standard_normal((20, 8), np.float32))
    return tmp_path


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_path_is_one_sentence(here, words, capsys):
    before = {path.name for path in here.iterdir()}
    assert main(words.split()) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"helip {words.split()[0]}: ") and WRONG[words] in printed and printed.count("\n") == 1
    assert {path.name for path in here.iterdir()} == before  # nothing is left behind


def test_a_folder_is_no_store_to_import_into(project, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(project)
    monkeypatch.setenv("HELIP_RESULTS", str(tmp_path / "none"))
    assert main(["track", "smoke", "--store", str(tmp_path)]) == 2
    assert f"--store {tmp_path}: is a folder; name the sqlite file" in capsys.readouterr().err
    assert main(["track", "smoke", "--store", str(tmp_path / "mlflow.db")]) == 0
    assert "nothing imported, as no training of smoke is finished yet\nnext: helip runs smoke" in capsys.readouterr().out
