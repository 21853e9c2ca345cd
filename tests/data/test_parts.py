"""What is held out of a corpus: whole images, captions of their own, the same cut in any order."""

import io

import numpy as np
import pytest
from PIL import Image

from helip.config import HeldOutSet, ShardCorpus, TrainPartCorpus
from helip.data.build import build_corpus
from helip.data.groups import hash64
from helip.data.parts import cut, held_out, train_part
from helip.data.tars import write
from helip.errors import HelipError
from helip.evaluation.building import build_evaluation_set

DECLARED = TrainPartCorpus(of="whole", held_out=0.1)


def png(i: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (i % 256, i // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def corpus_of(folder, pairs):
    """A corpus of (image number, caption) pairs."""
    folder.mkdir()
    files = [(f"{n:05d}.{end}", data) for n, (i, text) in enumerate(pairs) for end, data in (("png", png(i)), ("txt", text.encode()))]
    write(folder / "0.tar", files)
    return build_corpus(ShardCorpus(path=str(folder)), folder / "corpus")


def told(corpus, ids) -> list[str]:
    return [caption for i in ids for caption in corpus.captions(i)]


PAIRS = [(i, f"picture {i}, {view}") for i in range(250) for view in ("seen", "told")]  # two captions an image
SHARED = [(250 + i, "the same words") for i in range(10)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return corpus_of(tmp_path_factory.mktemp("parts") / "a", PAIRS + SHARED)


@pytest.fixture(scope="module")
def part(whole, tmp_path_factory):
    return train_part(DECLARED, whole, tmp_path_factory.mktemp("part") / "train")


def test_a_tenth_of_the_images_is_held_out_twice(whole, part):
    validation, test = list(held_out(part, "validation")), list(held_out(part, "test"))
    assert len(validation) == len(test) == 26  # of 260 images
    assert part.manifest["held_out"] == {"validation": 26, "test": 26}
    assert len(part) == len(whole) - 2 * 26 * 2  # each has two captions


def test_no_image_and_no_caption_is_in_two_parts(whole, part):
    ids = [i for name in ("validation", "test") for group in held_out(part, name) for i in group]
    trained = {part.image_bytes(i) for i in range(len(part))}
    assert not trained & {whole.image_bytes(i) for i in ids}
    assert not set(told(part, range(len(part)))) & set(told(whole, ids))


def test_images_that_share_a_caption_are_never_held_out(whole, part):
    assert told(part, range(len(part))).count("the same words") == 10


def test_an_item_is_an_image_with_all_its_captions(whole, part):
    for first, second in held_out(part, "test"):
        assert whole.image_bytes(first) == whole.image_bytes(second)
        assert whole.caption(first).partition(",")[0] == whole.caption(second).partition(",")[0]


def test_the_order_of_the_pairs_changes_nothing(whole, part, tmp_path):
    turned = corpus_of(tmp_path / "b", [*reversed(PAIRS + SHARED)])
    other = train_part(DECLARED, turned, tmp_path / "train")
    texts = [{turned.caption(i) for group in held_out(other, "test") for i in group}]
    assert texts == [{whole.caption(i) for group in held_out(part, "test") for i in group}]


def test_another_seed_holds_out_others(whole, part, tmp_path):
    other = train_part(DECLARED.model_copy(update={"seed": 1}), whole, tmp_path / "train")
    assert list(held_out(other, "test")) != list(held_out(part, "test"))


def test_components_by_hand():
    """Images 0 and 1 share caption 0, and image 1 has caption 1 too: neither is alone. Images 2 to 61 are."""
    image_N = np.array([0, 1, 1, *range(2, 62)])
    caption_N = np.array([0, 0, 1, *range(2, 62)])
    keys = [str(i).encode() for i in range(62)]
    part_N = cut(image_N, image_N, caption_N, keys, TrainPartCorpus(of="whole", held_out=0.4, most=20))
    assert part_N[:3].tolist() == [0, 0, 0]
    assert np.bincount(part_N).tolist() == [63 - 40, 20, 20]


def test_captions_in_other_spelling_are_equal(tmp_path):
    """Of 160 images 60 share their words with another one, in capitals and with more spaces: none of them is held out."""
    alike = [(100 + i, ("the words of {}", "The  Words  of {}")[i % 2].format(i // 2)) for i in range(60)]
    corpus = corpus_of(tmp_path / "spelt", [(i, f"picture {i}") for i in range(100)] + alike)
    part = train_part(DECLARED.model_copy(update={"held_out": 0.15}), corpus, tmp_path / "train")
    assert part.manifest["held_out"] == {"validation": 24, "test": 24}
    assert set(told(part, range(len(part)))) >= {caption for _, caption in alike}


def test_both_parts_are_as_large_where_few_may_be_held_out():
    """Of 100 images 50 have a caption of their own: 25 for each part, though 40 are asked for."""
    caption_N = np.concatenate([np.arange(50) // 2, np.arange(50, 100)])
    keys = [str(i).encode() for i in range(100)]
    part_N = cut(np.arange(100), np.arange(100), caption_N, keys, TrainPartCorpus(of="whole", held_out=0.4))
    assert np.bincount(part_N).tolist() == [50, 25, 25] and not part_N[:50].any()


def test_nothing_left_to_train_on_is_refused():
    one_N, keys = np.arange(60), [str(i).encode() for i in range(60)]
    with pytest.raises(HelipError, match="60 distinct images, 60 of them with a caption of their own, are too few"):
        cut(one_N, one_N, one_N, keys, TrainPartCorpus(of="whole", held_out=0.5))


def test_what_is_trained_on_keeps_its_hashes(whole, part):
    ids = np.flatnonzero(np.load(part.folder / "parts.npy") == 0)
    assert np.array_equal(part.hashes(), whole.hashes()[ids])
    assert part.hashes()[-1, 0] == hash64(part.image_bytes(len(part) - 1))


def test_too_few_images_are_refused(tmp_path):
    few = corpus_of(tmp_path / "few", [(i, f"picture {i}") for i in range(60)])
    with pytest.raises(HelipError, match="60 distinct images, 60 of them with a caption of their own, are too few"):
        train_part(DECLARED, few, tmp_path / "train")
    assert not (tmp_path / "train").exists()


def test_the_held_out_set_is_read_by_clip_benchmark(whole, part, tmp_path):
    from helip.evaluation.sets import of_declaration

    declared = HeldOutSet(of="train", part="test")
    built = build_evaluation_set("test", declared, tmp_path / "test", None, [part, whole])
    assert built["items"] == 26
    items = list(of_declaration("test", declared, tmp_path / "test").open(None, "test"))
    ids = list(held_out(part, "test"))
    assert [captions for _, captions in items] == [told(whole, group) for group in ids]
    assert [image.getpixel((0, 0)) for image, _ in items] == [whole.image(group[0]).getpixel((0, 0)) for group in ids]
