"""The arms of a refinement on somebody's own pairs, and the settings that suit a start and a number of pairs."""

from typing import Any

from helip.errors import HelipError, nearest
from helip.own.start import StartFacts

# arm -> (what it is, its run)
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "control": ("continued training", {"refine": {"arm": "control"}}),
    "selected": ("selection", {"refine": {"arm": "control"}, "select": {}}),
    "helip": ("hard pairs", {"refine": {"arm": "helip"}}),
    "cleaned": ("leaving out pairs without hard pairs", {"refine": {"arm": "cleaned"}}),
    "selected_helip": ("selection with hard pairs", {"refine": {"arm": "helip"}, "select": {}}),
}
BATCHES = 16  # of an epoch, at least
EXACT = 200_000  # pairs up to which all are compared with all when hard pairs are mined


def check_arms(arms: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the arms in their usual order, with the control that all are compared with. Raises HelipError for an unknown one."""
    for arm in arms:
        if arm not in ARMS:
            raise HelipError(f"--arms {arm}: there is no such arm{nearest(arm, ARMS)}; they are {', '.join(ARMS)}")
    return tuple(arm for arm in ARMS if arm in arms or arm == "control")


def suited(start: StartFacts, pairs: int, device: str, freeze: bool = False) -> dict[str, Any]:
    """Returns the settings of a refinement that suit a start and a number of training pairs, where nobody said otherwise.

    A model of 50 million parameters and more was pre-trained at scale and takes a small learning rate; heads on frozen trunks take a
    larger one and more epochs, since a step costs little. The batch is 256 pairs, or as many as leave 16 batches an epoch.
    """
    batch, only_heads = 256, start.is_frozen or freeze
    while batch > 16 and batch * BATCHES > pairs:
        batch //= 2
    if only_heads:
        rate, epochs, weight_decay = 3e-4, 8.0, 0.2
    elif start.is_large:
        rate, epochs, weight_decay = 1e-5, 3.0, 0.1
    else:
        rate, epochs, weight_decay = 1e-4, 3.0, 0.1
    values: dict[str, Any] = {
        "batch_size": batch, "learning_rate": rate, "epochs": epochs, "weight_decay": weight_decay, "clip_norm": 1.0, "save_every": 200,
    }  # fmt: skip
    if only_heads:
        values["augmentation"] = {"crop_scale": [1.0, 1.0], "flip": 0.5}
    if device != "cpu" and not only_heads:
        values["precision"] = _precision()
    return values


def warmup_of(steps: int) -> int:
    """Returns the steps of warm-up that suit a training of so many: 5 %, at least one, and fewer than all."""
    return min(max(1, round(0.05 * steps)), steps - 1)


def _precision() -> str:
    """fp16 where the GPU is another machine's: all of them have it."""
    import torch

    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def mining_of(pairs: int) -> dict[str, Any]:
    """Returns the mining of hard pairs in centred features, where a cosine above 0 is above the corpus' mean."""
    usual = {"k": max(5, min(50, pairs // 20)), "tau_image": 0.0, "tau_text": 0.0, "max_similarity": 0.95}
    return {"method": "hpm", **usual} if pairs <= EXACT else {"method": "fast_hpm", "pool": EXACT // 2, **usual}
