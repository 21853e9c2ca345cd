"""Evaluation sets load through CLIP benchmark as they are, and what is missing or wrong is said before anything is evaluated."""

import io
import json
from collections import Counter

import numpy as np
import pytest
from archives import encoded, indexed, tar_of
from clip_benchmark.datasets.builder import build_dataset
from PIL import Image

from helip.config import BenchmarkSet, GeneratedCorpus, GeneratedSet, WdsSet
from helip.data.build import build_corpus
from helip.errors import HelipError
from helip.evaluation import building
from helip.evaluation.building import build_evaluation_set
from helip.io import file_digest
from helip.synthetic import vocabulary as v
from helip.synthetic.concepts import generator, grow
from helip.synthetic.sets import CAPTIONS, CLASSIFICATION, analogue, labelled, show
from helip.synthetic.world import World

pytestmark = pytest.mark.filterwarnings("ignore:WebDataset.shardshuffle")  # CLIP benchmark leaves it unset
WORLD = World()
CLASSES = {"imagenet": 200, "cifar10": 10, "cifar100": 72, "caltech101": 96, "food101": 60, "sun397": 96, "flowers102": 48, "cub": 90,
           "cars": 80, "aircraft": 48}  # fmt: skip


def _loaded(folder, split="test"):
    """evaluation.json, CLIP benchmark's data set and its items."""
    metadata = json.loads((folder / "evaluation.json").read_text())
    task = {"classification": "zeroshot_classification", "retrieval": "zeroshot_retrieval"}[metadata["task"]]
    data = build_dataset(
        metadata["dataset"], root=str(folder / metadata["root"]), split=split, task=task, transform=lambda image: image, download=False
    )
    return metadata, data, list(data)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_analogues_load(tmp_path, name):
    build_evaluation_set(name, GeneratedSet(task="classification", items=2 * CLASSES[name] + 3, train_items=5, probe=True), tmp_path / name)
    metadata, data, items = _loaded(tmp_path / name)
    assert metadata["items"] == len(items) == 2 * CLASSES[name] + 3
    assert metadata["classes"] == len(data.classes) == len(set(data.classes)) == CLASSES[name]
    assert all("{c}" in t for t in data.templates)
    assert {type(label) for _, label in items} == {int}
    assert set(Counter(label for _, label in items).values()) <= {2, 3}
    assert {image.size for image, _ in items} == {(32, 32)}
    assert len(_loaded(tmp_path / name, "train")[2]) == metadata["train_items"] == 5
    assert metadata["archives"]["test/0.tar"] == file_digest(tmp_path / name / "test" / "0.tar")
    assert metadata["root"] == "."  # so that the folder can be moved


@pytest.mark.parametrize("name", CAPTIONS)
def test_retrieval_analogues_load(tmp_path, name):
    metadata = build_evaluation_set(name, GeneratedSet(task="retrieval", items=70), tmp_path / name)
    _, data, items = _loaded(tmp_path / name)
    assert metadata["items"] == len(items) == 70
    assert data.classes is None
    assert {len(captions) for _, captions in items} == {5}
    assert len({captions[0] for _, captions in items}) > 60


def test_sets_of_more_than_one_archive_load(tmp_path, monkeypatch):
    monkeypatch.setattr("helip.evaluation.building.PER_SHARD", 20)
    build_evaluation_set("cifar10", GeneratedSet(task="classification", items=50), tmp_path / "s")
    metadata, _, items = _loaded(tmp_path / "s")
    assert sorted(metadata["archives"]) == ["test/0.tar", "test/1.tar", "test/2.tar"]
    assert [label for _, label in items] == [i % 10 for i in range(50)]


