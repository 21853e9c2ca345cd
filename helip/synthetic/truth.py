"""What only the generator knows of a corpus. For measuring what was mined and cleaned, never for training."""

from pathlib import Path

import numpy as np

from helip.data.mismatched import source_of
from helip.errors import HelipError
from helip.io import read_json
from helip.synthetic.captions import true_of
from helip.synthetic.corpus import TRUTH

FIELDS = ("concept", "attributes", "caption_attributes", "named", "mismatched")


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
        """Opens the truth beside a corpus, or those of a union's members one behind the other. Raises HelipError where a corpus was not
        generated.
        """
        folder = Path(folder)
        parts = [_read(part / TRUTH) for part in _parts(folder)]
        known = sum(len(part["concept"]) for part in parts)
        if len(parts) > 1 and known != (size := read_json(folder / "manifest.json")["size"]):
            raise HelipError(f"{folder}: a union of {size} pairs, and the truths of its members are of {known}; build the corpora again")
        return cls(**{field: np.concatenate([part[field] for part in parts]) for field in FIELDS})

    @classmethod
    def known(cls, folder: Path | str) -> bool:
        """Returns whether a corpus was generated, or is a union of corpora that all were."""
        return all((part / TRUTH).is_file() for part in _parts(Path(folder)))

    def __len__(self) -> int:
        return len(self.concept)

    def same_concept(self, i, j) -> np.ndarray:
        """Returns whether two images show the same concept; bool, of the broadcast shape of i and j."""
        return self.concept[i] == self.concept[j]

    def attribute_overlap(self, i, j) -> np.ndarray:
        """Returns how many of the 11 attributes two images share (both lacking one counts as sharing it)."""
        return (self.attributes[i] == self.attributes[j]).sum(-1)

    def caption_true_of(self, caption, image) -> np.ndarray:
        """Returns whether all that a sample's caption says holds of another's image: such a hard pair is a false negative."""
        return true_of(self.caption_attributes[caption], self.named[caption], self.attributes[image])

    def truly_hard(self, i, j, apart: int = 2) -> np.ndarray:
        """Returns whether i and j are at most `apart` attributes apart, and neither caption is true of the other's image."""
        near = self.attribute_overlap(i, j) >= self.attributes.shape[1] - apart
        return near & ~self.caption_true_of(i, j) & ~self.caption_true_of(j, i)


def mismatched(folder: Path | str) -> np.ndarray | None:
    """Returns which captions of a corpus are of other images, [N] bool: of a generated corpus, and of one whose captions were swapped on
    purpose; None where nobody knows.
    """
    folder = Path(folder)
    if (source_N := source_of(folder)) is not None:
        swapped_N: np.ndarray = source_N != np.arange(len(source_N))
        return swapped_N
    return Truth.open(folder).mismatched if Truth.known(folder) else None


def _parts(folder: Path) -> list[Path]:
    """The folders of a union's members, as it names them or beside it; of any other corpus its own."""
    manifest = folder / "manifest.json"
    named = [Path(member["folder"]) for member in read_json(manifest).get("members", [])] if manifest.exists() else []
    return [one if one.exists() else folder.parent / one.name for one in named] or [folder]


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {field: stored[field] for field in FIELDS}
    except FileNotFoundError:
        raise HelipError(f"{path}: not found; only a generated corpus knows its truth, so leave this measurement out") from None
    except (ValueError, KeyError, OSError) as error:
        raise HelipError(f"{path}: not readable ({error}); build the corpus again") from None
