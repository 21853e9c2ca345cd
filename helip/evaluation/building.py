"""Evaluation sets: generated ones written in CLIP benchmark's wds layout, a user's own checked, all with an evaluation.json."""

import contextlib
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from helip.config import BenchmarkSet, GeneratedSet, HeldOutSet, WdsSet
from helip.config import EvaluationSet as Declaration
from helip.data.corpus import Corpus
from helip.data.locations import resolve_path
from helip.data.parts import held_out
from helip.data.tars import samples, write
from helip.errors import HelipError
from helip.evaluation.sets import of_declaration
from helip.io import atomic_folder, file_digest, provenance, write_json

PER_SHARD = 5000
IMAGES = frozenset({"webp", "png", "jpg", "jpeg"})  # what CLIP benchmark decodes


def build_evaluation_set(
    name: str, declaration: Declaration, out: Path, inputs: dict[str, str] | None = None, held: Sequence[Corpus] = ()
) -> dict[str, Any]:
    """Writes the folder `out` with its evaluation.json and returns what that says.

    It holds the task, CLIP benchmark's data set name and root ("." is the folder itself), split, items and the digests of class names,
    templates and archives. held: of a set of held-out pairs, the corpus that holds them out and the one they are of.
    HelipError for a set that could not be evaluated.
    """
    with atomic_folder(out) as folder:
        match declaration:
            case GeneratedSet():
                contents = _generated(name, declaration, folder)
            case HeldOutSet():
                contents = _held_out(declaration, folder, *held)
            case WdsSet():
                root = resolve_path(declaration.path, declaration.obtain)
                contents = {"dataset": f"wds/{name}", "root": str(root), "split": declaration.split, **check_wds(root, declaration)}
            case BenchmarkSet():
                contents = _benchmark(name, declaration)
        metadata = provenance(declaration, inputs, name=name, task=declaration.task, probe=declaration.probe, **contents)
        write_json(folder / "evaluation.json", metadata)
    return metadata


# ---------------------------------------------------------------- generated


def _generated(name: str, declaration: GeneratedSet, folder: Path) -> dict[str, Any]:
    from helip.synthetic.sets import CAPTIONS, analogue
    from helip.synthetic.world import world_of

    task = "retrieval" if name in CAPTIONS else "classification"
    classes = analogue(name, world_of(declaration)).class_names if task == "classification" else []  # refuses unknown names
    if task != declaration.task:
        raise HelipError(f"evaluation -> {name}: the generated world's '{name}' is a {task} set, not {declaration.task}; correct its task")
    if task == "retrieval":
        _write_retrieval(name, declaration, folder)
    else:
        _write_classification(name, declaration, folder, classes)
    return {"dataset": f"wds/{name}", "root": ".", "split": "test", **check_wds(folder, declaration)}


def _held_out(declaration: HeldOutSet, folder: Path, part: Corpus, whole: Corpus) -> dict[str, Any]:
    (folder / "dataset_type.txt").write_text("retrieval\n")
    items = held_out(part, declaration.part)
    told = ((ids[0], [caption for i in ids for caption in whole.captions(i)]) for ids in items)
    _write_split(folder / "test", ((_encoded(whole, i), "txt", "\n".join(map(_one_line, captions))) for i, captions in told))
    return {"dataset": "wds/held_out", "root": ".", "split": "test", **check_wds(folder, declaration)}


def _encoded(corpus: Corpus, i: int) -> bytes:
    """The image as it lies there, where every reader sees in it what training sees; else as PNG."""
    data = corpus.image_bytes(i)
    opened = Image.open(io.BytesIO(data))
    with contextlib.suppress(Exception):  # a broken EXIF block raises nearly anything
        plain = opened.format in ("JPEG", "PNG", "WEBP") and opened.mode == "RGB" and getattr(opened, "n_frames", 1) == 1
        if plain and not opened.getexif() and not opened.has_transparency_data:
            return data
    buffer = io.BytesIO()
    corpus.image(i).save(buffer, "PNG")
    return buffer.getvalue()


def _one_line(caption: str) -> str:
    return " ".join(caption.split())  # a line is a caption in that layout


def _write_retrieval(name: str, declaration: GeneratedSet, folder: Path) -> None:
    from helip.synthetic.sets import captioned
    from helip.synthetic.world import world_of

    if declaration.train_items:
        raise HelipError(f"evaluation -> {name}: train_items is for a linear probe, and a retrieval set has none; leave it out")
    (folder / "dataset_type.txt").write_text("retrieval\n")
    items = captioned(name, world_of(declaration), declaration.seed, declaration.items, declaration.image_size)
    _write_split(folder / "test", ((image, "txt", "\n".join(captions)) for image, captions in items))


def _write_classification(name: str, declaration: GeneratedSet, folder: Path, classes: list[str]) -> None:
    from helip.synthetic.sets import labelled
    from helip.synthetic.world import world_of

    world = world_of(declaration)
    (folder / "classnames.txt").write_text("".join(f"{c}\n" for c in classes))
    (folder / "zeroshot_classification_templates.txt").write_text("".join(f"{t}\n" for t in world.words.templates))
    for split, count in (("test", declaration.items), ("train", declaration.train_items)):
        if count:
            items = labelled(name, world, declaration.seed, split, count, declaration.image_size)
            _write_split(folder / split, ((image, "cls", str(label)) for image, label in items))