def test_a_set_is_reproducible_and_disjoint_from_training_data(tmp_path):
    declaration = GeneratedSet(task="classification", items=40, train_items=40, seed=0)
    one, two = (build_evaluation_set("cifar10", declaration, tmp_path / n) for n in ("one", "two"))
    assert one["archives"] == two["archives"]
    images = {s: {_bytes(image) for image, _ in _loaded(tmp_path / "one", s)[2]} for s in ("test", "train")}
    corpus = build_corpus(GeneratedCorpus(size=40), tmp_path / "corpus")
    of_corpus = {_bytes(corpus.image(i)) for i in range(40)}
    assert len(images["test"] | images["train"] | of_corpus) == 120


def _bytes(image):
    return image.convert("RGB").tobytes()


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_scenes_show_their_class_and_are_legal(name):
    one = analogue(name, WORLD)
    for label in range(len(one.values)):
        row = show(one, label, generator(label))
        assert (row[one.says[label]] == one.values[label][one.says[label]]).all()
        assert row[v.COLOUR] != row[v.ACCENT]
        if row[v.RELATION] != v.ABSENT:
            assert row[v.SECOND_FAMILY] != row[v.FAMILY]
            assert row[v.SECOND_COLOUR] != row[v.COLOUR]


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_no_image_fits_two_classes(name):
    one = analogue(name, WORLD)
    for label in range(len(one.values)):
        row = show(one, label, generator(label, 1))
        fits = (~one.says | (one.values == row)).all(1)
        assert np.flatnonzero(fits).tolist() == [label]


def test_class_names_say_what_differs():
    assert analogue("cifar100", WORLD).class_names[:3] == ["sparrow", "robin", "eagle"]
    assert analogue("cub", WORLD).class_names[0] == "red bird with orange markings"
    assert analogue("sun397", WORLD).class_names[0] == "bird on grass"
    assert not any(n.startswith(("a ", "an ")) for n in analogue("imagenet", WORLD).class_names)
    assert len(grow(WORLD)) > len(analogue("imagenet", WORLD).values)


def test_labelled_images_are_those_in_the_archive(tmp_path):
    build_evaluation_set("aircraft", GeneratedSet(task="classification", items=8), tmp_path / "s")
    _, _, items = _loaded(tmp_path / "s")
    for (image, label), (png, wanted) in zip(items, labelled("aircraft", WORLD, 1, "test", 8, 32), strict=True):
        assert label == wanted
        assert _bytes(image) == _bytes(Image.open(io.BytesIO(png)))


# ---------------------------------------------------------------- refusals


