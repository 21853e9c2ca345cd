"""A command that is stopped says so, and ends with 130."""

from helip.cli import main
from helip.own import demo
from helip.training import loop
from helip.training.state import REQUEUE


def test_a_demo_stopped_in_its_start_says_so(tmp_path, monkeypatch, capsys):
    """SIGTERM lets the training of the start save its state and return; there is no start then, and nothing to refine."""
    for name in ("PAIRS", "START_PAIRS"):
        monkeypatch.setattr(demo, name, 64)
    monkeypatch.setattr(loop, "train", lambda *_: REQUEUE)
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--cores", "1"]) == 130
    told = capsys.readouterr()
    assert told.err.endswith(f"helip demo: stopped; what is done in {out} is kept, and the same command goes on from there\n")
    assert "training a small CLIP on 64 other pairs" in told.out
