"""CUB-200-2011: 200 birds, the authors' split of 5,994 training and 5,794 test images."""

from pathlib import Path

from helip.download.packing import Item, Unpacked
from helip.errors import HelipError

TEMPLATES = ["a photo of a {c}, a type of bird."]  # CLIP's paper, which CLIP benchmark has not


def read_cub(folder: Path) -> Unpacked:
    """Reads the unpacked archive, the folder CUB_200_2011: images.txt, image_class_labels.txt, train_test_split.txt, classes.txt."""
    images, labels = _numbered(folder / "images.txt"), _numbered(folder / "image_class_labels.txt")
    training, classes = _numbered(folder / "train_test_split.txt"), _numbered(folder / "classes.txt")
    if not images.keys() == labels.keys() == training.keys():
        raise HelipError(
            f"{folder}: images.txt, image_class_labels.txt and train_test_split.txt list different images; unpack the archive again"
        )
    splits: dict[str, list[Item]] = {"train": [], "test": []}
    for number, image in images.items():
        split = "train" if training[number] == "1" else "test"
        splits[split].append(Item(folder / "images" / image, _label(labels[number], classes, folder)))
    names = [c.partition(".")[2].replace("_", " ") for c in classes.values()]  # 001.Black_footed_Albatross
    return Unpacked(names, TEMPLATES, splits, "train_test_split.txt of the authors")


def _label(label: str, classes: dict[int, str], folder: Path) -> int:
    if not (label.isdecimal() and int(label) in classes):
        raise HelipError(f"{folder / 'image_class_labels.txt'}: '{label}' is no class of classes.txt; unpack the archive again")
    return int(label) - 1


def _numbered(path: Path) -> dict[int, str]:
    """Lines of `number value`, by number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return dict(sorted((int(n), value.strip()) for n, _, value in (line.partition(" ") for line in lines if line.strip())))
    except FileNotFoundError:
        raise HelipError(f"{path}: not found; name the folder that CUB_200_2011.tgz unpacks to") from None
    except (OSError, ValueError) as error:
        raise HelipError(f"{path}: not lines of a number and a value ({error}); unpack the archive again") from None