def _write_split(folder: Path, items: Iterable[tuple[bytes, str, str]]) -> None:
    folder.mkdir()
    shard, shards = [], 0
    for i, (image, extension, text) in enumerate(items, 1):
        shard += [(f"{i - 1:07d}.{_kind(image)}", image), (f"{i - 1:07d}.{extension}", text.encode())]
        if i % PER_SHARD == 0:
            write(folder / f"{shards}.tar", shard)
            shard, shards = [], shards + 1
    if shard:
        write(folder / f"{shards}.tar", shard)
        shards += 1
    (folder / "nshards.txt").write_text(f"{shards}\n")


def _kind(image: bytes) -> str:
    return "jpg" if image.startswith(b"\xff\xd8") else "webp" if image.startswith(b"RIFF") else "png"


# ---------------------------------------------------------------- folders in the wds layout


def check_wds(root: Path, declaration: GeneratedSet | WdsSet | HeldOutSet) -> dict[str, Any]:
    """Returns the items and digests of a folder in CLIP benchmark's layout; HelipError for whatever it could not be evaluated with."""
    split = getattr(declaration, "split", "test")
    if not root.is_dir():
        usual = "put the set there in CLIP benchmark's wds layout (clip_benchmark_export_wds writes it)"
        raise HelipError(f"{root}: there is no such folder; {getattr(declaration, 'obtain', '') or usual}")
    is_retrieval = (root / "dataset_type.txt").exists() and _text(root / "dataset_type.txt").strip().lower() == "retrieval"
    if is_retrieval != (declaration.task == "retrieval"):
        raise HelipError(f"{root}: dataset_type.txt says {'retrieval' if is_retrieval else 'classification'}, the study {declaration.task}")
    words = {} if is_retrieval else _words(root)
    probed = [s for s in ("train", getattr(declaration, "validation", None)) if s and s != split] if declaration.probe else []
    splits = [split, *probed]
    checked = {s: _check_split(root / s, len(words.get("class_names", ()))) for s in splits}
    archives = {f"{s}/{tar}": sha for s, (_, tars) in checked.items() for tar, sha in tars.items()}
    return {"items": checked[split][0], "train_items": checked["train"][0] if "train" in checked else 0,
            "classes": len(words.get("class_names", ())), **_digests(words), "archives": archives}  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HelipError(f"{path}: cannot be read ({error}); CLIP benchmark's wds layout needs it as UTF-8 text") from None


def _words(root: Path) -> dict[str, list[str]]:
    names = [line.strip() for line in _text(root / "classnames.txt").splitlines()]
    templates = [line.strip() for line in _text(root / "zeroshot_classification_templates.txt").splitlines()]
    if not names or not all(names):
        raise HelipError(f"{root / 'classnames.txt'}: needs one class name a line, and no empty line")
    if not templates or any("{c}" not in t for t in templates):
        raise HelipError(f"{root / 'zeroshot_classification_templates.txt'}: needs one template a line, each with {{c}} for the class name")
    return {"class_names": names, "templates": templates}


def _check_split(folder: Path, classes: int) -> tuple[int, dict[str, str]]:
    """(items, sha256 of each archive) of a split; classes 0 means captions."""
    try:
        shards = int(_text(folder / "nshards.txt"))
    except ValueError:
        raise HelipError(f"{folder / 'nshards.txt'}: needs one number, that of the archives beside it") from None
    items, digests = 0, {}
    for tar in (folder / f"{n}.tar" for n in range(shards)):
        items += _check_archive(tar, classes)
        digests[tar.name] = file_digest(tar)
    if not items:
        raise HelipError(f"{folder}: holds no items; put {{0..n}}.tar there")
    return items, digests


def _check_archive(tar: Path, classes: int) -> int:
    wanted = "cls" if classes else "txt"
    count = 0
    for count, (key, files) in enumerate(samples(tar, frozenset({wanted})), 1):  # noqa: B007
        data = next((f.data for f in files if f.extension == wanted), None)
        if data is None or not any(f.extension in IMAGES for f in files):
            raise HelipError(f"{tar}: item '{key}' lacks its image or its .{wanted} file; write the archive again")
        if classes and not (data.strip().isdigit() and int(data) < classes):
            raise HelipError(
                f"{tar}: item '{key}' has the label {data[:20]!r}, and classnames.txt has {classes} classes (0 to {classes - 1})"
            )
        if not classes and not data.strip():
            raise HelipError(f"{tar}: item '{key}' has no caption; write the archive again")
    return count


# ---------------------------------------------------------------- sets that CLIP benchmark builds itself


def _benchmark(name: str, declaration: BenchmarkSet) -> dict[str, Any]:
    root = resolve_path(declaration.root, declaration.obtain)
    data = of_declaration(name, declaration, root).open(None, declaration.split)
    words = {"class_names": data.classes, "templates": data.templates} if declaration.task == "classification" else {}
    return {"dataset": declaration.name, "root": str(root), "split": declaration.split, "items": len(data), "train_items": 0,
            "classes": len(words.get("class_names", ())), **_digests(words), "archives": {}}  # fmt: skip


def _digests(words: dict[str, list[str]]) -> dict[str, str]:
    return {f"{kind}_digest": hashlib.sha256("\n".join(map(str, lines)).encode()).hexdigest() for kind, lines in words.items()}
