"""Stand-ins for the evaluation sets of study `paper`: photographs at hand in the layouts that the real ones have.

CIFAR-10, CIFAR-100 and Flowers102 are in CLIP benchmark's wds layout: torchvision compares checksums of the real files.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.io
import torch

from helip.data.tars import write
from helip.download.packing import benchmark_words
from helip.download.packing.cub import TEMPLATES

Photograph = tuple[bytes, str]  # JPEG, caption
COUNT = 120  # items of a split, more where a layout needs one of each class


CLASSES = {"food101": 101, "cars": 196, "fgvc_aircraft": 100, "cub": 200, "sun397": 397, "cifar100": 100}


def words(name: str, what: str) -> list[str]:
    """Returns what CLIP benchmark ships for a set; made-up class names, or the usual templates, where it ships none."""
    if (name, what) == ("cub", "zeroshot_classification_templates"):
        return TEMPLATES
    try:
        return benchmark_words(name, what)
    except KeyError:
        if name == "cifar10" and what == "classnames":
            return ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        return [f"{name} class {i}" for i in range(CLASSES[name])] if what == "classnames" else benchmark_words("imagenet1k", what)


def photographs_for(count: int, photos: list[Photograph]) -> Iterator[tuple[int, Photograph]]:
    """Yields count photographs with their numbers, again from the first where there are fewer."""
    return zip(range(count), itertools.cycle(photos), strict=False)


def wds(
    name: str, root: Path, photos: list[Photograph], splits: tuple[str, ...] = ("train", "test"), count: int | None = None,
    classes: int | None = None,
) -> None:  # fmt: skip
    """Writes a folder in the wds layout with the class names and templates that CLIP benchmark ships.

    count: images of a split; classes: of the class names the first so many.
    """
    names = words(name, "classnames")[:classes]
    root.mkdir(parents=True)
    (root / "classnames.txt").write_text("\n".join(names))
    (root / "zeroshot_classification_templates.txt").write_text("\n".join(words(name, "zeroshot_classification_templates")))
    for split in splits:
        (root / split).mkdir()
        files = [
            file for i, (jpeg, _) in photographs_for(count or max(COUNT, 2 * len(names)), photos)
            for file in ((f"{i:06d}.jpg", jpeg), (f"{i:06d}.cls", str(i % len(names)).encode()))
        ]  # fmt: skip
        write(root / split / "0.tar", files)
        (root / split / "nshards.txt").write_text("1")


def imagenet(root: Path, photos: list[Photograph]) -> None:
    """Writes what torchvision makes of the two archives of ILSVRC2012: meta.bin and val/WNID/."""
    wnids = [f"n{i:08d}" for i in range(1000)]
    for i, (jpeg, _) in photographs_for(1000, photos):
        (root / "val" / wnids[i]).mkdir(parents=True)
        (root / "val" / wnids[i] / f"ILSVRC2012_val_{i:08d}.JPEG").write_bytes(jpeg)
    torch.save(({w: (w,) for w in wnids}, wnids), root / "meta.bin")


def food101(root: Path, photos: list[Photograph]) -> None:
    """Writes food-101/{images,meta}."""
    base, names = root / "food-101", [n.replace(" ", "_") for n in words("food101", "classnames")]
    (base / "meta").mkdir(parents=True)
    for split in ("train", "test"):
        listed: dict[str, list[str]] = {name: [] for name in names}
        for i, (jpeg, _) in photographs_for(2 * len(names), photos):
            name = names[i % len(names)]
            listed[name].append(f"{name}/{split}{i}")
            (base / "images" / name).mkdir(parents=True, exist_ok=True)
            (base / "images" / f"{name}/{split}{i}.jpg").write_bytes(jpeg)
        (base / "meta" / f"{split}.json").write_text(json.dumps(listed))


def cars(root: Path, photos: list[Photograph]) -> None:
    """Writes stanford_cars/ with its devkit."""
    base, names = root / "stanford_cars", words("cars", "classnames")
    (base / "devkit").mkdir(parents=True)
    scipy.io.savemat(base / "devkit/cars_meta.mat", {"class_names": np.array(names, dtype=object)})
    for split, file in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        (base / f"cars_{split}").mkdir()
        rows = []
        for i, (jpeg, _) in photographs_for(2 * len(names), photos):
            (base / f"cars_{split}/{i:05d}.jpg").write_bytes(jpeg)
            rows.append((f"{i:05d}.jpg", i % len(names) + 1))
        scipy.io.savemat(base / file, {"annotations": np.array(rows, dtype=[("fname", object), ("class", "O")])})


def aircraft(root: Path, photos: list[Photograph]) -> None:
    """Writes fgvc-aircraft-2013b/data with its three official splits."""
    base, names = root / "fgvc-aircraft-2013b" / "data", words("fgvc_aircraft", "classnames")
    (base / "images").mkdir(parents=True)
    (base / "variants.txt").write_text("\n".join(names) + "\n")
    for n, split in enumerate(("train", "val", "test")):
        lines = []
        for i, (jpeg, _) in photographs_for(2 * len(names), photos):
            (base / f"images/{n}{i:06d}.jpg").write_bytes(jpeg)
            lines.append(f"{n}{i:06d} {names[i % len(names)]}\n")
        (base / f"images_variant_{split}.txt").write_text("".join(lines))


def mscoco(root: Path, photos: list[Photograph]) -> None:
    """Writes val2014/ and Karpathy's annotations, five captions an image."""
    (root / "val2014").mkdir(parents=True)
    images, captions = [], []
    for i, (jpeg, caption) in photographs_for(COUNT, photos):
        (root / f"val2014/{i:012d}.jpg").write_bytes(jpeg)
        images.append({"id": i, "file_name": f"{i:012d}.jpg"})
        captions += [{"id": 5 * i + n, "image_id": i, "caption": f"{caption} {n}"} for n in range(5)]
    (root / "coco_test_karpathy.json").write_text(json.dumps({"images": images, "annotations": captions}))


def flickr30k(root: Path, photos: list[Photograph]) -> None:
    """Writes the images and Karpathy's list, five captions an image."""
    root.mkdir(parents=True)
    lines = ["image,caption"]
    for i, (jpeg, caption) in photographs_for(COUNT, photos):
        (root / f"{i:010d}.jpg").write_bytes(jpeg)
        lines += [f"{i:010d}.jpg,{caption} {n}" for n in range(5)]
    (root / "flickr30k_test_karpathy.txt").write_text("\n".join(lines) + "\n")


LAYOUTS: dict[str, Callable[[Path, list[Photograph]], None]] = {
    "imagenet": imagenet, "food101": food101, "cars": cars, "aircraft": aircraft, "mscoco": mscoco, "flickr30k": flickr30k,
    **{name: (lambda root, photos, name=name: wds(name, root, photos)) for name in ("cifar10", "cifar100", "caltech101", "sun397", "cub")},
    "flowers102": lambda root, photos: wds("flowers", root, photos, ("train", "val", "test")),
}  # fmt: skip
