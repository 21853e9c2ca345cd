"""Run with TRITON_INTERPRET=1: the Triton kernels on CPU tensors against the torch kernel and numpy, bit for bit."""

import numpy as np
import torch
from slow_mining import world

from helip.config import MiningSpec
from helip.mining.blocks import among, blocks_of
from helip.mining.criterion import Criterion
from helip.mining.engines import triton_engine as gpu
from helip.mining.features import checked, cosines
from helip.mining.miner import mine

SPECS = [
    MiningSpec(k=4),
    MiningSpec(k=6, tau_image=0.2, tau_text=0.1, max_similarity=0.8),
    MiningSpec(k=20, tau_image=None, tau_text=None),
    MiningSpec(k=5, method="text", tau_text=0.3),
    MiningSpec(k=3, method="fast_hpm", pool=70, pool_block=100),
]


def same_as_the_other_kernels(features: tuple[np.ndarray, np.ndarray], spec: MiningSpec, sizes: gpu.Sizes, keep=None) -> None:
    criterion, kept = Criterion.of(spec), np.flatnonzero(np.ones(len(features[0]), bool) if keep is None else keep)
    by_name, given = dict(zip(("image", "text"), features, strict=True)), None if keep is None else kept
    used = [checked(name, by_name[name], selected=given) for name, _ in criterion.modalities]
    expected, seen, n = mine(*features, spec, keep=keep), 0, len(kept)
    with torch.inference_mode():
        for step in gpu.run(used, criterion, among(kept, blocks_of(spec, n, 0, n)), 1, sizes):
            if isinstance(step, tuple):
                for target, ids, scores in zip(*step, strict=True):
                    hard = ids if ids[0] >= 0 else ids[:0]
                    np.testing.assert_array_equal(hard, expected.hard(target), err_msg=f"{spec.method}: target {target}")
                    np.testing.assert_array_equal(scores[: len(hard)], expected.scores(target))
                    seen += 1
    assert seen == n


def exact_kernel_has_the_bits_of_the_definition(features: np.ndarray) -> None:
    one = checked("image", features)
    rng = np.random.default_rng(0)
    i, j = (torch.from_numpy(rng.integers(0, len(one), 101)) for _ in range(2))
    np.testing.assert_array_equal(gpu.FusedOperand(one, np.float32(0.5)).cosines(i, j), cosines(one.rows(i), one.rows(j)))


class Watchful(gpu.FusedOperand):
    def low(self, ids_P: torch.Tensor, half: bool | None = None) -> torch.Tensor:
        matmul = torch.backends.cuda.matmul
        assert matmul.fp32_precision == "ieee" if hasattr(matmul, "fp32_precision") else not matmul.allow_tf32
        return super().low(ids_P, half)


def rows_are_rotated_in_whole_float32(features: np.ndarray) -> None:
    torch.set_float32_matmul_precision("high")  # as a caller may have it
    gpu.make_slab([Watchful(checked("image", features), np.float32(0.5))], np.arange(10))


if __name__ == "__main__":
    features = world(150, seed=9, image_dim=130, text_dim=70)
    for spec in SPECS:
        same_as_the_other_kernels(features, spec, gpu.Sizes(panel=140, slab=60, capacity=1 << 14))
    same_as_the_other_kernels(features, SPECS[2], gpu.Sizes(panel=140, slab=140, capacity=1500))  # the list overflows: slabs are cut
    keep = np.arange(150) % 3 > 0
    for spec in (SPECS[0], SPECS[4]):
        same_as_the_other_kernels(
            [np.where(keep[:, None], x, np.float32(np.nan)) for x in features], spec, gpu.Sizes(90, 60, 1 << 14), keep
        )
    exact_kernel_has_the_bits_of_the_definition(features[0])
    exact_kernel_has_the_bits_of_the_definition(features[0].astype(np.float16))
    rows_are_rotated_in_whole_float32(features[0])
    print("identical")
