"""Text encoders with random weights in the published shape, for machines that cannot fetch them: time and memory are the same."""

import zlib
from typing import Any

import torch

from helip.config import SentenceEncoder
from helip.encoders.encoder import Encoder, frozen
from helip.errors import HelipError
from helip.models.digests import weights_digest

TOKENS_A_WORD = 1.3  # of a word-piece vocabulary on English captions, roughly


def _network(name: str) -> Any:
    """The network that a hub name stands for, by the shapes that its config.json states. HelipError for another name."""
    import transformers

    match name.rpartition("/")[2]:
        case "all-mpnet-base-v2":
            return transformers.MPNetModel(transformers.MPNetConfig())
        case "bert-base-uncased":
            return transformers.BertModel(transformers.BertConfig())
        case "sentence-t5-base":
            return transformers.T5EncoderModel(transformers.T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12))
    raise HelipError(f"'{name}': its shape is not known without the network; fetch it once, or rehearse where there is network")


def untrained(declaration: SentenceEncoder, device: str) -> Encoder:
    """Returns an encoder [B] captions -> float32 [B, D] of random weights; a word's tokens are drawn from its spelling."""
    torch.manual_seed(0)
    model = frozen(_network(declaration.model), device)
    words = model.config.vocab_size

    @torch.inference_mode()
    def embed(captions: list[str]) -> torch.Tensor:
        ids = [[zlib.crc32(f"{word}{i}".encode()) % (words - 10) + 5 for word in c.split() for i in range(1)] or [5] for c in captions]
        longest = min(128, max(2, int(max(map(len, ids)) * TOKENS_A_WORD) + 2))
        tokens = torch.tensor([(one * 2)[:longest] + [1] * max(0, longest - 2 * len(one)) for one in ids], device=device)
        with torch.autocast(device.partition(":")[0], torch.float16, enabled=device.startswith("cuda")):
            return model(input_ids=tokens).last_hidden_state.mean(1).float().cpu()

    return Encoder("text", embed(["a"]).shape[1], weights_digest(model), "made-up tokens", embed)
