"""The whole report of a study and its figures; in a real browser it loads whole, without a word on the console, on phone and desk."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining.pairs import PairSet
from helip.reporting.answer import matrix
from helip.reporting.document import drawn_figures
from helip.reporting.figures import draw
from helip.reporting.figures.accuracy_by_size import plot_published, published_points
from helip.reporting.figures.pair_sheet import drawn_targets
from helip.reporting.formats import between
from helip.reporting.pages import write_pages, write_report
from helip.stages import DrawFigure, Mine, WriteReport
from helip.stages.figure import figures_of, sheet_pairs
from helip.stages.table import tables_of
from helip.study import Study

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=10000")  # fmt: skip


FRAME = """<!doctype html><body style="margin:0"><iframe src="report.html" width="WIDTH" height="900" style="border:0"></iframe>
<script>addEventListener("load", () => setTimeout(() => document.body.dataset.seen = frames[0].document.title, 500))</script>"""


@pytest.fixture(scope="module")
def page(reported, shown) -> str:
    """report.html of everything."""
    return (reported.root / "report.html").read_text()


def browse(page, profile, *arguments):
    """(stdout, console messages) of headless chromium on a local page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    command = [browser, *FLAGS, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def test_everything_the_rule_waits_for_is_there(reported):
    assert all(path.exists() for path in WriteReport(reported).inputs())


def test_the_report_begins_with_the_answer_and_verdicts(reported, page):
    order = [m[1] for m in re.finditer(r'<section id="(\w+)"', page)]
    assert order == ["answer", "verdicts", "question", "tables", "figures", "ledger", "times", "versions"]
    assert page.count('<article class="claim') == len(reported.claims)
    assert "eq. 6 &lt;b&gt;" in page


def test_the_page_needs_nothing_from_elsewhere(page):
    loaded = re.findall(r'(?:src|href)="(?!#)([^"]{1,80})', page)
    assert {link.split(",")[0].split(";")[0] for link in loaded} == {"data:image/png", "data:", "https://arxiv.org/abs/2305.05208"}


def test_its_numbers_are_those_of_the_tables(reported, page):
    assert f"<td>{reported_value(reported):.2f} ±" in page


def reported_value(study) -> float:
    import csv

    with open(study.root / "table1.csv", newline="") as f:
        return float(next(r for r in csv.DictReader(f) if r["run"] == "cc3m_clip_helip" and r["column"] == "imagenet")["value"])


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_errors_and_with_all_images(reported, page, tmp_path, width):
    """A copy of the page says what it sees in its title: images that loaded, and whether anything is wider than the window."""
    probe = """<script>addEventListener("load", () => { const images = [...document.images];
      document.title = [images.length, images.filter(i => i.complete && i.naturalWidth > 100).length,
        document.documentElement.scrollWidth - innerWidth, innerWidth,
        [...document.querySelectorAll("nav a, svg text, h1, h2, p, .counts div")].filter(e => e.checkVisibility() &&
          !e.closest(".scroll") && (e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)).length,
        [...document.querySelectorAll("table")].filter(e => !e.closest(".scroll")).length].join(" "); });</script></body>"""
    (tmp_path / "report.html").write_text(page.replace("</body>", probe))
    # chromium's own windows are at least 500 pixels wide: a narrower one is a frame
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(width)))
    shown, console = browse(frame, tmp_path / "profile", "--dump-dom", "--allow-file-access-from-files", "--window-size=1400,1000")
    count, loaded, overflow, inner, cut, loose = map(int, re.search(r'data-seen="([^"]*)"', shown)[1].split())
    assert (cut, loose) == (0, 0)  # navigation, text and intervals are whole; every table scrolls in a frame that says so
    assert console == []
    assert (inner, loaded) == (width, count)
    assert count == len([one.figure for one in figures_of(reported)])
    assert overflow <= 0  # tables scroll inside their frames; the page itself does not


def test_a_report_without_its_claims_says_what_to_build(study):
    with pytest.raises(HelipError, match=r"claims.csv: not found; build it first"):
        write_report(study)


def test_pages_hold_the_tables_the_verdicts_and_the_figures(reported, shown, tmp_path):
    page = write_pages(reported, tmp_path / "docs" / "wide", shown).read_text()
    question = reported.tables["table11"].title
    table = (reported.root / "table1.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| CC3M") and "CLIP-HELIP" in line)
    assert row in page
    headings = re.findall(r"^## (.*)", page, re.MULTILINE)
    assert headings[:4] == ["Does refinement beat plain continued training?", "The paper's claims", "Figures", f"Table 11. {question}"]
    assert f"![{reported.report.figures['figure5'].title}](figure5.png)" in page
    assert (tmp_path / "docs" / "wide" / "figure5.png").read_bytes() == (reported.root / "figure5.png").read_bytes()
    write_pages(reported, tmp_path / "docs" / "wide", shown)  # its own pages may be replaced


def test_pages_hold_what_refinements_add_in_short(reported, shown, tmp_path):
    page = write_pages(reported, tmp_path / "wide", shown).read_text()
    short = matrix(reported, shown.asked)
    for method, (first, *_) in short.rows:
        mark = "**" if first.is_shown else ""
        assert f"\n| {method} | {mark}{between(first.cell)}{mark} |" in page


