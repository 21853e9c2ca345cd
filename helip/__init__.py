"""HELIP: hard pair refinement of CLIP models (arXiv 2305.05208). What a training loop of your own needs, by its short name."""

from helip.lazy import lazy_names

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
__getattr__ = lazy_names(__name__, _HOME)  # `import helip.study`, as every Snakemake job does it, must not import torch
