"""Every rule and every kind of run, from declaration to report, with real jobs: a study as wide as the miniature one, and tiny."""

import csv
import json

import pytest

from helip.stages import BuildCorpus, BuildEvaluationSet, Filter, Interpolate, MakeTable, Train, behind, left_of, selection_of
from helip.stages.figure import figures_of
from helip.stages.table import tables_of
from helip.study import Study

pytestmark = pytest.mark.long  # about a hundred jobs, made for the first test that asks
TARGETS = "table11.csv", "report.html"


@pytest.fixture(scope="module")
def study(graph) -> Study:
    return Study("graph", graph.folder / "experiments", graph.folder / "results")


def rows(study, name) -> list[dict[str, str]]:
    with open(study.root / name, newline="") as f:
        return list(csv.DictReader(f))


def kinds(study: Study) -> dict[str, set]:
    """What a study's runs, corpora, encoders and sets are made of."""
    runs, declared = study.runs.values(), study.declaration
    return {
        "arms": {(r.arm, getattr(r.recipe, "role", None)) for r in runs},
        "objectives": {r.recipe.objective.name for r in runs},
        "pairs": {r.pairs.method for r in runs if r.pairs},
        "selections": {r.select.score for r in runs if r.select},
        "interpolated": {r.interpolate is not None for r in runs},
        "filtered": {r.false_negative_margin is not None for r in runs},
        "repeats": {"r" in seed for r in runs for seed in r.seeds},
        "corpora": {c.kind for c in declared.corpora.values()},
        "encoders": {e.library for e in declared.encoders.values()},
        "sets": {(s.kind, s.task, getattr(s, "probe", False)) for s in declared.evaluation.values()},
    }


def test_it_has_every_kind_of_run_and_rule_of_miniature(graph, study):
    has, wanted = kinds(study), kinds(Study("miniature", graph.folder / "experiments"))
    assert {kind: wanted[kind] - has[kind] for kind in wanted} == {kind: set() for kind in wanted}
    rules = graph.planned(*(f"results/miniature/{t}" for t in TARGETS))
    assert {rule.replace("miniature", "graph") for rule in rules} <= {rule for ran in graph.ran for rule in ran}


def test_files_keep_the_digest_of_their_stage(study):
    made = [one for one in behind([MakeTable(study, "table11")]) if one.record and one.is_done]
    assert {type(one) for one in made} >= {BuildCorpus, BuildEvaluationSet, Filter, Interpolate, Train}
    assert {one: one.recorded for one in made} == {one: one.digest for one in made}
    assert left_of([MakeTable(study, "table11")]) == set()


def test_the_report_has_every_table_and_figure(study):
    numbers = 1, 2, 3, 4, 6, 7, 8, 9, 10  # table 5 is LAION's alone
    assert [one.table for one in tables_of(study)] == [f"table{n}" for n in numbers] + ["figure4"]
    assert [one.figure for one in figures_of(study)] == [f"figure{n}" for n in (4, 5, 6, 7, 8)]
    page = (study.root / "report.html").read_text()
    for part in ["answer", "verdicts", "question", "tables", "times", "versions"] + [f"table{n}" for n in (*numbers, 11)]:
        assert f"id='{part}'" in page or f'id="{part}"' in page, part
    assert page.count("data:image/png;base64,") >= 5


def test_what_the_study_binds_has_a_verdict(study):
    missing = [r for r in rows(study, "claims.csv") if r["verdict"] == "not run"]
    assert all(r["note"].startswith(("the study binds no", "the study evaluates none of")) for r in missing), [r["note"] for r in missing]
    assert len(missing) < len(study.claims) / 2


def test_table11_has_corpus_means_bounds_and_repeats(study):
    table = rows(study, "table11.csv")
    assert all(0 <= float(r["value"]) <= 100 for r in table)
    assert {r["run"] for r in table if r["corpora"] == "1"} == {run for _, _, run, _, _ in study.table_rows("table11")}
    pooled = {(r["method"], r["run"]) for r in table if r["corpora"] == "2"}
    assert ("HELIP", "cc3m_clip_helip open29m_clip_helip") in pooled
    bounds = [r for r in table if r["method"].startswith("bound") and r["column"] == "imagenet" and r["corpora"] == "1"]
    assert len(bounds) == 2 and all(r["reference"] == "open29m_clip_control" for r in bounds)
    plus = next(r for r in table if (r["run"], r["column"]) == ("helip_plus", "average"))
    assert (plus["reference"], plus["n_seeds"]) == ("cc3m_clip_fresh_control", "2") and plus["delta_p"]


def test_the_truth_of_the_union_chooses_for_its_bounds(study):
    selected = selection_of(study, "open29m_clip_select_truth", "0").folder / "selection.json"
    metadata = json.loads(selected.read_text())
    assert (metadata["size"], metadata["truth"]["precision"], metadata["truth"]["recall"]) == (440, 1.0, 1.0)
    assert metadata["kept"] < 440


def test_a_second_run_schedules_nothing(graph):
    assert graph.planned(*(f"results/graph/{t}" for t in TARGETS)) == {}
