"""Caltech101: 101 objects and the background class; the authors publish no split, so 30 images a class are drawn with a fixed seed."""

import random
from pathlib import Path

from helip.download.packing import Item, Unpacked, benchmark_words
from helip.errors import HelipError

TRAIN_A_CLASS, SEED = 30, 0  # 3,060 and 6,085 images: the counts of CLIP's paper; nobody's list of them is published


def read_caltech101(folder: Path) -> Unpacked:
    """Reads the unpacked folder 101_ObjectCategories: one folder of .jpg a class, in the order of CLIP benchmark's class names."""
    names = benchmark_words("caltech101", "classnames")
    classes = sorted(f for f in folder.iterdir() if f.is_dir()) if folder.is_dir() else []
    if len(classes) != len(names):
        raise HelipError(f"{folder}: holds {len(classes)} folders, not the {len(names)} of 101_ObjectCategories; name that folder")
    splits: dict[str, list[Item]] = {"train": [], "test": []}
    for label, one in enumerate(classes):
        images = sorted(one.glob("*.jpg"))
        if len(images) <= TRAIN_A_CLASS:
            raise HelipError(f"{one}: holds {len(images)} images, and {TRAIN_A_CLASS} are for training alone; unpack the archive again")
        training = set(random.Random(f"{SEED} {one.name}").sample(range(len(images)), TRAIN_A_CLASS))
        for place, image in enumerate(images):
            splits["train" if place in training else "test"].append(Item(image, label))
    templates = benchmark_words("caltech101", "zeroshot_classification_templates")
    return Unpacked(names, templates, splits, f"{TRAIN_A_CLASS} images a class drawn with seed {SEED}")
