"""How good a model is while it trains: retrieval on the held-out share of its own corpus, and early stopping on it."""

from collections.abc import Callable

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg
from PIL import Image
from torch import Tensor, nn

from helip.config import EarlyStopping
from helip.models.architecture import shortened
from helip.models.frozen import FrozenClip
from helip.models.loading import Clip, ClipNetwork
from helip.training.batches import Corpus
from helip.training.frozen import TrunkRows
from helip.training.lora import merged_state

GALLERY = 1000  # held-out pairs that are searched at a time: with so many or more, their number does not decide the score


def transform_of(clip: Clip) -> Callable[[Image.Image], Tensor]:
    """Returns the evaluation preprocessing: what open_clip makes of the exported config."""
    if isinstance(clip.model, FrozenClip):
        return clip.model.transform
    return open_clip.transform.image_transform_v2(PreprocessCfg(size=clip.image_size, **clip.preprocess), is_train=False)


def held_out_recall(clip: Clip, corpus: Corpus, ids: np.ndarray, device: torch.device) -> float:
    """Returns the mean of image-to-text and text-to-image recall at 1 over galleries of 1,000 held-out pairs, in [0, 1].

    A last, smaller gallery is easier, and so is the only one of a small corpus.
    """
    transform = transform_of(clip)

    def encode(some: np.ndarray) -> tuple[Tensor, Tensor]:
        pixels = torch.stack([transform(corpus.image(i)) for i in some.tolist()])
        return pixels, shortened(clip.tokenize([corpus.caption(i) for i in some.tolist()]), clip.model)

    return _recall(clip.model, encode, ids, device)


def held_out_recall_of_features(clip: Clip, features: TrunkRows, ids: np.ndarray, device: torch.device) -> float:
    """Returns what `held_out_recall` does, of a model whose trunks are frozen, from the features of its plain views."""

    def encode(some: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = features.image_rows(np.zeros(len(some), np.int64), some), features.text_rows(some)
        return torch.from_numpy(rows[0]), torch.from_numpy(rows[1])

    return _recall(clip.model, encode, ids, device)


@torch.no_grad()
def _recall(model: ClipNetwork, encode: Callable[[np.ndarray], tuple[Tensor, Tensor]], ids: np.ndarray, device: torch.device) -> float:
    """The mean recall, of what `encode` gives for some ids: images and texts as the model takes them."""
    model.eval()
    hits = torch.zeros((), dtype=torch.float64)
    for first in range(0, len(ids), GALLERY):
        gallery = ids[first : first + GALLERY]
        image_BD, text_BD = [], []
        for start in range(0, len(gallery), 128):
            images, texts = encode(gallery[start : start + 128])
            image_BD.append(model.encode_image(images.to(device), normalize=True))
            text_BD.append(model.encode_text(texts.to(device), normalize=True))
        hits += _hits(torch.cat(image_BD) @ torch.cat(text_BD).T)
    return float(hits) / (2 * len(ids))


def _hits(similarity_BB: Tensor) -> Tensor:
    own = torch.arange(len(similarity_BB), device=similarity_BB.device)
    return ((similarity_BB.argmax(0) == own).sum() + (similarity_BB.argmax(1) == own).sum()).double().cpu()


class Best:
    """This keeps the best weights seen on validation, and counts how long ago that was."""

    def __init__(self, declaration: EarlyStopping):
        self._patience, self.score, self.step, self.since = declaration.patience, -1.0, 0, 0
        self.weights: dict[str, Tensor] = {}

    @property
    def exhausted(self) -> bool:
        """This says whether the last `patience` validations were no gain."""
        return self.since >= self._patience

    def see(self, model: nn.Module, score: float, step: int) -> None:
        """Takes note of a validation: a higher score keeps a copy of the weights on the CPU."""
        if score > self.score:
            self.score, self.step, self.since = score, step, 0
            self.weights = {name: w.detach().cpu().clone() for name, w in merged_state(model).items()}
        else:
            self.since += 1

    def state_dict(self) -> dict:
        """Returns the score, step, count and weights, for the resume state."""
        return {"score": self.score, "step": self.step, "since": self.since, "weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        """Restores what `state_dict` returned."""
        self.score, self.step, self.since, self.weights = (state[k] for k in ("score", "step", "since", "weights"))
