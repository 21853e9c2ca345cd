"""A corpus on disk: what goes in comes out, any sample in one read, and what changed underneath is said."""

import csv
import functools
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import webdataset
from archives import encoded, indexed, noisy, pairs, tar_of

from helip.config import ShardCorpus
from helip.data import corpus as corpus_module
from helip.data.build import build_corpus
from helip.data.corpus import Corpus
from helip.data.parallel import each
from helip.errors import HelipError


def _samples(corpus):
    return [(corpus.key(i), corpus.image_bytes(i), corpus.caption(i)) for i in range(len(corpus))]


def test_round_trip_against_webdataset(tmp_path):
    corpus = indexed(tmp_path, pairs(5))
    theirs = webdataset.WebDataset(str(tmp_path / "in" / "0.tar"), shardshuffle=False)
    assert _samples(corpus) == [(s["__key__"], s["jpg"], s["txt"].decode()) for s in theirs]
    assert [corpus.caption(i) for i in [4, 0, 4]] == ["caption 4", "caption 0", "caption 4"]
    assert corpus.image(2).size == (64, 64)


def test_real_photographs_come_back_as_webdataset_reads_them(tmp_path, data_root, monkeypatch):
    monkeypatch.setenv("HELIP_DATA", str(data_root))
    corpus = build_corpus(ShardCorpus(path="$HELIP_DATA/flickr8k/pairs", published_size=8000), tmp_path / "corpus")
    assert len(corpus) == 6091
    assert corpus.manifest["quarantined"] == {}
    assert corpus.manifest["recovered_share"] == pytest.approx(6091 / 8000)
    shards = sorted((data_root / "flickr8k" / "pairs").glob("*.tar"))
    theirs = webdataset.WebDataset([str(s) for s in shards], shardshuffle=False)
    same = [corpus.key(i) == s["__key__"] and corpus.image_bytes(i) == s["jpg"] and corpus.caption(i) == s["txt"].decode().strip()
            for i, s in enumerate(theirs)]  # fmt: skip
    assert len(same) == 6091
    assert all(same)
    again = Corpus.open(tmp_path / "corpus")
    for i in np.random.default_rng(0).permutation(6091)[:500]:  # random access, and twice the same
        assert again.image_bytes(i) == corpus.image_bytes(i)
        assert again.image(i).size == (128, 128)


def test_ids_and_digest_survive_re_sharding_and_renaming(tmp_path):
    one = indexed(tmp_path / "one", pairs(6))
    renamed = [(name.replace("0000", "sample"), data) for name, data in pairs(6)]
    tar_of(tmp_path / "two" / "in" / "a.tar", renamed[:4])  # two samples
    tar_of(tmp_path / "two" / "in" / "b.tar", renamed[4:])
    two = build_corpus(ShardCorpus(path=str(tmp_path / "two" / "in" / "*.tar")), tmp_path / "two" / "corpus")
    assert [s[1:] for s in _samples(one)] == [s[1:] for s in _samples(two)]
    assert one.digest == two.digest
    assert [s["samples"] for s in two.manifest["shards"]] == [2, 4]


def test_another_caption_or_order_is_another_digest(tmp_path):
    files = pairs(3)
    other_caption, other_order = [*files[:-1], ("00002.txt", b"other")], files[2:] + files[:2]
    digests = {indexed(tmp_path / str(n), f).digest for n, f in enumerate((files, other_caption, other_order))}
    assert len(digests) == 3


def test_several_workers_make_the_same_corpus(tmp_path):
    for n in range(3):
        tar_of(tmp_path / "in" / f"{n}.tar", pairs(2, 2 * n))
    one = build_corpus(ShardCorpus(path=str(tmp_path / "in")), tmp_path / "one")
    two = build_corpus(ShardCorpus(path=str(tmp_path / "in")), tmp_path / "two", workers=2)
    assert one.digest == two.digest
    assert (tmp_path / "one" / "index.npy").read_bytes() == (tmp_path / "two" / "index.npy").read_bytes()


def test_nothing_is_held_in_memory(tmp_path):
    corpus = indexed(tmp_path, pairs(2))
    assert isinstance(corpus._rows, np.memmap)
    assert isinstance(corpus._text, np.memmap)
    assert corpus_module.ROW.itemsize == 30  # 12 million samples: 360 MB of index on disk


