"""SUN397: 397 scenes, one of the ten published partitions with 50 training and 50 test images a class (CLIP's paper takes the first)."""

from pathlib import Path

from helip.download.packing import Item, Unpacked, benchmark_words
from helip.errors import HelipError


def read_sun397(folder: Path, partition: Path, number: int = 1) -> Unpacked:
    """Reads `folder`, the unpacked SUN397.tar.gz; `partition`, of Partitions.zip, has ClassName.txt, Training_01.txt, Testing_01.txt."""
    classes = _lines(partition / "ClassName.txt")  # /a/abbey, /a/apse/indoor
    label = {name: i for i, name in enumerate(classes)}
    splits = {}
    for split, file in (("train", f"Training_{number:02d}.txt"), ("test", f"Testing_{number:02d}.txt")):
        splits[split] = [Item(folder / line.lstrip("/"), _label(line, label, partition / file)) for line in _lines(partition / file)]
    names = [name[3:].replace("_", " ").replace("/", " ") for name in classes]  # as CLIP benchmark's: /a/abbey is "abbey"
    return Unpacked(names, benchmark_words("sun397", "zeroshot_classification_templates"), splits, f"partition {number} of the authors")


def _label(line: str, label: dict[str, int], file: Path) -> int:
    name = line.rpartition("/")[0]
    if name not in label:
        raise HelipError(f"{file}: '{line}' is of no class of ClassName.txt; unpack Partitions.zip again")
    return label[name]


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise HelipError(f"{path}: cannot be read ({error}); name the folder that Partitions.zip unpacks to with --partition") from None
