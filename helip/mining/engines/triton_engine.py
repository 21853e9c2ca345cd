"""Drives the Triton kernels: columns resident in slabs, panels of targets, near slabs first so that thresholds rise early."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from helip.mining.blocks import Block, Steps
from helip.mining.criterion import Criterion
from helip.mining.engines import triton_kernels as tiles
from helip.mining.engines.candidates import Candidates, Operand
from helip.mining.engines.torch_engine import whole_sums
from helip.mining.features import Features
from helip.mining.order import Order, ordered

TILE = {"ROWS": 128, "COLUMNS": 128, "STEP": 64, "BUNDLE": 8}
SHAPE = {"num_warps": 8, "num_stages": 3, "enable_fp_fusion": True}


class FusedOperand(Operand):
    """Scores exactly with a kernel where the raw rows lie on the device."""

    def cosines(self, i_P: torch.Tensor, j_P: torch.Tensor) -> torch.Tensor:
        """Returns the [P] exact cosines of pairs of corpus ids, by a kernel where the raw rows lie on the device."""
        if self.features.resident is None:
            return super().cosines(i_P, j_P)
        out, pairs = torch.empty(len(i_P), device=i_P.device), 16
        off = {"enable_fp_fusion": False} if out.is_cuda else {}
        tiles.exact_cosines[(-(-len(i_P) // pairs),)](
            self.features.resident, self.features.scale, i_P, j_P, out, len(i_P), DIM=self.features.dim, PAIRS=pairs, **off
        )
        return out


@dataclass(frozen=True)
class Sizes:
    """How much the device holds at a time: targets in a panel, candidates in a slab, entries in the kernel's list."""

    panel: int = 32_768
    slab: int = 65_536
    capacity: int = 1 << 26


@dataclass
class Slab:
    """Rows in kernel order, in the filter's precision. tails: [n] norms of the rounded rows beyond the first check."""

    ids: torch.Tensor
    low: list[torch.Tensor]
    tails: torch.Tensor


