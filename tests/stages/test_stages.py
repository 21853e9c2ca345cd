"""What holds of every stage: its rule, its key, its inputs and its digest all come from the one description."""

import inspect
import re
import shutil

import pytest
import yaml

from helip.cli.run import Run
from helip.errors import HelipError
from helip.planning import artefacts
from helip.stages import (
    BY_NAME,
    STAGES,
    Evaluate,
    How,
    MakeTable,
    Mine,
    MineShard,
    Select,
    Stage,
    Track,
    WriteReport,
    artefact,
    behind,
    make,
)
from helip.stages.base import _digest_of
from helip.study import Study, load


@pytest.fixture
def study(project, tmp_path) -> Study:
    return Study("smoke", project / "experiments", tmp_path / "results")


@pytest.fixture(scope="module")
def rules(project) -> dict[str, dict[str, str]]:
    """The directives of each rule, each with what it holds, by the stage whose command the rule runs."""
    by_stage = {}
    for path in sorted((project / "rules").glob("*.smk")):
        for indent, body in re.findall(r"^( *)rule\b.*:\n((?:\1    .*\n)+)", path.read_text(), re.MULTILINE):
            directives = dict(re.findall(rf"^{indent}    (\w+):((?:.*\n)(?:{indent}     .*\n)*)", body, re.MULTILINE))
            for stage in re.findall(r"command\((\w+)\)", directives["shell"]):
                by_stage[stage] = directives
    return by_stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_rule_of_at_most_ten_lines(rules, stage):
    """A directive counts as one line, however snakefmt breaks it, and so does the line that names the rule."""
    directives = rules[stage.__name__]
    assert {"input", "output", "log", "params"} <= set(directives) and len(directives) + 1 <= 10
    assert f"needs({stage.__name__})" in directives["input"]
    assert f"digest_of({stage.__name__})" in directives["params"]
    assert (f"shown_of({stage.__name__})" in directives["params"]) == (stage.looks_at is not Stage.looks_at)


@pytest.mark.parametrize("stage", STAGES)
def test_the_files_of_a_stage_tell_its_keys_apart(study, stage):
    files = stage.files if isinstance(stage.files, tuple) else ()  # of evaluate and probe, they depend on the study
    assert set(stage.key_fields()) == set(re.findall(r"{(\w+)}", "/".join((stage.path, *files))))


def test_every_input_is_made_by_what_the_artefact_needs(study):
    for one in [*artefacts(study), WriteReport(study)]:
        made = {output for need in (*one.needs(), *one.awaits()) for output in need.outputs}
        loose = [path for path in one.inputs() if path not in made and not path.exists()]  # the ledger of the docs is there
        assert not loose, one


def test_a_revision_changes_what_comes_after_and_nothing_else(study, monkeypatch):
    before = {one.output: one.digest for one in artefacts(study)}
    monkeypatch.setattr(Mine, "revision", Mine.revision + 1)
    _digest_of.cache_clear()
    changed = {one.name for one in artefacts(study) if one.digest != before[one.output]}
    _digest_of.cache_clear()
    assert changed == {"mine", "filter", "train", "interpolate", "evaluate", "probe", "table"} & {one.name for one in artefacts(study)}
    unchanged = {one.name for one in artefacts(study)} - changed
    assert {"corpus", "encode", "evaluation_set"} <= unchanged


def relabel(one: dict) -> None:
    one["label"] = "other"


TABLES, MINIATURE, SECOND = "paper/tables.yaml", "studies/miniature.yaml", "studies/miniature2.yaml"
REPORT, RUNS = "paper/report.yaml", "paper/runs.yaml"
RENAMED = {
    "column": ("miniature", TABLES, lambda c: relabel(c["table1"]["columns"][0]), {"table", "claims", "report"}),
    "contrast": ("miniature", TABLES, lambda c: relabel(c["table11"]["contrasts"][0]["matrix"]["entries"][0]), {"table"}),
    "corpus": ("miniature", MINIATURE, lambda c: relabel(c["corpora"]["cc3m"]), {"table", "report"}),
    "question": ("miniature2", SECOND, lambda c: c["contrasts"]["helip"].update(question="Does it?"), {"contrasts", "report"}),
    "claim of the question": ("smoke", REPORT, lambda c: c["question"].update(claim="abstract_two_epochs"), {"report"}),
    "run of the question": ("smoke", REPORT, lambda c: c["question"].update(asked_once="cc3m_clip_helip"), {"report"}),
    "run": ("smoke", RUNS, lambda c: c["runs"]["cc3m_clip"].update(question="Does it?"), {"track"}),
}


