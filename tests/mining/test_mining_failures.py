"""Bad input: one clear sentence, nothing half-written. And what a pair set on disk refuses."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from slow_mining import world

from helip.cli import main
from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining import PairSet, mine
from helip.mining.pairs import merge

SPEC = MiningSpec(k=3)


@pytest.fixture
def features():
    return world(60, seed=3)


def spoilt(x, row, value):
    x = x.copy()
    x[row] = value
    return x


@pytest.mark.parametrize(
    ("image", "text", "words"),
    [
        (lambda i, t: spoilt(i, 7, np.nan), None, "image features: row 7 holds NaN"),
        (lambda i, t: spoilt(i, 8, np.inf), None, "row 8 holds NaN or infinity"),
        (lambda i, t: spoilt(i, 9, 0), None, "row 9 holds zeros"),
        (lambda i, t: spoilt(i, 9, 1e-30), None, "too large or too small"),
        (lambda i, t: i[:-1], None, "59 image and 60 text rows"),
        (lambda i, t: i.astype(np.int64), None, "got int64 .60, 40.; give numpy.asarray.x, 'float32'. or a torch tensor"),
        (lambda i, t: i[0], None, "expected a float16 or float32 array .N, D., got float32 .40.; give one row of D numbers a pair"),
        (lambda i, t: i[:0], lambda i, t: t[:0], "expected a float16 or float32"),
        (lambda i, t: None, None, "image features: missing"),
        (lambda i, t: i.tolist(), None, "got list"),
    ],
)
def test_bad_features(features, image, text, words):
    with pytest.raises(HelipError, match=words):
        mine(image(*features), text(*features) if text else features[1], SPEC)


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        (MiningSpec(k=60), {}, "k = 60: a target has only 59 candidates"),
        (MiningSpec(k=10, method="fast_hpm", pool=9), {}, "only 9 candidates"),
        (MiningSpec(k=5, ivf_candidates=4), {}, "give at least k = 5"),
        (SPEC, {"memory": "1KiB"}, "more are needed for one panel"),
        (SPEC, {"memory": "plenty"}, "'plenty' is no size"),
        (SPEC, {"shard": (2, 2)}, "expected 0 <= i < n"),
        (SPEC, {"shard": (0, 61)}, "expected 0 <= i < n"),
        (SPEC, {"device": "meta"}, "cannot mine"),
        (SPEC, {"device": "nonsense"}, "none that torch knows"),
        (SPEC, {"device": "cuda:77"}, "is not to be seen from here"),
    ],
)
def test_bad_settings(features, spec, options, words):
    with pytest.raises(HelipError, match=words):
        mine(*features, spec, **options)


def test_tau_out_of_range():
    for tau in (1.01, -1.01, float("nan")):
        with pytest.raises(ValidationError):
            MiningSpec(tau_image=tau)


@pytest.fixture
def files(features, tmp_path):
    for name, x in zip(("image", "text"), features, strict=True):
        np.save(tmp_path / f"{name}.npy", x)
    return tmp_path


def command(files: Path, *more: str) -> list[str]:
    """Options with a value each; `more` in place of what is usual."""
    given = {"--image-features": str(files / "image.npy"), "--text-features": str(files / "text.npy")}
    given |= {"--out": str(files / "pairs"), "--k": "3"} | dict(zip(more[::2], more[1::2], strict=True))
    return ["mine", *(word for option in given.items() for word in option)]


def test_command_line_mines_exports_and_merges(files, features, capsys):
    assert main(command(files, "--workers", "1")) == 0
    expected, mined = mine(*features, SPEC), PairSet.open(files / "pairs")
    np.testing.assert_array_equal(mined.ids, expected.ids)
    metadata = json.loads((files / "pairs" / "audit.json").read_text())
    assert metadata["noise_targets"] == int(expected.noise.sum())
    assert "noise share" in capsys.readouterr().out

    for name in ("image", "text"):  # the folders that `helip encode` makes do as well
        (files / name).mkdir()
        (files / f"{name}.npy").rename(files / name / "features.npy")
    folders = ["--image-features", str(files / "image"), "--text-features", str(files / "text"), "--out", str(files / "again")]
    assert main(["mine", *folders, "--k", "3", "--workers", "1"]) == 0
    np.testing.assert_array_equal(PairSet.open(files / "again").ids, expected.ids)
    for name in ("image", "text"):
        (files / name / "features.npy").rename(files / f"{name}.npy")

    for i in range(2):
        assert main(command(files, "--shard", f"{i}/2", "--out", str(files / f"s{i}"))) == 0
    assert main(["merge-pairs", str(files / "s1"), str(files / "s0"), "--out", str(files / "merged")]) == 0
    for name in ("ids", "scores", "offsets", "noise"):
        assert (files / "merged" / f"{name}.npy").read_bytes() == (files / "pairs" / f"{name}.npy").read_bytes()

    assert main(["export-pairs", str(files / "pairs"), "--out", str(files / "hard.csv")]) == 0
    lines = (files / "hard.csv").read_text().split()
    good = int(np.flatnonzero(~expected.noise)[0])
    assert lines[0] == ",".join(map(str, [good, *expected.hard(good)]))
    assert len(lines) == int((~expected.noise).sum())

    import pyarrow.parquet as pq

    assert main(["export-pairs", str(files / "pairs"), "--out", str(files / "hard.parquet")]) == 0
    rows = pq.read_table(files / "hard.parquet").to_pylist()
    assert [r["hard"] for r in rows] == [expected.hard(i).tolist() for i in range(60)]
    assert [r["noise"] for r in rows] == expected.noise.tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tau", "1.5"], "--tau: Input should be less than or equal to 1"),
        (["--method", "fast_hpm"], "fast_hpm needs a pool"),
        (["--k", "0"], "--k"),
        (["--method", "fast_hpm", "--pool", "10", "--seed", "-1"], "--seed: Input should be greater than or equal to 0"),
        (["--shard", "3/2"], "correct --shard"),
        (["--memory", "1KiB"], "more are needed"),
    ],
)
def test_command_line_refuses(files, arguments, words, capsys):
    assert main(command(files, *arguments)) == 2
    assert words in capsys.readouterr().err
    assert not (files / "pairs").exists()


def test_a_failed_audit_is_a_warning_and_the_pairs_stay(files, monkeypatch, capsys):
    def fail(*_):
        raise MemoryError("no room for the sheet")

    monkeypatch.setattr("helip.mining.audit.audit", fail)
    assert main(command(files, "--workers", "1")) == 0
    assert "the pairs are whole, their audit failed (MemoryError: no room for the sheet)" in capsys.readouterr().err
    assert len(PairSet.open(files / "pairs")) == 60


def test_features_that_say_what_they_are_of(files, capsys):
    image, text = ({"corpus_digest": digest, "declaration": {"model": "vit"}} for digest in ("one", "other"))
    for name, metadata in (("image", image | {"logits": True}), ("text", text)):
        (files / f"{name}.json").write_text(json.dumps(metadata))
    assert main(command(files)) == 2
    assert "not of one corpus" in capsys.readouterr().err
    assert not (files / "pairs").exists()
    (files / "text.json").write_text(json.dumps(text | {"corpus_digest": "one"}))
    assert main(command(files, "--workers", "1")) == 0
    assert "'vit' gave classifier logits" in capsys.readouterr().out
    assert PairSet.open(files / "pairs", corpus_digest="one").metadata["inputs"].keys() == {"image_features", "text_features"}


def test_presets_of_the_command(files):
    assert main(command(files, "--preset", "released_code", "--workers", "1")) == 0
    spec = PairSet.open(files / "pairs").spec
    assert (spec.k, spec.tau_image, spec.tau_text, spec.max_similarity) == (3, None, None, 0.98)
    assert main(command(files, "--preset", "released_code", "--tau-text", "0.4", "--workers", "1")) == 0
    assert PairSet.open(files / "pairs").spec.tau_text == 0.4


def test_truncated_feature_file(files, capsys):
    whole = (files / "image.npy").read_bytes()
    for length in (len(whole) // 2, 20, 0):
        (files / "image.npy").write_bytes(whole[:length])
        assert main(command(files)) == 2
        assert "image.npy: not a whole .npy array" in capsys.readouterr().err
        assert not (files / "pairs").exists()


def test_pairs_of_another_corpus_or_broken_ones(features, tmp_path):
    mined = mine(*features, SPEC)
    mined.save(tmp_path / "p", corpus_digest="one")
    assert len(PairSet.open(tmp_path / "p", corpus_digest="one")) == 60
    with pytest.raises(HelipError, match="was mined on the corpus with digest one, and the corpus in use has other"):
        PairSet.open(tmp_path / "p", corpus_digest="other")
    with pytest.raises(HelipError, match="not found"):
        PairSet.open(tmp_path / "nowhere")
    whole = (tmp_path / "p" / "ids.npy").read_bytes()
    (tmp_path / "p" / "ids.npy").write_bytes(whole[:-8])
    with pytest.raises(HelipError, match="truncated"):
        PairSet.open(tmp_path / "p")
    np.save(tmp_path / "p" / "ids.npy", mined.ids[:-1])
    with pytest.raises(HelipError, match="do not belong together"):
        PairSet.open(tmp_path / "p")
    (tmp_path / "p" / "ids.npy").unlink()
    with pytest.raises(HelipError, match=r"ids\.npy: not found"):
        PairSet.open(tmp_path / "p")


def test_a_set_in_which_all_is_noise(tmp_path):
    apart = np.eye(5, dtype=np.float32)
    mine(apart, apart, MiningSpec(k=1)).save(tmp_path / "p")
    mined = PairSet.open(tmp_path / "p")
    assert mined.noise.all()
    assert len(mined.hard(3)) == 0


def test_merge_refuses_what_does_not_belong_together(features, tmp_path):
    parts = [mine(*features, SPEC, shard=(i, 3)) for i in range(3)]
    with pytest.raises(HelipError, match=r"expected shards 0/3 to 2/3, each once, got 0/3, 2/3"):
        merge([parts[0], parts[2]], tmp_path / "merged")
    with pytest.raises(HelipError, match="differ in spec"):
        merge([parts[0], parts[1], mine(*features, MiningSpec(k=2), shard=(2, 3))], tmp_path / "merged")
    with pytest.raises(HelipError, match="no shards"):
        merge([], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_killed_shard_leaves_nothing_and_runs_again(tmp_path):
    for name, x in zip(("image", "text"), world(4000, seed=1), strict=True):
        np.save(tmp_path / f"{name}.npy", x)
    given = sorted(path.name for path in tmp_path.iterdir())
    shard = command(tmp_path, "--shard", "1/2", "--workers", "1", "--tau", "0.1", "--k", "1000")
    # it stops in its first answers, as long as it takes to be killed
    stopped = (
        "import sys, time; from helip.cli import main; from helip.mining import miner; engine = miner._engine\n"
        "def slow(*a):\n    for step in engine(*a):\n        print('mined', flush=True); time.sleep(600); yield step\n"
        "miner._engine = slow; main(sys.argv[1:])"
    )
    killed = subprocess.Popen([sys.executable, "-c", stopped, *shard], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert killed.stdout.readline() == "mined\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == given
    assert subprocess.run([sys.executable, "-m", "helip", *shard], capture_output=True, check=False).returncode == 0
    assert PairSet.open(tmp_path / "pairs").shard == (1, 2)
