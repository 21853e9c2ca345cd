"""One file over HTTP: resumed, checked, recorded, and refused in a sentence."""

import hashlib
import json

import pytest

from helip.download import fetching
from helip.download.fetching import fetch
from helip.errors import HelipError

DATA = bytes(range(256)) * 4000


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def _here(no_proxy):
    pass


def quick(site, path, target, **more):
    return fetch(site.url(path), target, **{"timeout": 300, "pause": 0.01} | more)


def test_a_file_is_fetched_once_and_its_hash_recorded(site, tmp_path):
    site.pages["a.tar"] = DATA
    assert quick(site, "a.tar", tmp_path / "deep/a.tar") == sha(DATA)
    assert (tmp_path / "deep/a.tar").read_bytes() == DATA
    assert json.loads((tmp_path / "deep/a.tar.json").read_text())["sha256"] == sha(DATA)
    assert quick(site, "a.tar", tmp_path / "deep/a.tar") == sha(DATA)
    assert site.asked["a.tar"] == 1
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["a.tar", "a.tar.json"]


def test_an_interrupted_fetch_goes_on_where_it_stopped(site, tmp_path):
    site.pages["a.tar"] = DATA
    part = tmp_path / "a.tar.part"
    part.write_bytes(DATA[:300_000])
    (tmp_path / "a.tar.part.etag").write_text(f'"{hash(DATA)}"')
    assert quick(site, "a.tar", tmp_path / "a.tar") == sha(DATA)
    assert (tmp_path / "a.tar").read_bytes() == DATA
    assert site.ranges == ["bytes=300000-"]


def test_a_connection_that_ends_early_is_tried_again(site, tmp_path):
    def first_cut(handler):
        site.pages["a.tar"] = DATA
        site.cut(DATA, 1000)(handler)

    site.pages["a.tar"] = first_cut
    assert quick(site, "a.tar", tmp_path / "a.tar") == sha(DATA)
    assert site.asked["a.tar"] == 2


