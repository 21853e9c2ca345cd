import copy
import csv
import json
import re
import shutil

import numpy as np
import pytest
from wide import wide_study, write_metrics

from helip.config import Contrast, Table
from helip.errors import HelipError
from helip.reporting.cells import Cell
from helip.reporting.pages import finished, write_report, write_table
from helip.stages import BuildCorpus, MakeTable, Mine, metrics_file


def rows(study, table="table1"):
    with open(study.root / f"{table}.csv", newline="") as f:
        return {(r["method"], r["column"]): r for r in csv.DictReader(f)}


def test_values_are_means_over_seeds_beside_published_ones(measured):
    write_table(measured, "table1")
    helip = rows(measured)["CLIP-HELIP", "imagenet"]
    # 11 of 40 and 12 of 40: 27.5 and 30 %; mean 28.75, standard deviation 2.5 / sqrt(2)
    assert (helip["value"], helip["std"], helip["n_seeds"]) == ("28.7500", "1.7678", "2")
    assert (helip["published"], helip["recovered"], helip["arm"]) == ("19.8600", "0.6300", "helip")


def test_a_refinement_is_compared_with_control_and_it_with_start(measured):
    write_table(measured, "table1")
    cells = {method: rows(measured)[method, "cifar10"] for method in ("CLIP", "CLIP, control", "CLIP, cleaned", "CLIP-HELIP")}
    assert cells["CLIP"]["reference"] == cells["CLIP"]["delta"] == ""
    assert (cells["CLIP, control"]["reference"], cells["CLIP, control"]["delta"]) == ("cc3m_clip", "5.0000")
    assert (cells["CLIP, cleaned"]["reference"], cells["CLIP, cleaned"]["delta"]) == ("cc3m_clip_control", "10.0000")
    assert float(cells["CLIP-HELIP"]["delta"]) == -2.5  # a negative result stands as it is
    assert float(cells["CLIP-HELIP"]["delta_ci_low"]) <= -2.5 <= float(cells["CLIP-HELIP"]["delta_ci_high"])


def test_rows_without_runs_in_the_study_are_absent(measured):
    write_table(measured, "table1")
    assert {run["run"] for run in rows(measured).values()} == {"cc3m_clip", "cc3m_clip_control", "cc3m_clip_cleaned", "cc3m_clip_helip"}


def test_markdown_has_the_same_numbers_and_the_recovered_share(measured):
    text = write_table(measured, "table1")
    assert "| CC3M (generated, 600 pairs, 63 % recovered) | CLIP-HELIP | 28.75 ± 1.77 (19.86, +8.89) |" in text
    assert "| CC3M CLIP-HELIP | `cc3m_clip_control` | −2.50 [" in text
    assert (measured.root / "table1.md").read_text() == text


def test_a_table_says_what_share_its_rows_drop(measured):
    write_table(measured, "table1")
    assert "Dropped as noise" not in (measured.root / "table1.md").read_text() and "dropped" not in rows(measured)["CLIP", "imagenet"]
    measured.tables["table1"] = measured.tables["table1"].model_copy(update={"dropped": True})
    pairs = Mine(measured, measured.pairs_name(measured.run("cc3m_clip_helip")))
    assert (
        set(MakeTable(measured, "table1").dropping()) == {"cc3m_clip_cleaned", "cc3m_clip_helip"}
        and pairs in MakeTable(measured, "table1").needs()
    )
    pairs.folder.mkdir(parents=True, exist_ok=True)
    pairs.output.write_text(json.dumps({"targets": 600}))
    with pytest.raises(HelipError, match=r"pairs\.json: does not say how many targets are noise; mine again"):
        write_table(measured, "table1")
    pairs.output.write_text(json.dumps({"targets": 600, "outlier_share": 0.375}))
    write_table(measured, "table1")
    assert "Dropped as noise, of all pairs: CC3M CLIP, cleaned 37.5 %; CC3M CLIP-HELIP 37.5 %." in (measured.root / "table1.md").read_text()
    assert "CC3M CLIP-HELIP 37.5 \\%." in (measured.root / "table1.tex").read_text()
    assert [rows(measured)[row, "imagenet"]["dropped"] for row in ("CLIP, control", "CLIP-HELIP")] == ["", "0.3750"]
    assert measured.tables["table8"].dropped and measured.tables["table9"].dropped


def test_a_changed_metrics_file_changes_the_table(measured):
    write_table(measured, "table1")
    before = rows(measured)["CLIP", "cifar100"]["value"]
    write_metrics(measured, "cc3m_clip", "0", "cifar100", np.arange(40) < 30)
    write_table(measured, "table1")
    assert (before, rows(measured)["CLIP", "cifar100"]["value"]) == ("26.2500", "51.2500")


def test_a_missing_metrics_file_is_named_and_no_table_is_written(measured):
    metrics_file(measured, "cc3m_clip", "0", "cifar100", "zeroshot").unlink()
    with pytest.raises(HelipError, match=r"seed0/cifar100.zeroshot.json: not found; build it first"):
        write_table(measured, "table1")
    assert not (measured.root / "table1.csv").exists()


