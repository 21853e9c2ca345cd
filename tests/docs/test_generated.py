"""What commands write into the README and the site is current and whole."""

import csv
import json
import re
import tomllib
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
import yaml
from PIL import Image

import helip.study
from helip.cli import COMMANDS, _class
from helip.cli.command import groups_of
from helip.errors import HelipError
from helip.stages import STAGES
from tools import (
    browser,
    layers,
    mlflow_screenshots,
    photographs_tables,
    pipeline,
    questions_tables,
    reference,
    results_tables,
    screenshots,
    second_world,
)
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
    (measured,) = [r["6 corpora"] for table in tables_of(results_tables.FROM_NOTHING) for r in table if r.get("Refinement") == "HELIP"]
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
    positive = [row for (contrast, _), row in rows.items() if contrast in {f"{kind}_true_removal" for kind in wrong}]
    assert len(positive) == 12 and all(row["p_holm"] < 0.05 for row in positive)
    assert all(rows[f"clean_{arm}", retrieval]["ci_low"] < 0 < rows[f"clean_{arm}", retrieval]["ci_high"] for arm in ("helip", "ridge"))


def test_the_page_says_of_the_other_arms_what_was_measured():
    """The sentences under "The other arms" of results/photographs.md."""
    pooled = photographs_tables.arms("foreign15")
    rows = {key: [float(row[f"delta{end}"]) for end in ("", "_ci_low", "_ci_high")] for key, row in pooled.items()}
    t2i, i2t, cifar10 = photographs_tables.COLUMNS.values()
    gain = {key: effect for key, (effect, _, _) in rows.items() if key[0] != "control"}
    truth, soft, mixed = "bound: true removal of the swapped", "ridge, drawn in proportion", "ridge + CLIP score, 25 % dropped"
    assert all(gain[score, c] <= gain["HELIP", c] for score in ("s-CLIPLoss", "CLIP score") for c in (t2i, i2t, cifar10))
    assert gain["HELIP", t2i] < gain["LEMoN, untuned", t2i] < gain["neighbour agreement", t2i]
    best = [max((value, method) for (method, column), value in gain.items() if column == c)[1] for c in (cifar10, i2t)]
    assert best == [soft, mixed]
    for method, column in ((soft, cifar10), (mixed, i2t)):
        assert gain[method, column] > gain[truth, column] and rows[method, column][1] < rows[truth, column][2]
    for method in ("IM", "TM", "random pairs"):
        assert all(rows[method, column][1] < 0 < rows[method, column][2] for column in (t2i, i2t, cifar10))
    assert all(abs(gain["HELIP, gamma 0", c] - gain["HELIP", c]) < 0.06 for c in (t2i, i2t, cifar10))
    assert all(0 < gain["HELIP, margin on scaled logits", c] - gain["HELIP", c] < 0.25 for c in (t2i, i2t, cifar10))
    assert all(rows["HN-NCE", column][2] < 0 for column in (i2t, cifar10))


def test_three_arms_at_other_swaps_are_told_as_measured():
    above = set()
    for kind in photographs_tables.KINDS:
        rows = photographs_tables.arms(kind)
        for column in (photographs_tables.COLUMNS[metric] for metric in photographs_tables.PRIMARY):
            gain = {method: float(row["delta"]) for (method, of), row in rows.items() if of == column and row["delta"]}
            for method in photographs_tables.EVERYWHERE:
                low, high = (float(rows[method, column][f"delta_ci_{end}"]) for end in ("low", "high"))
                assert high > 0 if kind == "clean" else low > 0
                assert gain[method] < min(gain["neighbour agreement"], gain["helip_plus 2: ridge"])
            if gain["cleaned by the paper's rule"] > gain["HELIP"]:
                above.add((kind, column))
    assert above == {("foreign30", "cifar10"), ("clean", "t2i_r1")}


