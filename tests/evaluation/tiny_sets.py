"""A tiny open_clip model in a folder, and tiny sets in CLIP benchmark's wds layout: squares of six colours."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (30, 50, 220),
    "yellow": (230, 220, 40),
    "white": (240,) * 3,
    "black": (10,) * 3,
}
TEMPLATES = ("a photo of a {c} square.", "{c}")


def picture(colour, rng) -> bytes:
    array = np.clip(np.asarray(colour) + rng.normal(0, 25, (16, 16, 3)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def write_tar(path: Path, files: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_split(folder: Path, samples: list[tuple[bytes, str, str]], shards: int = 2) -> None:
    """samples: (image, extension, text)."""
    for shard in range(shards):
        part = range(shard * len(samples) // shards, (shard + 1) * len(samples) // shards)
        files = [f for i in part for f in ((f"s{i:04d}.png", samples[i][0]), (f"s{i:04d}.{samples[i][1]}", samples[i][2].encode()))]
        write_tar(folder / f"{shard}.tar", files)
    (folder / "nshards.txt").write_text(str(shards))


def write_classification(folder: Path, test: int = 60, train: int = 0, seed: int = 0) -> Path:
    rng, names = np.random.default_rng(seed), list(COLOURS)
    for split, n in (("test", test), ("train", train)):
        labels = rng.integers(0, 6, n)
        if n:
            write_split(folder / split, [(picture(COLOURS[names[y]], rng), "cls", str(y)) for y in labels])
    (folder / "classnames.txt").write_text("\n".join(names))
    (folder / "zeroshot_classification_templates.txt").write_text("\n".join(TEMPLATES))
    (folder / "dataset_type.txt").write_text("classification")
    return folder


def write_retrieval(folder: Path, n: int = 30, seed: int = 0) -> Path:
    rng, names = np.random.default_rng(seed), list(COLOURS)
    captions = [[f"a {names[i % 6]} square number {i}", f"{names[i % 6]}, {i}"][: 1 + i % 2] for i in range(n)]
    write_split(folder / "test", [(picture(COLOURS[names[i % 6]], rng), "txt", "\n".join(captions[i])) for i in range(n)])
    (folder / "dataset_type.txt").write_text("retrieval")
    return folder


def write_model(folder: Path, seed: int = 0) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    sizes = {"layers": 1, "width": 32}
    vision = {"image_size": 16, "patch_size": 8, "head_width": 16, **sizes}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": {"context_length": 16, "vocab_size": 49408, "heads": 2, **sizes}}
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return folder
