"""A ViT CLIP as a Hugging Face `CLIPModel`, a SigLIP as a `SiglipModel`: config, weights, tokenizer and image processor."""

import functools
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import Regex
from tokenizers.normalizers import Lowercase, Replace, Sequence, Strip
from torch import Tensor

from helip.errors import HelipError
from helip.models import hf_config, hf_siglip, hf_weights
from helip.models.layout import save_weights
from helip.models.loading import Clip

SPELLED = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}  # open_clip's -> transformers'


def write_clip_model(folder: Path, clip: Clip, weights: dict[str, Tensor], where: str) -> None:
    """Writes what `CLIPModel.from_pretrained` and `CLIPProcessor.from_pretrained` read, into a folder that is there.

    Raises HelipError, which names the setting, for an architecture or a preprocessing that transformers' CLIP does not have.
    """
    from transformers import CLIPConfig, CLIPProcessor

    processor = image_processor(clip, where)
    tokens, text = clip.tokenize(["a photo of a cat"]), clip.config["text_cfg"]
    end = text["eos_id"] if text.get("pool_type") == "eos" else int(tokens.max())  # open_clip pools at the highest id
    square = {"vision_cfg": clip.config["vision_cfg"] | {"image_size": clip.image_size[0]}}
    config = hf_config.to_transformers(clip.config | square, (int(tokens[0, 0]), end), float(weights["logit_scale"]), where)
    CLIPConfig(**config).save_pretrained(folder)
    _save(hf_weights.to_transformers({name: w.detach().cpu() for name, w in weights.items()}), folder)
    kind: Any = CLIPProcessor  # transformers leaves it untyped
    kind(processor, hf_tokenizer(clip)).save_pretrained(folder)


def write_siglip_model(folder: Path, clip: Clip, weights: dict[str, Tensor], where: str) -> None:
    """Writes what `SiglipModel.from_pretrained` and `SiglipProcessor.from_pretrained` read, into a folder that is there.

    The processor puts captions in lower case without punctuation, where open_clip's tokenizer does. Raises HelipError as
    `write_clip_model` does.
    """
    from transformers import SiglipConfig, SiglipModel, SiglipProcessor

    processor = image_processor(clip, where)
    square = {"vision_cfg": clip.config["vision_cfg"] | {"image_size": clip.image_size[0]}}
    config = SiglipConfig(**hf_siglip.to_transformers(clip.config | square, where))
    config.save_pretrained(folder)
    with torch.device("meta"):
        like = SiglipModel(config).state_dict()
    _save(hf_siglip.weights_to_transformers({name: w.detach().cpu() for name, w in weights.items()}, like), folder)
    tokenizer = hf_tokenizer(clip)
    if clip.config["text_cfg"].get("tokenizer_kwargs", {}).get("clean") == "canonicalize":
        _canonicalize(tokenizer)
    kind: Any = SiglipProcessor  # transformers leaves it untyped
    kind(processor, tokenizer).save_pretrained(folder)


def _save(weights: dict[str, Tensor], folder: Path) -> None:
    save_weights(functools.partial(save_file, metadata={"format": "pt"}), weights, folder / "model.safetensors")


def _canonicalize(tokenizer: Any) -> None:
    """Makes a tokenizer put texts in lower case without punctuation, as open_clip's clean `canonicalize` does; transformers' own
    SiglipTokenizer, which has no backend, does it by itself."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return
    punctuation, spaces = Regex(r"[!-/:-@\[-^`{-~]"), Regex(r"\s+")
    steps = [Replace("_", " "), Replace(punctuation, ""), Lowercase(), Replace(spaces, " "), Strip()]
    backend.normalizer = Sequence([*steps, backend.normalizer] if backend.normalizer else steps)


def image_processor(clip: Clip, where: str) -> Any:
    """Returns transformers' image processor for a model's preprocessing. Raises HelipError where it has no counterpart."""
    from transformers import CLIPImageProcessor, SiglipImageProcessor

    height, width = clip.image_size
    mode, interpolation = clip.preprocess["resize_mode"], clip.preprocess["interpolation"]
    numbers = {name: number for number, name in hf_config.RESAMPLE.items()}
    if height != width or mode not in ("shortest", "squash") or interpolation not in numbers:
        what = f"images of {height}x{width}, resize_mode {mode}, interpolation {interpolation}"
        raise HelipError(f"{where}: {what} have no counterpart in transformers' CLIP processor; export it for open_clip or onnx")
    size = {"shortest_edge": height} if mode == "shortest" else {"height": height, "width": width}
    if clip.config.get("init_logit_bias") is not None and mode == "squash":
        return SiglipImageProcessor(
            size=size, resample=numbers[interpolation], image_mean=list(clip.preprocess["mean"]), image_std=list(clip.preprocess["std"])
        )
    return CLIPImageProcessor(
        size=size, crop_size={"height": height, "width": width}, do_center_crop=mode == "shortest", resample=numbers[interpolation],
        image_mean=list(clip.preprocess["mean"]), image_std=list(clip.preprocess["std"]),
    )  # fmt: skip


def hf_tokenizer(clip: Clip) -> Any:
    """Returns a model's tokenizer as transformers has it; CLIP's own is rebuilt from open_clip's vocabulary, without a network."""
    if not isinstance(clip.tokenize, open_clip.SimpleTokenizer):
        tokenizer = getattr(clip.tokenize, "tokenizer", None)
        if tokenizer is None:
            raise HelipError(f"a {type(clip.tokenize).__name__} has no files that transformers reads; export the model for open_clip")
        tokenizer.model_max_length = clip.tokenize.context_length
        return tokenizer
    from transformers import CLIPTokenizer

    vocabulary = {SPELLED.get(word, word): i for word, i in clip.tokenize.encoder.items()}
    merges: Any = [tuple(pair) for pair in sorted(clip.tokenize.bpe_ranks, key=clip.tokenize.bpe_ranks.__getitem__)]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=clip.tokenize.context_length)