def test_the_page_says_of_the_repetition_what_was_measured():
    first, again = (photographs_tables.contrasts(file) for file in (photographs_tables.CONTRASTS, photographs_tables.AGAIN))
    number = {name: {key: float(again[key][name]) for key in again} for name in ("effect", "ci_low", "ci_high", "p_holm")}
    inside = [key for key, row in first.items() if float(row["ci_low"]) <= number["effect"][key] <= float(row["ci_high"])]
    assert first.keys() == again.keys() and (len(first), len(inside)) == (87, 84)
    shown = [{key for key, row in rows.items() if float(row["p_holm"]) < 0.05} for rows in (first, again)]
    assert (len(shown[0]), len(shown[0] & shown[1]), len(shown[1] - shown[0])) == (54, 50, 2)
    wrong = [kind for kind in photographs_tables.KINDS if kind != "clean"]
    of = {arm: [(f"{kind}_{arm}", m) for kind in wrong for m in photographs_tables.ALL.values()] for _, arm in photographs_tables.ARMS}
    assert all(shown[1].issuperset(of[arm]) for arm in ("true_removal", "helip", "ridge", "agreement"))
    assert [len(some.intersection(of["hard_pairs_on_ridge"])) for some in shown] == [1, 0]
    retrieval, cifar10 = photographs_tables.PRIMARY.values()
    lost = "foreign30_hard_pairs_on_ridge", cifar10
    assert photographs_tables.points(again[lost], "effect", "ci") == "+0.44 [+0.05, +0.83]" and round(number["p_holm"][lost], 2) == 0.46
    over = of["ridge_over_helip"]
    assert all(float(rows[key]["effect"]) > 0 for rows in (first, again) for key in over)
    assert shown[0] & shown[1] & {*over} == {("foreign30_ridge_over_helip", retrieval), ("near30_ridge_over_helip", cifar10)}
    assert len((shown[0] ^ shown[1]) & {*over}) == 4
    above = [{key for key, row in rows.items() if float(row["ci_low"]) > 0} for rows in (first, again)]
    assert all(("clean_ridge", cifar10) in some for some in above)
    assert [("clean_helip", cifar10) in some for some in above] == [True, False]
    assert [("unfrozen_helip", retrieval) in some for some in above] == [False, True]
    assert [("unfrozen_true_removal", cifar10) in some for some in above] == [True, False]


def test_what_agreement_gains_where_nothing_is_swapped(project):
    rows = photographs_tables.arms("clean")
    words = [photographs_tables.points(rows["neighbour agreement", column], "delta", "delta_ci") for column in ("t2i_r1", "cifar10")]
    page = " ".join((project / "docs" / "results" / "photographs.md").read_text().split())
    assert f"gains {words[0]} in text to image R@1 and {words[1]} on CIFAR-10, each by itself" in page


def test_the_page_says_of_the_last_blocks_what_was_measured():
    with open(photographs_tables.CONTRASTS, newline="") as file:
        numbers = ("effect", "ci_low", "ci_high", "p_holm", "n_seeds")
        rows = {(row["contrast"], row["metric"]): {key: float(row[key]) for key in numbers} for row in csv.DictReader(file)}
    of = {
        arm: [rows[f"unfrozen_{arm}", metric] for metric in photographs_tables.ALL.values()] for arm in ("helip", "ridge", "true_removal")
    }
    assert [sum(row["ci_low"] > 0 for row in of[arm]) for arm in ("true_removal", "ridge", "helip")] == [3, 2, 0]
    assert all(row["p_holm"] > 0.05 and row["n_seeds"] == 4 for of_arm in of.values() for row in of_arm)
    assert all(0 < helip["effect"] < ridge["effect"] and helip["ci_low"] < 0 for helip, ridge in zip(of["helip"], of["ridge"], strict=True))


def test_the_readme_says_how_much_more_ridge_gains(project):
    with open(photographs_tables.CONTRASTS, newline="") as file:
        effects = {(row["contrast"], row["metric"]): float(row["effect"]) for row in csv.DictReader(file)}
    kinds = [kind for kind in photographs_tables.KINDS if kind != "clean"]
    ratios = [effect / effects[f"{kind}_helip", m] for kind in kinds for (name, m), effect in effects.items() if name == f"{kind}_ridge"]
    assert len(ratios) == 12
    assert f"gains {min(ratios):.1f} to {max(ratios):.1f} times as much" in " ".join((project / "README.md").read_text().split())


