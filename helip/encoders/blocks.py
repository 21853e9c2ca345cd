"""A trunk cut in two before its last blocks: what stays frozen, whose output is cached, and the blocks that are trained on it.

A row is the input of the last blocks, flattened: of an image C x H x W numbers, of a caption its token states [L, D], zero where there is
no token. Both halves are the network itself with the other half taken out, so that nothing of it is written anew. Convolutional
EfficientNets of timm and sentence-transformers like BERT can be cut.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from helip.config import Encoder as EncoderConfig
from helip.config import SentenceEncoder, TimmEncoder
from helip.encoders import sentence_encoder, timm_encoder
from helip.encoders.encoder import Encoder, feature_width, frozen, gpu_dtype, in_words, inference
from helip.errors import HelipError
from helip.models.digests import weights_digest

PIECES = 4  # that a batch of captions is cut into by their lengths: less padding


def front(declaration: EncoderConfig, blocks: int, context_length: int, device: str = "cpu", pretrained: bool = True) -> Encoder:
    """Returns a trunk up to its last `blocks` blocks as an encoder; captions are cut to `context_length` tokens. `weights` is the digest of
    the whole trunk. HelipError where it cannot be had, or cannot be cut there.
    """
    match declaration:
        case TimmEncoder():
            return _image_front(declaration, blocks, device, pretrained)
        case SentenceEncoder():
            return _text_front(declaration, blocks, context_length, device)
    raise _uncuttable(declaration)


def last_blocks(declaration: EncoderConfig, blocks: int, pretrained: bool = True) -> "LastImageBlocks | LastTextBlocks":
    """Returns the last `blocks` blocks of a trunk and what follows them, with their published weights; HelipError as for `front`."""
    match declaration:
        case TimmEncoder():
            return LastImageBlocks(_efficientnet(declaration, blocks, pretrained), blocks)
        case SentenceEncoder():
            return LastTextBlocks(_sentence_model(declaration, blocks, "cpu"), blocks)
    raise _uncuttable(declaration)


class LastImageBlocks(nn.Module):
    """These are the last stages of an EfficientNet, its last convolution and pooling. They stay in evaluation mode: batch normalisation
    uses the statistics of the published weights, and nothing is dropped."""

    def __init__(self, network: Any, blocks: int):
        super().__init__()
        network.conv_stem, network.bn1, network.blocks = nn.Identity(), nn.Identity(), network.blocks[-blocks:]
        self.network, self.width = network, int(network.num_features)
        self._channels = next(m for m in network.blocks.modules() if isinstance(m, nn.Conv2d)).in_channels
        self.eval()

    def train(self, mode: bool = True) -> "LastImageBlocks":
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, rows_BD: Tensor) -> Tensor:
        """Takes rows [B, C x H x W] and returns features [B, width]."""
        side = math.isqrt(rows_BD.shape[1] // self._channels)
        features: Tensor = self.network(rows_BD.unflatten(1, (self._channels, side, side)))
        return features


class LastTextBlocks(nn.Module):
    """These are the last layers of a BERT and the pooling of its sentence-transformer. They stay in evaluation mode and drop nothing."""

    def __init__(self, model: Any, blocks: int):
        super().__init__()
        self.network = model[0].auto_model
        self.network.embeddings, self.network.encoder.layer = _Given(), self.network.encoder.layer[-blocks:]
        self.network.pooler = None  # which no sentence-transformer looks at
        self._after, self.width = nn.ModuleList(list(model)[1:]), int(model.get_embedding_dimension())
        self._states = int(self.network.config.hidden_size)
        self.eval()

    def train(self, mode: bool = True) -> "LastTextBlocks":
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, rows_BD: Tensor) -> Tensor:
        """Takes rows [B, L x D] and returns features [B, width]. Captions of like length are computed together."""
        states_BLD = rows_BD.unflatten(1, (-1, self._states))
        mask_BL = states_BLD.ne(0).any(2)
        order_B = mask_BL.sum(1).argsort(stable=True)
        pieces = [self._pooled(states_BLD[some], mask_BL[some]) for some in order_B.chunk(PIECES)]
        return torch.cat(pieces)[order_B.argsort()]

    def _pooled(self, states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        longest = int(mask_BL.sum(1).max())
        states_BLD, mask_BL = states_BLD[:, :longest], mask_BL[:, :longest].long()
        features = {"attention_mask": mask_BL, "token_embeddings": self.network(inputs_embeds=states_BLD, attention_mask=mask_BL)[0]}
        for module in self._after:
            features = module(features)
        return features["sentence_embedding"]


class _Given(nn.Module):
    """In the place of a network's embeddings: the states that it was given."""

    def forward(self, inputs_embeds: Tensor, **more: Any) -> Tensor:
        return inputs_embeds


