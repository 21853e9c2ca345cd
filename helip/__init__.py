"""HELIP: hard pair refinement of CLIP models (arXiv 2305.05208). What a training loop of your own needs, by its short name."""

import importlib

_HOME = {
    "mine": "helip.mining",
    "PairSet": "helip.mining",
    "MiningSpec": "helip.config",
    "Sampler": "helip.training.sampler",
    "clip_loss": "helip.losses",
    "hard_negative_margin_loss": "helip.losses",
    "helip_loss": "helip.losses",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    """Loaded when first used: `import helip.study`, as every Snakemake job does it, must not import torch."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'helip' has no attribute '{name}'")