def test_unknown_analogue_and_wrong_task(tmp_path):
    with pytest.raises(HelipError, match="evaluation -> objectnet: the generated world has no analogue of that name; it has imagenet"):
        build_evaluation_set("objectnet", GeneratedSet(task="classification"), tmp_path / "s")
    with pytest.raises(HelipError, match="'mscoco' is a retrieval set, not classification; correct its task"):
        build_evaluation_set("mscoco", GeneratedSet(task="classification"), tmp_path / "s")
    with pytest.raises(HelipError, match="train_items"):
        build_evaluation_set("mscoco", GeneratedSet(task="retrieval", train_items=3), tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def wds(tmp_path):
    """A valid user's set of two classes, and its declaration."""
    root = tmp_path / "mine"
    root.mkdir()
    (root / "classnames.txt").write_text("red\nblue\n")
    (root / "zeroshot_classification_templates.txt").write_text("a photo of a {c}\n")
    tar_of(root / "test" / "0.tar", [("a.png", encoded()), ("a.cls", b"0"), ("b.jpg", encoded("JPEG")), ("b.cls", b"1")])
    (root / "test" / "nshards.txt").write_text("1")
    return root


def test_a_users_set_is_checked_and_described(wds, tmp_path):
    metadata = build_evaluation_set("mine", WdsSet(task="classification", path=str(wds)), tmp_path / "out")
    assert (metadata["items"], metadata["classes"], metadata["root"], metadata["dataset"]) == (2, 2, str(wds), "wds/mine")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["evaluation.json"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("classnames.txt", None, r"classnames\.txt: cannot be read"),
        ("classnames.txt", "red\n\nblue\n", "one class name a line"),
        ("classnames.txt", "red\n", r"item 'b' has the label b'1', and classnames\.txt has 1 classes"),
        ("zeroshot_classification_templates.txt", "a photo of a {}\n", r"each with \{c\}"),
        ("test/nshards.txt", "one", "needs one number"),
        ("test/nshards.txt", "2", r"1\.tar: cannot be read"),
        ("test/nshards.txt", "0", "holds no items"),
        ("dataset_type.txt", "retrieval", r"dataset_type\.txt says retrieval, the study classification"),
        ("test/0.tar", "junk", "not a whole tar archive"),
    ],
)
def test_a_users_broken_set_is_reported(wds, tmp_path, name, content, sentence):
    (wds / name).unlink() if content is None else (wds / name).write_text(content)
    with pytest.raises(HelipError, match=sentence):
        build_evaluation_set("mine", WdsSet(task="classification", path=str(wds)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_item_without_image_or_caption_is_reported(wds, tmp_path):
    tar_of(wds / "test" / "0.tar", [("a.png", encoded()), ("a.cls", b"0"), ("b.cls", b"1")])
    with pytest.raises(HelipError, match="item 'b' lacks its image"):
        build_evaluation_set("mine", WdsSet(task="classification", path=str(wds)), tmp_path / "out")
    (wds / "dataset_type.txt").write_text("retrieval")
    tar_of(wds / "test" / "0.tar", [("a.png", encoded()), ("a.txt", b" ")])
    with pytest.raises(HelipError, match="item 'a' has no caption"):
        build_evaluation_set("mine", WdsSet(task="retrieval", path=str(wds)), tmp_path / "out")


def test_a_set_that_is_not_there_is_reported(tmp_path, monkeypatch):
    with pytest.raises(HelipError, match=r"away: there is no such folder; put the set there"):
        build_evaluation_set("mine", WdsSet(task="retrieval", path=str(tmp_path / "away")), tmp_path / "out")
    monkeypatch.delenv("HELIP_DATA", raising=False)
    with pytest.raises(HelipError, match=r"\$HELIP_DATA is not set"):
        build_evaluation_set("mine", WdsSet(task="retrieval", path="$HELIP_DATA/x"), tmp_path / "out")
    with pytest.raises(HelipError, match=r"evaluation set 'mine' \(test\) cannot be opened"):
        build_evaluation_set("mine", BenchmarkSet(task="classification", name="cifar10", root=str(tmp_path)), tmp_path / "out")


def test_a_set_of_clip_benchmarks_own_is_described(tmp_path):
    metadata = build_evaluation_set("mine", BenchmarkSet(task="classification", name="dummy", root=str(tmp_path)), tmp_path / "out")
    assert metadata["dataset"] == "dummy"
    assert metadata["items"] > 0


@pytest.mark.parametrize(("path", "task", "items"), [("flickr8k/retrieval", "retrieval", 1000), ("cifar10", "classification", 5000)])
def test_real_sets_are_checked(tmp_path, data_root, monkeypatch, path, task, items):
    monkeypatch.setenv("HELIP_DATA", str(data_root))
    metadata = build_evaluation_set("real", WdsSet(task=task, path=f"$HELIP_DATA/{path}", probe=task == "classification"), tmp_path / "out")
    assert metadata["items"] == items
    assert metadata["train_items"] == (10_000 if task == "classification" else 0)


@pytest.mark.parametrize(("options", "kept"), [({}, True), ({"transparency": (200, 30, 60)}, False), ({"exif": b"Exif\0\0MM\0*"}, False)])
def test_a_held_out_image_is_what_training_sees(tmp_path, options, kept):
    """The colour that a PNG calls transparent is white to training."""
    corpus = indexed(tmp_path, [("a.png", encoded(**options)), ("a.txt", b"a caption")])
    data = building._encoded(corpus, 0)
    assert (data == corpus.image_bytes(0)) is kept
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), np.asarray(corpus.image(0)))
