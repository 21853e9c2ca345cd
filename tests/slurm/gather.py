"""Two processes on two nodes add their ranks with gloo: proof that they met."""

import sys
from pathlib import Path

import torch
import torch.distributed

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
total = torch.tensor([rank + 1])
torch.distributed.all_reduce(total)
if rank == 0:
    Path(sys.argv[1]).write_text(f"{total.item()} of {torch.distributed.get_world_size()}\n")
torch.distributed.destroy_process_group()
