"""The whole report of a study and its figures; in a real browser it loads whole, without a word on the console, on phone and desk."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining.pairs import PairSet
from helip.reporting.figures import TITLES, accuracy_by_size, draw
from helip.reporting.figures.pair_sheets import drawn_targets
from helip.reporting.inputs import figure_inputs, figures, report_inputs, sheet_pairs, tables
from helip.reporting.pages import write_pages
from helip.reporting.report import write_report
from helip.stages import Mine

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
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
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


# ---------------------------------------------------------------- figures


def test_a_study_draws_what_it_has_runs_for(study, reported):
    assert figures(reported) == ["figure4", "figure5", "figure6", "figure7", "figure8"]
    assert figures(study) == ["figure4", "figure5", "figure7", "figure8"]  # the smoke study has no FastHPM
    assert "table9" not in tables(study) and "table9" in tables(reported)
    lacks = "'figure6' is no figure, or the study lacks what it shows; it can draw figure4, figure5, figure7, figure8"
    with pytest.raises(HelipError, match=lacks):
        draw(study, "figure6")


def test_figures_are_drawn_as_png_and_pdf_and_the_same_figure_is_the_same_file(reported):
    for name in figures(reported):
        assert all(path.exists() for path in figure_inputs(reported, name))
        pixels = np.asarray(Image.open(reported.root / f"{name}.png").convert("L"))
        assert min(pixels.shape) > 400 and (pixels < 250).mean() > 0.01  # something is on the paper
        assert (reported.root / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    before = [(reported.root / f"figure4.{kind}").read_bytes() for kind in ("png", "pdf")]
    assert [path.read_bytes() for path in draw(reported, "figure4")] == before


def test_sheets_compare_the_methods_of_one_corpus_with_the_studys_own_encoders(reported):
    assert sheet_pairs(reported, "figure5") == ["cc3m.hpm.dino_vits8.sentence", "cc3m.image.resnet50", "cc3m.text.bert"]
    full, *pools = sheet_pairs(reported, "figure6")
    assert full == "cc12m.hpm.dino_vits8.sentence"
    assert [reported.pairs_entry(name)[1].pool for name in pools] == [180, 90]


def test_targets_are_drawn_first_among_those_that_every_method_has_pairs_for(reported):
    sets = [PairSet.open(Mine(reported, name).folder) for name in sheet_pairs(reported, "figure5")]
    targets = drawn_targets(sets, 6)
    assert len(set(targets)) == 6 and targets == drawn_targets(sets, 6)
    assert all(len(s.hard(i)) for s in sets for i in targets)
    assert drawn_targets(sets, 2) == targets[:2]


def test_a_sheet_is_drawn_though_a_method_found_nothing():
    """Three targets: the first method has pairs for 0 and 1, the second for 1 alone. 1 comes first, 2 last."""
    first = PairSet(np.array([1, 0], np.int32), np.ones(2, np.float32), np.array([0, 1, 2, 2]), np.zeros(3, bool), MiningSpec(k=1), 3)
    second = PairSet(np.array([2], np.int32), np.ones(1, np.float32), np.array([0, 0, 1, 1]), np.zeros(3, bool), MiningSpec(k=1), 3)
    assert drawn_targets([first, second], 3) == [1, 0, 2]


def test_figure_4_has_the_papers_one_control_beside_its_start(study):
    axes = Figure().subplots()
    printed = [(r.corpus, accuracy_by_size._arm(r.label), v) for r in study.tables["figure4"].rows for v in r.published.values()]
    accuracy_by_size._paper(axes, printed)
    assert [(line.get_label(), list(line.get_ydata())) for line in axes.lines] == [
        ("CLIP", [19.04, 30.27, 25.46, 42.32]),
        ("CLIP, control", [42.25]),
        ("CLIP-HELIP", [19.86, 32.05, 26.45, 46.33]),
    ]
