"""A controller that is killed and started again; groups; two controllers at once."""

import re
import signal

from workflows import until


def test_next_controller_takes_up_what_still_counts(slurm, workflow):
    flow = workflow("chain.smk", slurm.environ).start()
    until(lambda: all((flow.folder / name).exists() for name in ("running.started", "outdated.state")), 600, "the jobs to run")
    first = {name: flow.job_id(name) for name in ("running", "ended", "outdated")}
    flow.process.send_signal(signal.SIGKILL)
    flow.process.wait()
    (flow.folder / "go").touch()
    until((flow.folder / "ended.out").exists, 600, "a job to end while nobody watches")

    before = set(slurm.jobs())
    flow.environ["STEPS"] = "10"
    flow.start()
    taken_up = rf"running: job {first['running']} of an earlier snakemake does this \(RUNNING\); taking it up"
    until(lambda: flow.process.poll() is not None or re.search(taken_up, flow.printed), 1800, "the next controller")
    (flow.folder / "taken_up").touch()  # the job ends only now
    assert flow.finish(1800) == 0, flow.printed

    assert re.search(taken_up, flow.printed)
    assert f"outdated: settings or inputs changed since job {first['outdated']} was submitted; cancelling it" in flow.printed
    assert set(slurm.jobs()) - before == {flow.job_id("outdated")}  # the one job that was submitted again
    assert slurm.jobs()[first["outdated"]] == "CANCELLED"
    assert [flow.read(f"{name}.out").count("from ") for name in first] == [1, 1, 2]

    # What ended unseen is noted like everything else: a setting that changes now builds exactly its file again.
    flow.environ["STEPS"] = "20"
    assert flow.run("--dry-run") == 0
    assert re.findall(r"^rule (\w+):", flow.printed[flow.printed.rindex("Building DAG") :], re.M) == ["outdated", "all"]
    assert (flow.folder / ".snakemake/metadata").exists()
    assert {p.name for p in (flow.folder / ".snakemake/submitit/jobs").glob("*")} == set()


def test_two_controllers_never_share_a_folder(slurm, workflow):
    flow = workflow("chain.smk", slurm.environ).start("outdated.out")
    until((flow.folder / "outdated.state").exists, 600, "the job to run")
    first, second = flow.process, flow.start("outdated.out")
    assert second.finish(1800) == 1
    assert f"another snakemake submits jobs for this folder (process {first.pid} on" in flow.printed
    first.send_signal(signal.SIGINT)  # Ctrl-C ends the jobs
    first.wait(1800)
    job = flow.job_id("outdated")
    until(lambda: slurm.jobs()[job] == "CANCELLED", 600, "Ctrl-C to cancel the job")


def test_small_jobs_go_to_the_queue_in_groups(slurm, workflow):
    flow = workflow("chain.smk", slurm.environ)
    (flow.folder / "go").touch()
    before = set(slurm.jobs())
    assert flow.run("total.txt", "--group-components", "small=3", "--submitit-array", "1") == 0, flow.printed
    *lines, last = flow.read("total.txt").splitlines()
    jobs = [line.split(" of ")[1] for line in lines]
    assert last == "at home"  # a local rule stays with the controller
    assert sorted(jobs.count(job) for job in set(jobs)) == [3, 3]
    assert set(slurm.jobs()) - before == set(jobs)


def test_site_file_is_what_sbatch_gets(slurm, workflow):
    flow = workflow("chain.smk", slurm.environ)
    (flow.folder / "go").touch()
    (flow.folder / "slurm").mkdir()
    (flow.folder / "slurm/site.yaml").write_text(
        "default: {partition: normal, extra: {comment: hello there}}\n"
        "rules:\n  ended: {constraint: v100, gpu_model: v100, runtime: 7, mem_mb: 123, extra: {nodelist: n2}}\n"
    )
    assert flow.run("ended.out", "--default-resources", "gpu=1") == 0, flow.printed
    job = slurm.call("scontrol", "show", "job", flow.job_id("ended"))
    for line in (
        "Features=v100",
        "TimeLimit=00:07:00",
        "MinMemoryNode=123M",
        "gpu:v100:1",
        "Comment=hello there",
        "NodeList=n2",
        "Requeue=1",
    ):
        assert line in job


def test_wrong_site_file_stops_before_anything_is_submitted(slurm, workflow):
    flow = workflow("chain.smk", slurm.environ)
    (flow.folder / "go").touch()
    (flow.folder / "slurm").mkdir()
    (flow.folder / "slurm/site.yaml").write_text("gpu: {partitoin: gpu}\n")
    before = set(slurm.jobs())
    assert flow.run("ended.out") == 1
    assert "slurm/site.yaml: gpu -> partitoin: unknown key" in flow.printed
    assert set(slurm.jobs()) == before


def test_refused_submission_is_the_jobs_error_with_sbatchs_words(slurm, workflow):
    flow = workflow("chain.smk", slurm.environ)
    (flow.folder / "go").touch()
    (flow.folder / "slurm").mkdir()
    (flow.folder / "slurm/site.yaml").write_text("default: {partition: nowhere}\n")
    assert flow.run("ended.out") == 1
    assert re.search(r"rule ended: sbatch refused the job: .*invalid partition", flow.printed, re.I)
