"""python gather.py NAME: two processes on two nodes add their ranks with gloo; the first time they wait to be warned, save, and leave.

NAME.out says what they added each time: proof that they met, that the warning reached both, and that they met again.
"""

import signal
import sys
import time
from pathlib import Path

told = []
signal.signal(signal.SIGUSR2, lambda *_: told.append(1))

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402


def together(value: int, how: dist.ReduceOp) -> int:
    number = torch.tensor([value])
    dist.all_reduce(number, how)
    return int(number.item())


dist.init_process_group("gloo")
rank, state = dist.get_rank(), Path(f"{sys.argv[1]}.state")
sum_of_ranks = f"{together(rank + 1, dist.ReduceOp.SUM)} of {dist.get_world_size()}\n"
again = together(int(state.exists()), dist.ReduceOp.MAX)
while not again and not together(len(told), dist.ReduceOp.MIN):
    time.sleep(0.1)
if rank == 0:
    if again:
        Path(f"{sys.argv[1]}.out").write_text(state.read_text() + sum_of_ranks)
    else:
        state.write_text(f"warned: {sum_of_ranks}")
dist.barrier()
dist.destroy_process_group()
sys.exit(0 if again else 75)
