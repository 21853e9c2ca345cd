"""Mirrors of ready-made shards, and corpora made of others."""

import shutil

import numpy as np
import pytest

from helip.config import DownloadedCorpus, ShardCorpus, UnionCorpus
from helip.data.build import build_corpus
from helip.download.corpora import download, join
from helip.download.mirrors import addresses, fetch_shards
from helip.errors import HelipError


@pytest.fixture(autouse=True)
def _here(no_proxy):
    pass


@pytest.fixture(scope="module")
def shards(data_root):
    return sorted((data_root / "flickr8k" / "pairs").glob("*.tar"))[:3]


def test_addresses_count_both_ends_and_keep_zeros():
    assert addresses("http://x/cc3m-train-{0008..0011}.tar") == [f"http://x/cc3m-train-{n}.tar" for n in ("0008", "0009", "0010", "0011")]
    assert len(addresses("http://x/{0000..0575}.tar")) == 576


@pytest.mark.parametrize("pattern", ["http://x/all.tar", "http://x/{5..1}.tar", "http://x/{0..1}-{0..1}.tar", "http://x/{a..b}.tar"])
def test_a_pattern_without_one_range_is_refused(pattern):
    with pytest.raises(HelipError, match=r"needs one range \{first..last\}"):
        addresses(pattern)


def test_a_mirror_becomes_a_corpus_with_its_recovered_share(site, shards, tmp_path):
    for i, path in enumerate(shards[:2]):
        site.pages[f"train-{i:04d}.tar"] = path.read_bytes()
    data = site.pages["train-0001.tar"]

    def first_cut(handler):
        site.pages["train-0001.tar"] = data
        site.cut(data, 100_000)(handler)

    site.pages["train-0001.tar"] = first_cut
    mirror = DownloadedCorpus(table="$NOWHERE/list.tsv", mirror=site.url("train-{0000..0001}.tar"), published_size=4000)
    corpus = download(mirror, tmp_path / "corpus", tmp_path / "fetched")
    direct = build_corpus(ShardCorpus(path=str(shards[0].parent / "0000[01].tar")), tmp_path / "direct")
    assert corpus.digest == direct.digest
    assert corpus.manifest["recovered_share"] == len(corpus) / 4000
    assert corpus.manifest["download"]["shards"] == 2
    asked = sum(site.asked.values())
    download(mirror, tmp_path / "corpus", tmp_path / "fetched")
    assert sum(site.asked.values()) == asked == 3


def test_missing_shards_are_counted_and_the_others_are_kept(site, shards, tmp_path):
    site.pages["0.tar"] = shards[0].read_bytes()
    with pytest.raises(HelipError, match=r"2 of 3 shards are missing; the first: .*1.tar: the server answers 404"):
        fetch_shards(site.url("{0..2}.tar"), tmp_path)
    assert (tmp_path / "mirror/0.tar").exists()


def test_a_broken_mirror_shard_fails_the_corpus(site, shards, tmp_path):
    site.pages["0.tar"] = shards[0].read_bytes()[:50_000]
    with pytest.raises(HelipError, match=r"0.tar: not a whole tar archive"):
        download(DownloadedCorpus(table="t.csv", mirror=site.url("{0..0}.tar")), tmp_path / "corpus", tmp_path / "fetched")
    assert not (tmp_path / "corpus").exists()


@pytest.fixture(scope="module")
def members(shards, tmp_path_factory):
    place = tmp_path_factory.mktemp("members of a union")
    shutil.copy(shards[2], place / "own.tar")
    return [
        build_corpus(ShardCorpus(path=str(shards[0].parent / "0000[01].tar"), published_size=3000), place / "first"),
        build_corpus(ShardCorpus(path=str(place / "own.tar")), place / "second"),
    ]


def test_a_union_has_the_samples_of_its_members_in_order(members, tmp_path):
    union = join(UnionCorpus(of=("first", "second"), published_size=4000), members, tmp_path / "union")
    first, second = members
    assert len(union) == len(first) + len(second)
    for i in (0, 1, len(first) - 1):
        assert (union.key(i), union.caption(i), union.image_bytes(i)) == (first.key(i), first.caption(i), first.image_bytes(i))
    for i in (0, len(second) // 2, len(second) - 1):
        j = len(first) + i
        assert (union.key(j), union.caption(j), union.image_bytes(j)) == (second.key(i), second.caption(i), second.image_bytes(i))
    assert union.manifest["recovered_share"] == len(union) / 4000
    assert [(m["recovered_share"], m["duplicates"]) for m in union.manifest["members"]] == [(len(first) / 3000, 0), (None, 0)]
    assert union.digest not in (first.digest, second.digest)
    again = join(UnionCorpus(of=("first", "again")), [first, first], tmp_path / "again")
    assert again.image_groups()[len(first) :].tolist() == first.image_groups().tolist()
    assert again.manifest["equal_captions"] == len(first) + first.manifest["equal_captions"]


def test_a_union_copies_its_index_in_blocks(members, tmp_path, monkeypatch):
    monkeypatch.setattr("helip.download.corpora.BLOCK", 100)
    union = join(UnionCorpus(of=("first", "second")), members, tmp_path / "union")
    ids = np.linspace(0, len(union) - 1, 50, dtype=int).tolist()
    whole = [m.caption(i) for m in members for i in range(len(m))]
    assert [union.caption(i) for i in ids] == [whole[i] for i in ids]


def test_the_order_of_a_union_is_part_of_what_it_is(members, tmp_path):
    one = join(UnionCorpus(of=("first", "second")), members, tmp_path / "one")
    other = join(UnionCorpus(of=("second", "first")), members[::-1], tmp_path / "other")
    assert one.digest != other.digest
