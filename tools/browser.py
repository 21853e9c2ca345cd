"""A real browser without a window, which takes a picture of the first screen of a page.

Chromium has no window narrower than 500 pixels, so a phone's page is a frame.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from html import escape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from PIL import Image

from helip.errors import HelipError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """Returns the path of a browser. Raises HelipError where there is none."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise HelipError(f"none of {', '.join(BROWSERS)} is on the PATH; install one to take pictures of a page")
    return browser


def shoot(browser: str, address: str, size: tuple[int, int], out: Path, *, seconds: int = 10, host: str = "") -> None:
    """Saves the first screen of a page as a PNG of few colours, `size` = (width, height) pixels, after `seconds` of the browser's own time.

    The page is shown in a frame. The frame of a server's page is served too, at `host`, the server's name: the clock of a page does not
    count for frames of another site.
    """
    width, height = size
    with tempfile.TemporaryDirectory() as folder:
        frame, picture = Path(folder) / "frame.html", Path(folder) / "page.png"
        frame.write_text(
            f'<!doctype html><body style="margin:0"><iframe src="{escape(address)}" width="{width}" height="{height}"'
            ' style="border:0;background:#fff"></iframe></body>'
        )
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile"]
        command += ["--allow-file-access-from-files", f"--window-size={max(width, 500)},{height + 200}"]
        command += [f"--virtual-time-budget={1000 * seconds}", f"--screenshot={picture}"]
        command += [f"--host-resolver-rules=MAP {host} 127.0.0.1"] if host else []
        with _served(folder) if host else nullcontext() as port:
            shown = f"http://{host}:{port}/{frame.name}" if host else frame.as_uri()
            subprocess.run([*command, shown], check=True, capture_output=True, timeout=300)
        out.parent.mkdir(parents=True, exist_ok=True)
        first_screen = Image.open(picture).crop((0, 0, width, height))
        first_screen.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(out, optimize=True)


@contextmanager
def _served(folder: str) -> Iterator[int]:
    """Yields the port at which a folder is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