def test_a_table_of_unfinished_runs_has_the_whole_rows(measured):
    metrics_file(measured, "cc3m_clip_cleaned", "1", "cifar100", "zeroshot").unlink()
    write_table(measured, "table1", finished=True)
    assert {r["run"] for r in rows(measured).values()} == {"cc3m_clip", "cc3m_clip_control", "cc3m_clip_helip"}
    metrics_file(measured, "cc3m_clip_control", "0", "cifar10", "zeroshot").unlink()  # and with it what the others are measured against
    write_table(measured, "table1", finished=True)
    assert {r["run"] for r in rows(measured).values()} == {"cc3m_clip"}


def test_a_metric_nobody_measured_is_named(measured):
    path = metrics_file(measured, "cc3m_clip", "0", "imagenet", "zeroshot")
    path.write_text(path.read_text().replace("acc1", "acc7"))
    with pytest.raises(HelipError, match="has no metric 'acc1' \\(it has acc7\\)"):
        write_table(measured, "table1")


def test_an_average_may_leave_columns_out(measured):
    """CLIP: 10, 11 of 40 right on all three sets; with cifar100 at 40 of 40 and left out, the average is still 26.25."""
    for seed in ("0", "1"):
        write_metrics(measured, "cc3m_clip", seed, "cifar100", np.ones(40))
    measured.tables["table1"] = measured.tables["table1"].model_copy(update={"average": ("imagenet", "cifar10")})
    assert "| ImageNet | CIFAR10 | CIFAR100 | Average of 2 sets | Seeds |" in write_table(measured, "table1")
    cell = rows(measured)["CLIP", "average"]
    assert (cell["value"], cell["published"]) == ("26.2500", "26.0500")  # (19.04 + 33.06) / 2
    assert rows(measured)["CLIP", "cifar100"]["value"] == "100.0000"


def test_rows_of_one_label_can_be_pooled_over_corpora(project, tmp_path):
    """HELIP gains 4 of 40 items on one corpus and 2 on the other: 10 and 5 points, 7.5 together. CyCLIP has one corpus and no control."""
    study = wide_study(project, tmp_path)
    levels = {"clip": (10, 20), "clip_control": (12, 22), "clip_cleaned": (12, 22), "clip_helip": (16, 24)}
    wanted = {f"{corpus}_{arm}": level for arm, both in levels.items() for corpus, level in zip(("cc3m", "cc12m"), both, strict=True)}
    study.runs = {name: run for name, run in study.runs.items() if name in wanted}
    for run, level in wanted.items():
        for seed in study.run(run).seeds:
            for name in ("imagenet", "cifar10", "cifar100"):
                write_metrics(study, run, seed, name, np.roll(np.arange(40) < level, int(seed)))
    contrasts = tuple(
        Contrast(label="HELIP rather than cleaning", run=f"{corpus}_clip_helip", over=f"{corpus}_clip_cleaned")
        for corpus in ("cc3m", "cc12m")
    )
    study.tables["table1"] = study.tables["table1"].model_copy(update={"pooled": True, "contrasts": contrasts})
    text = write_table(study, "table1")
    with open(study.root / "table1.csv", newline="") as f:
        by_row = {(r["corpus"], r["method"]): r for r in csv.DictReader(f) if r["column"] == "imagenet"}
    pooled = by_row["2 corpora", "CLIP-HELIP"]
    assert (pooled["run"], pooled["reference"]) == ("cc3m_clip_helip cc12m_clip_helip", "cc3m_clip_control cc12m_clip_control")
    assert (pooled["value"], pooled["delta"], pooled["n_seeds"], pooled["published"]) == ("50.0000", "7.5000", "6", "")
    assert float(by_row["2 corpora", "CLIP, control"]["delta"]) == 5.0
    assert ("2 corpora", "CLIP") not in by_row  # a start is measured against nothing
    beside = {corpus: by_row[corpus, "HELIP rather than cleaning"] for corpus in ("CC3M", "CC12M", "2 corpora")}
    assert [float(r["delta"]) for r in beside.values()] == [10.0, 5.0, 7.5]
    assert {r["arm"] for r in beside.values()} == {"contrast"}
    assert "| CC3M HELIP rather than cleaning | `cc3m_clip_cleaned` | +10.00 [" in text
    assert text.count("HELIP rather than cleaning") == 3  # its values stand in rows of their own
    assert "| 2 corpora CLIP-HELIP | each one's own | +7.50 [" in text
    assert "| 2 corpora | *CLIP-HELIP* | 50.00 |" in text


def test_a_printed_average_is_published_as_it_was_printed(measured):
    table = measured.tables["table1"]
    rows_ = [r.model_copy(update={"published": r.published | {"average": 21.5}}) if r.run == "cc3m_clip" else r for r in table.rows]
    measured.tables["table1"] = table.model_copy(update={"average": True, "rows": tuple(rows_)})
    write_table(measured, "table1")
    assert rows(measured)["CLIP", "average"]["published"] == "21.5000"
    assert rows(measured)["CLIP-HELIP", "average"]["published"] == "22.6800"  # of its cells


