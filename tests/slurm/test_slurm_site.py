"""The site file and what becomes of a job's resources. Needs no Slurm."""

from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.request import SubmissionError, flags, job_name, nodes_and_gpus, slurm_parameters, wish_for
from snakemake_executor_plugin_submitit.site import Site, Wish, read_site
from snakemake_interface_common.exceptions import WorkflowError

ROOT = Path(__file__).parent.parent.parent


def site(**sections) -> Site:
    return Site.model_validate(sections)


def test_later_layers_of_the_site_win_and_all_win_over_the_rule():
    ours = site(default={"partition": "cpu", "account": "a"}, gpu={"partition": "gpu"}, rules={"train": {"partition": "long"}})
    resources = {"partition": "from the rule", "qos": "high", "gpu": 1}
    assert wish_for(["encode"], {**resources, "gpu": 0}, ours).partition == "cpu"
    assert wish_for(["encode"], resources, ours).partition == "gpu"
    assert wish_for(["train"], resources, ours).partition == "long"
    assert wish_for(["train"], resources, ours).account == "a"
    assert wish_for(["train"], resources, ours).qos == "high"  # where the site says nothing the rule is heard
    assert wish_for(["train"], {"slurm_partition": "x"}, site()).partition == "x"


def test_site_rule_covers_its_rules_per_study_alone(monkeypatch):
    monkeypatch.chdir(ROOT)
    ours = site(rules={"evaluate": {"runtime": 5}, "evaluate_paper": {"runtime": 9}, "train": {"runtime": 7}, "mine": {"runtime": 8}})
    assert wish_for(["evaluate_smoke"], {}, ours).runtime == 5
    assert wish_for(["evaluate_paper"], {}, ours).runtime == 9
    assert wish_for(["evaluated"], {}, ours).runtime is None
    assert wish_for(["train_encoder"], {}, ours).runtime is None
    assert wish_for(["mine_shard"], {}, ours).runtime is None


