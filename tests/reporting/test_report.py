"""report.html in a real browser: it loads whole, without a word on the console, on a phone and on a desk."""

import re
import shutil
import subprocess

import pytest
from wide import build_corpora, mine_pairs, wide_study, write_all_metrics

from helip.errors import HelipError
from helip.reporting.claims_table import write_claims
from helip.reporting.figures import draw
from helip.reporting.inputs import figures, report_inputs, tables
from helip.reporting.report import write_report
from helip.reporting.tables import write_table

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=10000")  # fmt: skip


FRAME = """<!doctype html><body style="margin:0"><iframe src="report.html" width="WIDTH" height="900" style="border:0"></iframe>
<script>addEventListener("load", () => setTimeout(() => document.body.dataset.seen = frames[0].document.title, 500))</script>"""


@pytest.fixture(scope="module")
def reported(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported")
    study = wide_study(project, folder)
    (folder / "docs").mkdir()
    (folder / "docs" / "discrepancies.md").write_text("# Ledger\n\n| What | Test |\n| --- | --- |\n| eq. 6 <b> | `test_x` |\n")
    study.runs = {name: run for name, run in study.runs.items() if run.corpus in ("cc3m", "cc12m")}
    build_corpora(study, ("cc3m", "cc12m"))
    mine_pairs(study, study.pairs)
    write_all_metrics(study, items=60)
    for name in tables(study):
        write_table(study, name)
    write_claims(study)
    for name in figures(study):
        draw(study, name)
    write_table(study, "table11")
    write_report(study)
    return study


def page_of(study) -> str:
    return (study.root / "report.html").read_text()


def browse(page, profile, *arguments):
    """(stdout, console messages) of headless chromium on a local page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    command = [browser, *FLAGS, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def test_everything_the_rule_waits_for_is_there(reported):
    assert all(path.exists() for path in report_inputs(reported))


def test_the_answer_comes_first_then_verdicts_tables_figures_ledger_and_versions(reported):
    order = [m[1] for m in re.finditer(r'<section id="(\w+)"', page_of(reported))]
    assert order == ["answer", "verdicts", "question", "tables", "figures", "ledger", "times", "versions"]
    assert page_of(reported).count('<article class="claim') == len(reported.claims)
    assert "eq. 6 &lt;b&gt;" in page_of(reported)


def test_the_page_needs_nothing_from_elsewhere(reported):
    loaded = re.findall(r'(?:src|href)="(?!#)([^"]{1,80})', page_of(reported))
    assert {link.split(",")[0].split(";")[0] for link in loaded} == {"data:image/png", "data:", "https://arxiv.org/abs/2305.05208"}


def test_its_numbers_are_those_of_the_tables(reported):
    cell = f"<td>{reported_value(reported):.2f} ±"
    assert cell in page_of(reported)


def reported_value(study) -> float:
    import csv

    with open(study.root / "table1.csv", newline="") as f:
        return float(next(r for r in csv.DictReader(f) if r["run"] == "cc3m_clip_helip" and r["column"] == "imagenet")["value"])


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_errors_and_with_all_images(reported, tmp_path, width):
    """A copy of the page says what it sees in its title: images that loaded, and whether anything is wider than the window."""
    probe = """<script>addEventListener("load", () => { const images = [...document.images];
      document.title = [images.length, images.filter(i => i.complete && i.naturalWidth > 100).length,
        document.documentElement.scrollWidth - innerWidth, innerWidth].join(" "); });</script></body>"""
    page = tmp_path / "report.html"
    page.write_text(page_of(reported).replace("</body>", probe))
    # chromium's own windows are at least 500 pixels wide: a narrower one is a frame
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(width)))
    shown, console = browse(frame, tmp_path / "profile", "--dump-dom", "--allow-file-access-from-files", "--window-size=1400,1000")
    count, loaded, overflow, inner = map(int, re.search(r'data-seen="(\d+) (\d+) (-?\d+) (\d+)"', shown).groups())
    assert console == []
    assert (inner, loaded) == (width, count)
    assert count == len(figures(reported))
    assert overflow <= 0  # tables scroll inside their frames; the page itself does not


def test_a_report_without_its_claims_says_what_to_build(study):
    with pytest.raises(HelipError, match=r"claims.csv: not found; build it first"):
        write_report(study)
