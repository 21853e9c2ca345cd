"""Triton kernels for GPUs of compute capability 8.0 and up: the fused filter, and exact scores.

Filter: a tile of targets x candidates takes the first CHECK rotated dimensions of the first modality, stops where no pair of it can
reach its threshold any more (Cauchy-Schwarz on what is left), else finishes, and multiplies the second modality only where pairs
survive. What passes is appended to one list, a slot reserved for a whole tile at a time.
"""

import triton
import triton.language as tl


@triton.jit
def _product(a, b, rows, columns, from_dim, to_dim, acc, row_count, column_count, DIM: tl.constexpr, STEP: tl.constexpr):
    """acc + a[rows, from:to] b[columns, from:to]'."""
    for start in range(from_dim, to_dim, STEP):
        at = start + tl.arange(0, STEP)
        x = tl.load(a + rows[:, None].to(tl.int64) * DIM + at[None, :], mask=(rows < row_count)[:, None], other=0.0)
        y = tl.load(b + columns[:, None].to(tl.int64) * DIM + at[None, :], mask=(columns < column_count)[:, None], other=0.0)
        acc = tl.dot(x, tl.trans(y), acc)
    return acc


@triton.jit
def filter_tiles(
    first_row, first_column, second_row, second_column, tail_row, tail_column, floor, forbidden, id_column,
    out_row, out_column, out_a, out_b, counter, capacity, row_count, column_count,
    tau_a, margin_a, tau_b, margin_b, max_similarity,
    DIM_A: tl.constexpr, DIM_B: tl.constexpr, CHECK: tl.constexpr, SIGNED: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr, BUNDLE: tl.constexpr,
):  # fmt: skip
    """Filters one tile. Tiles run in bundles of rows so that columns are read again from the cache. DIM_B 0: one modality."""
    down, across = tl.cdiv(row_count, ROWS), tl.cdiv(column_count, COLUMNS)
    program = tl.program_id(0)
    bundle = program // (BUNDLE * across)
    height = tl.minimum(down - bundle * BUNDLE, BUNDLE)
    rows = (bundle * BUNDLE + program % (BUNDLE * across) % height) * ROWS + tl.arange(0, ROWS)
    columns = program % (BUNDLE * across) // height * COLUMNS + tl.arange(0, COLUMNS)

    score = tl.load(floor + rows, mask=rows < row_count, other=float("inf"))
    need = score - margin_a if SIGNED else tl.maximum(score, tau_a) - margin_a
    a = tl.zeros((ROWS, COLUMNS), tl.float32)
    a = _product(first_row, first_column, rows, columns, 0, CHECK, a, row_count, column_count, DIM_A, STEP)
    tail = tl.load(tail_row + rows, mask=rows < row_count, other=0.0)[:, None] * tl.load(
        tail_column + columns, mask=columns < column_count, other=0.0
    )
    reach = tl.max(tl.max((tl.abs(a) if SIGNED else a) + tail - need[:, None], 1), 0)
    if reach >= 0:
        a = _product(first_row, first_column, rows, columns, CHECK, DIM_A, a, row_count, column_count, DIM_A, STEP)
        keep = ((tl.abs(a) if SIGNED else a) >= need[:, None]) & (a >= tau_a - margin_a) & (a - margin_a <= max_similarity)
        keep = keep & (columns < column_count)[None, :]
        ids = tl.load(id_column + columns, mask=columns < column_count, other=-1)
        keep = keep & (ids[None, :] != tl.load(forbidden + rows, mask=rows < row_count, other=-1)[:, None])
        passing = tl.sum(tl.sum(keep.to(tl.int32), 1), 0)
        if passing > 0:
            b = tl.zeros((ROWS, COLUMNS), tl.float32)
            if DIM_B > 0:
                b = _product(second_row, second_column, rows, columns, 0, DIM_B, b, row_count, column_count, DIM_B, STEP)
                slack = (tl.abs(a) * margin_b + tl.abs(b) * margin_a + margin_a * margin_b) * 1.001 + 1e-6
                keep = keep & (b >= tau_b - margin_b) & (b - margin_b <= max_similarity) & (a * b + slack >= score[:, None])
            in_row = keep.to(tl.int32)
            a_row = tl.sum(in_row, 1)
            total = tl.sum(a_row, 0)
            if total > 0:
                base = tl.atomic_add(counter, total.to(tl.int64))
                slot = base + (tl.cumsum(a_row, 0) - a_row)[:, None] + tl.cumsum(in_row, 1) - in_row
                keep = keep & (slot < capacity)
                nothing = tl.zeros((ROWS, COLUMNS), tl.int32)
                tl.store(out_row + slot, rows[:, None] + nothing, mask=keep)
                tl.store(out_column + slot, columns[None, :] + nothing, mask=keep)
                tl.store(out_a + slot, a, mask=keep)
                if DIM_B > 0:
                    tl.store(out_b + slot, b, mask=keep)


@triton.jit
def exact_cosines(raw, scale, i, j, out, count, DIM: tl.constexpr, PAIRS: tl.constexpr):
    """Cosines of pairs of corpus rows in the order of helip/mining/features.py: 64 running sums, then halves. Launch it with
    enable_fp_fusion=False: a fused multiply-add rounds once where the definition rounds twice."""
    pairs = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    inside = pairs < count
    row_i, row_j = tl.load(i + pairs, mask=inside, other=0), tl.load(j + pairs, mask=inside, other=0)
    scale_i, scale_j = tl.load(scale + row_i)[:, None], tl.load(scale + row_j)[:, None]
    sums = tl.zeros((PAIRS, 64), tl.float32)
    for start in range(0, DIM, 64):
        at = start + tl.arange(0, 64)
        here = inside[:, None] & (at < DIM)[None, :]
        x = tl.load(raw + row_i[:, None] * DIM + at[None, :], mask=here, other=0.0).to(tl.float32) * scale_i
        y = tl.load(raw + row_j[:, None] * DIM + at[None, :], mask=here, other=0.0).to(tl.float32) * scale_j
        sums = sums + x * y
    width: tl.constexpr = 64
    folded = sums
    for half in tl.static_range(6):
        folded = tl.sum(tl.reshape(folded, (PAIRS, 2, width >> (half + 1))), 1)
    tl.store(out + pairs, tl.minimum(tl.maximum(tl.reshape(folded, (PAIRS,)), -1.0), 1.0), mask=inside)
