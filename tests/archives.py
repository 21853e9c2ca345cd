"""Small images, archives and corpora of one shard, made without the project's own writers."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from helip.config import ShardCorpus
from helip.data.build import build_corpus


def encoded(kind: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB", colour=(200, 30, 60), **options) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour if mode == "RGB" else None).save(out, kind, **options)
    return out.getvalue()


def noisy(kind: str = "JPEG", side: int = 64, seed: int = 0) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(out, kind)
    return out.getvalue()


def tar_of(path: Path, files: list[tuple[str, bytes]], **options) -> Path:
    """Written by Python's own tarfile, not by the project."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def pairs(n: int, start: int = 0) -> list[tuple[str, bytes]]:
    return [f for i in range(start, start + n) for f in ((f"{i:05d}.jpg", noisy(seed=i)), (f"{i:05d}.txt", f"caption {i}".encode()))]


def indexed(folder: Path, files: list[tuple[str, bytes]], max_quarantined: float = 1.0, **options):
    """A corpus of one shard in `folder`."""
    tar_of(folder / "in" / "0.tar", files)
    return build_corpus(ShardCorpus(path=str(folder / "in"), max_quarantined=max_quarantined, **options), folder / "corpus")
