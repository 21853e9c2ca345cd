"""HELIP: hard pair refinement of CLIP models (arXiv 2305.05208). What a training loop of your own needs, by its short name."""

from typing import Any

from helip.lazy import lazy_names

_HOME = {
    "mine": "helip.mining",
    "select": "helip.selection.arrays",
    "PairSet": "helip.mining",
    "MiningSpec": "helip.config",
    "Sampler": "helip.training.sampler",
    "HardPairSampler": "helip.training.batch_sampler",
    "HelipLoss": "helip.losses.module",
    "clip_loss": "helip.losses",
    "hard_negative_margin_loss": "helip.losses",
    "helip_loss": "helip.losses",
}
__all__ = [*_HOME, "__version__"]
_lazy = lazy_names(__name__, _HOME)  # `import helip.study`, as every Snakemake job does it, must not import torch


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("helip")
    return _lazy(name)


def __dir__() -> list[str]:
    return sorted(__all__)