def test_the_index_says_of_the_miniature_what_its_page_says(project):
    folder = project / "docs" / "results"
    page, index = (folder / "miniature" / "README.md").read_text(), " ".join((folder / "index.md").read_text().split())
    counts = [int(n) for n in re.findall(r"\d+", re.search(r"^\d+ reproduced, .*$", page, re.MULTILINE)[0])]
    assert f"({counts[2]} of {sum(counts)})" in index
    headline = re.search(r"it gains (\S+) points \(95 % interval (\S+) to (\S+)\)", page)
    assert f"{headline[1]} points [{headline[2]}, {headline[3]}] on the average" in index
    assert f"{headline[1]} points [{headline[2]}, {headline[3]}] on table 1's average" in (project / "README.md").read_text()
    over_start = re.search(r"consistently boosts all pre-trained models\. \|[^|]*\| ([^|]*?) points", page)
    assert f"Over its start it gains {over_start[1]}" in index
    matrix = page.partition("Table 11 sets")[2].partition("\n## ")[0]
    over_corpora = re.findall(r"^\| ([^|*]+?) \| (?:\*\*)?([+−][^|*]+\])(?:\*\*)? \|", matrix, re.MULTILINE)
    contrasts = re.findall(r"(hard pairs on top of selection|true hard pairs on top of truly clean data) on 6 corpora ([^\]]+\])", page)
    gains = dict(over_corpora) | dict(contrasts)
    for words in (
        "the paper's noise rule alone {cleaned by the paper's rule}, HELIP {HELIP}, selection by ridge {selected by ridge, 15 % dropped}",
        "dropped {selected by CLIP score, 20 % dropped} and {selected by s-CLIPLoss, 20 % dropped}; true removal",
        "the positive control, {bound: true removal of mismatches}. On top of selection hard pairs add {hard pairs on top of selection}",
        "and true ones on truly clean data {true hard pairs on top of truly clean data}.",
    ):
        assert re.sub(r"\{(.*?)\}", lambda name: gains[name[1]], words) in index
    rule, helip = (_gains_of(matrix, name) for name in ("cleaned by the paper's rule", "HELIP"))
    assert len(rule) == 7 and sum(r > h for r, h in zip(rule[1:], helip[1:], strict=True)) == 5  # the first is over corpora
    first = page.partition("\n## Table 1. ")[2].partition("\n## ")[0]
    starts = set(re.findall(r"^\| ([^|*]+), cleaned \|", first, re.MULTILINE))
    rule, helip = ([sum(_gains_of(first, name + end)) / 3 for name in sorted(starts)] for end in (", cleaned", "-HELIP"))
    assert len(starts) == 7 and sum(r > h for r, h in zip(rule, helip, strict=True)) == 6
    assert f"+{sum(rule) / 7:.2f} over the same seven starts, and more than HELIP on six of them" in index
    assert f"{sum(helip) / 7:+.2f}" == headline[1]
    assert f"The margin loss adds {re.search(r'the margin loss on top of hard pairs on 6 corpora ([^]]+.)', page)[1]}." in index


def test_the_ledger_says_how_far_miniature_trainings_scatter(project):
    page = (project / "docs" / "results" / "miniature" / "README.md").read_text()
    factors = dict(re.findall(r"[:,] (probe|retrieval|zeroshot) (\d\.\d\d) \(", page))
    words = "scatter {zeroshot} times as much as independent errors on the items make them (arXiv 2304.01910), retrieval {retrieval} times"
    assert f"{words} and probes {{probe}} times".format(**factors) in (project / "docs/explanation/discrepancies.md").read_text()


def _gains_of(text, row):
    """The estimates of a row of differences, in points."""
    line = re.search(rf"^\| {re.escape(row)} \|(.*)$", text, re.MULTILINE)[1].replace("−", "-")
    return [float(number) for number in re.findall(r"([+-]\d+\.\d+) \[", line)]


