"""`helip plan`: the same jobs as Snakemake counts, and hours that can be worked out by hand."""

import functools
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from helip.errors import HelipError
from helip.io import write_json
from helip.planning import artefacts, summary, text
from helip.planning.jobs import cost_of
from helip.stages import BuildCorpus, How, Mine, artefact, contamination_of
from helip.study import Study


@pytest.fixture
def experiments(project, tmp_path):
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    return tmp_path / "experiments"


def study(experiments, name: str, results=Path("nowhere")) -> Study:
    return Study(name, experiments, results)


def edit(experiments, name: str, change) -> None:
    file = experiments / f"studies/{name}.yaml"
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content))


def counted(bound, *tables) -> dict[str, int]:
    return dict(Counter(one.name for one in artefacts(bound, tables or None)))


def test_the_smoke_table_needs_what_can_be_counted_by_hand(experiments):
    # four arms x two seeds; one generated world, five sets, an image encoder to train, two encoders to apply
    assert counted(study(experiments, "smoke"), "table1") == {
        "corpus": 1, "train_encoder": 1, "encode": 2, "mine": 1, "train": 8, "evaluation_set": 5, "evaluate": 8, "table": 1,
    }  # fmt: skip


@pytest.mark.parametrize("target", ["table1", "table3", "table9", "table10", "table11"])
def test_the_plan_has_the_jobs_that_snakemake_would_run(project, tmp_path, experiments, target):
    for part in ("Snakefile", "rules", "profiles"):
        (shutil.copytree if (project / part).is_dir() else shutil.copy)(project / part, tmp_path / part)
    command = [Path(sys.executable).with_name("snakemake"), "-n", "--quiet", "reason", "--", f"results/paper/{target}.csv"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert out.returncode == 0, (out.stdout + out.stderr)[-3000:]
    listed = dict(re.findall(r"^(\w+) +(\d+)$", out.stdout + out.stderr, re.MULTILINE))  # snakemake says it twice
    jobs = Counter()
    for rule, count in listed.items():
        name = rule.removesuffix("_paper")
        jobs[name] += int(count)
    jobs.pop("total")
    assert counted(study(experiments, "paper"), target) == dict(jobs)


def test_hours_disk_and_memory_by_hand(experiments):
    def change(c):
        c["resources"] = {"train": {"gpu": 8, "threads": 4, "mem_mb": 9000, "runtime": 60}, "mine": {"gpu": 1}}
        c["costs"] = {
            "train": {"seconds": 2.0, "start": 60, "bytes": 1e9, "origin": "a guess"},
            "mine": {"seconds": 1e6, "start": 0, "bytes": 8, "origin": "another"},
        }

    edit(experiments, "smoke", change)
    bound = study(experiments, "smoke")
    lines = {line.stage: line for line in summary(bound, artefacts(bound, ["table1"]))}
    # 2 x (12 steps of 64) and 6 x (6 steps of 64), each with a minute to start
    seconds = 2 * (60 + 2 * 12 * 64) + 6 * (60 + 2 * 6 * 64)
    assert lines["train"].gpu_hours == pytest.approx(8 * seconds / 3600)
    assert lines["train"].core_hours == pytest.approx(4 * seconds / 3600)
    assert lines["train"].longest_hours == pytest.approx((60 + 2 * 12 * 64) / 3600)
    assert (lines["train"].disk_gb, lines["train"].memory_gb) == (8.0, 9.0)
    # 600 x 600 pairs of pairs are 0.00036 billions; 600 x 5 kept neighbours of 8 bytes
    assert lines["mine"].gpu_hours == pytest.approx(360 / 3600)
    assert lines["mine"].disk_gb == pytest.approx(600 * 5 * 8 / 1e9)
    assert lines["encode"].unpriced == 2
    page = text(bound, list(lines.values()))
    assert "encode: 2 of 2 jobs are not in the sums" in page and "train: a guess" in page


def test_the_most_particular_cost_counts(experiments):
    def change(c):
        c["costs"] = {"train": {"seconds": 1, "origin": "any"}, "train.rn50": {"seconds": 5, "start": 0, "origin": "this model"}}

    edit(experiments, "smoke", change)
    bound = study(experiments, "smoke")
    assert {cost_of(one).origin for one in artefacts(bound, ["table1"]) if one.name == "train"} == {"this model"}


def test_a_misspelt_stage_or_an_unknown_table_is_a_sentence(experiments):
    edit(experiments, "smoke", lambda c: c.update(costs={"trian": {"seconds": 1, "origin": "x"}}))
    bound = study(experiments, "smoke")
    with pytest.raises(HelipError, match=r"costs -> trian: there is no such stage; did you mean 'train'\?"):
        summary(bound, artefacts(bound))
    with pytest.raises(HelipError, match="there is no 'table99'"):
        artefacts(bound, ["table99"])


@pytest.mark.parametrize(
    ("key", "words"), [("train.rn500", "no 'rn500'; did you mean 'rn50'?"), ("train.rn50.clipp", "no 'clipp'; did you")]
)
def test_a_cost_of_nothing_in_the_study_is_a_sentence(experiments, key, words):
    costs = {"train.rn50.clip": {"seconds": 1, "origin": "x"}, "encode.bert": {"seconds": 1, "origin": "x"}}
    edit(experiments, "smoke", lambda c: c.update(costs=costs))
    bound = study(experiments, "smoke")
    summary(bound, artefacts(bound))
    edit(experiments, "smoke", lambda c: c["costs"].update({key: {"seconds": 1, "origin": "x"}}))
    bound = study(experiments, "smoke")
    with pytest.raises(HelipError, match=re.escape(f"costs -> {key}: the study has {words}")):
        summary(bound, artefacts(bound))


def test_what_is_there_is_not_left_and_its_true_size_counts(experiments, tmp_path):
    from helip.io import write_json

    bound = study(experiments, "paper", tmp_path / "results")
    before = BuildCorpus(bound, "cc3m").work().units
    write_json(BuildCorpus(bound, "cc3m").output, {"size": 2905954})
    lines = {line.stage: line for line in summary(bound, artefacts(bound))}
    after = BuildCorpus(bound, "cc3m").work().units
    assert (before, after) == (3318333, 2905954)
    assert lines["corpus"].left == lines["corpus"].jobs - 1


def test_what_is_there_of_other_settings_is_left(experiments, tmp_path):
    """So is all that is made from it; what else is there is not."""
    bound = study(experiments, "smoke", tmp_path / "results")
    planned = artefacts(bound, ["table1"])
    for one in planned:
        for path in one.outputs:
            write_json(path, {})
        if one.record:
            file, *entries = one.record
            recorded = functools.reduce(lambda value, name: {name: value}, reversed(entries), one.digest)
            write_json(one.folder / file, {"size": 600} | recorded)
    assert not any(line.left for line in summary(bound, planned))
    edit(experiments, "smoke", lambda c: c["pretraining"]["clip"].update(learning_rate=0.009))
    later = study(experiments, "smoke", tmp_path / "results")
    lines = {line.stage: line for line in summary(later, artefacts(later, ["table1"]))}
    assert {stage: line.left for stage, line in lines.items() if line.left} == {"train": 8, "evaluate": 8, "table": 1}
    assert f"17 of the jobs left have files of other settings than {later.file} declares now" in text(later, [*lines.values()])


@pytest.mark.parametrize(
    ("stage", "key"),
    [("corpus", ["cc3m"]), ("evaluation_set", ["imagenet"])],
)
def test_a_stage_keeps_its_digest_where_it_is_looked_for(experiments, tmp_path, stage, key):
    one = artefact(study(experiments, "smoke", tmp_path / "results"), stage, key)
    one.make(How())
    assert one.recorded == one.digest and not one.is_outdated


def test_only_real_images_are_checked_for_contamination(experiments):
    assert counted(study(experiments, "paper"))["fingerprint"] == 6
    assert "fingerprint" not in counted(study(experiments, "smoke"))
    assert contamination_of(study(experiments, "smoke")) == []


def test_corpora_of_unknown_size_are_not_guessed(experiments):
    edit(experiments, "smoke", lambda c: c["corpora"].update(cc3m={"kind": "webdataset", "path": "/x"}))
    bound = study(experiments, "smoke")
    assert {one.work().units for one in artefacts(bound, ["table1"]) if one.name in ("corpus", "encode", "mine")} == {None}
    assert "?" in text(bound, summary(bound, artefacts(bound, ["table1"])))


def test_every_stage_is_priced_and_fits_its_limit_or_resumes(experiments):
    bound = study(experiments, "paper")
    lines = summary(bound, artefacts(bound))
    assert all(line.unpriced == 0 for line in lines)
    assert all(line.longest_hours <= line.limit_hours for line in lines if line.stage not in ("train", "table"))
    assert {line.stage for line in lines if line.gpus} == {"encode", "mine", "mine_shard", "select", "filter", "train", "evaluate", "probe"}


def test_a_large_corpus_is_mined_by_several_jobs(experiments):
    bound = study(experiments, "paper")
    of29m = [one for one in artefacts(bound) if one.name in ("mine", "mine_shard") and "open29m.hpm.dino_vits8" in one.pairs]
    shards, (merge,) = of29m[:-1], of29m[-1:]
    assert len(shards) == 7 and {one.resources().gpu for one in shards} == {1}  # 30.6 million targets, 5 million a job
    assert sum(one.work().units for one in shards) == pytest.approx(0.030571103e9 * 0.030571103)  # billions of compared pairs
    assert (merge.name, merge.resources().gpu, merge.work().items) == ("mine", 0, 30571103 * 500)


def test_shards_that_were_merged_are_not_left(experiments, tmp_path):
    bound = study(experiments, "paper", tmp_path / "results")
    merged = Mine(bound, "open29m.hpm.dino_vits8.sentence").folder / "pairs.json"
    merged.parent.mkdir(parents=True)
    merged.touch()
    lines = {line.stage: line for line in summary(bound, artefacts(bound))}
    assert [lines[stage].jobs - lines[stage].left for stage in ("mine_shard", "mine")] == [7, 1]


def test_planning_imports_no_torch(project):
    code = (
        "import sys; from helip.study import load; from helip.planning import *; s = load('paper'); text(s, summary(s, artefacts(s)));"
        "print([m for m in ('torch', 'numpy', 'snakemake') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
