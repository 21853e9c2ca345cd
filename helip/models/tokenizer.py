"""Tokenizers: CLIP's own, one that comes with a start checkpoint, or a small byte-pair vocabulary learnt from the corpus.

A learnt one is written as Hugging Face files, so that `open_clip.get_tokenizer("local-dir:...")` loads it without a network.
Padding is id 0 and the end token the highest id, because open_clip pools text features at the largest id.
"""

import itertools
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from helip.errors import HelipError
from helip.models.layout import TOKENIZER

PAD, START, END = "<pad>", "<start>", "<end>"
LEARN_FROM = 500_000  # captions are plenty for a few thousand merges


class Tokenize(Protocol):
    """This protocol is what open_clip's tokenizers have."""

    context_length: int

    def __call__(self, captions: list[str]) -> torch.Tensor:
        """Returns the ids of captions, [B, L] int64."""


def learn(captions: Iterable[str], vocabulary: int, folder: Path) -> int:
    """Writes a byte-pair tokenizer of at most `vocabulary` ids into `folder`; returns how many ids it has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 1, special_tokens=[PAD, START], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(itertools.islice(captions, LEARN_FROM), trainer)
    tokenizer.add_special_tokens([END])
    ids = [(t, tokenizer.token_to_id(t)) for t in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ids)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": PAD, "bos_token": START, "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"clean_up_tokenization_spaces": False}, indent=1) + "\n")
    return tokenizer.get_vocab_size()


def copy_files(source: Path, target: Path) -> None:
    """Copies a tokenizer's files beside a model."""
    for name in TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def check(tokenize: Tokenize, text_config: dict[str, Any], where: str) -> None:
    """Refuses a tokenizer that does not fit the text tower."""
    config = open_clip.CLIPTextCfg(**text_config)
    tokens = tokenize(["a photo of a cat"])[0]
    made, most, highest = len(tokens), config.context_length, int(tokens.max())
    if made != most:
        raise HelipError(f"{where}: the tokenizer makes {made} tokens and text_cfg.context_length is {most}: make them agree")
    if highest >= config.vocab_size:
        raise HelipError(
            f"{where}: the tokenizer has id {highest} beyond text_cfg.vocab_size {config.vocab_size}: use the model's own tokenizer"
        )
    check_words(tokenize, config.vocab_size, where)


def check_words(tokenize: Tokenize, vocabulary: int, where: str) -> None:
    """Refuses CLIP's own tokenizer for a text tower with other words: DeCLIP's mask moves all ids behind it, and nothing would fail."""
    if isinstance(tokenize, open_clip.SimpleTokenizer) and tokenize.vocab_size != vocabulary:
        raise HelipError(
            f"{where}: text_cfg.vocab_size is {vocabulary} and CLIP's tokenizer, which open_clip would use, has "
            f"{tokenize.vocab_size} words: some of its ids would mean others; `helip import` a DeCLIP's published file"
        )
