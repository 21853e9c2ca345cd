"""A subset of a corpus: which pairs, that they stay what they are, and that features are rows of the whole's."""

import pytest
from archives import indexed, noisy

from helip.config import MismatchedCorpus, SubsetCorpus
from helip.data.corpus import Corpus
from helip.data.mismatched import mismatch
from helip.data.subset import drawn, ids_of, origin_of, subset
from helip.errors import HelipError


def _whole(folder, size=16) -> Corpus:
    return indexed(folder, [f for i in range(size) for f in ((f"{i:03d}.jpg", noisy(seed=i)), (f"{i:03d}.txt", f"dog {i}".encode()))])


def _declared(**settings) -> SubsetCorpus:
    return SubsetCorpus(of="whole", **{"share": 0.25, "seed": 3} | settings)


def test_pairs_of_a_subset_are_those_of_the_whole(tmp_path):
    whole = _whole(tmp_path)
    part = subset(_declared(), whole, tmp_path / "part")
    ids = ids_of(part.folder)
    assert len(part) == len(ids) == 4 and list(ids) == sorted(set(ids))
    for n, i in enumerate(ids.tolist()):
        assert (part.caption(n), part.key(n), part.image_bytes(n)) == (whole.caption(i), whole.key(i), whole.image_bytes(i))
    assert part.digest != whole.digest
    written = part.hashes().tolist()
    (part.folder / "hashes.npy").unlink()
    assert part.hashes().tolist() == written == whole.hashes()[ids].tolist()


def test_a_larger_share_holds_the_smaller():
    small, large = set(drawn(_declared(), 40).tolist()), set(drawn(_declared(share=0.5), 40).tolist())
    assert len(small) == 10 and len(large) == 20 and small < large
    assert set(drawn(_declared(seed=4), 40).tolist()) != small
    assert drawn(_declared(share=1.0), 5).tolist() == [0, 1, 2, 3, 4]


def test_captions_of_a_subset_can_be_swapped(tmp_path):
    part = subset(_declared(share=0.5), _whole(tmp_path), tmp_path / "part")
    swapped = mismatch(MismatchedCorpus(of="part", share=0.5), part, tmp_path / "swapped")
    images, captions = origin_of(swapped.folder)
    assert images is None and [swapped.caption(i) for i in range(8)] == [part.caption(s) for s in captions]
    assert [one.tolist() for one in origin_of(part.folder)] == [ids_of(part.folder).tolist()] * 2


def test_a_share_of_no_pair_is_refused(tmp_path):
    with pytest.raises(HelipError, match="a share of 0.01 of the 16 pairs of .* is none; raise share"):
        subset(_declared(share=0.01), _whole(tmp_path), tmp_path / "part")
