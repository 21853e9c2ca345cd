"""A web server on this machine that serves well, badly or not at all, and a few hundred real photographs for it to serve."""

import contextlib
import io
import itertools
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helip.data.tars import samples


@dataclass
class Site:
    """What the server does at each path: bytes are served (with ranges and an ETag), a callable does as it likes, anything else is 404."""

    pages: dict[str, object] = field(default_factory=dict)
    asked: Counter = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"

    def hang(self, handler) -> None:
        """Take the request and never answer, until the test is over."""
        self.stopping.wait()

    @staticmethod
    def cut(data: bytes, after: int):
        """Promise all of it and close the connection early."""

        def answer(handler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.send_header("ETag", '"cut"')
            handler.end_headers()
            handler.wfile.write(data[:after])

        return answer


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site
        path = self.path.lstrip("/")
        site.asked[path] += 1
        page = site.pages.get(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if callable(page):
                page(self)
            elif page is None:
                self.send_error(404)
            else:
                self._serve(site, page)

    def _serve(self, site: Site, data: bytes) -> None:
        etag, start = f'"{hash(data)}"', 0
        if (wanted := self.headers.get("Range")) and self.headers.get("If-Range", etag) == etag:
            site.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(data[start:])

    def log_message(self, *_) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # img2dataset knocks with 64 connections at once


@pytest.fixture
def site():
    server = _Server(("127.0.0.1", 0), _Handler)
    server.site = site = Site(address=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield site
    site.stopping.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def photographs(project) -> list[tuple[str, bytes, str]]:
    """(key, JPEG, caption) of 400 photographs, real ones where the data are at hand."""
    data = Path(os.environ.get("HELIP_DATA", project.parent / "shared" / "data"))
    shards = sorted((data / "flickr8k" / "pairs").glob("*.tar"))
    photos = []
    for key, files in itertools.islice((one for shard in shards for one in samples(shard, frozenset({"jpg", "txt"}))), 400):
        by = {f.extension: f.data for f in files}
        photos.append((key, by["jpg"], by["txt"].decode()))
    return photos or [_drawn(i) for i in range(400)]


def _drawn(i: int) -> tuple[str, bytes, str]:
    data, coarse = io.BytesIO(), np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
    return f"{i:05d}", data.getvalue(), f"what seed {i} draws"


@pytest.fixture(scope="session")
def img2dataset():
    """The real tool, in an environment of its own; tests that need it say how to get it when they skip."""
    from helip.download.crawling import executable
    from helip.errors import HelipError

    try:
        return executable()
    except HelipError as error:
        pytest.skip(str(error))


@pytest.fixture
def no_proxy(monkeypatch):
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "*")
    return time.monotonic()