def run(features: list[Features], criterion: Criterion, work: Iterator[Block], workers: int, sizes: Sizes | None = None) -> Steps:
    """Runs an engine, whose steps helip/mining/blocks.py describes, on one GPU."""
    order = ordered(features[0], workers)
    operands = [FusedOperand(f, tau) for f, (_, tau) in zip(features, criterion.modalities, strict=True)]
    operands[0].rotate(order.axes, order.skew)
    sizes, finished = sizes or Sizes(), 0
    for block in work:
        targets, columns = order.sort(block.targets), order.sort(block.columns)
        forbidden = block.forbidden[np.searchsorted(block.targets, targets)]
        slabs = Slabs(operands, columns, sizes.slab)
        for start in range(0, len(targets), sizes.panel):
            rows = targets[start : start + sizes.panel]
            near = np.argsort(np.abs(slabs.middle(order) - order.rank[rows[len(rows) // 2]]), kind="stable")
            for step in mine_panel(operands, criterion, rows, forbidden[start : start + sizes.panel], slabs, near, sizes):
                yield finished + step * len(rows) if isinstance(step, float) else step
            finished += len(rows)
            yield finished


class Slabs:
    """The candidates, sorted, in slabs: kept on the device while half of its free memory lasts, else made again for each panel."""

    def __init__(self, operands: Sequence[Operand], columns: np.ndarray, height: int):
        self.operands, self.ids = operands, [columns[start : start + height] for start in range(0, len(columns), height)]
        width = 2 * sum(o.features.padded_dim for o in operands)
        device = operands[0].device
        room = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 1 << 62
        self.resident: dict[int, Slab] = {}
        self.room = room // (height * width)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> Slab:
        if number in self.resident:
            return self.resident[number]
        slab = make_slab(self.operands, self.ids[number])
        if len(self.resident) < self.room:
            self.resident[number] = slab
        return slab

    def middle(self, order: Order) -> np.ndarray:
        """Returns, for each slab, the rank of its middle row in the order: near slabs have near ranks."""
        return np.array([order.rank[ids[len(ids) // 2]] for ids in self.ids])


def make_slab(operands: Sequence[Operand], ids: np.ndarray) -> Slab:
    """Returns the rows of corpus ids as the kernel reads them: rotated, rounded to float16, with the norms of their tails."""
    device = operands[0].device
    at = torch.from_numpy(np.asarray(ids, np.int64)).to(device)
    with whole_sums():  # the rotation is a product
        low = [torch.cat([operand.low(part, half=True) for part in torch.split(at, 8192)]) for operand in operands]
    tails = low[0][:, check_of(operands[0]) :].float().norm(dim=1) * 1.00001
    return Slab(at, low, tails)


def check_of(operand: Operand) -> int:
    """Returns the dimensions after which a tile may stop: half of them, in whole steps."""
    return max(TILE["STEP"], operand.features.padded_dim // 2 // TILE["STEP"] * TILE["STEP"])


def mine_panel(operands: Sequence[Operand], criterion: Criterion, rows: np.ndarray, forbidden: np.ndarray, slabs: Slabs, near: np.ndarray,
               sizes: Sizes) -> Steps:  # fmt: skip
    """Yields the share of the slabs done after each, and at last (rows, ids [n, k], scores [n, k])."""
    panel = make_slab(operands, rows)
    forbidden_R = torch.from_numpy(np.asarray(forbidden, np.int64)).to(panel.ids.device)
    survivors = Candidates(panel.ids, criterion, operands, max(3 * len(rows) * criterion.k, sizes.capacity))
    room = List(sizes.capacity, panel.ids.device)
    for done, number in enumerate(near, 1):
        _sweep(operands, criterion, panel, slabs[number], forbidden_R, survivors, room)
        if done in (1, 3, 10) and survivors.waiting > len(rows) * criterion.k:
            survivors.trim()
        yield done / len(near)
    yield rows, *survivors.result()


class List:
    """What the filter appends to: row, column, cosines a and b of each pair that passes, and how many there are."""

    def __init__(self, capacity: int, device: torch.device):
        self.capacity = capacity
        self.row, self.column = (torch.empty(capacity, dtype=torch.int32, device=device) for _ in range(2))
        self.a, self.b = (torch.empty(capacity, device=device) for _ in range(2))
        self.count = torch.zeros(1, dtype=torch.int64, device=device)


def _sweep(operands: Sequence[Operand], criterion: Criterion, panel: Slab, slab: Slab, forbidden_R: torch.Tensor, survivors: Candidates,
           room: List) -> None:  # fmt: skip
    """The filter on panel x slab; where more passes than the list holds, the slab is cut in halves."""
    passed = launch(operands, criterion, panel, slab, forbidden_R, survivors.floor, room)
    if passed <= room.capacity:
        cosine = (room.a[:passed].clone(),) + ((room.b[:passed].clone(),) if len(operands) == 2 else ())
        survivors.add(room.row[:passed].long(), slab.ids[room.column[:passed].long()], cosine)
        return
    half = len(slab.ids) // 2
    if half == 0:
        raise AssertionError(f"a list of {room.capacity} entries cannot hold one column of a panel of {len(panel.ids)}")
    for part in (slice(0, half), slice(half, None)):
        cut = Slab(slab.ids[part], [x[part] for x in slab.low], slab.tails[part])
        _sweep(operands, criterion, panel, cut, forbidden_R, survivors, room)


def launch(operands: Sequence[Operand], criterion: Criterion, panel: Slab, slab: Slab, forbidden_R: torch.Tensor, floor_R: torch.Tensor,
           room: List) -> int:  # fmt: skip
    """Runs the filter once. Returns how many pairs passed, of which the list holds as many as it can."""
    first, second = operands[0], operands[-1]
    both = len(operands) == 2
    room.count.zero_()
    down, across = -(-len(panel.ids) // TILE["ROWS"]), -(-len(slab.ids) // TILE["COLUMNS"])
    on_gpu = SHAPE if room.count.is_cuda else {}
    tiles.filter_tiles[(down * across,)](
        panel.low[0], slab.low[0], panel.low[-1], slab.low[-1], panel.tails, slab.tails, floor_R, forbidden_R, slab.ids,
        room.row, room.column, room.a, room.b, room.count, room.capacity, len(panel.ids), len(slab.ids),
        first.tau, first.margin, second.tau, second.margin, float(criterion.max_similarity),
        DIM_A=first.features.padded_dim, DIM_B=second.features.padded_dim if both else 0, CHECK=check_of(first), SIGNED=criterion.signed,
        **TILE, **on_gpu,
    )  # fmt: skip
    return int(room.count)
