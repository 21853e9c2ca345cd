"""Every job of the smoke study is made for real in a results folder that holds nothing but what its own inputs brought there."""

import os
import shutil
from pathlib import Path

import pytest

from helip.stages import DecideClaims, How, MakeTable, Track, WriteReport, contrasts_of, make
from helip.stages.base import Stage
from helip.stages.figure import figures_of
from helip.study import Study

pytestmark = pytest.mark.long  # about eighty jobs


def targets(study: Study) -> list[Stage]:
    """All that a person asks for by name."""
    tables = [one for name in study.tables if (one := MakeTable(study, name)).inputs()]
    return [*tables, Track(study, "table1"), *figures_of(study), *contrasts_of(study), DecideClaims(study), WriteReport(study)]


def behind(one: Stage) -> list[Stage]:
    """What is made before a stage, first things first."""
    before = [*one.needs(), *one.awaits()]
    return list(dict.fromkeys(stage for need in before for stage in (*behind(need), need)))


def files_in(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_a_job_reads_nothing_but_what_its_inputs_brought(project, tmp_path):
    results, store = tmp_path / "results", tmp_path / "made"
    study = Study("smoke", project / "experiments", results)
    made: dict[Stage, set[Path]] = {}
    every = list(dict.fromkeys(stage for target in targets(study) for stage in (*behind(target), target)))
    for one in every:
        shutil.rmtree(results, ignore_errors=True)
        brought = {path for need in behind(one) for path in made[need]}
        for path in brought:
            (results / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(store / path, results / path)
        assert not make(one, How()), one
        made[one] = files_in(results) - brought
        assert {path.relative_to(results) for path in one.outputs} <= made[one], one
        for path in made[one]:
            (store / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(results / path, store / path)
    assert {one.name for one in every} >= {
        "corpus",
        "encode",
        "mine",
        "train",
        "evaluate",
        "probe",
        "table",
        "figure",
        "claims",
        "report",
        "track",
    }
