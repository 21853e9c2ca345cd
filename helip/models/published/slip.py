"""CLIP and SLIP as facebookresearch/SLIP saves them: a timm ViT beside OpenAI's text transformer with QuickGELU."""

from torch import Tensor

from helip.errors import HelipError
from helip.models.published.layout import IMAGENET_PREPROCESSING, Published, text_config

TOWERS = {768: "vit_base_patch16_224", 1024: "vit_large_patch16_224"}  # by width; SLIP's ViT-S (384) has 12 heads and timm's 6
MARK = "visual.patch_embed.proj.weight"


def is_slip(weights: dict[str, Tensor]) -> bool:
    """Returns whether the weights' names are those of a checkpoint of facebookresearch/SLIP."""
    return MARK in weights and "image_projection" in weights


def published_slip(weights: dict[str, Tensor], where: str) -> Published:
    """Returns a SLIP in open_clip's terms, without SimCLR's head, its image tower renamed."""
    width = len(weights[MARK])
    if width not in TOWERS:
        known = " or ".join(map(str, TOWERS))
        raise HelipError(f"{where}: its image tower is {width} wide; those that timm has too, and can be imported, are {known} wide")
    renamed = {_renamed(name): w for name, w in weights.items() if not name.startswith("image_mlp.")}
    renamed["visual.head.proj.weight"] = renamed.pop("image_projection").T
    config = {
        "embed_dim": len(renamed["visual.head.proj.weight"]),
        "quick_gelu": True,  # of the text tower: timm's keep their exact GELU
        "vision_cfg": {"image_size": 224, "timm_model_name": TOWERS[width], "timm_pool": "token", "timm_proj": "linear"},
        "text_cfg": text_config(renamed),
    }
    return Published("SLIP", config, IMAGENET_PREPROCESSING, renamed)


def _renamed(name: str) -> str:
    return f"visual.trunk.{name.removeprefix('visual.')}" if name.startswith("visual.") else name
