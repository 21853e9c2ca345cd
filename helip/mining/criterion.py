"""When a pair counts and what it scores: the one definition that every kernel implements."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from helip.config import MiningSpec

ABOVE, BELOW = np.float32(2), np.float32(-2)  # no cosine gets there: what an absent bound becomes


@dataclass(frozen=True)
class Criterion:
    """HPM of section 3.2, arXiv 2305.05208. Pair (i, j) counts when each cosine used is > its tau and <= max_similarity, and the
    score is > 0; the score is the product of the cosines used (hpm, fast_hpm: both; image, text: one).

    Bounds are float32, as cosines are. A tau of None bounds nothing: then two negative cosines make a positive score.
    """

    k: int
    use_image: bool
    use_text: bool
    tau_image: np.float32
    tau_text: np.float32
    max_similarity: np.float32

    @classmethod
    def of(cls, spec: MiningSpec) -> "Criterion":
        """Returns the criterion that a spec declares, its bounds rounded to float32; ABOVE and BELOW stand for a bound of None."""

        def bound(value: float | None, absent: np.float32) -> np.float32:
            return absent if value is None else np.float32(value)

        return cls(
            k=spec.k,
            use_image=spec.method != "text",
            use_text=spec.method != "image",
            tau_image=bound(spec.tau_image, BELOW),
            tau_text=bound(spec.tau_text, BELOW),
            max_similarity=bound(spec.max_similarity, ABOVE),
        )

    @cached_property
    def modalities(self) -> tuple[tuple[str, np.float32], ...]:
        """The (name, tau) of each modality that is used, in the order in which their cosines are multiplied."""
        both = (("image", self.use_image, self.tau_image), ("text", self.use_text, self.tau_text))
        return tuple((name, tau) for name, used, tau in both if used)

    @cached_property
    def signed(self) -> bool:
        """Whether a pair of negative cosines can count."""
        return self.use_image and self.use_text and bool(self.tau_image < 0) and bool(self.tau_text < 0)
