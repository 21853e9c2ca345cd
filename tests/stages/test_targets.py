"""Every table, figure, verdict and report of every study stands alone: what its job reads is among what its rule waits for."""

import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from helip.config import AccuracyBySize, MiningQuality, PairSheet
from helip.reporting import claims, judged, measured, tables
from helip.reporting.contrasts import contrasts_content
from helip.reporting.effects import NotRunError
from helip.reporting.figures import accuracy_by_size, pair_sheet
from helip.reporting.measured import Measured
from helip.stages import DecideClaims, MakeTable, WriteReport, contrasts_of
from helip.stages.base import Stage
from helip.stages.figure import figures_of, quality_pairs
from helip.stages.table import tables_of
from helip.study import Study

STUDIES = ("smoke", "miniature", "flickr8k", "questions", "paper")


@cache
def study_of(project, name: str) -> Study:
    """No artefact of it is made: its results folder is not there."""
    return Study(name, project / "experiments", project / "no results here")


@pytest.fixture(params=STUDIES)
def study(project, request) -> Study:
    return study_of(project, request.param)


@pytest.fixture
def read(monkeypatch) -> set:
    """The files that the reporting reads. Each seems to be there, and its metrics have no hits per item: there is nothing to test."""
    files = set()

    def content(path):
        files.add(path)
        return {
            "wall_clock_seconds": 60.0,
            "machine": "m",
            "size": 100,
            "outlier_share": 0.1,
            "facts": dict.fromkeys(judged.BY_PHOTOGRAPH, 1.0),
        }

    def metrics(path, **of):
        files.add(path)
        return SimpleNamespace(content={}, value=lambda name: 62.5, hits=lambda name: None)

    def is_there(self, run, columns):
        files.update(self.file(run, seed, column) for seed in self.study.run(run).seeds for column in columns)
        return True

    for module in (measured, tables, accuracy_by_size, judged):
        monkeypatch.setattr(module, "read_json", content)
    monkeypatch.setattr(judged, "load_array", lambda path, remedy: (files.add(path), np.ones((2, 3)))[1])
    monkeypatch.setattr(measured, "Metrics", metrics)
    monkeypatch.setattr(Measured, "is_there", is_there)
    return files


def roots(study: Study) -> list[Stage]:
    """What a person asks for by name, without the track stage, which reads what its table reads."""
    every = [MakeTable(study, name) for name in study.tables]
    shown = [*(one for one in every if one.inputs()), *figures_of(study), DecideClaims(study), *contrasts_of(study)]
    return [*shown, WriteReport(study)]


def test_every_input_is_made_by_a_need(study):
    for root in roots(study):
        made = {output for need in (*root.needs(), *root.awaits()) for output in need.outputs}
        loose = [path for path in root.inputs() if path not in made and not path.exists()]  # the ledger of the docs is there
        assert not loose, root


def test_a_table_waits_for_every_file_that_it_reads(study, read, monkeypatch):
    monkeypatch.setattr(study, "table_rows", cache(study.table_rows))  # asked for every cell
    names = [one.table for one in roots(study) if isinstance(one, MakeTable)]
    assert names
    for name in names:
        read.clear()
        cells = tables.table_content(study, name).cells
        assert read and {run for c in cells for run in c.run.split()} >= set(MakeTable(study, name).runs())
        beside = {path.parent / "anchors.npy" for path in MakeTable(study, name).inputs() if path.name == "judged.json"}
        assert read <= {*MakeTable(study, name).inputs(), *beside}, name


def test_a_table_waits_for_rows_controls_and_starts(study):
    for one in (
        root for root in roots(study) if isinstance(root, MakeTable) and not (root.declared.is_of_times or root.declared.is_of_pairs)
    ):
        rows = {run for _, _, run, _, _ in study.table_rows(one.table)}
        controls = {over for run in rows if (over := study.control_of(run))}
        starts = {study.run(run).start for run in rows | controls} - {None}
        known = {*study.tasks("evaluate"), *study.tasks("probe")}
        shown = {task for c in one.declared.columns if (task := (c.set, c.metric.partition(".")[0])) in known}
        wanted = {
            study.root / "metrics" / run / f"seed{seed}" / f"{name}.{task}.json"
            for run in rows | controls | starts
            for seed in study.run(run).seeds
            for name, task in shown
        }
        mined = {pairs.output for pairs in one.dropping().values()}  # whose share of outliers it shows
        assert wanted and wanted | mined == set(one.inputs()), one


