"""What commands write into the README and the site is current and whole."""

import csv
import json
import re
import tomllib

import pytest
import yaml
from PIL import Image

import helip.study
from helip.cli import COMMANDS, _class
from helip.cli.command import groups_of
from helip.errors import HelipError
from helip.stages import STAGES
from tools import layers, mlflow_screenshots, photographs_tables, pipeline, questions_tables, reference, results_tables, screenshots
from tools.fields import config_models, facts_of
from tools.markdown_tables import cell, tables_of


def test_pictures_of_the_pipeline_are_current(project):
    drawn = pipeline.pictures(helip.study.load(pipeline.STUDY))
    assert drawn.keys() == {"pipeline-light.svg", "pipeline-dark.svg"}
    for name, text in drawn.items():
        assert (project / "docs" / "assets" / name).read_text() == text, "run `make readme`"


def test_the_picture_joins_what_needs_each_other():
    boxes, arrows = pipeline.boxes_and_arrows(pipeline.behind_report(helip.study.load(pipeline.STUDY)))
    assert {("encode", "mine"), ("mine", "refine"), ("select", "refine"), ("refine", "evaluate"), ("table", "report")} <= arrows
    assert ("corpus", "refine") not in arrows  # follows from others
    assert not {"filter", "interpolate"} & boxes.keys()


def test_an_arrow_that_a_longer_path_implies_is_left_out():
    assert pipeline.reduced(frozenset({("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")})) == {("a", "b"), ("b", "c"), ("a", "d")}


def test_arrows_pass_columns_without_meeting_a_box():
    names = ["a", "b", "c", "d"]
    places = layers.layered(names, frozenset({("a", "b"), ("b", "c"), ("a", "c"), ("d", "c")}))
    assert [places[name, name][0].column for name in names] == [0, 1, 2, 1]
    assert [spot.column for spot in places["a", "c"]] == [0, 1, 2]
    taken = [places[name, name][0] for name in names]
    assert places["a", "c"][1] not in taken and len(set(taken)) == 4


@pytest.mark.parametrize("page", results_tables.PAGES)
def test_tables_of_results_are_current(project, page):
    text = (project / page).read_text()
    assert any(begin in text for begin, _ in results_tables.MARKS.values())
    assert results_tables.filled(text) == text, "run `make readme`"


def test_gains_are_those_of_the_results_page():
    row = next(line for line in results_tables.gains().splitlines() if line.startswith("| HELIP, as the paper prints it"))
    (measured,) = [r["6 corpora"] for table in tables_of(results_tables.MINIATURE) for r in table if r.get("Refinement") == "HELIP"]
    assert f"| {measured} |".replace("-", "−") in row and re.search(r"\[[+−]\d\.\d\d, [+−]\d\.\d\d\]", measured.replace("-", "−"))


def test_what_pages_say_of_photographs_is_what_was_measured():
    """The sentences of explanation/hard_pairs.md, explanation/selection.md and the tutorials, which state no numbers."""
    with open(photographs_tables.CONTRASTS, newline="") as file:
        numbers = ("ci_low", "ci_high", "p_holm")
        rows = {(row["contrast"], row["metric"]): {key: float(row[key]) for key in numbers} for row in csv.DictReader(file)}
    wrong = [kind for kind in photographs_tables.KINDS if kind != "clean"]
    retrieval, cifar10 = photographs_tables.PRIMARY.values()
    gains = [rows[f"{kind}_{arm}", metric] for kind in wrong for arm in ("helip", "agreement", "ridge") for metric in (retrieval, cifar10)]
    assert len(gains) == 24 and all(row["ci_low"] > 0 for row in gains)
    over_helip = [rows[f"{kind}_ridge_over_helip", retrieval] for kind in wrong]
    assert all(row["ci_low"] > 0 for row in over_helip) and sum(row["p_holm"] < 0.05 for row in over_helip) == 2
    on_ridge = [row for (contrast, _), row in rows.items() if contrast.endswith("_hard_pairs_on_ridge")]
    assert len(on_ridge) == 12 and sum(row["ci_low"] <= 0 <= row["ci_high"] for row in on_ridge) > 6
    assert sum(row["p_holm"] < 0.05 for row in on_ridge) == 1 and rows["foreign30_hard_pairs_on_ridge", cifar10]["p_holm"] < 0.05
    not_by_holm = [key for key, row in rows.items() if key[0] in {f"{kind}_helip" for kind in wrong} and row["p_holm"] >= 0.05]
    assert not_by_holm == [("foreign15_helip", "flickr30k.retrieval.text_recall_at_1")]
    positive = [row for (contrast, _), row in rows.items() if contrast.endswith("_true_removal")]
    assert len(positive) == 12 and all(row["p_holm"] < 0.05 for row in positive)
    assert all(rows[f"clean_{arm}", retrieval]["ci_low"] < 0 < rows[f"clean_{arm}", retrieval]["ci_high"] for arm in ("helip", "ridge"))


def test_the_readme_says_how_much_more_ridge_gains(project):
    with open(photographs_tables.CONTRASTS, newline="") as file:
        effects = {(row["contrast"], row["metric"]): float(row["effect"]) for row in csv.DictReader(file)}
    kinds = [kind for kind in photographs_tables.KINDS if kind != "clean"]
    ratios = [effect / effects[f"{kind}_helip", m] for kind in kinds for (name, m), effect in effects.items() if name == f"{kind}_ridge"]
    assert len(ratios) == 12
    assert f"gains {min(ratios):.1f} to {max(ratios):.1f} times as much" in " ".join((project / "README.md").read_text().split())


