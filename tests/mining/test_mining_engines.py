"""One result, bit for bit, whatever does the work: kernels, threads, memory, shards."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from slow_mining import world

from helip.config import MiningSpec
from helip.mining import miner
from helip.mining.blocks import blocks_of
from helip.mining.criterion import Criterion
from helip.mining.engines import compile as build
from helip.mining.engines import cpp as fused
from helip.mining.engines import torch_engine as blocks
from helip.mining.features import checked, cosines
from helip.mining.miner import _pair_set, mine
from helip.mining.pairs import PairSet, merge

SPECS = [
    MiningSpec(k=5),
    MiningSpec(k=30, tau_image=0.2, tau_text=0.1),
    MiningSpec(k=20, tau_image=None, tau_text=None, max_similarity=0.9),
    MiningSpec(k=9, method="image"),
    MiningSpec(k=9, method="text", tau_text=0.3),
    MiningSpec(k=6, method="fast_hpm", pool=400, pool_block=250),
]
by_method = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.method}{s.k}")


@pytest.fixture(scope="module")
def features():
    return world(1100, seed=7, image_dim=130, text_dim=200)


def run(engine, features, spec):
    """An engine of helip.mining.miner run on its own."""
    ids, scores = np.full((1100, spec.k), -1, np.int32), np.zeros((1100, spec.k), np.float32)
    for step in engine:
        if isinstance(step, tuple):
            targets, found_ids, found_scores = step
            ids[targets], scores[targets] = found_ids, found_scores
    return _pair_set(ids, scores, spec, 1100, (0, 1))


def by_blocks(features, spec, memory=1 << 30):
    criterion = Criterion.of(spec)
    used = [checked(name, dict(zip(("image", "text"), features, strict=True))[name]) for name, _ in criterion.modalities]
    return run(blocks.run(used, criterion, blocks_of(spec, 1100, 0, 1100), memory, 1), features, spec)


def by_kernel(target, features, spec, memory=1 << 30, workers=2):
    library = build.library(target)
    if library is None:
        pytest.skip("no C++ compiler here")
    criterion = Criterion.of(spec)
    used = [checked(name, dict(zip(("image", "text"), features, strict=True))[name]) for name, _ in criterion.modalities]
    return run(fused.run(library, used, criterion, blocks_of(spec, 1100, 0, 1100), memory, workers), features, spec)


def assert_identical(one, other):
    for a, b in ((one.noise, other.noise), (one.offsets, other.offsets), (one.ids, other.ids), (one.scores_flat, other.scores_flat)):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@by_method
def test_the_compiled_kernel_gives_the_bits_of_the_torch_kernel(features, spec):
    reference = by_blocks(features, spec)
    assert 0 < reference.noise.mean() < 1 or spec.tau_image is None or spec.method != "hpm"
    assert_identical(by_kernel("native", features, spec), reference)


@pytest.mark.parametrize("target", ["x86-64", "x86-64-v3", "skylake-avx512"])
@pytest.mark.parametrize("spec", [SPECS[0], SPECS[2]], ids=["paper", "released"])
def test_every_instruction_set_gives_the_same_bits(features, spec, target):
    if build.library("x86-64") is None:
        pytest.skip("no C++ compiler for this processor here")
    if target == "skylake-avx512" and "avx512f" not in build._processor():
        pytest.skip("no AVX-512 here")
    assert_identical(by_kernel(target, features, spec), by_blocks(features, spec))


@by_method
@pytest.mark.parametrize(("memory", "workers"), [("64MiB", 1), ("33MiB", 1), ("33MiB", 3)])
def test_memory_and_workers_change_nothing(features, spec, memory, workers):
    roomy = mine(*features, spec, memory="1GiB", workers=2)
    assert_identical(mine(*features, spec, memory=memory, workers=workers), roomy)


@by_method
def test_merged_shards_are_the_whole(features, spec, tmp_path):
    whole = mine(*features, spec)
    for n in (2, 5):
        parts = [mine(*features, spec, shard=(i, n)) for i in range(n)]
        assert_identical(merge(parts[::-1], tmp_path / str(n)), whole)


def test_merged_shards_say_who_mined_them(features, tmp_path):
    parts = []
    for i in range(2):
        mine(*features, SPECS[0], shard=(i, 2)).save(tmp_path / str(i), wall_clock_seconds=i + 0.5, machine=f"machine {i}")
        parts.append(PairSet.open(tmp_path / str(i)))
    metadata = merge(parts[::-1], tmp_path / "merged").metadata
    assert metadata["wall_clock_seconds"] == 2.0
    assert [(one["machine"], one["wall_clock_seconds"]) for one in metadata["mined_by"]] == [("machine 0", 0.5), ("machine 1", 1.5)]
    assert all(one["job"]["pid"] == os.getpid() for one in metadata["mined_by"])
    assert "mined_by" not in merge([mine(*features, SPECS[0], shard=(i, 2)) for i in range(2)], tmp_path / "unsaved").metadata


@pytest.mark.parametrize("spec", SPECS[:5], ids=lambda s: f"{s.method}{s.k}")
def test_ivf_that_looks_everywhere_is_exact(features, spec):
    everywhere = spec.model_copy(update={"ivf_candidates": 1099, "ivf_probes": 1000})
    assert_identical(mine(*features, everywhere, workers=1), mine(*features, spec))


def test_ivf_works_on_the_cpu_whatever_device_is_asked_for(features):
    spec = MiningSpec(k=5, ivf_candidates=100)
    assert_identical(mine(*features, spec, workers=1, device="cuda"), mine(*features, spec, workers=1))


def test_ivf_misses_little_of_clustered_features():
    image, text = world(3000, seed=2)
    exact, near = (mine(image, text, MiningSpec(k=10, ivf_candidates=c, ivf_probes=16), workers=1) for c in (None, 100))
    kept = [np.isin(exact.hard(i), near.hard(i)).mean() for i in np.flatnonzero(~exact.noise)]
    assert len(kept) > 1000
    assert np.mean(kept) > 0.9
    for i in np.flatnonzero(~near.noise)[:50]:
        here = np.isin(near.hard(i), exact.hard(i))  # what both have, both score alike
        np.testing.assert_array_equal(near.scores(i)[here], exact.scores(i)[np.isin(exact.hard(i), near.hard(i))])


def test_torch_kernel_under_a_tight_budget(features):
    for spec in SPECS[:3]:
        assert_identical(by_blocks(features, spec, memory=6 << 20), by_blocks(features, spec))


def test_float16_features_are_read_where_they_lie(features, tmp_path):
    halves = [x.astype(np.float16) for x in features]
    for name, x in zip("it", halves, strict=True):
        np.save(tmp_path / f"{name}.npy", x)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "it"]
    assert_identical(mine(*mapped, SPECS[0]), mine(*(x.astype(np.float32) for x in halves), SPECS[0]))


def test_cosines_have_the_same_bits_as_numpy_in_any_block():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((500, 192)).astype(np.float32) * np.float32(0.07) for _ in range(2))
    sums = x[:, :64] * y[:, :64]
    for start in (64, 128):
        sums = sums + x[:, start : start + 64] * y[:, start : start + 64]
    while sums.shape[1] > 1:
        sums = sums[:, : sums.shape[1] // 2] + sums[:, sums.shape[1] // 2 :]
    for count in (1, 7, 500):
        np.testing.assert_array_equal(cosines(torch.from_numpy(x[:count]), torch.from_numpy(y[:count])), sums[:count, 0].clip(-1, 1))


def test_triton_kernels_through_the_interpreter():
    pytest.importorskip("triton")
    script = Path(__file__).with_name("triton_checks.py")
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(script.parents[2])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "identical\n", done.stderr[-2000:]


@pytest.mark.parametrize(
    ("device", "entered"),
    [("cuda:1", ["cuda:1"]), ("cuda", ["cuda"]), ("cpu", []), (None, [])],
)
def test_a_named_gpu_is_current_while_it_mines(features, monkeypatch, device, entered):
    """Triton launches on the current device, whatever device its tensors lie on."""
    current, seen = [], []

    @contextlib.contextmanager
    def of_device(one):
        current.append(str(one))
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", of_device)
    monkeypatch.setattr(miner, "_device", lambda name: torch.device(name or "cpu"))
    for step in ("_features", "_mined"):
        monkeypatch.setattr(miner, step, lambda *_, step=step: seen.append((step, list(current))))
    mine(*features, SPECS[0], device=device)
    assert seen == [("_features", entered), ("_mined", entered)]
    assert current == []


def test_approximate_mining_leaves_the_gpu_alone(features, monkeypatch):
    some, spec, current = [x[:300] for x in features], MiningSpec(k=3, ivf_candidates=50), []
    monkeypatch.setattr(torch.cuda, "device", current.append)
    on_gpu, on_cpu = mine(*some, spec, device="cuda:1"), mine(*some, spec, device="cpu")
    assert current == []
    assert all(np.array_equal(on_gpu.hard(i), on_cpu.hard(i)) for i in range(300))


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="this torch has the older switch alone")
@pytest.mark.parametrize("precision", ["tf32", "ieee", "none"])
def test_torch_s_newer_switch_of_tf32_is_put_back(precision):
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = precision  # as the program around it may have it
    try:
        with blocks.whole_sums():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == precision
    finally:
        matmul.fp32_precision = before


@pytest.mark.parametrize("precision", ["high", "highest"])
def test_torch_s_older_switch_of_tf32_is_put_back(precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with blocks.whole_sums():
            pass
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cuda.matmul.allow_tf32 == (precision == "high")
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_torch_without_the_newer_switch_has_the_older(monkeypatch):
    class Matmul:
        allow_fp16_reduced_precision_reduction, allow_tf32 = True, True

    monkeypatch.setattr(torch.backends.cuda, "matmul", (matmul := Matmul()))
    with blocks.whole_sums():
        assert vars(matmul) == {"allow_fp16_reduced_precision_reduction": False, "allow_tf32": False}
    assert vars(matmul) == {"allow_fp16_reduced_precision_reduction": True, "allow_tf32": True}


def test_a_machine_without_a_compiler_mines_all_the_same(features, monkeypatch, tmp_path):
    expected = mine(*features, SPECS[0])
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    monkeypatch.setenv("HELIP_CACHE", str(tmp_path))
    build.library.cache_clear()
    with pytest.warns(UserWarning, match="could not be compiled"):
        assert_identical(mine(*features, SPECS[0]), expected)
    build.library.cache_clear()


def test_the_budget_is_obeyed(tmp_path):
    """Of what the process allocates itself (RssAnon): mapped features and temporary files are the system's to drop."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here to read the memory of a process from")
    for name, x in zip("it", world(12_000, seed=3, image_dim=200, text_dim=300), strict=True):
        np.save(tmp_path / f"{name}.npy", x)
    script = f"""
import threading, time, numpy as np, faiss, helip.mining.miner
from helip.config import MiningSpec
def used():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024
features = [np.load(f"{tmp_path}/{{name}}.npy", mmap_mode="r") for name in "it"]
start, peak = used(), [0]
def watch():
    while True:
        peak[0] = max(peak[0], used() - start)
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
helip.mining.miner.mine(*features, MiningSpec(k=100, tau_image=0.2, tau_text=0.2), memory="48MiB", workers=1)
print(peak[0])
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert float(done.stdout) < 48