@pytest.mark.parametrize("what", RENAMED)
def test_another_word_makes_what_prints_it_again(project, tmp_path, what):
    name, file, rename, expected = RENAMED[what]
    shutil.copytree(project / "experiments", tmp_path / "experiments")

    def digests() -> dict[tuple[str, str], str]:
        study = Study(name, tmp_path / "experiments", tmp_path / "results")
        every = behind([WriteReport(study), Track(study, "table1"), *(MakeTable(study, table) for table in study.tables)])
        return {(one.name, str(one.output)): one.digest for one in every}

    before, content = digests(), yaml.safe_load((tmp_path / "experiments" / file).read_text())
    rename(content)
    (tmp_path / "experiments" / file).write_text(yaml.safe_dump(content, sort_keys=False))
    changed = {stage for (stage, path), digest in digests().items() if digest != before[stage, path]}
    assert expected <= changed <= {"table", "figure", "claims", "contrasts", "report", "track"}


def test_a_missing_input_is_named_with_how_to_make_it(study):
    one = artefact(study, "mine", ["cc3m.hpm.dino_vits8.sentence"])
    with pytest.raises(HelipError, match=r"dino_vits8/features.npy: is not there, and mine .* make it with `snakemake .*features.npy`"):
        make(one, How())


@pytest.mark.parametrize(
    ("stage", "key", "sentence"),
    [
        ("slect", [], "there is no stage 'slect'; did you mean 'select'"),
        ("select", ["cc3m_clip"], "select: got 1 names where it takes 3: helip run smoke select RUN SEED SELECTION"),
        ("corpus", ["cc4m"], "corpora has no 'cc4m'"),
        ("train", ["cc3m_clip", "9"], "cc3m_clip has seeds 0, 1, not 9"),
        ("mine", ["nothing"], "no run of this study uses pairs 'nothing'"),
        ("mine_shard", ["cc3m.hpm.dino_vits8.sentence", "2", "2"], "2 of 2 is no shard"),
        ("table", ["table99"], "there is no 'table99'; the tables are"),
        ("figure", ["figure99"], "there is no 'figure99'; the figures are"),
        ("interpolate", ["cc3m_clip", "0"], "cc3m_clip is no interpolation"),
    ],
)
def test_a_key_that_the_study_does_not_know_is_refused(study, stage, key, sentence):
    with pytest.raises(HelipError, match=re.escape(sentence)):
        artefact(study, stage, key)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (lambda one: (), "is not there, and mine"),
        (lambda one: ("0123456789abcdef", one.digest), "is not there, and mine"),  # of a group of jobs
        (lambda one: ("0123456789abcdef",), "the settings of mine .* changed after snakemake began; start snakemake again"),
    ],
)
def test_what_snakemake_did_not_ask_for_is_not_made(project, tmp_path, monkeypatch, told, sentence):
    monkeypatch.chdir(project)
    monkeypatch.setenv("HELIP_RESULTS", str(tmp_path))
    key = "cc3m.hpm.dino_vits8.sentence"
    with pytest.raises(HelipError, match=sentence):
        Run(study="smoke", stage="mine", key=(key,), digest=told(Mine(load("smoke"), key))).run()


@pytest.mark.parametrize(
    ("stage", "key", "how", "option"),
    [
        ("evaluation_set", ["cifar10"], How(workers=2), "--workers 2"),
        ("corpus", ["cc3m"], How(device="cpu"), "--device cpu"),
        ("evaluate", ["cc3m_clip", "0"], How(device="cuda"), "--device cuda"),
        ("table", ["table1"], How(workers=2), "--workers 2"),
    ],
)
def test_an_option_that_a_stage_would_ignore_is_refused(study, stage, key, how, option):
    with pytest.raises(HelipError, match=f"{option}: the stage {stage} does not look at it; leave it out"):
        make(artefact(study, stage, key), how)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_heeds_what_its_code_looks_at(stage):
    source = inspect.getsource(stage) + (inspect.getsource(Mine) if stage is MineShard else "")
    source += inspect.getsource(Evaluate) if issubclass(stage, Evaluate) else ""
    assert set(stage.heeds) == set(re.findall(r"\bhow\.(workers|device)\b", source))


def test_stages_are_told_apart_by_name():
    assert len(BY_NAME) == len(STAGES)
    assert BY_NAME["select"] is Select
