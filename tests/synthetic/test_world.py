"""The generated world: the same bytes for the same seeds, the declared statistics, and a truth that fits what is shown."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helip.config import GeneratedCorpus, UnionCorpus
from helip.data.build import build_corpus
from helip.data.corpus import Corpus
from helip.download.corpora import join
from helip.errors import HelipError
from helip.synthetic import vocabulary as v
from helip.synthetic.captions import LEAST, choose_named, describe
from helip.synthetic.concepts import cumulative, generator, grow
from helip.synthetic.render import render
from helip.synthetic.scenes import pair
from helip.synthetic.truth import FIELDS, Truth
from helip.synthetic.world import HABITS, World

FIRST, SECOND = World(), World(0, "second", 400)
BOTH = pytest.mark.parametrize("world", [FIRST, SECOND], ids=lambda world: world.kind)


@pytest.fixture(scope="module")
def truth(world):
    return Truth.open(world.folder)


# ---------------------------------------------------------------- determinism


def _digest(tmp_path, name, **declared):
    return build_corpus(GeneratedCorpus(size=60, samples_per_shard=25, **declared), tmp_path / name).digest


def test_same_seeds_same_bytes_whatever_the_hash_seed(tmp_path):
    code = ("import sys; from helip.config import GeneratedCorpus; from helip.data.build import build_corpus;"
            "print(build_corpus(GeneratedCorpus(size=60, samples_per_shard=25), sys.argv[1]).digest)")  # fmt: skip
    digests = [
        subprocess.run([sys.executable, "-c", code, tmp_path / seed], capture_output=True, text=True, check=True,
                       env=os.environ | {"PYTHONHASHSEED": seed}).stdout.strip()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert digests[0] == digests[1] == _digest(tmp_path, "here")
    shards = [(tmp_path / name / "shards" / "00001.tar").read_bytes() for name in ("1", "2")]
    assert shards[0] == shards[1]


def test_another_seed_or_world_is_another_corpus(tmp_path):
    assert len({_digest(tmp_path, "a"), _digest(tmp_path, "b", seed=1), _digest(tmp_path, "c", world_seed=1)}) == 3


def test_shard_size_and_workers_do_not_matter(tmp_path):
    one = build_corpus(GeneratedCorpus(size=60, samples_per_shard=60), tmp_path / "one")
    two = build_corpus(GeneratedCorpus(size=60, samples_per_shard=20), tmp_path / "two", workers=2)
    assert one.digest == two.digest
    assert (Truth.open(one.folder).concept == Truth.open(two.folder).concept).all()


def test_a_larger_corpus_begins_with_the_smaller_one(tmp_path):
    small = build_corpus(GeneratedCorpus(size=20), tmp_path / "small")
    large = build_corpus(GeneratedCorpus(size=30), tmp_path / "large")
    assert [large.image_bytes(i) for i in range(20)] == [small.image_bytes(i) for i in range(20)]
    assert [large.caption(i) for i in range(20)] == [small.caption(i) for i in range(20)]


def test_more_noise_changes_only_the_captions_that_turn_wrong():
    clean, some, more = ([pair(FIRST, 0, i, 32, m) for i in range(150)] for m in (0.0, 0.1, 0.5))
    assert not any(p.mismatched for p in clean)
    for c, s, m in zip(clean, some, more, strict=True):
        assert c.image == s.image == m.image
        assert m.mismatched or not s.mismatched
        assert s.mismatched or s.caption == c.caption
        assert not s.mismatched or s.caption == m.caption


# ---------------------------------------------------------------- statistics


def test_concepts_are_distinct_and_grown_by_one_attribute():
    concepts = grow(FIRST)
    assert concepts.shape == (FIRST.concepts, len(v.ATTRIBUTES))
    assert len(np.unique(concepts, axis=0)) == FIRST.concepts
    first_species = concepts[: len(v.FIRST.species), v.FAMILY] * len(v.FIRST.parts) + concepts[: len(v.FIRST.species), v.PART]
    assert sorted(first_species) == list(range(72))
    for child in range(72, FIRST.concepts, 50):  # gaining or losing the second object counts as one change
        different = concepts[:child] != concepts[child]
        main, second = different[:, : v.SECOND_FAMILY].sum(1), different[:, v.SECOND_FAMILY :].any(1)
        assert (main + second).min() <= 2  # 2: a change may force another, as when colour and accent would fall together


def test_values_are_legal():
    concepts = grow(World(3))
    assert (concepts[:, v.COLOUR] != concepts[:, v.ACCENT]).all()
    with_second = concepts[:, v.RELATION] != v.ABSENT
    assert ((concepts[:, v.SECOND_FAMILY :] == v.ABSENT).all(1) == ~with_second).all()
    assert (concepts[with_second, v.SECOND_FAMILY] != concepts[with_second, v.FAMILY]).all()
    assert (concepts[with_second, v.SECOND_COLOUR] != concepts[with_second, v.COLOUR]).all()
    assert (concepts < v.SIZES).all()
    assert 0.33 < with_second.mean() < 0.47
    assert 0.6 < (concepts[:, v.COUNT] == 0).mean() < 0.85


def test_frequencies_are_zipf_with_few_images_a_concept():
    share = np.diff(cumulative(FIRST), prepend=0)
    assert share[0] / share[792] == pytest.approx((800 / 8) ** 0.6)
    assert 5 <= np.median(share * 20_000) <= 8
    assert 20_000 * share[0] < 150


def test_the_declared_share_is_mismatched(truth):
    assert truth.mismatched.mean() == pytest.approx(0.12, abs=0.03)  # 3 standard errors at 1,500 pairs: 0.025
    assert pair(FIRST, 0, 7, 32, 1.0).mismatched


def test_captions_name_three_or_more_attributes_median_five(truth):
    named_count = truth.named.sum(1)
    assert np.median(named_count) == 5
    assert named_count.min() >= LEAST


def test_captions_vary(world):
    captions = [world.caption(i) for i in range(len(world))]
    assert len(set(captions)) > 0.97 * len(captions)
    text = " ".join(captions)
    for words in (
        "crimson",
        "scarlet",
        "red",
        "stripy",
        "on a beach",
        "a pair of",
        "a trio of",
        "sparrow",
        "bird",
        "next to",
        "to the left of",
    ):
        assert words in text


# ---------------------------------------------------------------- truth


def test_only_matched_captions_are_true_of_their_image(truth):
    everyone = np.arange(len(truth))
    assert (truth.caption_true_of(everyone, everyone) == ~truth.mismatched).all()
    assert (truth.caption_attributes[~truth.mismatched] == truth.attributes[~truth.mismatched]).all()


def test_truth_is_symmetric_where_it_must_be_and_broadcasts(truth):
    i, j = np.arange(40)[:, None], np.arange(60)[None, :]
    overlap = truth.attribute_overlap(i, j)
    assert overlap.shape == (40, 60)
    assert (overlap[:, :40] == overlap[:, :40].T).all()
    assert (overlap.diagonal() == len(v.ATTRIBUTES)).all()
    same = truth.same_concept(i, j)
    assert (same == (overlap == len(v.ATTRIBUTES))).all()
    slow = [
        [all(truth.caption_attributes[a, k] == truth.attributes[b, k] for k in np.flatnonzero(truth.named[a])) for b in range(5)]
        for a in range(5)
    ]
    assert truth.caption_true_of(np.arange(5)[:, None], np.arange(5)[None]).tolist() == slow


def test_truly_hard_pairs_exist_and_are_never_true_of_each_other(truth):
    i, j = np.arange(len(truth))[:, None], np.arange(len(truth))[None]
    hard = truth.truly_hard(i, j)
    assert (hard == hard.T).all()
    assert not (hard & truth.same_concept(i, j) & ~truth.mismatched[:, None] & ~truth.mismatched).any()
    assert hard.any(1).mean() > 0.5


def test_truth_by_hand():
    """Three scenes that differ in texture (0, 1) and in everything (2); captions name family and texture."""
    attributes = np.zeros((3, 11), np.int8)
    attributes[1, v.TEXTURE] = 1
    attributes[2] = 1
    named = np.zeros((3, 11), bool)
    named[:, [v.FAMILY, v.TEXTURE]] = True
    truth = Truth(np.arange(3), attributes, attributes, named, np.zeros(3, bool))
    assert truth.attribute_overlap(np.array([0, 0, 1]), np.array([1, 2, 2])).tolist() == [10, 0, 1]
    assert truth.caption_true_of(np.array([0, 0, 2]), np.array([1, 0, 1])).tolist() == [False, True, False]
    assert truth.truly_hard(0, 1)
    named[:, v.TEXTURE] = False
    assert not truth.truly_hard(0, 1)


def test_only_a_generated_corpus_has_a_truth(tmp_path):
    with pytest.raises(HelipError, match="only a generated corpus knows its truth"):
        Truth.open(tmp_path)
    (tmp_path / "truth.npz").write_bytes(b"junk")
    with pytest.raises(HelipError, match="not readable"):
        Truth.open(tmp_path)


@pytest.fixture(scope="module")
def union(tmp_path_factory):
    """Two generated corpora of 20 and 30 pairs, joined."""
    folder = tmp_path_factory.mktemp("corpora")
    members = [build_corpus(GeneratedCorpus(size=size, seed=size, mismatched=0.3), folder / f"of {size}") for size in (20, 30)]
    return join(UnionCorpus(of=("of_20", "of_30")), members, folder / "union").folder


def test_a_union_of_generated_corpora_has_its_members_truths(union):
    whole, one, other = (Truth.open(union.parent / name) for name in ("union", "of 20", "of 30"))
    assert Truth.known(union)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(whole, field), np.concatenate([getattr(one, field), getattr(other, field)]))


def test_the_members_of_a_union_that_was_moved_lie_beside_it(union, tmp_path):
    shutil.copytree(union.parent, tmp_path / "moved")
    manifest = tmp_path / "moved" / "union" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(union.parent), "results/study/corpora"))
    assert len(Truth.open(manifest.parent)) == 50


def test_a_union_with_a_member_of_photographs_has_no_truth(union, tmp_path):
    shutil.copytree(union.parent / "of 30", tmp_path / "photographs", ignore=shutil.ignore_patterns("truth.npz"))
    members = [Corpus.open(union.parent / "of 20"), Corpus.open(tmp_path / "photographs")]
    mixed = join(UnionCorpus(of=("of_20", "photographs")), members, tmp_path / "mixed").folder
    assert not Truth.known(mixed)
    with pytest.raises(HelipError, match="photographs/truth.npz: not found; only a generated corpus"):
        Truth.open(mixed)


def test_a_member_built_again_in_another_size_is_refused(union, tmp_path):
    shutil.copytree(union.parent, tmp_path / "now")
    manifest = tmp_path / "now" / "union" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(union.parent), str(tmp_path / "now")))
    shutil.copy(tmp_path / "now" / "of 30" / "truth.npz", tmp_path / "now" / "of 20" / "truth.npz")
    with pytest.raises(HelipError, match="a union of 50 pairs, and the truths of its members are of 60"):
        Truth.open(manifest.parent)


# ---------------------------------------------------------------- words and pixels


@settings(max_examples=200, deadline=None)
@given(st.integers(0, FIRST.concepts - 1), st.integers(0, 10**6))
def test_a_caption_says_the_words_of_what_it_names_and_no_others(concept, seed):
    row, rng = grow(FIRST)[concept], generator(seed)
    named = choose_named(FIRST, rng, row)
    text = f" {describe(FIRST, row, named, rng)} ".replace(",", "")
    assert any(f" {w} " in text for w in v.FIRST.backgrounds[row[v.BACKGROUND]]) == named[v.BACKGROUND]
    assert any(f" {w} " in text for w in v.FIRST.textures[row[v.TEXTURE]]) == named[v.TEXTURE]
    assert any(f" {w} " in text for w in v.FIRST.colours[row[v.COLOUR]]) == named[v.COLOUR]  # nothing else in a scene has the main colour
    noun = v.FIRST.families[v.FIRST.family_names[row[v.FAMILY]]][row[v.PART]] if named[v.PART] else v.FIRST.family_names[row[v.FAMILY]]
    assert f" {v.plural(noun) if row[v.COUNT] else noun} " in text
    assert (" with " in text) == named[v.ACCENT]
    assert row[v.SECOND_FAMILY] == v.ABSENT or named[v.SECOND_FAMILY] or not any(f" {w} " in text for ws in v.RELATIONS for w in ws)


@BOTH
def test_each_attribute_can_be_seen(world):
    """Changing one attribute alone changes the picture clearly, pose and noise being the same."""
    row = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1, 2, 0], np.int8)
    before = render(world, row, 32, generator(5)).astype(int)
    for attribute, size in enumerate(v.SIZES):
        for value in set(range(size)) - {int(row[attribute])}:
            other = row.copy()
            other[attribute] = value
            changed = np.abs(render(world, other, 32, generator(5)).astype(int) - before).max(-1) > 40
            assert changed.sum() >= 8, (v.ATTRIBUTES[attribute], value)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_single_objects_are_ten_pixels_of_32_in_radius(size):
    """The object's extent in an image: what differs from its own background."""
    for family in range(len(v.FIRST.families)):
        row = np.array([family, 4, 0, 0, 4, 7, 0, -1, -1, -1, -1], np.int8)  # a red one with a core in fog
        image = render(FIRST, row, size, generator(family)).astype(int)
        assert image.shape == (size, size, 3)
        shown = np.abs(image - np.median(image[0], 0)).max(-1) > 60
        height, width = np.ptp(np.nonzero(shown), axis=1) + 1
        assert max(height, width) >= 0.56 * size, v.FIRST.family_names[family]  # a body is 20 of 32 pixels across, give or take its jitter


