"""Artefacts are whole or absent, and say where they came from."""

import json
import os
import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helip import io
from helip.config import MiningSpec
from helip.errors import HelipError
from helip.io import (
    atomic_file,
    atomic_folder,
    digest,
    file_digest,
    load_array,
    machine,
    new_array,
    provenance,
    read_json,
    write_json,
)
from helip.mining.pairs import scratch


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_a_folder_replaces_the_old_one_only_when_whole(tmp_path):
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "old").write_text("1")
    with pytest.raises(RuntimeError), atomic_folder(path) as temporary:
        (temporary / "new").write_text("2")
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["old"]
    with atomic_folder(path) as temporary:  # nothing in common: what Snakemake leaves of an artefact, and its successor of another kind
        (temporary / "new").write_text("2")
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(HelipError, match="file: could not be written .*No space left.*; free space"), atomic_file(path):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_new_array_has_its_space_before_it_is_mapped(tmp_path):
    """A sparse file has none: writing to it on a full disk is a bus error, which no program can catch."""
    array = new_array(tmp_path / "a.npy", np.float32, (1000, 256))
    assert os.stat(tmp_path / "a.npy").st_blocks * 512 >= 1000 * 256 * 4
    array[999] = 7
    array.flush()
    assert np.load(tmp_path / "a.npy")[998:, 0].tolist() == [0.0, 7.0]
    assert new_array(tmp_path / "none.npy", "<i8", (0,)).shape == (0,)


def test_a_full_disk_refuses_a_new_array_in_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with (
        pytest.raises(HelipError, match="out: could not be written .No space left on device.; free space"),
        atomic_folder(tmp_path / "out") as f,
    ):
        new_array(f / "a.npy", np.float32, (8,))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_refuses_mining_its_working_arrays(monkeypatch):
    """They lie in $TMPDIR, mapped: without room they would end the process with a bus error."""

    def full(file, start, size):
        assert (start, size) == (0, 1000 * 8)
        raise OSError(28, "No space left on device")

    assert scratch((1000,), np.float64, 0).sum() == 0
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(HelipError, match="no room for 0 MiB of working arrays .*No space left on device.; set TMPDIR to a larger disk"):
        scratch((1000,), np.float64, 0)
    assert scratch((1000,), np.float64, 8000).shape == (1000,)  # in memory


def test_reading_what_is_missing_or_broken_says_so(tmp_path):
    with pytest.raises(HelipError, match="gone.json: not found; build it first"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(HelipError, match="broken.json: not readable as JSON"):
        read_json(tmp_path / "broken.json")


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_provenance_holds_the_declaration_and_survives_json():
    written = json.loads(json.dumps(provenance(MiningSpec(k=7), {"corpus": "abc"}, seconds=1.5)))
    assert (written["declaration"]["k"], written["declaration"]["tau_image"]) == (7, 0.5)
    assert (written["inputs"], written["seconds"]) == ({"corpus": "abc"}, 1.5)
    assert {"commit", "host", "machine", "written", "versions", "python"} <= set(written)
    assert written["job"]["pid"] == os.getpid() and written["job"]["cpu_seconds"] > 0


def test_a_gpu_is_named_by_the_process_that_computed_on_it(monkeypatch):
    """Of two GPUs only the second was used; a process that never began with CUDA, or has no torch, names none."""
    held, names = [0, 512], ["V100", "H100"]
    cuda = SimpleNamespace(is_initialized=lambda: True, device_count=lambda: 2, max_memory_allocated=held.__getitem__,
                           get_device_name=names.__getitem__)  # fmt: skip
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert machine().endswith(", H100") and "V100" not in machine()
    assert provenance(None)["machine"] == machine()
    cuda.is_initialized = lambda: False
    idle = machine()
    assert "H100" not in idle
    monkeypatch.delitem(sys.modules, "torch")
    assert machine() == idle


def test_the_digest_of_a_declaration_is_pinned():
    """A changed digest makes every user's results stale: it must not happen by accident."""
    assert digest(MiningSpec(k=7)) == digest({"is": "MiningSpec", "k": 7})
    assert digest({"b": 1, "a": [1, 2]}) == "3813f9409eb0095b"


def test_arrays_are_mapped_unless_empty(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.save(tmp_path / "empty.npy", np.zeros(0, np.float32))
    assert isinstance(load_array(tmp_path / "a.npy", "make it again"), np.memmap)
    assert not isinstance(load_array(tmp_path / "a.npy", "make it again", mapped=False), np.memmap)
    assert load_array(tmp_path / "empty.npy", "make it again").shape == (0,)


@pytest.mark.parametrize("mapped", [True, False])
def test_what_is_no_whole_array_is_refused_with_a_remedy(tmp_path, mapped):
    np.save(tmp_path / "whole.npy", np.arange(1000))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:5000])
    (tmp_path / "nothing.npy").touch()
    np.save(tmp_path / "code.npy", np.array([{}] * 100, object), allow_pickle=True)
    for name, words in {"cut": "a whole .npy", "nothing": "a whole .npy", "code": "a whole .npy", "gone": "found"}.items():
        with pytest.raises(HelipError, match=rf"{name}\.npy: not {words}.*; make it again$"):
            load_array(tmp_path / f"{name}.npy", "make it again", mapped=mapped)


def test_importing_the_module_needs_no_numpy():
    code = "import sys, helip.io; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_forked_process_begins_when_it_is_forked():
    (reading, writing), begun = os.pipe(), io._BEGUN
    child = os.fork()
    if child == 0:
        os.write(writing, str(begun < io._BEGUN).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 9) == b"True"


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_json_that_is_no_mapping_is_named(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(HelipError, match=r"a\.json: holds \w+ and no mapping of entries"):
        read_json(tmp_path / "a.json")


def test_an_absent_entry_is_named_and_a_copy_stays_what_it_is(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    entries = pickle.loads(pickle.dumps(read_json(tmp_path / "a.json")))
    assert entries == {"a": 1} and entries.get("b") is None and "b" not in entries
    with pytest.raises(HelipError, match=r"a\.json: has no entry 'b'"):
        entries["b"]
