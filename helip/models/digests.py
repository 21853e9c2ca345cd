"""What a network's weights are, in one word."""

import hashlib

import torch


def weights_digest(module: torch.nn.Module) -> str:
    """Returns the sha256 over the names, types and bytes of a module's parameters and buffers."""
    seen = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        seen.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        seen.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return seen.hexdigest()
