"""What only the generator knows of a corpus. For measuring what was mined and cleaned, never for training."""

from pathlib import Path

import numpy as np

from helip.data.world.captions import true_of
from helip.data.world.corpus import TRUTH
from helip.errors import HelipError


class Truth:
    """Arrays over the N samples of a generated corpus, row = sample id; pairs of ids broadcast against each other."""

    def __init__(self, concept, attributes, caption_attributes, named, mismatched):
        self.concept = concept  # [N] int32
        self.attributes = attributes  # [N, 11] int8, of the image, in the order of vocabulary.ATTRIBUTES; -1 is absent
        self.caption_attributes = caption_attributes  # [N, 11] int8, of the scene that the caption was written for
        self.named = named  # [N, 11] bool, attributes that the caption says
        self.mismatched = mismatched  # [N] bool

    @classmethod
    def open(cls, folder: Path | str) -> "Truth":
        """The truth beside a corpus; only generated corpora have one."""
        path = Path(folder) / TRUTH
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(**{name: stored[name] for name in ("concept", "attributes", "caption_attributes", "named", "mismatched")})
        except FileNotFoundError:
            raise HelipError(f"{path}: not found; only a generated corpus knows its truth, so leave this measurement out") from None
        except (ValueError, KeyError, OSError) as error:
            raise HelipError(f"{path}: not readable ({error}); build the corpus again") from None

    def __len__(self) -> int:
        return len(self.concept)

    def same_concept(self, i, j) -> np.ndarray:
        """Whether two images show the same concept; bool, of the broadcast shape of i and j."""
        return self.concept[i] == self.concept[j]

    def attribute_overlap(self, i, j) -> np.ndarray:
        """How many of the 11 attributes two images share (both lacking one counts as sharing it)."""
        return (self.attributes[i] == self.attributes[j]).sum(-1)

    def caption_true_of(self, caption, image) -> np.ndarray:
        """Whether all that a sample's caption says holds of another's image: such a hard pair is a false negative."""
        return true_of(self.caption_attributes[caption], self.named[caption], self.attributes[image])

    def truly_hard(self, i, j, apart: int = 2) -> np.ndarray:
        """At most `apart` attributes apart, and neither caption true of the other's image."""
        near = self.attribute_overlap(i, j) >= self.attributes.shape[1] - apart
        return near & ~self.caption_true_of(i, j) & ~self.caption_true_of(j, i)