def test_a_table_of_ours_does_not_claim_to_be_the_papers(measured):
    table = measured.tables["table1"]
    measured.tables["table1"] = table.model_copy(update={"place": "Not in the paper: a question"})
    assert "\nNot in the paper: a question, study `smoke`." in write_table(measured, "table1")
    assert " Not in the paper: a question, study smoke." in (measured.root / "table1.tex").read_text()


def test_an_average_of_a_column_that_is_not_there_is_refused(measured):
    with pytest.raises(ValueError, match="average names 'mnist', which is no column"):
        Table.model_validate(measured.tables["table1"].model_dump() | {"average": ("mnist",)})


def test_no_level_of_an_analogue_is_compared_and_gains_are(measured):
    """HELIP is 2.5 points below its control; the paper's gain over its start is 34.05 - 33.06 on CIFAR10."""
    measured.declaration = measured.declaration.model_copy(update={"analogues": True})
    text = write_table(measured, "table1")
    cell = rows(measured)["CLIP-HELIP", "cifar10"]
    assert (cell["published"], cell["minus_published"], cell["published_delta"]) == ("34.0500", "", "0.9900")
    assert "| CLIP-HELIP | 28.75 ± 1.77 |" in text and "(paper +0.82)" in text
    assert "19.86" not in text and "19.86" not in (measured.root / "table1.tex").read_text()
    assert "no level can be compared" in text


@pytest.mark.parametrize(
    ("delta", "p", "tone"), [(1.0, 0.05, "up"), (-1.0, 0.05, "down"), (1.0, 0.051, "quiet"), (-1.0, 0.4, "quiet"), (None, None, "quiet")]
)
def test_a_difference_is_coloured_at_5_percent(delta, p, tone):
    of = ("CC3M", "", None, "CLIP-HELIP", "cc3m_clip_helip", "helip", "imagenet", "zeroshot.acc1", 30.0, 1.0, 3, None)
    assert Cell(*of, "cc3m_clip_control", delta, -3.0, 3.0, p).tone == tone


def test_a_table_begins_with_what_it_shows(measured):
    first = write_table(measured, "table1").split("\n\n")[1]
    assert first.startswith("**On ImageNet, ") or first.startswith("**On the average of its sets, ")
    assert " of 2 refinements " in first and "CC3M CLIP-HELIP gains −2.50 [" in first and first.endswith(" points over 2 trainings.**")


def test_an_average_leaves_out_a_column_at_chance(measured):
    """CLIP gets 26.25 % on three sets; of three classes chance is 33 %, so CIFAR10 is left out and 40 of 40 there change nothing."""
    measured.tables["table1"] = measured.tables["table1"].model_copy(update={"average": True})
    for seed in ("0", "1"):
        write_metrics(measured, "cc3m_clip", seed, "cifar10", np.arange(40) < 10 + int(seed), details={"classes": 3})
        write_metrics(measured, "cc3m_clip_helip", seed, "cifar10", np.ones(40), details={"classes": 3})
    text = write_table(measured, "table1")
    cell = rows(measured)["CLIP-HELIP", "average"]
    assert (cell["value"], cell["at_chance"], cell["published"]) == ("28.7500", "cifar10", "")
    assert "CC3M (CLIP / CLIP, control / CLIP, cleaned / CLIP-HELIP): CIFAR10" in text and "| Average of those above chance |" in text


def test_a_report_of_a_study_under_way_shows_what_is_there(measured):
    BuildCorpus(measured, "cc3m").output.write_text('{"size": 600}')
    shown = finished(measured)
    runs = {table.name: {cell.run for cell in table.cells} for table in shown.tables}
    assert "cc3m_clip_helip" in runs["table1"] - runs["table8"]  # table 8 shows what share each pair set drops, and none is there
    assert [table.name for table in shown.tables] == ["table1", "table6", "table8", "figure4"]
    assert [figure.name for figure in shown.figures] == ["figure4"]
    there, wanted = re.search(r"(\d+) of (\d+) files are there", shown.note).groups()
    assert 24 <= int(there) < int(wanted)  # 4 arms, 2 seeds, 3 sets
    arms = {row["run"] for row in rows(measured, "table6").values()}
    assert arms == {f"cc3m_clip{arm}" for arm in ("", "_control", "_cleaned", "_helip")}
    page = write_report(measured, shown).read_text()
    assert "<strong>Under way:</strong>" in page and 'id="table6"' in page and 'id="table4"' not in page


def test_every_table_is_built_of_its_inputs_alone(reported, tmp_path):
    tables = [MakeTable(reported, name) for name in reported.tables]
    for table in (one for one in tables if one.inputs()):
        alone = copy.copy(reported)
        alone.root = tmp_path / table.table
        for path in table.inputs():
            place = alone.root / path.relative_to(reported.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        write_table(alone, table.table)
        assert MakeTable(alone, table.table).output.read_bytes() == table.output.read_bytes(), table.table
