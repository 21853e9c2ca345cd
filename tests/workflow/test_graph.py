"""The graph itself, without running a job."""

import os
import re

import pytest
import yaml
from snakemake_executor_plugin_submitit.ledger import Ledger

from helip.stages import Interpolate, Mine, behind
from helip.study import Study


def test_first_rows_of_table1_need_one_corpus_from_start_to_end(workspace):
    planned = workspace.planned("results/miniature/first/table1.csv")
    assert planned == {
        "corpus": 1, "evaluation_set": 12, "encode_views": 1, "encode": 2, "mine": 1, "train": 48, "evaluate_miniature": 48, "table": 1,
    }  # fmt: skip


def test_the_miniature_report_needs_every_model_of_the_paper(workspace):
    planned = workspace.planned("results/miniature/report.html")
    pretrainings, refinements = 12, 39  # as runs.yaml has them, less those whose pairs alone are wanted (table 10)
    twelve, six, simclr = 4, 7, 2  # runs of so many seeds, with six of table 8 and 6 among them; two more rows of SimCLR's pairs
    trainings = 12 * twelve + 6 * six + 2 * (pretrainings + refinements + simclr - twelve - six)
    assert planned["train"] == planned["evaluate_miniature"] == trainings
    assert planned["encode_views"] == 7  # a corpus each, whatever the heads
    assert planned["table"] == 11  # tables 1 to 10, and figure 4's numbers
    assert not {"select", "interpolate"} & planned.keys()  # table 11 has a target of its own


@pytest.mark.parametrize(
    "target",
    [
        "results/smoke/corpora/cc3m/index.npy",
        "results/smoke/evaluation/imagenet/evaluation.json",
        "results/smoke/features/cc3m/sentence/features.npy",
        "results/smoke/pairs/cc3m.hpm.dino_vits8.sentence/pairs.json",
        "results/smoke/models/cc3m_clip_helip/seed1/open_clip_model.safetensors",
        "results/smoke/metrics/cc3m_clip_helip/seed1/cifar10.zeroshot.json",
        "results/smoke/metrics/cc3m_clip/seed0/caltech101.probe.json",
        "results/smoke/table4.csv",
        "results/flickr8k/table12.csv",
    ],
)
def test_any_artefact_can_be_asked_for_directly(workspace, target):
    assert workspace.planned(target)


def test_building_the_graph_imports_no_torch(workspace, tmp_path):
    trap = tmp_path / "trap"
    trap.mkdir()
    trap.joinpath("torch.py").write_text("raise ImportError('the graph imported torch')\n")
    out = workspace.snakemake("-n", "results/miniature/table1.csv", PYTHONPATH=str(trap)).stdout
    assert "This was a dry-run" in out


def test_every_rule_is_one_line_of_helip(project):
    rules = "".join(path.read_text() for path in (project / "rules").glob("*.smk"))
    shells = re.findall(r"shell:\n +(.+)\n", rules)
    assert len(shells) == rules.count("shell:\n") > 20
    one_command = r'command\(\w+\)$|"(python -m helip\.launch --gpus \{resources\.gpu\} )?helip \S+ |"cp |"cat '
    assert [line for line in shells if not re.match(one_command, line)] == []


@pytest.mark.parametrize(("site", "gpus"), [("gpu: {gpus_per_node: 4}", 4), ("rules: {train: {gpus_per_node: 2}}", 2), ("{}", 8)])
def test_a_rehearsal_asks_for_the_gpus_of_one_node(workspace, site, gpus):
    """With more the job would get two nodes, and a rehearsal refuses to be started on each."""
    (workspace.folder / "slurm/site.yaml").write_text(site + "\n")
    file = workspace.folder / "experiments/studies/smoke.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"resources": {"train": {"gpu": 16}}}))
    plan = workspace.snakemake("-n", "results/smoke/rehearsal.html").stdout
    assert re.search(rf"resources: .*gpu={gpus}\b", plan), plan


def test_beside_a_snakemake_on_slurm_no_other_starts(workspace):
    target, folder = "results/smoke/data.json", workspace.folder / ".snakemake/submitit"
    folder.mkdir(parents=True)
    controller = Ledger(folder)
    done = workspace.snakemake(target, check=False)
    sentence = rf"another snakemake submits jobs for this folder \(process {os.getpid()} on .*wait for it or end it"
    assert done.returncode != 0 and re.search(sentence, done.stdout) and "Traceback (most recent call last)" not in done.stdout
    assert workspace.planned(target) == {"check_data": 1}
    controller.release()
    assert workspace.snakemake(target)


def finished(workspace, one) -> str:
    """Has Snakemake believe that an artefact and all behind it are made; returns its first file."""
    for second, path in enumerate(path for each in behind([one]) for path in each.outputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")  # of its JSON: it says no digest
        os.utime(path, (1e9 + second, 1e9 + second))
    target = str(one.output.relative_to(workspace.folder))
    workspace.snakemake("--touch", "--forceall", "--", target)
    return target


def test_a_finished_interpolation_is_looked_at_in_silence(workspace):
    """Its files are those of a training too, as far as Snakemake can see: the rule that does not make them is asked, and says nothing."""
    study = Study("miniature", workspace.folder / "experiments", workspace.folder / "results")
    target = finished(workspace, Interpolate(study, "cc12m_clip_helip_interpolated", "0"))
    done = workspace.snakemake("-n", "--quiet", "rules", "--", target)
    assert "Exception" not in done.stdout and "is an interpolation" not in done.stdout


@pytest.mark.parametrize(
    "resources", [{"encode": {"gpu": 1}, "mine": {"gpu": 1}}, {"mine": {"pairs_per_shard": 50}}, {"encode": {"mem_mb": 9000}}]
)
def test_other_resources_make_nothing_again(workspace, resources):
    """Whether a job waits for the check of all data, or for shards, changes nothing in what it makes."""
    study = Study("smoke", workspace.folder / "experiments", workspace.folder / "results")
    target = finished(workspace, Mine(study, "cc3m.hpm.dino_vits8.sentence"))
    file = workspace.folder / "experiments/studies/smoke.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"resources": resources}))
    assert workspace.planned(target) == {}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("results/smoke/table99.csv", "there is no 'table99'"),
        ("results/smoke/models/nobody/seed0/train.json", "'nobody' cannot be built: the study knows no such run"),
        ("results/smoke/models/cc3m_clip/seed9/train.json", "cc3m_clip has seeds 0, 1, not 9"),
        ("results/smok/table1.csv", "there is no study 'smok'; the studies are"),
        ("results/smoke/pairs/cc3m.hpm.x.y/pairs.json", "no run of this study uses pairs 'cc3m.hpm.x.y'"),
    ],
)
def test_a_target_that_cannot_be_is_refused_with_a_sentence(workspace, target, says):
    done = workspace.snakemake("-n", target, check=False)
    assert done.returncode != 0
    assert says in done.stdout
    assert "Traceback (most recent call last)" not in done.stdout
