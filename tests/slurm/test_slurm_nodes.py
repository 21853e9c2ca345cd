"""What differs between clusters, on a real Slurm: a site's own flags, and nodes that fail."""

import re
import textwrap

import pytest
from workflows import HERE, until

pytestmark = pytest.mark.long


def snakefile(folder, text: str):
    file = folder / "Snakefile"
    file.write_text(textwrap.dedent(text))
    return file


def site(flow, text: str) -> None:
    (flow.folder / "slurm").mkdir()
    (flow.folder / "slurm/site.yaml").write_text(text)


def test_a_sites_own_words_reach_slurm(slurm, workflow, tmp_path):
    """F39: arguments of srun, lines before it, a flag that the site refuses and one that it wants by another name."""
    flow = workflow(
        snakefile(
            tmp_path,
            """
            rule told:
                output:
                    "told.txt",
                resources:
                    gpu=1,
                    mem_mb=777,
                shell:
                    "echo $LOADED GPU $CUDA_VISIBLE_DEVICES > {output}"
            """,
        ),
        slurm.environ,
    )
    site(flow, "default: {gpu_model: v100, srun: [--cpu-bind=none], setup: [export LOADED=cuda], without: [mem], rename: {gres: gpus}}\n")
    assert flow.run("told.txt") == 0, flow.printed
    assert re.fullmatch(r"cuda GPU \d\n", flow.read("told.txt"))
    job = slurm.call("scontrol", "show", "job", flow.job_id("told"))
    assert "TresPerJob=gres:gpu:v100:1" in job and "TresPerNode" not in job
    assert "777" not in job
    script = next((flow.folder / ".snakemake/submitit/told").glob("*/*submission.sh")).read_text()
    (step,) = [line for line in script.splitlines() if line.startswith("srun")]
    assert "--cpu-bind=none" in step


def test_renamed_gpus_reach_a_job_of_two_nodes(slurm, workflow, tmp_path):
    """--gpus are the job's on both; its own process runs on one of them, with the GPUs of one."""
    text = """
        rule wide:
            output:
                "wide.txt",
            resources:
                gpu=2,
            shell:
                "echo nodes $SLURM_JOB_NUM_NODES srun $HELIP_SRUN GPU $CUDA_VISIBLE_DEVICES > {output}"
        """
    flow = workflow(snakefile(tmp_path, text), slurm.environ)
    site(flow, "default: {partition: normal, gpus_per_node: 1, rename: {gres: gpus}, srun: [--cpu-bind=none]}\n")
    assert flow.run("wide.txt") == 0, flow.printed
    assert re.fullmatch(r"nodes 2 srun --cpu-bind=none GPU \d\n", flow.read("wide.txt"))
    assert "TresPerJob=gres:gpu:2" in slurm.call("scontrol", "show", "job", flow.job_id("wide"))


def test_a_node_that_failed_a_job_is_left_out_of_its_next_start(slurm, workflow, tmp_path):
    """F41. Slurm gives the job up instead of requeueing it, so that the plugin starts it again."""
    flow = workflow(
        snakefile(
            tmp_path,
            f"""
            rule long:
                output:
                    "long.out",
                shell:
                    "touch started; until [ -e go ]; do sleep 0.1; done; python '{HERE}/training.py' long 10"
            """,
        ),
        slurm.environ,
    )
    site(flow, "default: {partition: normal, without: [requeue], extra: {no-requeue: true}}\n")
    flow.start("long.out")
    until((flow.folder / "started").exists, 600, "the job to run")
    first = flow.job_id("long")
    (node,) = re.findall(r" NodeList=(\w+)", slurm.call("scontrol", "show", "job", first))
    slurm.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        (flow.folder / "go").touch()
        assert flow.finish(1800) == 0, flow.printed
    finally:
        slurm.call("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)  # unless it is back by itself
        until(lambda: slurm.call("sinfo", "-h", "-n", node, "-p", "normal", "-o", "%T").strip() in ("idle", "mixed"), 600, "the node")
    assert f"long: job {first} ended as NODE_FAIL; submitting it again" in flow.printed
    assert slurm.jobs()[first] == "NODE_FAIL"
    second = slurm.call("scontrol", "show", "job", max(slurm.jobs(), key=int))
    assert f"ExcNodeList={node}" in second and f" NodeList={node}\n" not in second and "JobState=COMPLETED" in second