def test_extra_flags_of_all_layers_are_joined():
    ours = site(default={"extra": {"exclude": "n1", "mail-type": "END"}}, rules={"mine": {"extra": {"exclude": "n2"}}})
    assert wish_for(["mine"], {"slurm_extra": "--comment='a b' --exclusive"}, ours).extra == {
        "comment": "a b",
        "exclusive": True,
        "mail-type": "END",
        "exclude": "n2",
    }
    with pytest.raises(SubmissionError, match="'-x' is no long option"):
        flags("-x n1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("default: {partitoin: x}", "default -> partitoin: unknown key"),
        ("rules: {train: {runtime: soon}}", "rules -> train -> runtime: Input should be a valid integer"),
        ("gpu: [1", "not readable as YAML"),
        ("- 1", "site.yaml: Input should be a valid dictionary"),
    ],
)
def test_wrong_site_file_is_one_sentence(tmp_path, text, problem):
    file = tmp_path / "site.yaml"
    file.write_text(text)
    with pytest.raises(WorkflowError) as caught:
        read_site(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rules_that_no_workflow_has_are_named():
    ours = site(rules={"evaluate": {"runtime": 5}, "trian": {"runtime": 7}, "mine_shard": {"runtime": 8}})
    assert ours.unused(["evaluate_smoke", "train", "mine", "mine_shard"]) == ["trian"]


def test_named_site_file_must_exist_and_the_usual_one_need_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_site(None) == Site()
    with pytest.raises(WorkflowError, match=r"no\.yaml: not found; slurm/site\.example\.yaml"):
        read_site(Path("no.yaml"))


def test_example_site_file_is_valid():
    example = read_site(ROOT / "slurm/site.example.yaml")
    assert example.wish(["train"], 8).partition == "long"


@pytest.mark.parametrize(
    ("gpus", "wish", "expected"), [(0, {}, (1, 0)), (8, {}, (1, 8)), (16, {"gpus_per_node": 8}, (2, 8)), (4, {"nodes": 2}, (2, 2))]
)
def test_gpus_are_spread_over_nodes(gpus, wish, expected):
    assert nodes_and_gpus(gpus, Wish(**wish)) == expected


def test_gpus_that_cannot_be_shared_evenly_are_refused():
    with pytest.raises(SubmissionError, match="12 GPUs cannot be shared evenly by 5 nodes"):
        nodes_and_gpus(12, Wish(nodes=5))


def test_request_of_two_nodes():
    parameters = slurm_parameters("train", 10, 16, Wish(gpus_per_node=8, gpu_model="v100", mem_mb=64000, runtime=600), 120)
    expected = {"nodes": 2, "gres": "gpu:v100:8", "cpus_per_task": 10, "mem": "64000MB", "time": 600}
    assert {name: parameters[name] for name in expected} == expected
    assert parameters["srun_args"] == ["--cpus-per-task=10", "--nodes=1", "--ntasks=1"]
    assert parameters["additional_parameters"] == {"requeue": True}


def test_a_site_takes_flags_away_renames_them_and_adds_to_srun():
    wish = Wish(
        without=("cpus-per-task",), rename={"gres": "gpus"}, srun=("--cpu-bind=none",), setup=("module load cuda",), gpu_model="v100"
    )
    parameters = slurm_parameters("train", 10, 8, wish, 120)
    assert "cpus_per_task" not in parameters and "gres" not in parameters
    assert parameters["srun_args"] == ["--cpu-bind=none"]
    assert parameters["setup"] == ["module load cuda"]
    assert parameters["additional_parameters"] == {"requeue": True, "gpus": "v100:8"}
    assert "requeue" not in slurm_parameters("train", 1, 0, Wish(without=("requeue",)), 120)["additional_parameters"]


@pytest.mark.parametrize(
    ("flag", "model", "expected"),
    [
        ("gpus", None, "16"),
        ("gpus", "v100", "v100:16"),
        ("gpus-per-node", "v100", "v100:8"),
        ("gpus-per-task", None, "8"),
    ],
)
def test_renamed_gpus_are_those_of_the_whole_job(flag, model, expected):
    """Slurm's --gres counts a node's, --gpus the job's; a job has one task on each node."""
    parameters = slurm_parameters("train", 10, 16, Wish(gpus_per_node=8, gpu_model=model, rename={"gres": flag}), 120)
    assert parameters["nodes"] == 2 and parameters["additional_parameters"] == {"requeue": True, flag: expected}
    first_node = f"--gpus={expected.replace('16', '8')}"  # where the job's own process runs: Slurm refuses it the GPUs of both
    assert (first_node in parameters["srun_args"]) is (flag == "gpus")


def test_a_job_of_several_nodes_knows_the_sites_srun():
    two = slurm_parameters("train", 4, 2, Wish(gpus_per_node=1, srun=("--mpi=none", "--comment=a b"), setup=("module load cuda",)), 120)
    assert two["setup"] == ["export HELIP_SRUN='--mpi=none '\"'\"'--comment=a b'\"'\"''", "module load cuda"]
    assert "setup" not in slurm_parameters("train", 4, 1, Wish(srun=("--mpi=none",)), 120)


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"without": ("time",)}, "without names time, which no job can do without"),
        ({"without": ("cpu-per-task",)}, "without names cpu-per-task, which is no flag that jobs have"),
        ({"rename": {"job-name": "name"}}, "rename names job-name, which no job can do without"),
    ],
)
def test_a_flag_that_cannot_go_is_a_sentence(wish, problem):
    with pytest.raises(SubmissionError, match=problem):
        slurm_parameters("train", 1, 0, Wish(**wish), 120)


def test_job_names_survive_any_wildcard():
    assert job_name("train", "cc3m_clip", "0r1") == "train.cc3m_clip.0r1"
    assert job_name("a b", "x'; rm -rf /") == "a-b.x-rm--rf-"
