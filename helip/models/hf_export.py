"""A ViT CLIP as a Hugging Face `CLIPModel`: config, weights, tokenizer and image processor."""

import functools
from pathlib import Path
from typing import Any

import open_clip
from safetensors.torch import save_file
from torch import Tensor

from helip.errors import HelipError
from helip.models import hf_config, hf_weights
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
    theirs = hf_weights.to_transformers({name: w.detach().cpu() for name, w in weights.items()})
    save_weights(functools.partial(save_file, metadata={"format": "pt"}), theirs, folder / "model.safetensors")
    kind: Any = CLIPProcessor  # transformers leaves it untyped
    kind(processor, hf_tokenizer(clip)).save_pretrained(folder)


def image_processor(clip: Clip, where: str) -> Any:
    """Returns transformers' image processor for a model's preprocessing. Raises HelipError where it has no counterpart."""
    from transformers import CLIPImageProcessor

    height, width = clip.image_size
    mode, interpolation = clip.preprocess["resize_mode"], clip.preprocess["interpolation"]
    numbers = {name: number for number, name in hf_config.RESAMPLE.items()}
    if height != width or mode not in ("shortest", "squash") or interpolation not in numbers:
        what = f"images of {height}x{width}, resize_mode {mode}, interpolation {interpolation}"
        raise HelipError(f"{where}: {what} have no counterpart in transformers' CLIP processor; export it for open_clip or onnx")
    size = {"shortest_edge": height} if mode == "shortest" else {"height": height, "width": width}
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
