"""Evaluation sets packed from folders as the authors' archives hold them, read back by CLIP benchmark."""

import hashlib
import io

import pytest
from clip_benchmark.datasets.builder import build_dataset
from PIL import Image

from helip.cli import main
from helip.config import WdsSet
from helip.download.packing import pack
from helip.download.packing.caltech101 import read_caltech101
from helip.download.packing.cub import read_cub
from helip.download.packing.sun397 import read_sun397
from helip.errors import HelipError
from helip.evaluation.building import check_wds
from helip.study import Study


def jpeg(path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, 255 - shade, shade)).save(data, "JPEG")
    path.write_bytes(data.getvalue())


def items(root, split: str) -> list[tuple[int, int]]:
    """(shade, label) of each image, as CLIP benchmark gives them."""
    data = build_dataset("wds/set", root=str(root), split=split, transform=lambda i: i.getpixel((8, 8))[0], task="zeroshot_classification")
    return sorted((shade, int(label)) for shade, label in data)


@pytest.fixture
def cub(tmp_path):
    """Three birds with four images each, the first of each for testing; shade 20 x bird + 3 x image."""
    folder = tmp_path / "CUB_200_2011"
    birds = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"]
    images, labels, split = [], [], []
    for b, bird in enumerate(birds):
        for i in range(4):
            number = 4 * b + i + 1
            jpeg(folder / "images" / bird / f"{i}.jpg", 20 * b + 3 * i)
            images.append(f"{number} {bird}/{i}.jpg")
            labels.append(f"{number} {b + 1}")
            split.append(f"{number} {int(i > 0)}")
    for name, lines in (("images", images), ("image_class_labels", labels), ("train_test_split", split)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "classes.txt").write_text("".join(f"{b + 1} {bird}\n" for b, bird in enumerate(birds)))
    return folder


def test_cub_keeps_the_authors_split_and_reads_the_names(cub, project, tmp_path):
    assert pack("cub", lambda: read_cub(cub), tmp_path / "set") == {"train": 9, "test": 3}
    assert (tmp_path / "set/classnames.txt").read_text().split("\n")[:2] == ["Black footed Albatross", "Laysan Albatross"]
    assert [label for _, label in items(tmp_path / "set", "test")] == [0, 1, 2]
    assert [label for _, label in items(tmp_path / "set", "train")] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    metadata = check_wds(tmp_path / "set", WdsSet(task="classification", probe=True, path="x"))
    assert metadata["templates_digest"] == Study("paper", project / "experiments").declaration.evaluation["cub"].expected.templates


def test_the_same_archive_packs_to_the_same_bytes(cub, tmp_path):
    for name in ("one", "two"):
        pack("cub", lambda: read_cub(cub), tmp_path / name)
    tars = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.tar")]
    assert tars and all((tmp_path / "one" / t).read_bytes() == (tmp_path / "two" / t).read_bytes() for t in tars)


def test_large_splits_are_cut_into_shards(cub, tmp_path, monkeypatch):
    monkeypatch.setattr("helip.download.packing.PER_SHARD", 4)
    pack("cub", lambda: read_cub(cub), tmp_path / "set")
    assert (tmp_path / "set/train/nshards.txt").read_text() == "3\n"
    assert len(items(tmp_path / "set", "train")) == 9


def test_a_broken_archive_is_refused_and_nothing_is_left(cub, tmp_path):
    (cub / "images/002.Laysan_Albatross/2.jpg").write_bytes(b"not an image")
    with pytest.raises(HelipError, match=r"2.jpg: undecodable image .*unpack the archive again"):
        pack("cub", lambda: read_cub(cub), tmp_path / "set")
    labels = (cub / "image_class_labels.txt").read_text()
    for wrong in ("one", "9", "0"):
        (cub / "image_class_labels.txt").write_text(labels.replace("1 1\n", f"1 {wrong}\n", 1))
        with pytest.raises(HelipError, match=rf"image_class_labels.txt: '{wrong}' is no class of classes.txt; unpack the archive again"):
            read_cub(cub)
    (cub / "train_test_split.txt").write_text("1 1\n")
    with pytest.raises(HelipError, match="list different images"):
        read_cub(cub)
    with pytest.raises(HelipError, match=r"images.txt: not found; name the folder that CUB_200_2011.tgz unpacks to"):
        read_cub(tmp_path)
    assert not (tmp_path / "set").exists()


def test_sun397_takes_the_published_partition(tmp_path):
    names = ["/a/abbey", "/a/apse/indoor", "/b/badlands"]
    parts = tmp_path / "Partitions"
    parts.mkdir()
    (parts / "ClassName.txt").write_text("\n".join(names) + "\n")
    for file, number in (("Training_01.txt", 1), ("Testing_01.txt", 2)):
        (parts / file).write_text("".join(f"{name}/sun_{number}.jpg\n" for name in names))
    for place, name in enumerate(names):
        for number in (1, 2):
            jpeg(tmp_path / "SUN397" / name[1:] / f"sun_{number}.jpg", 30 * place + number)
    pack("sun397", lambda: read_sun397(tmp_path / "SUN397", parts), tmp_path / "set")
    assert (tmp_path / "set/classnames.txt").read_text() == "abbey\napse indoor\nbadlands\n"
    assert [label for _, label in items(tmp_path / "set", "train")] == [0, 1, 2]
    (parts / "Testing_01.txt").write_text("/z/zoo/sun_1.jpg\n")
    with pytest.raises(HelipError, match=r"Testing_01.txt: '/z/zoo/sun_1.jpg' is of no class"):
        read_sun397(tmp_path / "SUN397", parts)


def test_caltech101_draws_the_same_thirty_a_class_everywhere(project, tmp_path):
    folder = tmp_path / "101_ObjectCategories"
    for c in range(102):
        (folder / f"class{c:03d}").mkdir(parents=True)
        for i in range(33):
            (folder / f"class{c:03d}" / f"image_{i:04d}.jpg").write_bytes(b"")
    splits = read_caltech101(folder).splits
    assert {split: len(items) for split, items in splits.items()} == {"train": 3060, "test": 306}
    assert not {i.image for i in splits["train"]} & {i.image for i in splits["test"]}
    left = ",".join(f"{i.image.parent.name}/{i.image.name}" for i in splits["test"])
    assert hashlib.sha256(left.encode()).hexdigest()[:16] == "eb6f59e7c1c6ff53"
    expected = Study("paper", project / "experiments").declaration.evaluation["caltech101"].expected
    assert hashlib.sha256("\n".join(read_caltech101(folder).class_names).encode()).hexdigest() == expected.class_names
    (folder / "class000" / "image_0000.jpg").unlink()
    for i in range(1, 4):
        (folder / "class000" / f"image_{i:04d}.jpg").unlink()
    with pytest.raises(HelipError, match="class000: holds 29 images, and 30 are for training alone"):
        read_caltech101(folder)


def test_the_command_packs_and_counts(cub, tmp_path, capsys):
    assert main(["pack-set", "cub", str(cub), "--out", str(tmp_path / "set")]) == 0
    assert "9 train, 3 test" in capsys.readouterr().out
    assert main(["pack-set", "sun397", str(cub), "--out", str(tmp_path / "other")]) == 2
    assert "--partition: sun397 needs it" in capsys.readouterr().err
