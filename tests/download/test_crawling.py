"""The download of a corpus by the real img2dataset, from a server that has lost, cut, swapped and withheld some of its images."""

import hashlib
import io
import json
import stat
import subprocess
import sys
import time

import pytest
from PIL import Image

from helip.config import DownloadedCorpus
from helip.download.corpora import download
from helip.download.crawling import executable, reason
from helip.errors import HelipError

MISSING, CUT, SWAPPED, BROKEN = 20, 10, 12, 3


@pytest.fixture(autouse=True)
def _here(no_proxy):
    pass


def table(site, photographs, path) -> dict[str, bytes]:
    """300 addresses in a CSV with md5s; what lies behind each is as the constants say, the other 255 are well."""
    lines, well = ["url,caption,md5"], {}
    for i, (key, jpeg, caption) in enumerate(photographs[:300]):
        name, published = f"{i:04d}.jpg", hashlib.md5(jpeg).hexdigest()
        if i < MISSING:
            pass
        elif i < MISSING + CUT:
            site.pages[name] = site.cut(jpeg, len(jpeg) // 2)
        elif i < MISSING + CUT + SWAPPED:
            site.pages[name] = photographs[-1 - i][1]
        elif i < MISSING + CUT + SWAPPED + BROKEN:
            site.pages[name], published = b"<html>", hashlib.md5(b"<html>").hexdigest()
        else:
            site.pages[name] = well[caption] = jpeg
        lines.append(f'{site.url(name)},"{caption.replace(chr(34), chr(34) * 2)}",{published}')
        assert key
    path.write_text("\n".join([*lines, lines[-1], f",nowhere,{published}"]) + "\n")  # one address twice, one row without
    return well


def large() -> bytes:
    data = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((900, 600)).save(data, "JPEG")
    return data.getvalue()


def declared(path, **more) -> DownloadedCorpus:
    usual = {"timeout": 600, "retries": 0, "processes": 1, "samples_per_shard": 100, "published_size": 400}
    return DownloadedCorpus(table=str(path), hash_column="md5", hash="md5", **(usual | more))


def test_download_says_what_became_of_every_address(img2dataset, site, photographs, tmp_path):
    photographs = [*photographs[:299], ("large", large(), 'a "large" circle'), *photographs[300:]]
    well = table(site, photographs, tmp_path / "list.csv")
    corpus = download(declared(tmp_path / "list.csv"), tmp_path / "corpus", tmp_path / "fetched")
    counts = corpus.manifest["download"]
    assert len(corpus) == counts["fetched"] == 300 - MISSING - CUT - SWAPPED - BROKEN + 1
    assert (counts["rows"], counts["unusable_rows"], counts["duplicate_addresses"], counts["duplicate_images"]) == (302, 1, 1, 1)
    assert counts["hash_mismatches"] == SWAPPED
    assert counts["failed"] == {
        "HTTP 404": MISSING, "cut off": CUT, "hash mismatch": SWAPPED, "undecodable image": BROKEN,
    }  # fmt: skip
    assert corpus.manifest["recovered_share"] == len(corpus) / 400
    assert {corpus.caption(i) for i in range(len(corpus))} == {c.strip() for c in well}
    sizes = {corpus.image(i).size for i in range(len(corpus))}
    assert sizes == {(128, 128), (384, 256)}  # 256 pixels on the shorter side; a smaller image is left as it is

    # the same again asks only for those that failed for a passing reason
    before = sum(site.asked.values())
    again = download(declared(tmp_path / "list.csv"), tmp_path / "corpus", tmp_path / "fetched")
    assert again.digest == corpus.digest and sum(site.asked.values()) == before + CUT
    assert again.manifest["download"]["failed"] == counts["failed"]
    before += CUT

    # a crawl that was killed in its second shard fetches that shard again, and no other
    for left in (tmp_path / "fetched/shards").glob("00001*"):
        left.unlink()
    again = download(declared(tmp_path / "list.csv"), tmp_path / "corpus", tmp_path / "fetched")
    assert sum(site.asked.values()) - before == 100
    assert len(again) == len(corpus)


def test_a_table_from_the_web_and_too_little_recovered(img2dataset, site, photographs, tmp_path):
    table(site, photographs, tmp_path / "list.csv")
    lines = (tmp_path / "list.csv").read_text().splitlines()
    site.pages["list.csv"] = "\n".join([lines[0], *lines[1:11], *lines[100:130]]).encode()  # 10 of 40 are gone
    with pytest.raises(
        HelipError, match=r"corpus: 30 of 40 images could be fetched \(10 HTTP 404\), a share of 0.7500 under min_recovered 0.8"
    ):
        download(declared(site.url("list.csv"), min_recovered=0.8), tmp_path / "corpus", tmp_path / "fetched")
    assert not (tmp_path / "corpus").exists()
    assert len(download(declared(site.url("list.csv"), min_recovered=0.7), tmp_path / "corpus", tmp_path / "fetched")) == 30


@pytest.mark.long
def test_what_failed_for_a_passing_reason_is_tried_again(img2dataset, site, photographs, tmp_path):
    (tmp_path / "list.csv").write_text("url,caption\n" + "".join(f"{site.url(f'{i}.jpg')},c{i}\n" for i in range(3)))
    wanted = DownloadedCorpus(table=str(tmp_path / "list.csv"), retries=0, processes=1)
    site.pages |= dict.fromkeys(("0.jpg", "1.jpg"), lambda handler: handler.send_error(503))  # 2.jpg is no more
    with pytest.raises(HelipError, match=r"0 of 3 images could be fetched \(2 HTTP 503, 1 HTTP 404\).*run the same again to try"):
        download(wanted, tmp_path / "corpus", tmp_path / "fetched")
    site.pages |= {f"{i}.jpg": photographs[i][1] for i in range(3)}
    corpus = download(wanted, tmp_path / "corpus", tmp_path / "fetched")
    assert {corpus.caption(i) for i in range(len(corpus))} == {"c0", "c1"}  # in the order in which they arrive
    assert corpus.manifest["download"]["failed"] == {"HTTP 404": 1}
    assert site.asked == {"0.jpg": 2, "1.jpg": 2, "2.jpg": 1}


@pytest.mark.long
def test_a_server_that_drips_is_counted_as_timed_out(img2dataset, site, tmp_path):
    """It would hold the download for as long as it likes: each byte comes before the timeout."""

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not site.stopping.wait(0.2):
            handler.wfile.write(b"x")

    site.pages["a.jpg"] = drip
    (tmp_path / "list.csv").write_text(f"url,caption\n{site.url('a.jpg')},words\n")
    with pytest.raises(HelipError, match=r"0 of 1 images could be fetched \(1 timed out\)"):
        download(
            DownloadedCorpus(table=str(tmp_path / "list.csv"), timeout=1, retries=0, processes=1), tmp_path / "corpus", tmp_path / "fetched"
        )


def test_a_server_that_never_answers_is_counted_as_timed_out(img2dataset, site, tmp_path):
    site.pages["a.jpg"] = site.hang  # until the test is over, so a slow machine changes nothing
    (tmp_path / "list.csv").write_text(f"url,caption,md5\n{site.url('a.jpg')},words,00\n")
    with pytest.raises(HelipError, match=r"0 of 1 images could be fetched \(1 timed out\)"):
        download(declared(tmp_path / "list.csv", timeout=1, min_recovered=1), tmp_path / "corpus", tmp_path / "fetched")


def stand_in(path, script: str, monkeypatch) -> None:
    """A command in img2dataset's place, for what the real one does too rarely to wait for."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("HELIP_IMG2DATASET", str(path))


def test_a_failed_tool_is_reported_with_its_last_line(site, tmp_path, monkeypatch):
    (tmp_path / "list.csv").write_text("url,caption,md5\nhttp://127.0.0.1:1/a.jpg,words,00\n")
    stand_in(tmp_path / "tool", "echo no space left on device; exit 3", monkeypatch)
    with pytest.raises(HelipError, match=r"img2dataset ended with code 3 \(no space left on device\); run again to go on"):
        download(declared(tmp_path / "list.csv"), tmp_path / "corpus", tmp_path / "fetched")
    stand_in(tmp_path / "tool", "exit 0", monkeypatch)
    with pytest.raises(HelipError, match="img2dataset left 1 of 1 shards undone"):
        download(declared(tmp_path / "list.csv"), tmp_path / "corpus", tmp_path / "fetched")
    assert not (tmp_path / "corpus").exists()


def test_a_tool_that_outlives_its_download_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / "list.csv").write_text("url,caption,md5\nhttp://127.0.0.1:1/a.jpg,words,00\n")
    log, go, busy = tmp_path / "said", tmp_path / "go", tmp_path / "busy"
    waits = f"until [ -e {go} ]; do sleep 0.1; done"
    stand_in(
        tmp_path / "tool",
        f"[ -e {busy} ] && touch {go}; touch {busy}; echo begin >> {log}; {waits}; echo end >> {log}; rm {busy}",
        monkeypatch,
    )

    class Messages(io.StringIO):
        """Lets the tool end once the second download says that it waits."""

        def write(self, text: str) -> int:
            if "an earlier img2dataset is still at work" in text:
                go.touch()
            return super().write(text)

    wanted, places = declared(tmp_path / "list.csv"), (tmp_path / "corpus", tmp_path / "fetched")
    code = (
        "import sys; from pathlib import Path; from helip.config import DownloadedCorpus; from helip.download.corpora import download;"
        "download(DownloadedCorpus.model_validate_json(sys.argv[1]), *map(Path, sys.argv[2:]))"
    )
    first = subprocess.Popen([sys.executable, "-c", code, wanted.model_dump_json(), *map(str, places)])
    while not log.exists():
        assert first.poll() is None
        time.sleep(0.05)
    first.kill()
    first.wait()
    monkeypatch.setattr(sys, "stderr", Messages())
    with pytest.raises(HelipError, match="left 1 of 1 shards undone"):
        download(wanted, *places)
    assert log.read_text().split() == ["begin", "end", "begin", "end"]


def test_missing_img2dataset_or_table_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_IMG2DATASET", str(tmp_path / "nowhere/img2dataset"))
    with pytest.raises(HelipError, match=r"nowhere/img2dataset: not found; run `make download-tools`, or set HELIP_IMG2DATASET"):
        executable()
    stand_in(tmp_path / "tool", "exit 0", monkeypatch)
    wanted = declared(tmp_path / "none.csv", obtain="ask the authors for it")
    with pytest.raises(HelipError, match=r"there is no table of addresses .*none.csv'; ask the authors for it"):
        download(wanted, tmp_path / "corpus", tmp_path / "fetched")


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ("HTTP Error 404: Not Found", "HTTP 404"),
        ("<urlopen error timed out>", "timed out"),
        ("The read operation timed out", "timed out"),
        ("IncompleteRead(512 bytes read, 512 more expected)", "cut off"),
        ("image decoding error", "undecodable image"),
        ("hash mismatch", "hash mismatch"),
        ("<urlopen error [Errno -2] Name or service not known>", "unreachable"),
        ("Use of image disallowed by X-Robots-Tag directive", "use disallowed by the server"),
        ("something new", "other"),
    ],
)
def test_reasons(words, means):
    assert reason(words) == means


def test_img2dataset_is_told_to_respect_hashes_and_size(site, tmp_path, monkeypatch):
    (tmp_path / "list.csv").write_text("url,caption,md5\nhttp://127.0.0.1:1/a.jpg,words,00\n")
    stand_in(tmp_path / "tool", f'for a in "$@"; do echo "$a"; done > {tmp_path}/said', monkeypatch)
    with pytest.raises(HelipError):
        download(declared(tmp_path / "list.csv"), tmp_path / "corpus", tmp_path / "fetched")
    options = dict(line.removeprefix("--").split("=", 1) for line in (tmp_path / "said").read_text().splitlines())
    assert json.loads(options["verify_hash"]) == ["md5", "md5"] and options["compute_hash"] == "md5"
    assert (options["image_size"], options["resize_mode"], options["resize_only_if_bigger"]) == ("256", "keep_ratio", "True")
