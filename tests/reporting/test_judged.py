"""Judgements of pair sets in a table: means over corpora, intervals over photographs or over corpora."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import t

from helip.reporting.judged import judged_mean, mean_of
from helip.reporting.pages import write_table
from helip.stages import MakeTable
from helip.study import Study


def judge(folder, anchors, **facts):
    folder.mkdir(parents=True)
    np.save(folder / "anchors.npy", np.array(anchors, np.float32))
    (folder / "judged.json").write_text(json.dumps({"facts": {"similarity": 1.0, "likely_matches": 1.0, "recalled": None} | facts}))
    return folder


def test_the_interval_of_a_mean_is_student_t_by_hand():
    """1, 2, 3 and 4: mean 2.5, variance 5 / 3, standard error 0.6455."""
    mean = mean_of(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (mean.value, mean.high - mean.value) == (2.5, pytest.approx(0.6455 * t.ppf(0.975, 3), abs=1e-3))
    assert mean.low + mean.high == pytest.approx(5.0)


def test_photographs_are_averaged_over_corpora_first(tmp_path):
    """Of three photographs the means over two corpora are 2, 4 and 6; one that neither corpus has a pair for counts nowhere."""
    nan = np.nan
    folders = [
        judge(tmp_path / "a", [[1, 0, nan], [4, 0, nan], [nan, 0, nan], [nan, 0, nan]], auc=60.0),
        judge(tmp_path / "b", [[3, 0, nan], [4, 0, nan], [6, 0, nan], [nan, 0, nan]], auc=70.0),
    ]
    mean = judged_mean(folders, "similarity")
    assert (mean.value, mean.high - 4) == (4.0, pytest.approx(2 / 3**0.5 * t.ppf(0.975, 2)))
    auc = judged_mean(folders, "auc")
    assert (auc.value, auc.high - 65) == (65.0, pytest.approx(5 * t.ppf(0.975, 1)))
    assert np.isnan(judged_mean(folders, "recalled").value) and np.isnan(judged_mean(folders, "unheard").value)


def test_a_table_of_pair_sets_has_a_row_a_label(project, tmp_path):
    study = Study("questions", project / "experiments", tmp_path)
    one = MakeTable(study, "table24")
    assert len(one.judged()) == 24 and not one.metrics()
    for judged in one.judged():
        judge(judged.folder, [[10, 20, 30], [20, 40, 50]], auc=80.0, megabytes=12.5)
    page = write_table(study, "table24")
    with open(study.root / "table24.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    usual = {row["column"]: row for row in rows if row["method"] == "EfficientNet-Lite0 and MiniLM, all pairs"}
    assert (usual["similarity"]["value"], usual["auc"]["value"], usual["recalled"]["value"]) == ("15.0000", "80.0000", "")
    assert float(usual["similarity"]["ci_high"]) == pytest.approx(15 + 5 * t.ppf(0.975, 1), abs=1e-3)
    assert usual["similarity"]["run"] == "foreign15_a_helip foreign15_b_helip foreign15_c_helip"
    assert len(rows) == 8 * 7 and "| *random pairs* | 15.00 [" in page and "Alike, words: from 15.00" in page