def test_a_row_that_is_not_there_is_one_sentence(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("| Method | A |\n| --- | --- |\n| *x* | **+1** |\n\n| Method | A |\n| --- | --- |\n| `y` | 2 |\n")
    assert cell(page, {"Method": "x"}, "A") == "+1" and cell(page, {"Method": "y"}, "A") == "2"
    with pytest.raises(HelipError, match="page.md: no table has a row z and a column 'A'"):
        cell(page, {"Method": "z"}, "A")
    with pytest.raises(HelipError, match="needs both"):
        results_tables.filled(results_tables.MARKS["gains"][0])


def test_what_the_page_says_of_questions_is_what_was_measured():
    """The sentences under 'What came out' of questions.md, which state no numbers."""
    metrics = list(questions_tables.METRICS.values())
    rows = {(r["contrast"], metrics.index(r["metric"])): r for r in questions_tables.rows_of(questions_tables.CONTRASTS)}
    measured = {key: [float(row[name]) for name in ("ci_low", "ci_high", "p_holm")] for key, row in rows.items() if row["ci_low"]}
    assert {contrast for contrast, _ in measured} == {contrast for _, contrast in questions_tables.ROWS["curation"]} | {"truth_over_ridge"}
    above = {key for key, (low, _, _) in measured.items() if low > 0}
    both = {(name, metric) for name in ("true_removal", "ridge") for metric in (0, 1)}
    assert above == both | {("helip", 0), ("hard_pairs_alone", 1)}
    assert all(high > 0 and p_holm > 0.05 for _, high, p_holm in measured.values())
    assert {row["n_seeds"] for row in rows.values()} == {"2", ""}


def test_every_command_and_option_is_on_the_reference_page():
    page = reference.commands_page()
    for name in COMMANDS:
        _, _, section = page.partition(f"### helip {name}\n")
        section = section.partition("\n### ")[0]
        for options in groups_of(_class(name)).values():
            assert not [one.name for one in options if f"| `{one.name}` |" not in section]
            assert all(one.help.replace("%%", "%").replace("|", r"\|") in section for one in options)


def test_every_field_has_a_sentence_on_the_reference_page():
    page = reference.configuration_page()
    silent = []
    for model in config_models():
        assert f"\n## {model.__name__}\n" in page
        facts = facts_of(model)
        assert [one.name for one in facts] == list(model.model_fields)
        silent += [f"{model.__name__}.{one.name}" for one in facts if not re.match(r"[^( ]", one.sentence)]
    assert not silent, "say in a description, or in a comment at the end of the line, what these fields are"


def test_a_field_is_described_by_its_model_or_its_comment():
    by_name = {one.name: one for one in facts_of(helip.config.GeneratedCorpus)}
    assert by_name["image_size"].sentence == "pixels a side (at least 16)"
    assert (by_name["size"].type, by_name["size"].default) == ("whole number", "required")
    assert (by_name["seed"].default, by_name["label"].default) == ("`0`", "empty")
    spec = {one.name: one for one in facts_of(helip.config.MiningSpec)}
    assert spec["k"].sentence.startswith("hard pairs kept for a target") and spec["pool"].default == "none"


def test_every_stage_and_package_is_on_a_page_of_the_site(project):
    artefacts = reference.artefacts_page()
    assert all(f"\n## {stage.name}\n" in artefacts and f"results/{{study}}/{stage.path}".rstrip("/") in artefacts for stage in STAGES)
    packages = {path.parent.name for path in (project / "helip").glob("*/__init__.py")}
    assert packages - {"cli"} == set(reference.API) and len(reference.API) == len(packages) - 1
    assert {f"reference/api/{name}.md" for name in reference.API} < reference.pages().keys()


def test_the_notebook_is_kept_without_outputs(project):
    notebook = json.loads((project / "docs" / "tutorials" / "first_hour.ipynb").read_text())
    code = [one for one in notebook["cells"] if one["cell_type"] == "code"]
    assert len(code) > 10 and not any(one["outputs"] or one["execution_count"] for one in code)


def test_the_citation_is_of_this_version(project):
    citation = yaml.safe_load((project / "CITATION.cff").read_text())
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert citation["version"] == declared["version"] and citation["license"] == declared["license"] == "MIT"
    assert citation["authors"] == declared["authors"] == [{"name": "The HELIP reproduction authors"}]
    assert any("arXiv:2305.05208" in one["value"] for one in citation["references"][0]["identifiers"])
    assert f"Version {declared['version']}" in (project / "CHANGELOG.md").read_text()


def test_without_a_report_a_picture_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(screenshots.shutil, "which", lambda name: "/bin/true")
    with pytest.raises(HelipError, match=r"report.html: is not there; make it with `snakemake .*report.html`"):
        screenshots.main(tmp_path / "report.html")
    monkeypatch.setattr(screenshots.shutil, "which", lambda name: None)
    with pytest.raises(HelipError, match="none of chromium, .* is on the PATH"):
        screenshots.main(tmp_path / "report.html")


@pytest.mark.parametrize(("name", "width"), screenshots.WIDTHS.items())
def test_pictures_have_the_width_of_their_screen(project, name, width):
    with Image.open(project / "docs" / "images" / f"report-{name}.png") as picture:
        assert picture.size == (width, screenshots.HEIGHT)


@pytest.mark.parametrize("name", mlflow_screenshots.ON_A_PHONE)
def test_pictures_of_mlflow_have_the_width_of_a_phone(project, name):
    assert f"../images/mlflow-{name}-phone.png" in (project / "docs" / "howto" / "mlflow.md").read_text()
    with Image.open(project / "docs" / "images" / f"mlflow-{name}-phone.png") as picture:
        assert picture.size == mlflow_screenshots.PHONE == (400, 900)