@BOTH
def test_words_are_distinct(world):
    words = world.words
    assert len(set(words.species)) == 72
    assert not set(words.species) & set(words.family_names)
    assert tuple(map(len, (words.families, words.parts, words.textures, words.colours, words.backgrounds))) == (12, 6, 8, 10, 8)
    assert all(len(names) == len(words.parts) for names in words.families.values())
    assert len(words.colours) == len(words.rgb) == len(set(words.rgb))
    written = [word for group in (words.textures, words.colours, words.backgrounds) for value in group for word in value]
    assert len(set(written)) == len(written)


def test_plurals():
    nouns = "oak", "fish", "lily", "bus", "birch", "lynx", "monkey"
    assert [v.plural(n) for n in nouns] == ["oaks", "fish", "lilies", "buses", "birches", "lynxes", "monkeys"]


def test_the_second_world_shares_no_word_with_the_first():
    ours, theirs = HABITS["first"].words, HABITS["second"].words
    for mine, other in ((ours.species, theirs.species), (ours.family_names, theirs.family_names), (ours.rgb, theirs.rgb)):
        assert not set(mine) & set(other)
    for mine, other in ((ours.textures, theirs.textures), (ours.colours, theirs.colours), (ours.backgrounds, theirs.backgrounds)):
        assert not {word for words in mine for word in words} & {word for words in other for word in words}
    assert render(FIRST, grow(FIRST)[0], 32, generator(1)).tobytes() != render(SECOND, grow(FIRST)[0], 32, generator(1)).tobytes()


