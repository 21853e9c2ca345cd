"""Takes the pictures of a finished study that the docs show, by a real browser at the width of a desktop and of a phone.

    python -m tools.screenshots [STUDY] [--out FOLDER] [--results FOLDER]

`make screenshots STUDY=...` calls it: report-*.png of the study's report, and mlflow-*.png of its runs in MLflow, into docs/images.
"""

import argparse
import sys
from pathlib import Path

from helip.errors import HelipError
from tools import mlflow_screenshots
from tools.browser import find_browser, shoot

PROJECT = Path(__file__).parents[1]
WIDTHS = {"desktop": 1280, "phone": 400}  # pixels
HEIGHT = 900


def report_pictures(results: Path, study: str, out: Path) -> None:
    """Takes a study's report at both widths. Raises HelipError without a browser or a report; it names the reports that are there."""
    browser, report = find_browser(), results / study / "report.html"
    if not report.is_file():
        finished = ", ".join(sorted(page.parent.name for page in results.glob("*/report.html")))
        those = f"choose one of the studies that have one, as in `make screenshots STUDY=...`: {finished}" if finished else ""
        raise HelipError(f"{report}: is not there; make it with `snakemake {report}`{f', or {those}' if those else ''}")
    for name, width in WIDTHS.items():
        picture = out / f"report-{name}.png"
        shoot(browser, report.absolute().as_uri(), (width, HEIGHT), picture)
        print(picture)


def main(arguments: list[str] | None = None) -> None:
    """Takes all pictures. Raises HelipError where there is no browser, no report, or no training to show in MLflow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", default="miniature", help="whose report is finished (default: miniature)")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "images", help="where the pictures go (default: docs/images)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder of all results (default: results)")
    given = parser.parse_args(arguments)
    report_pictures(given.results, given.study, given.out)
    mlflow_screenshots.take(given.results, given.study, given.out)


if __name__ == "__main__":
    try:
        main()
    except HelipError as error:
        print(f"screenshots: {error}", file=sys.stderr)
        sys.exit(2)
