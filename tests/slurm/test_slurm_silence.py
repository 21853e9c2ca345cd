"""A controller of a real Slurm that hangs, or is stopped and started again, while jobs run, end and become ready."""

import re

import pytest
from workflows import until

pytestmark = pytest.mark.long  # Slurm's own timeouts are tens of seconds


@pytest.mark.parametrize("how", ["stopped", "hung"])
def test_jobs_are_found_after_the_controllers_silence(slurm, workflow, how):
    flow = workflow("silent.smk", slurm.environ).start()
    until(lambda: all((flow.folder / f"{name}.started").exists() for name in ("through", "within")), 600, "the jobs to run")
    before = set(slurm.jobs())
    slurm.silence(how)
    try:
        (flow.folder / "silent").touch()  # `within` ends now, so `after` is ready: its submission must wait
        words = ("Slurm does not answer; waiting (", "Slurm does not answer; waiting to submit (")
        until(lambda: all(word in flow.printed for word in words), 600, f"the controller to be missed:\n{flow.printed[-3000:]}")
        assert (flow.folder / "within.out").exists()
    finally:
        slurm.answer()
    (flow.folder / "answered").touch()
    assert flow.finish(1800) == 0, flow.printed[-6000:]

    assert [flow.read(f"{name}.out").count("from ") for name in ("through", "within", "after")] == [1, 1, 1]
    assert not re.search(r"died|submitting it again|refused", flow.printed)
    submitted = re.findall(r"^(\w+): slurm job", flow.printed, re.M)
    assert sorted(submitted) == ["after", "through", "within"]
    # sbatch may time out on a controller that hangs, which takes the job all the same once it goes on: that one is cancelled
    unheard = set(slurm.jobs()) - before - {flow.job_id("after")}
    until(lambda: all(slurm.jobs()[job] == "CANCELLED" for job in unheard), 600, "jobs that nobody heard of to be cancelled")
    assert len(unheard) <= (how == "hung") * 9


def test_a_silence_beyond_patience_fails_the_job(slurm, workflow):
    flow = workflow("silent.smk", slurm.environ)
    (flow.folder / "silent").touch()
    slurm.silence("stopped")
    try:
        assert flow.run("within.out", "--submitit-patience-s", "0") == 1
    finally:
        slurm.answer()
    assert "rule within: Slurm did not answer for 0 s (--submitit-patience-s): " in flow.printed
    assert not (flow.folder / "within.out").exists()