def test_a_part_of_another_version_is_not_completed(site, tmp_path):
    site.pages["a.tar"] = DATA
    (tmp_path / "a.tar.part").write_bytes(b"x" * 5000)
    (tmp_path / "a.tar.part.etag").write_text('"an older file"')
    quick(site, "a.tar", tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == DATA


def test_a_part_longer_than_the_file_starts_over(site, tmp_path):
    site.pages["a.tar"] = b"short"
    (tmp_path / "a.tar.part").write_bytes(b"x" * 5000)  # and no ETag: nobody knows what it is a part of
    quick(site, "a.tar", tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == b"short"


def test_a_part_that_is_already_whole_is_fetched_again(site, tmp_path):
    def beyond_the_end(handler):
        site.pages["a.tar"] = DATA
        handler.send_error(416)

    site.pages["a.tar"] = beyond_the_end
    (tmp_path / "a.tar.part").write_bytes(DATA)
    (tmp_path / "a.tar.part.etag").write_text(f'"{hash(DATA)}"')
    assert quick(site, "a.tar", tmp_path / "a.tar") == sha(DATA)
    assert site.ranges == []


def test_always_cut_off_keeps_what_it_has_and_says_how_to_go_on(site, tmp_path):
    site.pages["a.tar"] = site.cut(DATA, 1000)
    with pytest.raises(HelipError, match=r"a.tar: could not be fetched in 3 tries .*byte 1000 of 1024000.*1000 bytes are kept, run again"):
        quick(site, "a.tar", tmp_path / "a.tar", tries=3)
    assert not (tmp_path / "a.tar").exists()
    assert (tmp_path / "a.tar.part").stat().st_size == 1000


def test_a_server_that_hangs_is_left_after_its_timeout(site, tmp_path):
    site.pages["a.tar"] = site.hang
    with pytest.raises(HelipError, match="could not be fetched in 1 tries .*timed out"):
        quick(site, "a.tar", tmp_path / "a.tar", tries=1, timeout=1)


class Clock:
    """Time as a test has it: `seconds` pass at each look."""

    def __init__(self, seconds: float):
        self.now, self.seconds = 0.0, seconds

    def monotonic(self) -> float:
        self.now += self.seconds
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Dripping:
    """An answer of one byte at a time, without end."""

    def read1(self, size: int) -> bytes:
        return b"x"


def test_a_server_that_drips_is_left_by_its_rate(monkeypatch):
    """A byte each two seconds, a timeout of three: after four seconds two bytes have come, and 4,096 should have."""
    monkeypatch.setattr(fetching, "time", Clock(2))
    with pytest.raises(fetching.Interrupted, match="^2 bytes in 4 s are too slow$"):
        list(fetching._steady(Dripping(), 3, 1e9))


def test_a_file_has_a_deadline_over_all_tries(site, tmp_path, monkeypatch):
    site.pages["a.tar"] = site.cut(DATA, 1000)
    monkeypatch.setattr(fetching, "time", Clock(10))
    with pytest.raises(HelipError, match=r"could not be fetched in 1 tries \(not whole after 15 s\); 1000 bytes are kept"):
        quick(site, "a.tar", tmp_path / "a.tar", tries=9, deadline=15)


def test_a_missing_file_is_reported_at_once(site, tmp_path):
    with pytest.raises(HelipError, match=r"nothing.tar: the server answers 404 Not Found; correct the address or fetch it by hand"):
        quick(site, "nothing.tar", tmp_path / "a.tar")
    assert site.asked["nothing.tar"] == 1


def test_a_file_of_another_hash_is_refused_and_removed(site, tmp_path):
    site.pages["a.pt"] = DATA
    with pytest.raises(HelipError, match=f"a.pt: its sha256 is {sha(DATA)}, not the {'0' * 64} declared"):
        quick(site, "a.pt", tmp_path / "a.pt", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_on_the_server_is_refused(site, tmp_path):
    site.pages["a.pt"] = DATA
    quick(site, "a.pt", tmp_path / "a.pt")
    (tmp_path / "a.pt").unlink()
    site.pages["a.pt"] = DATA + b"!"
    with pytest.raises(HelipError, match=r"recorded in .*a.pt.json when it was first fetched"):
        quick(site, "a.pt", tmp_path / "a.pt")


def redirected(site, stated: str):
    """As the Hugging Face Hub answers for a large file."""

    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", site.url("stored/a.tar"))
        handler.send_header("X-Linked-Etag", f'"{stated}"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def test_a_hash_that_the_server_states_is_checked(site, tmp_path):
    site.pages |= {"a.tar": redirected(site, sha(DATA)), "stored/a.tar": DATA}
    assert quick(site, "a.tar", tmp_path / "a.tar") == sha(DATA)
    site.pages["stored/a.tar"] = DATA[:-1] + b"x"
    with pytest.raises(HelipError, match=f"not the {sha(DATA)} its server states"):
        quick(site, "a.tar", tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_an_interrupted_fetch_goes_on_behind_a_redirection(site, tmp_path):
    site.pages |= {"a.tar": redirected(site, sha(DATA)), "stored/a.tar": DATA}
    (tmp_path / "a.tar.part").write_bytes(DATA[:300_000])
    (tmp_path / "a.tar.part.etag").write_text(f'"{hash(DATA)}"')
    assert quick(site, "a.tar", tmp_path / "a.tar") == sha(DATA)
    assert site.ranges == ["bytes=300000-"]


def test_a_file_that_changed_on_disk_is_refused(site, tmp_path):
    site.pages["a.pt"] = DATA
    quick(site, "a.pt", tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes(DATA + b"!")
    with pytest.raises(HelipError, match="delete the file and fetch it again"):
        quick(site, "a.pt", tmp_path / "a.pt")


def test_a_full_disk_is_no_network_failure(site, tmp_path):
    site.pages["a.tar"] = DATA
    (tmp_path / "a.tar.part").symlink_to("/dev/full")
    with pytest.raises(HelipError, match=r"a.tar.part: could not be written \(No space left on device\); free space"):
        quick(site, "a.tar", tmp_path / "a.tar")
    assert site.asked["a.tar"] == 1


def test_what_is_no_web_address_is_refused(tmp_path):
    with pytest.raises(HelipError, match="not a web address"):
        fetch("nonsense", tmp_path / "a", tries=1)
