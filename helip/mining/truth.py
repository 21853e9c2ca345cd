"""What mining may ask of a generated corpus: to measure what was mined, and as a bound on it. Never for a real one."""

from typing import Protocol

import numpy as np


class Truth(Protocol):
    """What a generated corpus knows of itself (helip.synthetic.truth has it). Ids broadcast."""

    mismatched: np.ndarray  # [N] bool: the caption is of another image
    attributes: np.ndarray  # [N, A] of the image

    def same_concept(self, i, j) -> np.ndarray: ...
    def attribute_overlap(self, i, j) -> np.ndarray: ...
    def caption_true_of(self, caption, image) -> np.ndarray: ...
    def truly_hard(self, i, j) -> np.ndarray: ...
