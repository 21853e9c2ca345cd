"""Towers of a few thousand weights, and every objective with small heads."""

import open_clip
import torch

from helip.config import (
    ClipObjective,
    CloobObjective,
    CyclipObjective,
    DeclipObjective,
    HnNceObjective,
    Refinement,
    SlipObjective,
)

TEXT = {"context_length": 12, "vocab_size": 50, "width": 32, "heads": 2, "layers": 2}
TOWERS = {
    "vit": {"layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32},
    "resnet": {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64},
    "timm": {"timm_model_name": "resnet10t", "timm_pool": "avg", "timm_proj": "linear", "image_size": 64},
}
OBJECTIVES = {
    o.name: o
    for o in (
        ClipObjective(),
        SlipObjective(head=(24, 16)),
        DeclipObjective(queue=10, head=(24, 12)),
        CyclipObjective(),
        CloobObjective(),
        HnNceObjective(),
    )
}


def tiny(tower: str = "vit", seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return open_clip.CLIP(embed_dim=16, vision_cfg=TOWERS[tower], text_cfg=TEXT)


def captions(count: int, seed: int = 0) -> torch.Tensor:
    """Start 48, 2 to 9 words, end 49, zeros."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.zeros(count, TEXT["context_length"], dtype=torch.int64)
    for row in rows:
        words = int(torch.randint(2, 10, (), generator=generator))
        row[0], row[words + 1] = 48, 49
        row[1 : words + 1] = torch.randint(1, 48, (words,), generator=generator)
    return rows


def batch_of(objective, count: int, size: int = 32, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    images = [torch.randn(count, 3, size, size, generator=generator) for _ in objective.augmentations]
    return {"images": images, "tokens": captions(count, seed), "sample_seeds": torch.arange(count) * 7919 + seed}


def refinement(name: str, **settings) -> Refinement:
    return Refinement(objective=OBJECTIVES[name], steps=1, batch_size=6, learning_rate=1e-3, **settings)
