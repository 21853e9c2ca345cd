"""A generated corpus: shards of pairs, and the truth beside them."""

import functools
from pathlib import Path

import numpy as np

from helip.config import GeneratedCorpus
from helip.data.parallel import each
from helip.data.tars import write
from helip.synthetic.scenes import pair
from helip.synthetic.world import world_of

TRUTH = "truth.npz"
_FIELDS = {"concept": np.int32, "attributes": np.int8, "caption_attributes": np.int8, "named": np.bool_, "mismatched": np.bool_}


def render_corpus(declaration: GeneratedCorpus, folder: Path, workers: int = 1) -> list[Path]:
    """Writes shards/*.tar and truth.npz into `folder`; returns the shards in order."""
    (folder / "shards").mkdir()
    starts = range(0, declaration.size, declaration.samples_per_shard)
    jobs = [(folder / "shards" / f"{n:05d}.tar", start) for n, start in enumerate(starts)]
    truths = list(each(functools.partial(_render_shard, declaration), jobs, "rendering", "shards", workers))
    np.savez(folder / TRUTH, **{f: np.concatenate([t[f] for t in truths]) for f in _FIELDS})
    return [path for path, _ in jobs]


def _render_shard(declaration: GeneratedCorpus, job: tuple[Path, int]) -> dict[str, np.ndarray]:
    path, start = job
    indices = range(start, min(start + declaration.samples_per_shard, declaration.size))
    d, world = declaration, world_of(declaration)
    pairs = [pair(world, d.seed, i, d.image_size, d.mismatched, d.near) for i in indices]
    files = (
        (f"{i:09d}.{ext}", data)
        for i, p in zip(indices, pairs, strict=True)
        for ext, data in (("png", p.image), ("txt", p.caption.encode()))
    )
    write(path, files)
    return {f: np.array([getattr(p, f) for p in pairs], kind) for f, kind in _FIELDS.items()}