def test_minus_signs_are_typographic_in_pages_only(reported, shown, page, tmp_path):
    readme = write_pages(reported, tmp_path / "wide", shown).read_text()
    assert any((cell.minus_published or 0) < 0 for table in shown.tables for cell in table.cells)
    for text in (page.partition('<section id="ledger"')[0], readme):
        assert "\N{MINUS SIGN}" in text and not re.search(r"[(\[ >]-\d+\.\d", text)
    written = [path for ending in ("csv", "tex") for path in reported.root.glob(f"*.{ending}")]
    assert len(written) > 10 and not any("\N{MINUS SIGN}" in path.read_text() for path in written)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["question"].update(table="table99"), "report.yaml: question: names table 'table99', and there is no such table"),
        (lambda r: r["question"].update(claim="nobody"), "report.yaml: question: names claim 'nobody', and there is no such claim"),
        (lambda r: r["figures"]["figure4"].update(table="table99"), "report.yaml: figure4: names table 'table99', and there is no such"),
        (lambda r: r["figures"]["figure5"].update(methods=["hpm", "imgae"]), "report.yaml: .*figure5.*methods"),
    ],
)
def test_unknown_names_in_report_yaml_are_refused(project, tmp_path, change, message):
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    file = tmp_path / "experiments" / "paper" / "report.yaml"
    declared = yaml.safe_load(file.read_text())
    change(declared)
    file.write_text(yaml.safe_dump(declared))
    with pytest.raises(HelipError, match=message):
        Study("smoke", tmp_path / "experiments")


def test_a_figure_is_declared_and_not_coded(reported, tmp_path):
    """A sheet under another name, of another title: drawn, captioned and shown, without a word of code."""
    declared = reported.report.figures["figure6"].model_copy(update={"title": "Pools beside the whole", "note": "Not in the paper."})
    report = reported.report
    reported.report = report.model_copy(update={"figures": {"figure12": declared}})
    try:
        assert [one.figure for one in figures_of(reported)] == ["figure12"]
        assert [path.name for path in draw(reported, "figure12")] == ["figure12.png", "figure12.pdf"]
        (drawn,) = drawn_figures(reported, ["figure12"])
        assert drawn.caption == "Figure 12. Pools beside the whole. Not in the paper."
    finally:
        reported.report = report


def test_pages_leave_alone_what_else_is_in_the_folder(reported, shown, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert write_pages(reported, tmp_path, shown) == tmp_path / "README.md"
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "README.md").write_text("# My project\n")
    with pytest.raises(HelipError, match=r"README\.md: is no page of a report"):
        write_pages(reported, tmp_path, shown)
    assert (tmp_path / "README.md").read_text() == "# My project\n"


def test_every_table_in_latex_has_whole_rows(reported):
    for name in [one.table for one in tables_of(reported)]:
        text = (reported.root / f"{name}.tex").read_text()
        columns = len(re.search(r"begin{tabular}{(\w+)}", text)[1])
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 1 and {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}, name
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}"), name


def test_latex_accepts_every_table_within_the_page_width(reported, tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex on this machine: apt-get install texlive-latex-recommended")
    bodies = [(reported.root / f"{name}.tex").read_text() for name in [one.table for one in tables_of(reported)]]
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "page.tex").write_text("\n".join([head, *bodies, r"\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    log = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "Overfull" not in log


# ---------------------------------------------------------------- figures


def test_a_study_draws_what_it_has_runs_for(study, reported):
    assert [one.figure for one in figures_of(reported)] == ["figure4", "figure5", "figure6", "figure7", "figure8"]
    assert [one.figure for one in figures_of(study)] == ["figure4", "figure5", "figure7", "figure8"]  # the smoke study has no FastHPM
    assert "table9" not in [one.table for one in tables_of(study)] and "table9" in [one.table for one in tables_of(reported)]
    lacks = "'figure6' is no figure, or the study lacks what it shows; it can draw figure4, figure5, figure7, figure8"
    with pytest.raises(HelipError, match=lacks):
        draw(study, "figure6")


def test_the_same_figure_is_drawn_as_the_same_files(reported):
    for name in [one.figure for one in figures_of(reported)]:
        assert all(path.exists() for path in DrawFigure(reported, name).inputs())
        pixels = np.asarray(Image.open(reported.root / f"{name}.png").convert("L"))
        assert min(pixels.shape) > 400 and (pixels < 250).mean() > 0.01  # something is on the paper
        assert (reported.root / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    before = [(reported.root / f"figure4.{kind}").read_bytes() for kind in ("png", "pdf")]
    assert [path.read_bytes() for path in draw(reported, "figure4")] == before


def test_sheets_compare_methods_with_the_studys_own_encoders(reported):
    assert [one.pairs for one in sheet_pairs(reported, "figure5")] == [
        "cc3m.hpm.dino_vits8.sentence",
        "cc3m.image.resnet50",
        "cc3m.text.bert",
    ]
    full, *pools = [one.pairs for one in sheet_pairs(reported, "figure6")]
    assert full == "cc12m.hpm.dino_vits8.sentence"
    assert [reported.pairs_entry(name)[1].pool for name in pools] == [180, 90]


def test_targets_with_pairs_by_every_method_are_drawn_first(reported):
    sets = [PairSet.open(Mine(reported, name).folder) for name in [one.pairs for one in sheet_pairs(reported, "figure5")]]
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
    declared = study.report.figures["figure4"]
    plot_published(axes, published_points(study, declared), declared.sizes)
    assert [(line.get_label(), list(line.get_ydata())) for line in axes.lines] == [
        ("CLIP", [19.04, 30.27, 25.46, 42.32]),
        ("CLIP, control", [42.25]),
        ("CLIP-HELIP", [19.86, 32.05, 26.45, 46.33]),
    ]
