"""report.html in a real browser: it loads whole, without a word on the console, on a phone and on a desk."""

import re
import shutil
import subprocess

import pytest

from helip.errors import HelipError
from helip.reporting.figures import TITLES
from helip.reporting.inputs import figures, report_inputs, tables
from helip.reporting.pages import write_pages
from helip.reporting.report import write_report

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=10000")  # fmt: skip


FRAME = """<!doctype html><body style="margin:0"><iframe src="report.html" width="WIDTH" height="900" style="border:0"></iframe>
<script>addEventListener("load", () => setTimeout(() => document.body.dataset.seen = frames[0].document.title, 500))</script>"""


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


def test_pages_hold_the_tables_the_verdicts_and_the_figures(reported, tmp_path):
    page = write_pages(reported, tmp_path / "docs" / "wide").read_text()
    question = reported.tables["table11"].title
    table = (reported.root / "table1.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| CC3M") and "CLIP-HELIP" in line)
    assert row in page
    headings = re.findall(r"^## (.*)", page, re.MULTILINE)
    assert headings[:4] == ["Does refinement beat plain continued training?", "The paper's claims", "Figures", f"Table 11. {question}"]
    assert f"![{TITLES['figure5']}](figure5.png)" in page
    assert (tmp_path / "docs" / "wide" / "figure5.png").read_bytes() == (reported.root / "figure5.png").read_bytes()
    write_pages(reported, tmp_path / "docs" / "wide")  # its own pages may be replaced


def test_a_folder_of_other_things_is_not_replaced(reported, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(HelipError, match="holds other files than a report's"):
        write_pages(reported, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_every_table_in_latex_has_whole_rows(reported):
    for name in tables(reported):
        text = (reported.root / f"{name}.tex").read_text()
        columns = len(re.search(r"begin{tabular}{(\w+)}", text)[1])
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 1 and {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}, name
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}"), name


def test_every_table_is_accepted_by_latex_and_no_wider_than_the_page(reported, tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex on this machine: apt-get install texlive-latex-recommended")
    bodies = [(reported.root / f"{name}.tex").read_text() for name in tables(reported)]
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "page.tex").write_text("\n".join([head, *bodies, r"\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "Overfull" not in said