def test_what_the_second_world_page_says_is_what_was_measured():
    with open(second_world.CONTRASTS, newline="") as file:
        rows = {
            (r["contrast"], r["metric"].split(".", 1)[1] if "recall" in r["metric"] else r["metric"].split(".")[0]): r
            for r in csv.DictReader(file)
        }
    of = {arm: {m: {k: float(r[k]) for k in ("effect", "ci_low", "p_holm", "against_value")} for (a, m), r in rows.items() if a == arm}
          for arm in second_world.ARMS.values()}  # fmt: skip
    assert all(len(metrics) == 4 for metrics in of.values()) and len(rows) == 20
    assert all(r["p_holm"] < 0.05 for r in of["true_removal"].values())
    assert all(r["ci_low"] > 0 for r in of["helip_plus"].values()) and sum(r["p_holm"] < 0.05 for r in of["helip_plus"].values()) == 2
    shares = [r["effect"] / of["true_removal"][metric]["effect"] for metric, r in of["helip_plus"].items()]
    assert min(shares) >= 0.8 and max(shares) < 0.92
    over = {metric for metric, r in of["helip_plus_over_helip"].items() if r["p_holm"] < 0.05}
    assert over == {"retrieval.image_recall_at_1", "imagenet"}
    assert all(r["p_holm"] > 0.05 for r in of["helip"].values())
    controls = {metric: r["against_value"] for metric, r in of["helip_plus"].items()}
    assert (
        controls["cifar100"] > 6 * 100 / 72 and controls["imagenet"] > 6 * 0.5 and controls["retrieval.image_recall_at_1"] > 6 * 100 / 600
    )


def test_a_row_that_is_not_there_is_one_sentence(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("| Method | A |\n| --- | --- |\n| *x* | **+1** |\n\n| Method | A |\n| --- | --- |\n| `y` | 2 |\n")
    assert cell(page, {"Method": "x"}, "A") == "+1" and cell(page, {"Method": "y"}, "A") == "2"
    with pytest.raises(HelipError, match="page.md: no table has a row z and a column 'A'"):
        cell(page, {"Method": "z"}, "A")
    with pytest.raises(HelipError, match="needs both"):
        results_tables.filled(results_tables.MARKS["gains"][0])


def test_what_the_page_says_of_questions_is_what_was_measured():
    """The sentences under 'What came out' of questions.md."""
    metrics = list(questions_tables.METRICS.values())
    rows = {(r["contrast"], metrics.index(r["metric"])): r for r in questions_tables.rows_of(questions_tables.CONTRASTS)}
    measured = {key: [float(row[name]) for name in ("ci_low", "ci_high", "p_holm")] for key, row in rows.items()}
    effect = {key: float(row["effect"]) for key, row in rows.items()}
    sign = {key: 1 if low > 0 else -1 if high < 0 else 0 for key, (low, high, _) in measured.items()}
    assert len(measured) == 94 and all(p_holm > 0.05 for *_, p_holm in measured.values())
    assert {row["n_seeds"] for row in rows.values()} == {"2"}
    seen = {key for key in sign if key[0] in ("true_removal", "ridge", "helip", "hard_pairs_alone") and sign[key]}
    assert seen == {(name, metric) for name in ("true_removal", "ridge") for metric in (0, 1)} | {("helip", 0), ("hard_pairs_alone", 1)}
    undecided = ("encoders_over_", "all_over_pool_", "hard_pairs_on_", "interaction_", "scale_helip", "scale_ridge")
    assert not any(sign[key] for key in sign if key[0].startswith(undecided))
    by_detection = ("mined_by_simclr", "mined_by_layer1", "helip", "mined_by_clip")  # the worst detector first
    assert sorted(by_detection, key=lambda name: effect[name, 0]) == list(by_detection)
    assert sign["scale_true_removal", 0] == sign["scale_true_removal", 1] == 1
    for metric in (0, 1):
        assert all(0.33 < effect[f"last_{arm}", metric] / effect[arm, metric] < 0.52 for arm in ("true_removal", "ridge"))
        assert abs(effect["lora_true_removal", metric]) < 0.1 * effect["true_removal", metric]
        assert sign["all_over_lora", metric] == -1
    half = [
        float(r["effect"]) / 2
        for m in metrics
        for r in questions_tables.rows_of(photographs_tables.CONTRASTS)
        if (r["contrast"], r["metric"]) == ("foreign15_helip", m)
    ]
    within = {(n, m) for (n, m), (low, high, _) in measured.items() if n.endswith("_on_ridge") and -half[m] < low < high < half[m]}
    assert within == {
        ("duplicates_on_ridge", 0),
        ("duplicates_on_ridge", 1),
        ("glofnd_on_ridge", 0),
        ("glofnd_on_ridge", 1),
        ("moments_on_ridge", 1),
    }
    judged = {(row["method"], row["column"]): row for row in questions_tables.rows_of(questions_tables.JUDGED)}
    miners = (questions_tables.POOLED[0], "the start's own towers", "EfficientNet-Lite0 and MiniLM's first layer", "SimCLR and MiniLM")
    assert [round(float(judged[name, "auc"]["value"])) for name in miners] == [81, 82, 70, 63]
    eighth, every = f"{questions_tables.POOLED[1]} of an eighth", questions_tables.POOLED[0]
    assert round(float(judged[eighth, "recalled"]["value"])) == 12  # so 88 % are lost
    assert round(float(judged[every, "auc"]["value"]) - float(judged[eighth, "auc"]["value"])) == 3
    assert 4 < float(judged[every, "megabytes"]["value"]) / float(judged[eighth, "megabytes"]["value"]) < 5
    mined, random = (judged[name, "likely_matches"] for name in (questions_tables.POOLED[0], "random pairs"))
    assert float(judged["the start's own towers", "likely_matches"]["ci_low"]) > float(mined["ci_high"])
    assert 8 < float(mined["ci_low"]) < float(mined["ci_high"]) < 12 and float(random["ci_high"]) < 1


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
    monkeypatch.setattr(browser.shutil, "which", lambda name: "/bin/true")
    with pytest.raises(HelipError, match=r"miniature/report.html: is not there; make it with `snakemake .*report.html`$"):
        screenshots.main(["--results", str(tmp_path)])
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "report.html").touch()
    with pytest.raises(HelipError, match=r"or choose one of the studies that have one, as in `make screenshots STUDY=...`: smoke$"):
        screenshots.main(["--results", str(tmp_path)])
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    with pytest.raises(HelipError, match="none of chromium, .* is on the PATH"):
        screenshots.main(["--results", str(tmp_path)])


