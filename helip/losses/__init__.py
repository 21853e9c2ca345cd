"""Training objectives as pure functions of tensors, usable in any training loop.

Shape suffixes: B the whole (gathered) batch, D embedding width, S seeds, P hard pairs of a seed, Q queue, L tokens, V vocabulary.

    loss = helip_loss(image_features, text_features, model.logit_scale.exp(), seeds, hard, gamma=1.0)

They know nothing of processes: give them the features of the whole gathered batch, or one process's own to contrast only those.
Features are unit norm. `logit_scale` is the multiplier 1 / temperature itself, not its logarithm (`model.logit_scale.exp()`).
"""

from helip.losses.clip import clip_loss
from helip.losses.hnml import hard_negative_margin_loss, helip_loss

__all__ = ["clip_loss", "hard_negative_margin_loss", "helip_loss"]
