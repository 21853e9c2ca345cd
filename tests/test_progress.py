"""What long work shows of itself: a line a minute in a log, a bar on a terminal, nothing when it is to be quiet."""

import pytest

from helip.progress import Progress, progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by 25 s each time it is read."""
    times = iter(range(0, 10_000, 25))
    monkeypatch.setattr("helip.progress.time.monotonic", lambda: next(times))


def test_a_log_gets_a_line_a_minute(capsys, clock):
    meter = Progress("run", 100, "steps", speed_in=(8, "samples"))
    for _ in range(7):
        meter.update(numbers="loss 2.0000")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # 7 steps of 25 s
    assert lines[0] == "run: 3 of 100 steps, loss 2.0000, 0.3 samples/s, 40.4 min left"  # 3 x 8 / 75 s; 97 x 25 s


def test_the_speed_counts_only_what_this_process_did(capsys, clock):
    meter = Progress("run", 100, "steps", done=90)
    for _ in range(3):
        meter.update()
    assert capsys.readouterr().err == "run: 93 of 100 steps, 0.0 steps/s, 2.9 min left\n"  # 7 x 25 s


def test_items_pass_and_are_counted(capsys, clock):
    assert list(progress(iter("abcd"), None, "reading", "images")) == ["a", "b", "c", "d"]
    assert capsys.readouterr().err == "reading: 3 images, 0.0 images/s\n"


def test_quiet_work_shows_nothing(capsys, clock, monkeypatch):
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        with Progress("run", 10, quiet=True) as meter:
            for _ in range(9):
                meter.update()
            meter.say("a line")
    assert capsys.readouterr().err == ""
    assert meter.done == 9


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress("run", 10, "steps", done=2, speed_in=(8, "samples")) as meter:
        meter.update(numbers="loss 2.0000")
    last = capsys.readouterr().err.split("\r")[-1]
    for part in ("run:", "3/10", "loss 2.0000", "samples/s"):
        assert part in last
