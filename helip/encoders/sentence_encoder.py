"""Text encoders through sentence-transformers; a plain transformers model (bert-base-uncased, t5-base) is mean-pooled by it."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import torch

from helip.config import SentenceEncoder
from helip.encoders.encoder import Encoder, gpu_dtype
from helip.errors import HelipError
from helip.models.digests import weights_digest
from helip.models.network import reason


def load(declaration: SentenceEncoder, device: str) -> Encoder:
    """Returns the encoder of captions; `embed` takes a list of any length and batches it as given, so sort it by length for speed."""
    model = network(declaration, device)
    return Encoder(
        modality="text",
        dim=model.get_embedding_dimension(),
        weights=weights_digest(model),
        preprocessing=f"the model's own tokenizer, at most {model.max_seq_length} tokens",
        embed=_embed(model, device, declaration.precision),
    )


def network(declaration: SentenceEncoder, device: str) -> Any:
    """Returns the SentenceTransformer of a declaration, cut to its `layers`; HelipError where it cannot be had."""
    model = _model(declaration.model, where_is(declaration.model), device)
    if declaration.layers is not None:
        _shorten(model, declaration)
    return model


def _embed(model, device: str, precision: str):
    dtype = gpu_dtype(device, precision)

    @torch.inference_mode()
    def embed(captions: list[str]) -> torch.Tensor:
        inputs = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in model.preprocess(captions).items()}
        with torch.autocast("cuda", dtype, enabled=dtype is not None):
            return model(inputs)["sentence_embedding"].float().cpu()

    return embed


def _shorten(model, declaration: SentenceEncoder) -> None:
    """Drop the transformer's last layers; what is left is pooled as before."""
    layers: Any = getattr(getattr(model[0].auto_model, "encoder", None), "layer", ())
    if declaration.layers is None:
        return
    if len(layers) < declaration.layers:
        raise HelipError(f"sentence encoder '{declaration.model}' has {len(layers)} transformer layers to cut, not {declaration.layers}")
    del layers[declaration.layers :]


def _model(name: str, where: str, device: str):
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # "Loading weights" of a second, in the terminal of whoever asked for something else
    try:
        return SentenceTransformer(where, device=device, local_files_only=os.path.isdir(where)).eval()
    except (OSError, ValueError, RuntimeError) as error:
        download = f"where there is network, run `hf download {_repository(name)} --local-dir DIR` and set model: DIR"
        remedy = "it must be a folder that sentence-transformers or transformers saved" if os.path.isdir(where) else download
        raise HelipError(f"sentence encoder '{name}' could not be read ({reason(error)}); {remedy}") from error


def _repository(name: str) -> str:
    """Where sentence-transformers looks for a name without an owner."""
    from sentence_transformers.util.misc import ORIGINAL_TRANSFORMER_MODELS

    return name if "/" in name or name.lower() in ORIGINAL_TRANSFORMER_MODELS else f"sentence-transformers/{name}"


def where_is(name: str) -> str:
    """Returns the folder of `package:NAME`, which is searched without running the package's code, or the name as it is."""
    kind, _, package = name.partition(":")
    if kind != "package":
        return name
    package_spec = importlib.util.find_spec(package.replace("-", "_"))
    if package_spec is None or not package_spec.submodule_search_locations:
        raise HelipError(f"sentence encoder '{name}': package {package} is not installed; run `pip install {package}`")
    for root in package_spec.submodule_search_locations:
        for marker in ("modules.json", "config.json"):
            if inside := sorted(Path(root).rglob(marker)):
                return str(inside[0].parent)
    raise HelipError(f"sentence encoder '{name}': package {package} holds no model (no modules.json or config.json in it); name another")
