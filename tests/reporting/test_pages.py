"""Tables in Markdown and LaTeX, table 10, and prose in Markdown as HTML."""

import csv

import numpy as np
from wide import mine_pairs, wide_study

from helip.config import MiningSpec
from helip.mining import mine
from helip.mining.pairs import PairSet, merge
from helip.reporting.measured import machines, mining_jobs, pairs_file
from helip.reporting.pages import latex_escaped, markdown_to_html, write_table
from helip.reporting.provenance import costs
from helip.reporting.table_content import grid


def test_latex_carries_value_spread_published_and_difference(measured):
    write_table(measured, "table1")
    text = (measured.root / "table1.tex").read_text()
    assert r"CC3M (generated, 600 pairs, 63 \% recovered) & CLIP & 26.25 $\pm$ 1.77" in text
    assert r"{\scriptsize 19.86 ($+8.89$)}" in text
    assert r"\textit{CLIP, control}" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1


def test_what_means_something_to_latex_is_escaped():
    assert latex_escaped(r"50 % of a_b & {c} #1 \x") == r"50 \% of a\_b \& \{c\} \#1 \textbackslash{}x"


def test_rows_of_ours_are_marked(measured):
    assert "| *CLIP, cleaned* |" in write_table(measured, "table1")
    with open(measured.root / "table1.csv", newline="") as f:
        rows = {r["method"]: r for r in csv.DictReader(f)}
    assert (rows["CLIP, cleaned"]["ours"], rows["CLIP-HELIP"]["ours"]) == ("True", "False")
    assert rows["CLIP-HELIP"]["minus_published"] == f"{float(rows['CLIP-HELIP']['value']) - float(rows['CLIP-HELIP']['published']):.4f}"


def test_table_10_is_wall_clock_of_mining_by_method_and_corpus(project, tmp_path):
    from wide import build_corpora

    study = wide_study(project, tmp_path)
    build_corpora(study, ("cc12m",))
    mine_pairs(study, [name for name in study.pairs if name.startswith("cc12m")])
    study.tables["table10"] = study.tables["table10"].model_copy(
        update={"rows": tuple(r for r in study.tables["table10"].rows if r.corpus == "CC12M")}
    )
    page = write_table(study, "table10")
    # 400 pairs: pools of 90 and 180 candidates, or all 400, at a thousand a second
    assert "| HELIP-3M | 0.60 (138.00, −137.40) |" in page
    assert "| HELIP-Full | 2.67 (551.00, −548.33) |" in page
    assert "Measured on a test machine; one timing each." in page
    text = (study.root / "table10.tex").read_text()
    assert r"Method & CC12M (generated, 400 pairs) \\" in text
    assert "HELIP-3M & 0.60 \\\\\n & {\\scriptsize 138.00 ($-137.40$)} \\\\\nHELIP-6M & 1.20" in text
    assert "One timing each, measured on a test machine." in text


def test_methods_come_in_the_order_of_the_fullest_corpus(project, tmp_path):
    assert grid([("CC3M", "full"), ("CC12M", "3M"), ("CC12M", "full")]) == (["3M", "full"], ["CC3M", "CC12M"])
    rows = wide_study(project, tmp_path).tables["table10"].rows
    assert grid((r.corpus, r.label) for r in rows) == (["HELIP-3M", "HELIP-6M", "HELIP-Full"], ["CC3M", "CC12M", "YFCC15M"])


def test_table_10_gives_the_jobs_and_machines_of_a_time(project, tmp_path):
    study = wide_study(project, tmp_path)
    row = next(r for r in study.tables["table10"].rows if r.run == "cc3m_clip_helip")
    study.tables["table10"] = study.tables["table10"].model_copy(update={"rows": (row,)})
    shards, features = [], [np.random.default_rng(0).random((60, 8), np.float32)] * 2
    for i, where in enumerate(("a processor, 8 cores, a GPU", "a processor, 8 cores", "a processor, 8 cores, a GPU")):
        mine(*features, MiningSpec(k=2), shard=(i, 3)).save(tmp_path / str(i), wall_clock_seconds=60.0, machine=where, host=f"n{i}")
        shards.append(PairSet.open(tmp_path / str(i)))
    merge(shards, pairs_file(study, "cc3m_clip_helip").parent)
    page = write_table(study, "table10")
    assert "| HELIP-Full | 3.00 (69.00, −66.00), summed over 3 jobs |" in page
    assert "Measured on a processor, 8 cores and a processor, 8 cores, a GPU; one timing each." in page
    assert "3.00, summed over 3 jobs" in (study.root / "table10.tex").read_text()
    cost = costs(study)  # the shards' files are gone: their jobs are not
    assert (cost.jobs["mine a shard"], "a processor, 8 cores, a GPU" in cost.machines) == (3, True)


def test_pairs_that_do_not_name_their_jobs_are_of_one():
    assert machines({"host": "here"}) == "here"
    assert mining_jobs({"machine": "a processor", "wall_clock_seconds": 2.0}) == [{"machine": "a processor", "wall_clock_seconds": 2.0}]


def test_markdown_of_our_documents_becomes_html():
    text = "# Title\n\nA *b* **c** `d < e`, [f](https://g.org).\n\n- one\n  more\n- two\n\n| h | i |\n| --- | --- |\n| **j** | l |\n"
    page = markdown_to_html(text)
    assert '<div class="scroll"><table class="words">' in page and "<td><strong>j</strong></td>\n<td>l</td>" in page
    assert "<h2>Title</h2>" in page
    assert '<p>A <em>b</em> <strong>c</strong> <code>d &lt; e</code>, <a href="https://g.org">f</a>.</p>' in page
    assert "<ul>\n<li>one\nmore</li>\n<li>two</li>\n</ul>" in page


def test_nothing_of_a_document_becomes_markup():
    assert markdown_to_html("<script>alert('x')</script>") == "<p>&lt;script&gt;alert('x')&lt;/script&gt;</p>\n"
    assert markdown_to_html("[x](javascript:alert)") == "<p>[x](javascript:alert)</p>\n"