# ---------------------------------------------------------------- quarantine

BAD = {
    "no caption": [("b.jpg", noisy())],
    "empty caption": [("b.jpg", noisy()), ("b.txt", b" \n\t ")],
    "caption is not UTF-8": [("b.jpg", noisy()), ("b.txt", b"caf\xe9 au lait")],
    "no image": [("b.txt", b"alone")],
    "empty image": [("b.jpg", b""), ("b.txt", b"c")],
    "undecodable image": [("b.jpg", noisy()[:-300]), ("b.txt", b"c")],
    "ambiguous sample": [("b.jpg", noisy()), ("b.png", noisy("PNG")), ("b.txt", b"c")],
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_sample_is_quarantined_by_key_and_reason(tmp_path, reason):
    corpus = indexed(tmp_path, pairs(1) + BAD[reason] + pairs(1, 1))
    assert [corpus.key(i) for i in range(len(corpus))] == ["00000", "00001"]
    assert corpus.manifest["quarantined"] == {reason: 1}
    assert corpus.manifest["read"] == 3
    with open(tmp_path / "corpus" / "quarantine.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [(r["shard"], r["key"], r["reason"]) for r in rows] == [("0.tar", "b", reason)]


def test_cmyk_and_marked_captions_are_kept(tmp_path):
    corpus = indexed(tmp_path, [("a.jpg", encoded("JPEG", mode="CMYK")), ("a.txt", "\ufeff café \n".encode()), ("a.json", b"{}")])
    assert [corpus.caption(i) for i in [0]] == ["café"]
    assert corpus.image(0).mode == "RGB"


def test_too_many_bad_samples_fail_with_counts_and_leave_nothing(tmp_path):
    files = pairs(3) + BAD["no image"] + [("c.jpg", noisy())]
    with pytest.raises(HelipError, match=r"2 of 5 samples cannot be used \(1 no image, 1 no caption\).*max_quarantined 0\.2"):
        indexed(tmp_path, files, max_quarantined=0.2)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert len(indexed(tmp_path, files, max_quarantined=0.4)) == 3


def test_nothing_usable_fails(tmp_path):
    with pytest.raises(HelipError, match="no usable sample"):
        indexed(tmp_path, BAD["no image"])
    with pytest.raises(HelipError, match="no usable sample"):
        indexed(tmp_path, [])


def test_a_missing_place_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("HELIP_NOWHERE", raising=False)
    with pytest.raises(HelipError, match=r"^\$HELIP_NOWHERE is not set: set it to the folder that '\$HELIP_NOWHERE/pairs' starts from$"):
        build_corpus(ShardCorpus(path="$HELIP_NOWHERE/pairs"), tmp_path / "c")
    with pytest.raises(HelipError, match=r"nothing: holds no \.tar shards"):
        build_corpus(ShardCorpus(path=str(tmp_path / "nothing")), tmp_path / "c")


def test_a_truncated_shard_fails_the_corpus(tmp_path):
    path = tar_of(tmp_path / "in" / "7.tar", pairs(3))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(HelipError, match=r"7\.tar: not a whole tar archive.*fetch it again or remove it"):
        build_corpus(ShardCorpus(path=str(tmp_path / "in")), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


# ---------------------------------------------------------------- after indexing


def test_a_shard_that_changed_is_said(tmp_path):
    corpus = indexed(tmp_path, pairs(4))
    shard = tmp_path / "in" / "0.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:5000])
    with pytest.raises(HelipError, match=r"0\.tar: changed since .*corpus was indexed \(5000 bytes now"):
        corpus.image_bytes(0)
    shard.write_bytes(bytes(len(whole)))
    with pytest.raises(HelipError, match=r"changed since .* \(sample 0, key '00000': undecodable image"):
        Corpus.open(tmp_path / "corpus").image(0)
    shard.unlink()
    with pytest.raises(HelipError, match="cannot be opened"):
        Corpus.open(tmp_path / "corpus").image_bytes(0)


def test_a_shard_cut_while_it_is_open_is_said(tmp_path):
    corpus = indexed(tmp_path, pairs(4))
    corpus.image_bytes(0)
    with open(tmp_path / "in" / "0.tar", "r+b") as f:
        f.truncate(3000)
    with pytest.raises(HelipError, match="sample 3 ends after 0 of"):
        corpus.image_bytes(3)


@pytest.mark.parametrize("name", ["index.npy", "captions.bin", "manifest.json"])
def test_an_index_that_does_not_match_is_said(tmp_path, name):
    indexed(tmp_path / "small", pairs(2))
    indexed(tmp_path / "large", pairs(3))
    shutil.copy(tmp_path / "small" / "corpus" / name, tmp_path / "large" / "corpus" / name)
    with pytest.raises(HelipError, match=r"does not match manifest\.json; index the corpus again"):
        Corpus.open(tmp_path / "large" / "corpus")


@pytest.mark.parametrize(
    ("name", "content"),
    [("index.npy", b"junk"), ("manifest.json", b"{}"), ("manifest.json", b"{"), ("index.npy", None), ("captions.bin", None)],
)
def test_a_damaged_corpus_folder_is_said(tmp_path, name, content):
    indexed(tmp_path, pairs(2))
    path = tmp_path / "corpus" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(HelipError, match=name):
        Corpus.open(tmp_path / "corpus")


def test_an_index_with_a_pickle_inside_is_refused(tmp_path):
    indexed(tmp_path, pairs(2))
    with open(tmp_path / "corpus" / "index.npy", "wb") as f:
        np.save(f, np.array([print], object), allow_pickle=True)
    with pytest.raises(HelipError, match=r"index\.npy"):
        Corpus.open(tmp_path / "corpus")


def test_a_corpus_of_our_own_shards_can_be_moved(world, tmp_path):
    moved = shutil.copytree(world.folder, tmp_path / "elsewhere")
    assert Corpus.open(moved).image_bytes(1499) == world.image_bytes(1499)


# ---------------------------------------------------------------- workers


def test_pickling_carries_the_place_not_the_data(tmp_path):
    corpus = indexed(tmp_path, pairs(3))
    corpus.image_bytes(0)
    assert len(pickle.dumps(corpus)) < 500
    assert _samples(pickle.loads(pickle.dumps(corpus))) == _samples(corpus)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same_bytes(world, method):
    world.image_bytes(0)  # a file is already open when the workers start
    with multiprocessing.get_context(method).Pool(2) as pool:
        ids = [3, 1400, 3, 777]
        assert pool.map(functools.partial(Corpus.image_bytes, world), ids) == [world.image_bytes(i) for i in ids]


def test_a_fork_while_another_thread_reads_does_not_hang(world):
    wanted = world.image_bytes(5)
    with world._lock:
        child = multiprocessing.get_context("fork").Process(target=lambda: os._exit(world.image_bytes(5) == wanted))
        child.start()
    child.join(20)
    assert child.exitcode == 1


def test_more_shards_than_open_files(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "OPEN_SHARDS", 2)
    for n in range(5):
        tar_of(tmp_path / "in" / f"{n}.tar", pairs(1, n))
    corpus = build_corpus(ShardCorpus(path=str(tmp_path / "in")), tmp_path / "corpus")
    for _ in range(2):
        assert [corpus.image_bytes(i) for i in range(5)] == [noisy(seed=i) for i in range(5)]
    assert len(corpus._files) == 2


def test_the_manifest_says_what_the_corpus_is(tmp_path):
    again = [(f"again.{name.rpartition('.')[2]}", data) for name, data in pairs(1)]
    manifest = json.loads((indexed(tmp_path, pairs(2) + again, published_size=4).folder / "manifest.json").read_text())
    assert (manifest["size"], manifest["duplicates"], manifest["recovered_share"]) == (3, 1, 0.75)
    assert manifest["declaration"]["kind"] == "webdataset"
    assert manifest["versions"]["numpy"]
    assert len(bytes.fromhex(manifest["digest"])) == 32


# ---------------------------------------------------------------- what can go wrong while building


def _die(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_said_instead_of_waited_for():
    with pytest.raises(HelipError, match="one of 2 worker processes was killed"):
        list(each(_die, [1, 2, 3], "indexing", "shards", workers=2))


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    code = (
        "import resource, sys; from helip.config import GeneratedCorpus; from helip.data.build import build_corpus;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); build_corpus(GeneratedCorpus(size=50), sys.argv[1])"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path / "corpus"], capture_output=True, text=True, check=False)
    assert "corpus: could not be written (File too large); free space" in ended.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