def _image_front(declaration: TimmEncoder, blocks: int, device: str, pretrained: bool) -> Encoder:
    network = frozen(_efficientnet(declaration, blocks, pretrained), device)
    weights, transform = weights_digest(network), timm_encoder.transform_of(network, declaration)
    network.conv_head, network.bn2, network.blocks = nn.Identity(), nn.Identity(), network.blocks[:-blocks]
    embed = inference(lambda images: network.forward_features(images).flatten(1), device, declaration.precision)
    words = f"{in_words(transform)}, up to the last {blocks} blocks"
    return Encoder("image", feature_width(embed, transform), weights, words, embed, transform)


def _text_front(declaration: SentenceEncoder, blocks: int, context_length: int, device: str) -> Encoder:
    model = _sentence_model(declaration, blocks, device)
    weights, network = weights_digest(model), model[0].auto_model
    network.encoder.layer, model.max_seq_length = network.encoder.layer[:-blocks], context_length
    dtype = gpu_dtype(device, declaration.precision)

    @torch.inference_mode()
    def embed(captions: list[str]) -> Tensor:
        inputs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in model.preprocess(captions).items()}
        with torch.autocast("cuda", dtype, enabled=dtype is not None):
            states_BLD = model[0](inputs)["token_embeddings"].float()
        states_BLD = states_BLD * inputs["attention_mask"][:, :, None]
        return pad(states_BLD, (0, 0, 0, context_length - states_BLD.shape[1])).flatten(1).cpu()

    width = context_length * network.config.hidden_size
    words = f"the model's own tokenizer, at most {context_length} tokens, up to the last {blocks} blocks"
    return Encoder("text", width, weights, words, embed)


def _efficientnet(declaration: TimmEncoder, blocks: int, pretrained: bool) -> Any:
    network: Any = timm_encoder.network(declaration, pretrained)
    if not all(hasattr(network, name) for name in ("conv_stem", "bn1", "blocks", "conv_head", "bn2")):
        raise _uncuttable(declaration)
    _check(len(network.blocks), blocks, declaration)
    return network


def _sentence_model(declaration: SentenceEncoder, blocks: int, device: str) -> Any:
    model: Any = sentence_encoder.network(declaration, device)
    network: Any = getattr(model[0], "auto_model", None)
    if not hasattr(network, "embeddings") or not hasattr(getattr(network, "encoder", None), "layer"):
        raise _uncuttable(declaration)
    _check(len(network.encoder.layer), blocks, declaration)
    return model


def _check(there: int, blocks: int, declaration: EncoderConfig) -> None:
    if blocks >= there:
        raise HelipError(f"unfrozen_blocks {blocks}: {_name(declaration)} has {there} blocks, and the first at least stays frozen")


def _uncuttable(declaration: EncoderConfig) -> HelipError:
    able = "an EfficientNet of timm or a sentence-transformer like BERT"
    return HelipError(f"unfrozen_blocks: {_name(declaration)} cannot be cut before its last blocks; take {able}, or leave it out")


def _name(declaration: EncoderConfig) -> str:
    return f"{declaration.library} '{getattr(declaration, 'model', '')}'"
