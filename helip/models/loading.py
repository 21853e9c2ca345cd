"""open_clip models with all that travels with them: made to pre-train, or opened to refine."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch

from helip.config import Model
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.io import atomic_folder, read_json
from helip.models import frozen, hf_folder, tokenizer
from helip.models.architecture import ClipNetwork, ShortCaptionClip, build, check_parts, named, preprocess_of
from helip.models.frozen import FrozenClip
from helip.models.hub import located
from helip.models.layout import CONFIG, WEIGHTS
from helip.models.network import reason
from helip.models.opening import Checkpoint, create
from helip.models.reference import ModelRef, parse

__all__ = [
    "CONFIG", "WEIGHTS", "Checkpoint", "Clip", "ClipNetwork", "ModelRef", "ShortCaptionClip", "build", "create", "existing", "named", "new",
    "open_start", "parse", "tokenizer_of",
]  # fmt: skip


@dataclass
class Clip:
    """A model and what must travel with it when it is exported."""

    model: ClipNetwork
    config: dict[str, Any]  # open_clip's model_cfg
    preprocess: dict[str, Any]  # open_clip's preprocess_cfg: mean, std, interpolation, ...
    tokenize: tokenizer.Tokenize
    tokenizer_folder: Path | None = None  # of Hugging Face files; None for CLIP's own vocabulary

    @property
    def image_size(self) -> tuple[int, int]:
        """The (height, width) in pixels of the images that the model takes."""
        size = self.config["vision_cfg"].get("image_size", 224)
        return (size, size) if isinstance(size, int) else tuple(size)


def new(declaration: Model, corpus: Corpus, tokenizer_folder: Path, seed: int) -> Clip:
    """Returns a model to pre-train. A corpus tokenizer is learnt into tokenizer_folder unless an earlier start left it there."""
    config = named(declaration.open_clip) if declaration.open_clip else copy.deepcopy(declaration.config or {})
    check_parts(config, "models: config")
    match declaration.tokenizer:
        case "clip":
            folder, tokenize = None, open_clip.SimpleTokenizer(context_length=config["text_cfg"].get("context_length", 77))
        case "corpus":
            folder = tokenizer_folder
            config["text_cfg"] |= {"hf_tokenizer_name": "corpus", "vocab_size": _learnt(corpus, declaration.vocabulary, folder)}
            tokenize = _tokenizer_in(folder, config)
    torch.manual_seed(seed)
    return _whole(Clip(build(config), config, preprocess_of({}), tokenize, folder), "models")


def _learnt(corpus: Corpus, vocabulary: int, folder: Path) -> int:
    if not (folder / "tokenizer.json").exists():
        with atomic_folder(folder) as temporary:
            tokenizer.learn((corpus.caption(i) for i in range(len(corpus))), vocabulary, temporary)
    content = json.loads((folder / "tokenizer.json").read_text())
    ids: list[int] = [*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])]
    return max(ids) + 1


def _tokenizer_in(folder: Path, config: dict[str, Any]) -> tokenizer.Tokenize:
    tokenize: tokenizer.Tokenize = open_clip.tokenizer.HFTokenizer(str(folder), context_length=config["text_cfg"].get("context_length", 77))
    return tokenize


def tokenizer_of(reference: ModelRef) -> tokenizer.Tokenize:
    """Returns the tokenizer of a checkpoint: captions -> [B, L] int64. Raises HelipError where its files are missing or are another
    model's.
    """
    reference = located(reference)
    name, folder = reference.name, reference.folder
    try:
        if folder is None:
            named_one: tokenizer.Tokenize = open_clip.get_tokenizer(name)
            return named_one
        return _tokenizer_of_folder(folder)
    except HelipError:
        raise
    except Exception as error:  # transformers and huggingface_hub raise many kinds
        where = f"where there is network, open_clip.get_tokenizer('{name}') fills ~/.cache/huggingface: copy that folder here"
        remedy = "export the model again" if folder is not None else where
        raise HelipError(f"the tokenizer of open_clip model '{name}' could not be loaded ({reason(error)}); {remedy}") from error


def _tokenizer_of_folder(folder: Path) -> tokenizer.Tokenize:
    if hf_folder.is_hf_folder(folder):
        return hf_folder.tokenizer_of(folder, hf_folder.config_of(folder)[0])
    config = read_json(folder / CONFIG)["model_cfg"]
    if frozen.KEY in config:
        return frozen.CaptionTrunk(lambda: frozen.open_trunk(config, "text"))
    tokenize: tokenizer.Tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    words = config.get("text_cfg", {}).get("vocab_size", open_clip.CLIPTextCfg.vocab_size)
    tokenizer.check_words(tokenize, words, f"local-dir:{folder}")
    return tokenize


def open_start(start: str | Path) -> Clip:
    """Opens a checkpoint to refine, as `helip.models.reference` reads it. Raises HelipError where it is missing, broken or not a CLIP."""
    reference = located(parse(str(start)))
    opened = create(reference)
    has_files = reference.folder is not None and bool(opened.config["text_cfg"].get("hf_tokenizer_name"))
    clip = Clip(opened.model, opened.config, opened.preprocess, tokenizer_of(reference), reference.folder if has_files else None)
    return _whole(clip, str(reference.folder or reference))


def existing(folder: Path) -> Path:
    """Returns the folder of a trained model. Raises HelipError where it is not there."""
    if not (folder / WEIGHTS).exists():
        raise HelipError(f"{folder / WEIGHTS}: not found; train it first (`snakemake {folder / WEIGHTS}` for a run of a study)")
    return folder


def _whole(clip: Clip, where: str) -> Clip:
    if isinstance(clip.model, FrozenClip):
        return clip  # there is no token that could be wrong
    if isinstance(clip.model, open_clip.CoCa):
        raise HelipError(f"{where}: is a CoCa, whose captioning head no objective here trains: start from a CLIP")
    tokenizer.check(clip.tokenize, clip.config["text_cfg"], where)
    return clip
