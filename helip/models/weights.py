"""Weights as open_clip, its trainer and its users keep them in a file, and how they are put into a model."""

import argparse
import errno
import logging
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from helip.errors import HelipError
from helip.models.layout import SCALARS

Weights = dict[str, Tensor]
ALLOWED: list[Any] = [argparse.Namespace]  # a training's command line; nothing but tensors, plain values and this is opened
AVERAGES = ("state_dict_ema", "ema_state_dict", "model_ema", "ema")  # of the weights, which is what a training means to be used
PLACES = ("state_dict", "model_state_dict", "model")
WRAPPERS = ("module.", "_orig_mod.", "model.")  # of data-parallel training, of torch.compile, of Lightning
IMAGE_POSITIONS = "visual.positional_embedding"
UNUSED = "text_decoder."  # of a captioning model: it takes no part here, and open_clip leaves some of it unset
LARGEST_SCALE = 80  # of logit_scale, a logarithm: beyond, float32 has no room for its exponential
TEXT_POSITIONS = ("positional_embedding", "text.positional_embedding")
log = logging.getLogger(__name__)


def read(file: Path) -> Weights:
    """Returns the weights of a .safetensors file, or of a PyTorch checkpoint: a plain state, or open_clip's training checkpoint.

    An average of the weights (EMA) is taken where the checkpoint has one, and a line says so. Prefixes that wrappers put before every
    name are taken away. Raises HelipError where the file is missing or broken, or holds anything that could run code.
    """
    if file.suffix == ".safetensors":
        try:
            return _unwrapped(load_file(file))
        except (OSError, SafetensorError) as error:
            raise HelipError(f"{file}: its weights do not load ({error}); the file is missing or broken, get it again") from None
    saved = load_pickle(file, "get the file again, or have it saved as .safetensors")
    place = next((name for name in (*AVERAGES, *PLACES) if isinstance(saved, dict) and isinstance(saved.get(name), dict)), None)
    if place in AVERAGES:
        log.warning("%s: the averaged weights (%s) are taken", file, place)
    weights = saved[place] if place else saved
    if not isinstance(weights, dict) or not weights or not all(isinstance(w, Tensor) for w in weights.values()):
        raise HelipError(f"{file}: holds no weights, neither by themselves nor under {', '.join((*AVERAGES, *PLACES))}")
    return _unwrapped(weights)


def load_pickle(file: Path, remedy: str) -> Any:
    """Returns what torch.save wrote, opened without running anything that may be in it. Raises HelipError, ending in the remedy."""
    try:
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        if error.errno == errno.EINVAL:  # torch looks for a zip's end before its beginning
            raise HelipError(f"{file}: is cut short, no whole PyTorch checkpoint; {remedy}") from None
        raise HelipError(f"{file}: cannot be read ({error.strerror or error}); correct the path") from None
    except Exception as error:  # a damaged file fails in many ways
        refused = isinstance(error, UnpicklingError) and re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
        if "TorchScript" in str(error):
            why = "is a TorchScript archive, which holds code; OpenAI's weights are had without it as NAME@openai"
            raise HelipError(f"{file}: {why}") from None
        if refused:
            why = f"refused, it holds {refused.group(1)}, which could run code on opening"
        else:
            why = "is no whole PyTorch checkpoint of tensors and plain values alone"
        raise HelipError(f"{file}: {why}; {remedy}") from None


def _unwrapped(weights: dict[Any, Tensor]) -> Weights:
    """Without the prefixes that all names have, and without the counter of torch's AveragedModel."""
    state = {str(name): w for name, w in weights.items() if name != "n_averaged"}
    while (prefix := next((p for p in WRAPPERS if state and all(name.startswith(p) for name in state)), None)) is not None:
        state = {name.removeprefix(prefix): w for name, w in state.items()}
    return state


def fit(model: nn.Module, weights: Weights, where: str) -> None:
    """Puts weights into a model; `where` names them in messages.

    Names of older layouts are brought up to date and position embeddings resized, both as open_clip does; a line says what was resized.
    Raises HelipError, which names the tensor and both shapes, where the weights are of another model.
    """
    state = convert_state_dict(model, dict(weights))
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    own = {name: w.shape for name, w in model.state_dict().items()}
    _as_scalars(own, state)
    if "logit_bias" in own and "logit_bias" not in state and "logit_scale" in state:
        state["logit_bias"] = torch.zeros(own["logit_bias"])
        log.warning("%s: has no logit_bias, as weights of a softmax have none; it begins at 0", where)
    positions = "text.transformer.embeddings.position_ids"
    if positions not in own:
        state.pop(positions, None)  # transformers before 4.31 saved what is counted anew
    _refuse_scale(state, where)
    _refuse_broken(state, where)
    _resize(model, state, own, where)
    _refuse_unlike(own, state, where)
    model.load_state_dict(state)


def _as_scalars(own: dict[str, torch.Size], state: Weights) -> None:
    for name in SCALARS:
        if name in state and name in own and state[name].numel() == 1:
            state[name] = state[name].reshape(own[name])


def _refuse_scale(state: Weights, where: str) -> None:
    scale = state.get("logit_scale")
    if scale is not None and scale.numel() == 1 and not abs(float(scale)) < LARGEST_SCALE:
        raise HelipError(f"{where}: logit_scale is {float(scale):g}, and its exponential no multiplier; get the weights again")


def _refuse_broken(state: Weights, where: str) -> None:
    for name, w in state.items():
        if not name.startswith(UNUSED) and w.is_floating_point() and w.element_size() > 1 and not bool(w.isfinite().all()):
            raise HelipError(f"{where}: {name} holds NaN or infinity; its training diverged, or the file is damaged: get the weights again")


def _resize(model: nn.Module, state: Weights, own: dict[str, torch.Size], where: str) -> None:
    """Position embeddings of another image size or context length, where all but their number agrees."""
    before = {name: tuple(state[name].shape) for name in (IMAGE_POSITIONS, *TEXT_POSITIONS) if name in state}
    other = {name for name, shape in before.items() if name in own and shape != own[name] and shape[-1] == own[name][-1]}
    if IMAGE_POSITIONS in other and hasattr(model.visual, "grid_size"):
        resize_pos_embed(state, model)
    if other & {*TEXT_POSITIONS}:
        resize_text_pos_embed(state, model)
    for name in sorted(other):
        if state[name].shape == own[name]:
            log.warning("%s: %s resized from %s to %s positions, as open_clip does", where, name, before[name][0], own[name][0])


def _refuse_unlike(own: dict[str, torch.Size], state: Weights, where: str) -> None:
    file = {name: w.shape for name, w in state.items()}
    unlike = [name for name in {**own, **file} if own.get(name) != file.get(name)]
    if unlike:
        first = f"{unlike[0]} is {shape_text(file.get(unlike[0]))} in the file and {shape_text(own.get(unlike[0]))} in the model"
        more = f", and {len(unlike) - 1} more differ" if len(unlike) > 1 else ""
        raise HelipError(f"{where}: its weights do not load ({first}{more}); the file is of another model, or the config of another size")


def shape_text(shape: torch.Size | None) -> str:
    """Returns a tensor's shape as messages name it; None is a tensor that is not there."""
    return "absent" if shape is None else "x".join(map(str, shape)) or "a number"
