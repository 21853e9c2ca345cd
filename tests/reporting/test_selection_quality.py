"""Figure 8's rows of selections: each has its corpus and start in the CSV, and one row stands for all of a kind in the figure."""

import csv
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from wide import wide_study

from helip.io import write_json
from helip.reporting.figures.mining_quality import plot_detectors, selection_label
from helip.reporting.quality import Selected, selections, write_selections
from helip.stages import selection_of

ONE = Selected("s_clip_loss.keep0.9", "cc3m_clip", "0", "cc3m", "s_clip_loss", 0.9, 10.0, 12.0, 97.0, 80.0, 99.0)


def select(study, run: str, precision: float | None) -> None:
    folder = selection_of(study, run, study.run(run).seeds[0]).folder
    folder.mkdir(parents=True)
    truth = {"mismatched": 60, "dropped": 50, "precision": precision, "recall": 0.8, "auc": 0.99}
    write_json(folder / "selection.json", {"declaration": study.run(run).select.model_dump(), "size": 500, "truth": truth})


@pytest.fixture
def chosen(project, tmp_path):
    study = wide_study(project, tmp_path)
    select(study, "cc3m_clip_select_sclip10", 0.9)
    select(study, "cc12m_clip_select_sclip10", 0.7)
    return study


def test_a_selection_names_its_start_and_corpus(chosen, tmp_path):
    assert write_selections(chosen, tmp_path / "chosen.csv") == list(selections(chosen))
    with open(tmp_path / "chosen.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [(r["selection"], r["start"], r["seed"], r["corpus"]) for r in rows] == [
        ("s_clip_loss.keep0.9", "cc3m_clip", "0", "cc3m"),
        ("s_clip_loss.keep0.9", "cc12m_clip", "0", "cc12m"),
    ]
    assert [rows[0][k] for k in ("dropped", "mismatched", "precision", "recall")] == ["10.0000", "12.0000", "90.0000", "80.0000"]


def test_a_study_without_selections_writes_no_table_of_them(project, tmp_path):
    assert write_selections(wide_study(project, tmp_path), tmp_path / "chosen.csv") == []
    assert not (tmp_path / "chosen.csv").exists()


def test_a_label_says_the_score_the_share_and_whose():
    assert selection_label([ONE]) == "selection by s-CLIPLoss, 10 % dropped\ncc3m · cc3m_clip"
    three = [ONE, replace(ONE, corpus="cc12m"), replace(ONE, corpus="open29m")]
    assert selection_label(three) == "selection by s-CLIPLoss, 10 % dropped\n3 corpora · mean of 3 starts"
    own = replace(ONE, selection="s_clip_loss.keep0.9.batches2")
    assert selection_label([own]).startswith("selection by s-CLIPLoss, 10 % dropped, batches2\n")
    assert selection_label([replace(ONE, score="truth", selection="truth.keep0.9")]).startswith("bound: true mismatches\n")


def test_a_row_shows_the_mean_and_each_start_of_a_kind():
    axes = Figure().subplots()
    plot_detectors(axes, [], [[ONE, replace(ONE, precision=87.0)], [replace(ONE, precision=None)]])
    drawn = [tuple(map(float, spot)) for dots in axes.collections for spot in dots.get_offsets()]
    assert drawn == [(92.0, 0.0), (97.0, 0.3), (87.0, 0.3), (80.0, 0.0), (80.0, 0.3), (80.0, 0.3), (80.0, 1.0)]
