"""Takes the pictures of a report page that the docs show: `make screenshots` writes docs/images/report-desktop.png and report-phone.png.

They are taken by a real browser, at the width of a desktop and of a phone. Chromium has no window narrower than 500 pixels, so a phone's
page is a frame.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from helip.errors import HelipError

PROJECT = Path(__file__).parents[1]
IMAGES = PROJECT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"desktop": 1280, "phone": 400}  # pixels
HEIGHT = 900


def shoot(browser: str, report: Path, width: int, out: Path) -> None:
    """Saves the first screen of a page as a PNG of few colours, `width` x HEIGHT pixels."""
    with tempfile.TemporaryDirectory() as folder:
        frame, picture = Path(folder) / "frame.html", Path(folder) / "page.png"
        style = "border:0;background:#fff"
        frame.write_text(
            f'<!doctype html><body style="margin:0"><iframe src="{report.absolute().as_uri()}" width="{width}" height="{HEIGHT}"'
            f' style="{style}"></iframe></body>'
        )
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile"]
        options += ["--allow-file-access-from-files", f"--window-size=1400,{HEIGHT + 200}", "--virtual-time-budget=10000"]
        subprocess.run([browser, *options, f"--screenshot={picture}", frame.as_uri()], check=True, capture_output=True, timeout=300)
        out.parent.mkdir(parents=True, exist_ok=True)
        first_screen = Image.open(picture).crop((0, 0, width, HEIGHT))
        first_screen.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(out, optimize=True)


def main(report: Path) -> None:
    """Writes both pictures. Raises HelipError without a browser or a report."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise HelipError(f"none of {', '.join(BROWSERS)} is on the PATH; install one to take pictures of a page")
    if not report.is_file():
        raise HelipError(f"{report}: is not there; make it with `snakemake {report}`")
    for name, width in WIDTHS.items():
        shoot(browser, report, width, IMAGES / f"report-{name}.png")
        print(IMAGES / f"report-{name}.png")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/miniature/report.html"))
    except HelipError as error:
        sys.exit(f"screenshots: {error}")