def test_near_mismatches_are_one_or_two_changes_away_and_wrong():
    pairs = [pair(SECOND, 0, i, 16, 1.0, near=1.0) for i in range(200)]
    for one in pairs:
        different = one.attributes != one.caption_attributes
        changes = different[: v.SECOND_FAMILY].sum() + different[v.SECOND_FAMILY :].any()
        assert 1 <= changes <= 4  # a change may force another, as when colour and accent would fall together
        assert (different & one.named).any()
    assert np.mean([(one.attributes == one.caption_attributes).sum() for one in pairs]) > 8


def test_the_share_of_near_mismatches_is_that_declared():
    def apart(near: float) -> list[int]:
        return [int((p.attributes != p.caption_attributes).sum()) for i in range(300) if (p := pair(FIRST, 0, i, 16, 1.0, near))]

    foreign, half = np.array(apart(0.0)), np.array(apart(0.5))
    assert (foreign > 2).all()  # attributes that differ
    assert (half > 2).mean() == pytest.approx(0.5, abs=0.1)


def test_fewer_concepts_have_more_images_each():
    assert len(grow(SECOND)) == 400
    share = np.diff(cumulative(World(0, "first", 600)), prepend=0)
    assert np.median(6000 * share) == pytest.approx(7.2, abs=0.1)