def test_a_figure_waits_for_every_file_that_it_reads(study, read, monkeypatch):
    opened = set()

    class Opened(Exception):  # noqa: N818
        pass

    def pairs(folder, **options):
        opened.add(folder)
        return []

    def drawn(*arguments):
        raise Opened

    monkeypatch.setattr(pair_sheet.Corpus, "open", lambda folder: opened.add(folder))
    monkeypatch.setattr(pair_sheet.Truth, "open", lambda folder: opened.add(folder))
    monkeypatch.setattr(pair_sheet.PairSet, "open", pairs)
    monkeypatch.setattr(pair_sheet, "drawn_targets", drawn)
    for one in figures_of(study):
        read.clear(), opened.clear()
        inputs = set(one.inputs())
        match one.declared:
            case AccuracyBySize(table=table):
                assert list(accuracy_by_size.points_of(study, table)) and read <= inputs, one
            case PairSheet() as declared:
                with pytest.raises(Opened):
                    pair_sheet.figure_of(study, one.figure, declared)
                assert len(opened) >= 3 and opened <= {path.parent for path in inputs}, one
            case MiningQuality():
                mined = quality_pairs(study)
                assert {pairs.output for pairs in mined} <= inputs and {pairs.corpus.output for pairs in mined} <= outputs_behind(one)


def test_a_contrast_waits_for_every_file_that_it_reads(study, read):
    for one in contrasts_of(study):
        assert {row.note for row in contrasts_content(study).rows} == {"the metric has no hits per item"}
        assert read and read <= set(one.inputs())


def test_a_claim_reads_what_a_table_or_figure_waits_for(study, monkeypatch):
    looked = set()

    def exists(path):
        if path.is_relative_to(study.root):
            looked.add(path)
        return False

    every = Measured(study, [])
    waited = outputs_behind(DecideClaims(study))
    monkeypatch.setattr("pathlib.Path.exists", exists)
    for claim in study.claims.values():
        for asked in (claim, claims.against_control(study, claim)):
            if asked is not None and not asked.undecidable:
                with pytest.raises(NotRunError):
                    claims.effect(study, every, asked)
    assert looked <= waited and bool(looked) == (study.name not in ("flickr8k", "questions"))  # which bind none of the paper's runs


def outputs_behind(root: Stage) -> set:
    behind, open_ = set(), [root]
    while open_:
        new = set(open_.pop().needs()) - behind
        behind |= new
        open_ += new
    return {output for one in behind for output in one.outputs}


def test_a_report_waits_for_all_that_it_shows(study):
    shown = [DecideClaims(study), *contrasts_of(study), *tables_of(study), *figures_of(study)]
    assert set(shown) <= set(WriteReport(study).needs())
    assert {one.output for one in shown} <= set(WriteReport(study).inputs())


# ---------------------------------------------------------------- what changes them

OF_PAIRS = {"table table10", "figure figure5", "figure figure7"}  # of pair sets, which no training of table 1 makes
CHANGES = {  # to the smoke study -> the targets that stay as they are
    "start": ({"pretraining": {"clip": {"learning_rate": 2.0e-3}}}, OF_PAIRS),  # figure 8 has pairs of the start's own features
    "set": ({"evaluation": {"imagenet": {"items": 50}}}, OF_PAIRS | {"figure figure8", "table table3"}),  # table 3 is of probes
    "control": ({"runs": {"cc3m_clip_control": {"refine": {"weight_decay": 0.05}}}}, OF_PAIRS | {"figure figure8"}),
}


def digests(project, folder, name: str, change: dict) -> dict[str, str]:
    """stage and key -> digest of every target of a study, with a change to its declaration."""
    experiments = folder / "experiments"
    shutil.copytree(project / "experiments", experiments)
    file = experiments / "studies" / f"{name}.yaml"
    declared = yaml.safe_load(file.read_text())
    for part, entries in change.items():
        for entry, fields in entries.items():
            declared.setdefault(part, {}).setdefault(entry, {}).update(fields)
    file.write_text(yaml.safe_dump(declared))
    return {f"{one.name} {one.title}": one.digest for one in roots(Study(name, experiments, Path("no results here")))}


@pytest.fixture(scope="module")
def unchanged(project, tmp_path_factory) -> dict[str, str]:
    return digests(project, tmp_path_factory.mktemp("unchanged"), "smoke", {})


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_remakes_what_shows_it(project, tmp_path, unchanged, what):
    change, same = CHANGES[what]
    changed = digests(project, tmp_path, "smoke", change)
    assert changed.keys() == unchanged.keys()
    assert {name for name in changed if changed[name] == unchanged[name]} == same


def test_a_changed_start_remakes_the_contrasts(project, tmp_path):
    before, after = (
        digests(project, tmp_path / str(rate), "flickr8k", {"pretraining": {"clip": {"learning_rate": rate}}}) for rate in (1e-4, 1e-5)
    )
    assert {name for name in after if after[name] != before[name]} >= {"contrasts all", "claims all", "report all", "table table12"}


def test_the_same_declarations_have_the_same_digests(project, tmp_path, unchanged):
    assert digests(project, tmp_path, "smoke", {}) == unchanged
