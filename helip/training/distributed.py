"""One process or many under torchrun: every process computes the loss of the whole gathered batch."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from helip.errors import HelipError

CPU = torch.device("cpu")


@dataclass(frozen=True)
class DistributedContext:
    """The context is this process among those that train together."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    local_size: int = 1  # processes on this machine
    control: dist.ProcessGroup | None = None  # gloo: small messages that must not wait for the GPU

    @property
    def leads(self) -> bool:
        """This says whether the process is the first one, which writes files and messages."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Returns the module with its gradients averaged over the processes; a single process gets the module itself."""
        if self.size == 1:
            return module
        # Buffers are alike in all processes or, batch statistics on a CPU, each one's own; sending DeCLIP's queue each step would be dear.
        if self.device.type == "cuda":
            from timm.layers import convert_sync_batchnorm

            synchronised = convert_sync_batchnorm(module)  # timm's: torch's would drop the activation in timm's own normalisations
            return DistributedDataParallel(synchronised, device_ids=[self.device.index], broadcast_buffers=False)
        return DistributedDataParallel(module, broadcast_buffers=False)

    def gather(self, rows: Tensor) -> Tensor:
        """Returns the rows of all processes, in rank order; gradients flow to this process's rows: see `_Gather`."""
        return rows if self.size == 1 else _Gather.apply(rows, self)

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set in any process; all get the same answer."""
        if self.size == 1:
            return flag
        seen = torch.tensor([int(flag)])
        dist.all_reduce(seen, dist.ReduceOp.MAX, group=self.control)
        return bool(seen.item())

    def agreed(self, value: float) -> float:
        """Returns the first process's value, in all of them."""
        if self.size == 1:
            return value
        message = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(message, 0, group=self.control)
        return message.item()

    def barrier(self) -> None:
        """Waits until all processes are here."""
        if self.size > 1:
            dist.barrier(group=self.control)


class _Gather(torch.autograd.Function):
    """All rows; backwards, this process's rows times the number of processes.

    Every process computes the same loss L of the whole batch, so dL/d(own rows) needs no communication; the factor undoes the mean
    that DistributedDataParallel takes over processes, which is right for what all of them share (logit scale, heads) and would
    divide what each alone contributes.
    """

    @staticmethod
    def forward(ctx, rows: Tensor, world: DistributedContext) -> Tensor:
        ctx.world, ctx.count = world, len(rows)
        everyone = [torch.empty_like(rows) for _ in range(world.size)]
        dist.all_gather(everyone, rows.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        first = ctx.world.rank * ctx.count
        return ctx.world.size * grad[first : first + ctx.count], None


def join(device: str | None = None) -> DistributedContext:
    """Returns the context that torchrun describes in the environment, or that of a single process.

    `device` is `cuda` or `cpu`; None takes a GPU where there is one.
    """
    size, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    here = torch.device(kind, local) if kind == "cuda" else torch.device(kind)
    if here.type == "cuda":
        torch.cuda.set_device(here)
        torch.backends.cudnn.benchmark = True
    if size == 1:
        return DistributedContext(device=here)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if here.type == "cuda" else "gloo", timeout=timedelta(minutes=30))
    control = dist.new_group(backend="gloo", timeout=timedelta(hours=2))
    return DistributedContext(dist.get_rank(), size, here, int(os.environ.get("LOCAL_WORLD_SIZE", size)), control)


def leave() -> None:
    """Ends the process group, where one was joined."""
    if dist.is_initialized():
        dist.destroy_process_group()


def check_divides(batch_size: int, world_size: int, accumulate: int) -> None:
    """Raises HelipError unless each process and each of its micro-batches gets the same number of rows."""
    if batch_size % (world_size * accumulate):
        raise HelipError(
            f"batch_size {batch_size} does not divide into {world_size} processes x {accumulate} micro-batches: "
            f"use a multiple of {world_size * accumulate}, or another number of processes"
        )
