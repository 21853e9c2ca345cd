"""A smoke study whose metrics files are written by the test: every number in a table can be told beforehand."""

import numpy as np
import pytest
from wide import build_corpora, mine_pairs, wide_study, write_all_metrics, write_metrics

from helip.reporting.document import everything
from helip.reporting.figures import draw
from helip.reporting.pages import write_claims, write_report, write_table
from helip.stages import BuildCorpus
from helip.stages.figure import figures_of
from helip.stages.table import tables_of
from helip.study import Study


@pytest.fixture
def study(project, tmp_path):
    bound = Study("smoke", project / "experiments", tmp_path / "results")
    # The hits that the tests write mean something, and stand for the paper's own sets.
    bound.declaration = bound.declaration.model_copy(update={"meaningless": False, "analogues": False})
    BuildCorpus(bound, "cc3m").folder.mkdir(parents=True)
    return bound


@pytest.fixture
def measured(study):
    """Table 1's runs with known hits: each arm of seed s gets the first `level + s` of 40 items of every set right."""
    for run, level in {"cc3m_clip": 10, "cc3m_clip_control": 12, "cc3m_clip_cleaned": 16, "cc3m_clip_helip": 11}.items():
        for seed in ("0", "1"):
            for name in ("imagenet", "cifar10", "cifar100"):
                write_metrics(study, run, seed, name, np.arange(40) < level + int(seed), recovered_share=0.63)
    return study


@pytest.fixture(scope="session")
def reported(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported")
    study = wide_study(project, folder)
    (folder / "docs" / "explanation").mkdir(parents=True)
    (folder / "docs" / "explanation" / "discrepancies.md").write_text(
        "# Ledger\n\n| What | Test |\n| --- | --- |\n| eq. 6 <b> | `test_x` |\n"
    )
    study.runs = {name: run for name, run in study.runs.items() if run.corpus in ("cc3m", "cc12m")}
    build_corpora(study, ("cc3m", "cc12m"))
    mine_pairs(study, study.pairs)
    write_all_metrics(study, items=60)
    for name in [one.table for one in tables_of(study)]:
        write_table(study, name)
    write_claims(study)
    for name in [one.figure for one in figures_of(study)]:
        draw(study, name)
    asked = study.tables["table11"]
    arms = {r.label for r in asked.rows[:9]}  # enough to be shown, of both corpora
    study.tables["table11"] = asked.model_copy(update={"rows": tuple(r for r in asked.rows if r.label in arms)})
    write_table(study, "table11")
    return study


@pytest.fixture(scope="session")
def shown(reported):
    contents = everything(reported)
    write_report(reported, contents)
    return contents
