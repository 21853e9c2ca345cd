"""DeCLIP (arXiv 2110.05208): two image views, two caption views, a queue of texts, SimSiam and masked language.

As in the released code the first caption view is the one with hidden words, the heads of SimSiam stand on the image embedding, and
neighbours are looked up for images only. Other than there, the mask is an embedding of the objective's own, so the model keeps its
vocabulary.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from helip.config import DeclipObjective
from helip.losses.declip import MASKED_SHARE, WEIGHTS, masked_word_losses, multi_view_clip_loss, nearest_text_loss, simsiam_loss
from helip.models.frozen import FrozenClip
from helip.models.loading import ClipNetwork
from helip.training.objectives.base import Features, ObjectiveModule
from helip.training.objectives.captions import disturb, hide_words
from helip.training.objectives.towers import encode_hidden_text, mlp, text_widths


class Declip(ObjectiveModule):
    """This is DeCLIP with its heads, its mask embedding and its queue of texts (arXiv 2110.05208, section 3).

    HelipError is raised where the text tower is not CLIP's own transformer.
    """

    augmentations = ("strong", "strong")
    queue: Tensor  # [declared length, D]
    queued: Tensor  # int64 scalar: texts ever put into the queue

    def __init__(self, declaration: DeclipObjective, model: ClipNetwork, **margin):
        super().__init__(**margin)
        width, embedding, vocabulary = text_widths(model)
        self.mask = nn.Parameter(torch.randn(width) * 0.02)
        self.guess = nn.Linear(width, vocabulary)
        self._add_heads(declaration, embedding)

    def _add_heads(self, declaration: DeclipObjective, embedding: int) -> None:
        wide, hidden = declaration.head
        self.projector = mlp(embedding, wide, wide, wide, normalised_output=True)
        self.projector[-1].bias.requires_grad_(False)  # the predictor's normalisation takes a shift away: its gradient is noise
        self.predictor = mlp(wide, hidden, wide)
        self.register_buffer("queue", torch.zeros(declaration.queue, embedding))
        self.register_buffer("queued", torch.tensor(0))

    def encode(self, model: ClipNetwork, batch: dict[str, Any]) -> Features:
        """Returns the features of both image views and both caption views, and each sample's masked language loss and word count [b]."""
        first, second = (model.encode_image(images) for images in batch["images"])
        tokens, seeds = batch["tokens"], batch["sample_seeds"]
        replaced, hidden, guess = hide_words(tokens, seeds, MASKED_SHARE)
        text, words = encode_hidden_text(model, replaced, hidden, self.mask)
        masked_loss, masked_count = masked_word_losses(self.guess(words[guess]), tokens[guess], guess)
        return {
            "image_features": normalize(first, dim=1),
            "text_features": normalize(text, dim=1),
            "second_text_features": model.encode_text(disturb(tokens, seeds), normalize=True),
            "first_embedding": first,
            "second_embedding": second,
            "masked_loss": masked_loss,
            "masked_count": masked_count,
        }

    def project(self, features: Features) -> Features:
        """Adds the projections and predictions of both image views (arXiv 2011.10566), and the second view's unit-norm features."""
        heads = {}
        for view in ("first", "second"):
            heads[f"{view}_projected"] = self.projector(features[f"{view}_embedding"])
            heads[f"{view}_predicted"] = self.predictor(heads[f"{view}_projected"])
        return features | heads | {"second_image_features": normalize(features["second_embedding"], dim=1)}

    def contrast(self, features: Features, similarity_BB: Tensor, logit_scale: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the weighted sum of CLIP, nearest-neighbour text, SimSiam and masked language, and the four parts by name."""
        images = [features["image_features"], features["second_image_features"]]
        texts = [features["text_features"], features["second_text_features"]]
        views = (features[f"{view}_{what}"] for view in ("first", "second") for what in ("predicted", "projected"))
        parts = {
            "clip": multi_view_clip_loss(images, texts, logit_scale),
            "nearest": nearest_text_loss(images, texts, self.queue[: int(self.queued)], logit_scale),
            "simsiam": simsiam_loss(*views),
        }
        if "masked_loss" in features:
            parts["masked"] = features["masked_loss"].sum() / features["masked_count"].sum().clamp(min=1)
        return functools.reduce(torch.add, (WEIGHTS[name] * part for name, part in parts.items())), parts

    @torch.no_grad()
    def after_step(self, features: Features) -> None:
        """Puts both views of this batch's texts into the queue, in place of its oldest."""
        texts_ND = torch.cat([features["second_text_features"], features["text_features"]])[-len(self.queue) :]
        places_N = (self.queued + torch.arange(len(texts_ND), device=self.queue.device)) % len(self.queue)
        self.queue[places_N] = texts_ND.to(self.queue.dtype)
        self.queued += len(texts_ND)


class DeclipOfHeads(Declip):
    """This is DeCLIP over frozen trunks: the two image views are cached ones, and the two caption views differ by the text head's dropout,
    as in SimCSE (arXiv 2104.08821).

    Masked language is left out: it trains a tower that reads words, and that tower is frozen.
    """

    def __init__(self, declaration: DeclipObjective, model: FrozenClip, **margin):
        super(Declip, self).__init__(**margin)
        self._add_heads(declaration, model.image_head.embed_dim)

    def encode(self, model: ClipNetwork, batch: dict[str, Any]) -> Features:
        """Returns the features of both image views and both caption views."""
        first, second = (model.encode_image(images) for images in batch["images"])
        return {
            "image_features": normalize(first, dim=1),
            "text_features": model.encode_text(batch["tokens"], normalize=True),
            "second_text_features": model.encode_text(batch["tokens"], normalize=True),
            "first_embedding": first,
            "second_embedding": second,
        }
