"""Folders that are whole or absent, never in place of what is somebody else's."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helip.cli import main
from helip.config import MiningSpec
from helip.errors import HelipError
from helip.io import atomic_folder, check_replaceable, write_json
from helip.mining import PairSet


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    pairs = PairSet(np.zeros(1, np.int32), np.ones(1, np.float32), np.array([0, 1, 1]), np.zeros(2, bool), MiningSpec(k=1), 2)
    with pytest.raises(HelipError, match="folder: holds thesis.txt and nothing of what would replace it"):
        pairs.save(path)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "thesis.txt"]
    (path / "thesis.txt").rename(path / "audit.json")  # what Snakemake leaves: it deletes the files that its rule names
    pairs.save(path)
    assert {p.name for p in path.iterdir()} == {"pairs.json", "ids.npy", "scores.npy", "offsets.npy", "noise.npy"}
    (path / "notes.txt").touch()
    pairs.save(path)
    assert not (path / "notes.txt").exists()


def test_a_users_folder_is_judged_before_the_work(tmp_path):
    out, start = tmp_path / "out", tmp_path / "out" / "start"
    check_replaceable(out, "train.json", "ViT-B-32:laion2b_s34b_b79k", tmp_path / "not_there", None)
    start.mkdir(parents=True)
    with pytest.raises(HelipError, match="out: has no train.json, so it holds something else"):
        check_replaceable(out, "train.json")
    write_json(out / "train.json", {})
    check_replaceable(out, "train.json", tmp_path)
    for inside in (start, out, f"local-dir:{start}", f"open_clip-image:local-dir:{tmp_path}/x/../out/start"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(HelipError, match="out: holds .*, which is read, and would be deleted with it"):
            check_replaceable(out, "train.json", inside)
    (tmp_path / "link").symlink_to(tmp_path / "x")
    for place in (out / "train.json", tmp_path / "link", Path("."), Path("..")):
        with pytest.raises(HelipError, match="is no folder that can be replaced"):
            check_replaceable(place, "train.json")
    check_replaceable(tmp_path / "x", "train.json")  # empty


def killed_within(path: Path) -> None:
    """A process that dies while it writes the folder `path`."""
    code = """
import os, signal, sys
from helip.io import atomic_folder
with atomic_folder(sys.argv[1]) as temporary:
    (temporary / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -signal.SIGKILL


def test_what_a_killed_process_left_is_swept_by_the_next(tmp_path):
    for name in ("a", "a.b"):
        killed_within(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_folder(tmp_path / "a") as alive:
        (alive / "made").touch()
        (left_of_another,) = (p for p in tmp_path.iterdir() if p != alive)
        assert left_of_another.name.startswith(".a.b.")
        with atomic_folder(tmp_path / "a") as second:
            (second / "made").touch()
        assert alive.exists()  # its process lives
    assert {p.name for p in tmp_path.iterdir()} == {"a", left_of_another.name}


def test_a_read_only_place_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path / "disk")
    with pytest.raises(HelipError, match=r"disk is read-only, so nothing can be made there; name another folder$"):
        check_replaceable(tmp_path / "disk" / "deep" / "out", "train.json")
    check_replaceable(tmp_path / "out", "train.json")


@pytest.mark.parametrize("why", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_command_that_may_not_write_says_so_in_one_sentence(tmp_path, monkeypatch, capsys, why):
    def refuse(self):
        raise OSError(why, os.strerror(why), str(tmp_path / "out"))

    monkeypatch.setattr("helip.cli.data.PackSet.run", refuse)
    assert main(["pack-set", "cub", "x", "--out", str(tmp_path / "out")]) == 2
    verb = "read or written" if why == errno.EACCES else "written"
    expected = f"helip pack-set: {tmp_path}/out: could not be {verb} ({os.strerror(why)}); free space or fix the permissions and run again"
    assert capsys.readouterr().err.strip() == expected


def test_features_in_a_read_only_place_are_one_sentence(tmp_path, monkeypatch):
    """Where `select` and `filter-pairs` keep the model's features."""
    from helip.selection import features

    def refuse(self, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(features.encoders, "load", lambda *_, **__: None)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(HelipError, match=r"^.*cache: could not be written \(Read-only file system\)"):
        features.joint_features("ViT-B-32", None, "image", None, tmp_path / "cache", "cpu")
