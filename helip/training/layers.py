"""Which parameter lies how deep in which tower, and what follows: what is frozen, and each parameter's learning rate."""

import re
from dataclasses import dataclass

from torch import nn

from helip.config import Refinement, TrainConfig
from helip.errors import HelipError

BLOCK = re.compile(r"(?:^|\.)(?:resblocks|blocks|layers|layer|stages|stage)\.?(\d+)\.")
STEM = re.compile(r"(?:^|\.)(?:conv\d|bn\d)(?:\.|$)")  # of a stem where it comes before the blocks: an EfficientNet's bn2 comes after them
BEFORE = re.compile(
    r"(?:^|\.)(?:stem|patch_embed|class_embedding|cls_token|reg_token|pos_embed|positional_embedding|token_embedding|embeddings"
    r"|ln_pre|norm_pre|conv_stem)(?:\.|$)"
)
UNFROZEN = ("image_blocks.", "text_blocks.")  # of a model on frozen trunks
HEADS = ("image_head.", "text_head.")  # of such a model too; they come after its unfrozen blocks
TOWERS = {
    "image": ("visual.", "image_head.", "image_blocks."),
    "text": ("text.", "text_head.", "text_blocks.", "transformer.", "token_embedding.", "ln_final."),
}
TEXT_ALONE = ("positional_embedding", "text_projection")  # parameters of CLIP itself


@dataclass(frozen=True)
class Place:
    """A parameter's tower (None: the logit scale and what else belongs to none), and its depth: 0 before the first block, blocks + 1 after
    the last. A head's layers with weights are blocks."""

    tower: str | None
    depth: int
    blocks: int


def places(model: nn.Module) -> dict[str, Place]:
    """Returns the place of each parameter of a model in open_clip's layout, or of one on frozen trunks, by its name."""
    towers = {name: _tower(name) for name, _ in model.named_parameters()}
    result: dict[str, Place] = {}
    for tower in (None, *TOWERS):
        members = [name for name, of in towers.items() if of == tower]
        depths = _depths(members)
        blocks = max((depths[name] for name in members if BLOCK.search(name)), default=0)
        result |= {name: Place(tower, depths.get(name, blocks + 1), blocks) for name in members}
    return result


def _depths(members: list[str]) -> dict[str, int]:
    """The depths of a tower's parameters, in the order that the tower has them, but of those after its last block.

    Blocks are counted, whatever their numbers: a ResNet's layers begin at 1, and a head's are 0 and 3. What follows the last unfrozen
    block of a trunk goes with it, since a head comes after.
    """
    numbers = {name: (name.startswith(HEADS), int(match[1])) for name in members if (match := BLOCK.search(name))}
    rank = {number: n for n, number in enumerate(sorted(set(numbers.values())), 1)}
    depths = {name: rank[number] for name, number in numbers.items()}
    for i, name in enumerate(members):
        stem = STEM.search(name) and not any(earlier in numbers for earlier in members[:i])
        if name not in numbers and (stem or BEFORE.search(name)) and "attnpool" not in name and "attn_pool" not in name:
            depths[name] = 0
        elif name not in numbers and name.startswith(UNFROZEN):
            depths[name] = sum(not head for head, _ in rank)
    return depths


def _tower(name: str) -> str | None:
    if name in TEXT_ALONE or name.startswith("text_projection."):
        return "text"
    return next((tower for tower, starts in TOWERS.items() if name.startswith(starts)), None)


def freeze(model: nn.Module, recipe: TrainConfig) -> None:
    """Freezes the first blocks of the towers, or all of one, as a refinement says, and what lies before those blocks with them.

    HelipError where a share is less than a block, and where nothing of both towers is left to train.
    """
    if not isinstance(recipe, Refinement):
        return
    shares, parameters = {"image": recipe.freeze_image, "text": recipe.freeze_text}, dict(model.named_parameters())
    for tower, share in shares.items():
        members = {name: place for name, place in places(model).items() if place.tower == tower}
        blocks = max((place.blocks for place in members.values()), default=0)
        frozen = blocks + 1 if share == 1 else round(share * blocks)
        if share and not frozen:
            raise HelipError(
                f"freeze_{tower} {share:g}: is no block of the {tower} tower's {blocks}; raise it, or give 1 for the whole tower"
            )
        for name, place in members.items():
            if share and place.depth <= frozen:
                parameters[name].requires_grad_(False)
    if any(shares.values()) and not any(parameters[name].requires_grad for name, place in places(model).items() if place.tower):
        which = " and ".join(f"freeze_{tower} {share:g}" for tower, share in shares.items() if share)
        raise HelipError(f"{which}: nothing of the towers is left to train; lower one")


def still(model: nn.Module) -> None:
    """Puts modules in evaluation mode whose parameters are all frozen: their batch statistics and dropout stand still too."""
    for module in model.modules():
        own = list(module.parameters())
        if own and not any(p.requires_grad for p in own):
            module.eval()


def rates(model: nn.Module, recipe: TrainConfig) -> dict[int, float]:
    """Returns the factor of the learning rate of each parameter, by id(parameter), where it is not 1.

    HelipError for a trunk_rate where no block of a trunk is unfrozen.
    """
    by_name = dict(model.named_parameters())
    factors = {name: recipe.trunk_rate for name in by_name if name.startswith(UNFROZEN)}
    if recipe.trunk_rate != 1 and not factors:
        raise HelipError(f"trunk_rate {recipe.trunk_rate:g}: the model has no unfrozen blocks of a trunk; leave it out")
    if isinstance(recipe, Refinement) and not recipe.image_rate == recipe.text_rate == recipe.layer_decay == 1:
        of_tower = {"image": recipe.image_rate, "text": recipe.text_rate, None: 1.0}
        for name, place in places(model).items():
            decayed = recipe.layer_decay ** (place.blocks + 1 - place.depth) if place.tower else 1.0
            factors[name] = factors.get(name, 1.0) * of_tower[place.tower] * decayed
    return {id(by_name[name]): factor for name, factor in factors.items() if factor != 1}
