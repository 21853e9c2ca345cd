"""What self-supervised objectives take out of open_clip's towers and the heads that they put on top.

The towers give image features before the projection and text features with hidden words; this part is tied to open_clip 3.3. Heads
are dropped on export. Their batch normalisation sees the whole batch, as synchronised ones do.
"""

from itertools import pairwise

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer, text_global_pool
from torch import Tensor, nn

from helip.errors import HelipError
from helip.models.frozen import FrozenClip, Head
from helip.models.loading import ClipNetwork


def image_tower(model: ClipNetwork) -> nn.Module:
    """Returns what gives image features: open_clip's tower, or over a frozen trunk the image head.

    HelipError is raised where the last blocks of a trunk are trained.
    """
    if isinstance(model, FrozenClip) and model.image_blocks is not None:
        raise HelipError("objective slip stands on the head of a frozen trunk: leave out unfrozen_blocks")
    tower: nn.Module = model.image_head if isinstance(model, FrozenClip) else model.visual
    return tower


def backbone_width(visual: nn.Module) -> int:
    """Returns the width W of `backbone_features`; HelipError is raised for a tower that is not open_clip's ViT, ResNet or timm tower."""
    match visual:
        case Head():
            return visual.width
        case TimmModel():
            return visual.trunk.num_features
        case VisionTransformer():
            return visual.ln_post.normalized_shape[0]
        case ModifiedResNet():
            return visual.attnpool.c_proj.in_features
        case _:
            raise HelipError(f"objective slip cannot look inside a {type(visual).__name__}: use open_clip's ViT, ResNet or timm tower")


def backbone_features(visual: nn.Module, images_BCHW: Tensor) -> Tensor:
    """Returns what the image tower says before its projection into the shared space, [B, W]; a ResNet's is the mean over its last map, a
    head's its hidden layer.

    TypeError is raised for a tower of another kind.
    """
    match visual:
        case Head():
            return visual.hidden(images_BCHW)
        case TimmModel():
            return visual.trunk(images_BCHW)
        case VisionTransformer():
            return visual._pool(visual.transformer(visual._embeds(images_BCHW)))[0]
        case ModifiedResNet():
            stages = (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4)
            for stage in stages:
                images_BCHW = stage(images_BCHW)
            return images_BCHW.mean((2, 3))
        case _:
            raise TypeError(f"no backbone features of a {type(visual).__name__}")


def text_widths(model: ClipNetwork) -> tuple[int, int, int]:
    """Returns (transformer width, embedding width, vocabulary) of a model whose text tower is CLIP's transformer.

    HelipError is raised where it is another.
    """
    projection = getattr(model, "text_projection", None)
    if projection is None or getattr(model, "text_pool_type", None) != "argmax":
        raise HelipError("objective declip needs CLIP's own text transformer, pooled at the end token; this model's text tower is another")
    embedding = projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1]
    return model.ln_final.normalized_shape[0], embedding, model.vocab_size


def encode_hidden_text(model: ClipNetwork, tokens_BL: Tensor, hidden_BL: Tensor, mask_W: Tensor) -> tuple[Tensor, Tensor]:
    """Returns text features [B, D], not normalised, and word features [B, L, W], with `mask_W` in the place of hidden words.

    L may be less than the model's context: what a causal tower sees before the end token is the same.
    """
    dtype, length = model.transformer.get_cast_dtype(), tokens_BL.shape[1]
    x_BLW = torch.where(hidden_BL[:, :, None], mask_W, model.token_embedding(tokens_BL))
    x_BLW = x_BLW.to(dtype) + model.positional_embedding[:length].to(dtype)
    causal_LL = None if model.attn_mask is None else model.attn_mask[:length, :length]
    x_BLW = model.ln_final(model.transformer(x_BLW, attn_mask=causal_LL))
    pooled_BW = text_global_pool(x_BLW, tokens_BL, model.text_pool_type)
    project = model.text_projection
    return project(pooled_BW) if isinstance(project, nn.Linear) else pooled_BW @ project, x_BLW


def mlp(*widths: int, normalised_output: bool = False) -> nn.Sequential:
    """Returns linear layers of the given widths with batch normalisation and ReLU between them, and perhaps normalisation at the end.

    A linear layer before a normalisation has no bias: it would be subtracted again.
    """
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following, bias=False), nn.BatchNorm1d(following), nn.ReLU(inplace=True)]
    if normalised_output:
        return nn.Sequential(*layers[:-1])
    return nn.Sequential(*layers[:-3], nn.Linear(widths[-2], widths[-1]))
