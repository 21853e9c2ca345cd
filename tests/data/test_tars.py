"""Archives: the same samples as Python's tarfile and webdataset see, and a sentence for broken ones."""

import io
import itertools
import tarfile

import pytest
import webdataset
from archives import tar_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from helip.data.tars import members, samples, write
from helip.errors import HelipError

FILES = [("a/0.jpg", b"1" * 700), ("a/0.txt", b"one"), ("b.c.txt", b"two"), ("x" * 150 + ".txt", b"long"), ("é.txt", b"accent")]


def _members(path):
    with open(path, "rb") as f:
        return [(m.name, m.offset, m.size) for m in members(f, path)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_of_tarfile(tmp_path, form):
    files = [f for f in FILES if form != tarfile.USTAR_FORMAT or len(f[0]) < 100]
    path = tar_of(tmp_path / "t.tar", files, format=form)
    with tarfile.open(path) as archive:
        assert _members(path) == [(m.name, m.offset_data, m.size) for m in archive]


def test_folders_links_and_nameless_files_are_no_samples(tmp_path):
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("folder", tarfile.DIRTYPE), ("link.jpg", tarfile.SYMTYPE), ("device.txt", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name in ("README", "._hidden.jpg", "../../outside.txt"):
            info = tarfile.TarInfo(name)
            info.size = 2
            archive.addfile(info, io.BytesIO(b"ok"))
    assert [(key, [f.extension for f in files]) for key, files in samples(path, frozenset({"txt"}))] == [("../../outside", ["txt"])]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text("abAB.-/", min_size=1, max_size=12), st.binary(max_size=1200)), max_size=8))
def test_samples_are_grouped_as_webdataset_groups_them(tmp_path_factory, files):
    path = tar_of(tmp_path_factory.mktemp("t") / "t.tar", files)
    try:
        theirs = [
            {k: v for k, v in s.items() if not k.startswith("__")} | {"": s["__key__"]}
            for s in webdataset.WebDataset(str(path), shardshuffle=False)
        ]
    except ValueError:  # webdataset stops at a name given twice in a sample
        assume(False)
    ours = [{f.extension: f.data for f in sample} | {"": key} for key, sample in samples(path, _Every())]
    assert ours == theirs


class _Every(frozenset):
    def __contains__(self, extension):
        return True


def test_writing_is_deterministic_and_round_trips(tmp_path):
    files = [("0.png", b"x" * 600), ("0.txt", b"caption"), ("1.png", b""), ("1.txt", b"more")]
    write(tmp_path / "a.tar", files)
    write(tmp_path / "b.tar", files)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert [(m.name, archive.extractfile(m).read()) for m in archive] == files


@pytest.mark.parametrize("keep", [0, 100, 512, 700, 1300, 2048])
def test_a_truncated_archive_is_named(tmp_path, keep):
    path = tar_of(tmp_path / "cut.tar", [("0.jpg", b"1" * 700), ("0.txt", b"one")])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(HelipError, match=r"cut\.tar: not a whole tar archive"):
        _members(path)


def test_what_is_no_archive_is_named(tmp_path):
    path = tmp_path / "page.tar"
    path.write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(HelipError, match=r"page\.tar: not a whole tar archive \(no member header at byte 0\)"):
        _members(path)
    with pytest.raises(HelipError, match="cannot be read"):
        list(samples(tmp_path / "absent.tar", frozenset()))


@pytest.mark.parametrize("said_by", ["header", "pax"])
def test_a_negative_size_ends_the_reading(tmp_path, said_by):
    """It would lead back to the header it stands in, for ever."""
    info, path = tarfile.TarInfo("0.jpg"), tmp_path / "t.tar"
    if said_by == "pax":
        info.pax_headers = {"size": "-512"}
    block = bytearray(info.tobuf(tarfile.PAX_FORMAT))
    if said_by == "header":
        block[124:136], block[148:156] = b"-00000001000", b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(1024))
    with open(path, "rb") as archive, pytest.raises(HelipError, match=r"t\.tar: not a whole tar archive \(no member header at byte"):
        list(itertools.islice(members(archive, path), 9))


def test_sizes_over_8_gib_are_read(tmp_path):
    """GNU tar writes them in base 256: the data need not be there to see that they are missing."""
    info = tarfile.TarInfo("0.jpg")
    info.size = 10 << 30
    (tmp_path / "t.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(HelipError, match=r"ends at byte 1536 inside '0\.jpg'"):
        _members(tmp_path / "t.tar")