def test_mlflow_compares_helip_with_its_control():
    def run(key, arm, control=None):
        tags = {"helip.key": key, "helip.arm": arm} | ({"helip.control": control} if control else {})
        return SimpleNamespace(data=SimpleNamespace(tags=tags), info=SimpleNamespace(run_id=f"id of {key}"))

    stored = [
        run("s/cc12m_start_helip", "helip", "cc12m_start_control"), run("s/a", "start"), run("s/plus", "helip", "a_control"),
        run("s/a_control", "control", "a"),
        run("s/a_helip", "helip", "a_control"), run("s/a_helip/seed0", "helip"),
    ]  # fmt: skip
    client = SimpleNamespace(
        get_experiment_by_name=lambda name: SimpleNamespace(experiment_id="7"), search_runs=lambda experiments, tags, max_results: stored
    )
    pages = mlflow_screenshots.pages_of(client, "s", "http://host")
    assert unquote(pages["compare"]) == (
        'http://host/#/compare-runs?runs=["id of s/a_control", "id of s/a_helip"]&experiments=["7"]&workflowType=machine_learning'
    )
    assert pages["run"] == "http://host/#/experiments/7/runs/id of s/a_helip/seed0?workflowType=machine_learning"
    stored[:] = [run("s/a", "start")]
    with pytest.raises(HelipError, match="s: no run that is measured against a control is finished"):
        mlflow_screenshots.pages_of(client, "s", "http://host")


@pytest.mark.parametrize(("name", "width"), screenshots.WIDTHS.items())
def test_pictures_have_the_width_of_their_screen(project, name, width):
    with Image.open(project / "docs" / "images" / f"report-{name}.png") as picture:
        assert picture.size == (width, screenshots.HEIGHT)


@pytest.mark.parametrize("name", mlflow_screenshots.ON_A_PHONE)
def test_pictures_of_mlflow_have_the_width_of_a_phone(project, name):
    assert f"../images/mlflow-{name}-phone.png" in (project / "docs" / "howto" / "mlflow.md").read_text()
    with Image.open(project / "docs" / "images" / f"mlflow-{name}-phone.png") as picture:
        assert picture.size == mlflow_screenshots.SIZES["-phone"] == (400, 900)
