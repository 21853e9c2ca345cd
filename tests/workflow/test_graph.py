"""The graph itself, without running a job."""

import re

import pytest


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
