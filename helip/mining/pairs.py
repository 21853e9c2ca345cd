"""PairSet: the hard pairs H_i of every target i, on disk or in memory. Numpy only."""

from __future__ import annotations

import operator
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.io import atomic_folder, file_digest, load_array, provenance, read_json, reserve, write_json

ARRAYS: dict[str, type] = {"ids": np.int32, "scores": np.float32, "offsets": np.int64, "noise": np.bool_, "kept": np.bool_}
COPIED = 1 << 20  # entries copied together
FILES = ("pairs.json", *(f"{name}.npy" for name in ARRAYS), "audit.json", "audit.html")  # `helip mine` writes the audit beside them
FINDINGS = ("tau", "tau_quantile", "near_duplicates")  # what mining finds out of the corpus before it compares: alike in all shards
OF_A_JOB = ("host", "machine", "commit", "written", "job", "wall_clock_seconds")


@dataclass(frozen=True, eq=False)
class PairSet:
    """H_i of targets i = 0..len-1 is ids[offsets[i]:offsets[i+1]], largest score first, ties by smaller id; empty where noise[i].

    ids: int32, scores: float32, offsets: int64 [len + 1], noise: bool [len]. metadata: what else is known (corpus_digest, ...). A
    shard holds a run of targets of the corpus, `first` being the corpus id of its target 0; only whole sets train a model.
    kept: bool [corpus_size] where only some pairs were mined, else None. Of a pair that was not, noise is true as well, so that no arm
    that asks for noise trains on it; `mined` tells the two apart.
    """

    ids: np.ndarray
    scores_flat: np.ndarray
    offsets: np.ndarray
    noise: np.ndarray
    spec: MiningSpec
    corpus_size: int
    shard: tuple[int, int] = (0, 1)
    metadata: dict[str, Any] = field(default_factory=dict)
    kept: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.noise)

    def __getitem__(self, i: int) -> np.ndarray:
        if not -len(self) <= (target := operator.index(i)) < len(self):
            raise IndexError(f"target {i} of a pair set of {len(self)} targets")
        return self.hard(target % len(self))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.hard(i) for i in range(len(self)))

    def __repr__(self) -> str:
        part = "" if self.shard == (0, 1) else f", shard {self.shard[0]}/{self.shard[1]}"
        what = f"{len(self):,} targets, {len(self.ids):,} hard pairs, {self.outlier_share:.1%} outliers"
        return f"PairSet({what}, {self.spec.method}, k {self.spec.k}{part})"

    def hard(self, i: int) -> np.ndarray:
        """Returns the ids of H_i, largest score first: a view, O(1). `i` counts from 0; pairs[-1] is the last one's."""
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def scores(self, i: int) -> np.ndarray:
        """Returns the scores of H_i, in the order of hard(i)."""
        return self.scores_flat[self.offsets[i] : self.offsets[i + 1]]

    @property
    def first(self) -> int:
        """The corpus id of target 0: 0 for a whole set, for a shard where its targets begin."""
        return shard_rows(self.corpus_size, self.shard)[0]

    @property
    def mined(self) -> np.ndarray:
        """The targets that took part, bool [len]; those of them with `noise` have fewer than k hard pairs."""
        return np.ones(len(self), bool) if self.kept is None else self.kept[self.first : self.first + len(self)]

    @property
    def outlier_share(self) -> float:
        """The share of the mined targets that have fewer than k hard pairs; 0 where none was mined."""
        mined = self.mined
        return float(np.asarray(self.noise)[mined].mean()) if mined.any() else 0.0

    def save(self, folder: Path | str, *, inputs: dict[str, str] | None = None, corpus_digest: str | None = None, **more: Any) -> None:
        """Writes ids.npy, scores.npy, offsets.npy, noise.npy (kept.npy) and pairs.json, in which `more` lands; the folder appears whole."""
        result = {name: self.metadata[name] for name in FINDINGS if name in self.metadata}
        _write(Path(folder), self._arrays(), self, self.shard, inputs=inputs, corpus_digest=corpus_digest, **{**result, **more})

    def _arrays(self) -> dict[str, list[np.ndarray]]:
        arrays = {"ids": [self.ids], "scores": [self.scores_flat], "offsets": [self.offsets], "noise": [self.noise]}
        return arrays | ({"kept": [self.kept]} if self.kept is not None else {})

    @classmethod
    def load(cls, folder: Path | str, corpus_digest: str | None = None) -> PairSet:
        """Opens a saved pair set, as `open` does."""
        return cls.open(folder, corpus_digest)

    @classmethod
    def open(cls, folder: Path | str, corpus_digest: str | None = None) -> PairSet:
        """Opens a saved pair set, memory-mapped. Raises HelipError where it is broken, or was mined on a corpus other than that of
        `corpus_digest`.
        """
        folder = Path(folder)
        metadata = read_json(folder / "pairs.json", "helip mine")
        mined_on = metadata.get("corpus_digest")
        if corpus_digest is not None and mined_on != corpus_digest:
            raise HelipError(
                f"{folder}: was mined on the corpus with digest {mined_on}, and the corpus in use has {corpus_digest}: ids would name the "
                "wrong pairs; mine again on this corpus"
            )
        ids, scores, offsets, noise = (_array(folder / f"{name}.npy", ARRAYS[name]) for name in ("ids", "scores", "offsets", "noise"))
        kept = _array(folder / "kept.npy", ARRAYS["kept"]) if "keep_digest" in metadata else None
        unlike = len(offsets) != len(noise) + 1 or offsets[-1] != len(ids) or len(ids) != len(scores)
        if unlike or metadata.get("targets") != len(noise) or (kept is not None and len(kept) != metadata["corpus_size"]):
            raise HelipError(f"{folder}: its arrays and pairs.json do not belong together; mine again")
        try:
            declared = {name: metadata["declaration"][name] for name in MiningSpec.model_fields if name in metadata["declaration"]}
            spec = MiningSpec.model_validate(declared)
        except (TypeError, ValidationError):
            raise HelipError(f"{folder / 'pairs.json'}: its declaration is none of a mining job; mine again") from None
        return cls(ids, scores, offsets, noise, spec, metadata["corpus_size"], tuple(metadata["shard"]), metadata, kept)


def _write(folder: Path, arrays: dict[str, list[np.ndarray]], of: PairSet, shard: tuple[int, int], **more: Any) -> None:
    """arrays: name -> its parts, one behind the other; copied some megabytes at a time, so memory-mapped parts stay on disk."""
    targets, entries = (sum(len(part) for part in arrays[name]) for name in ("noise", "ids"))
    noise = sum(int(part.sum()) for part in arrays["noise"])
    with atomic_folder(folder, over=FILES) as temporary:
        for name, parts in arrays.items():
            with open(temporary / f"{name}.npy", "wb") as f:
                shape = (sum(len(part) for part in parts),)
                np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]
                    f, {"descr": np.dtype(ARRAYS[name]).str, "fortran_order": False, "shape": shape}
                )
                for part in parts:
                    for start in range(0, len(part), COPIED):
                        f.write(np.ascontiguousarray(part[start : start + COPIED], ARRAYS[name]).data)
        facts: dict[str, Any] = {"corpus_size": of.corpus_size, "shard": list(shard), "targets": targets, "entries": entries}
        facts["noise_targets"] = noise
        mined = targets
        if of.kept is not None:
            left_out = int((~of.kept[slice(*shard_rows(of.corpus_size, shard))]).sum())
            facts["noise_targets"], mined = noise - left_out, targets - left_out
            facts |= {"kept": int(of.kept.sum()), "keep_digest": file_digest(temporary / "kept.npy")}  # that of `helip select`'s keep.npy
        facts["outlier_share"] = facts["noise_targets"] / mined if mined else 0.0
        write_json(temporary / "pairs.json", provenance(of.spec, **more, **facts))


def _array(path: Path, dtype: type) -> np.ndarray:
    values = load_array(path, "mine again")
    if values.dtype != dtype or values.ndim != 1:
        raise HelipError(f"{path}: expected {np.dtype(dtype)} [n], found {values.dtype} {list(values.shape)}; mine again")
    return values


def shard_rows(corpus_size: int, shard: tuple[int, int]) -> tuple[int, int]:
    """Returns (first, end) of the targets of shard (i, n). Raises HelipError where there is no such shard."""
    i, n = shard if isinstance(shard, tuple | list) and len(shard) == 2 and all(isinstance(part, int) for part in shard) else (-1, 0)
    if not 0 <= i < n <= corpus_size:
        shown = "/".join(map(str, shard)) if isinstance(shard, tuple | list) else repr(shard)
        raise HelipError(f"shard {shown}: expected 0 <= i < n <= {corpus_size} targets; correct --shard")
    return corpus_size * i // n, corpus_size * (i + 1) // n


def merge(shards: list[PairSet], folder: Path | str, **more: Any) -> PairSet:
    """Writes the shards (any order) of one mining job to `folder` as the pair set that one process would have made, and opens it.
    Its pairs.json says what theirs say, and `more`; its `wall_clock_seconds` is what they took one after the other, and `mined_by` what
    each job says of itself."""
    shards = sorted(shards, key=lambda s: s.shard)
    _refuse_unlike(shards)
    ends = np.cumsum([len(s.ids) for s in shards])
    arrays = {
        "ids": [s.ids for s in shards],
        "scores": [s.scores_flat for s in shards],
        "offsets": [np.zeros(1, np.int64)] + [s.offsets[1:] + end - len(s.ids) for s, end in zip(shards, ends, strict=True)],
        "noise": [s.noise for s in shards],
    }
    arrays |= {} if shards[0].kept is None else {"kept": [shards[0].kept]}
    same = ("corpus_digest", "inputs", "encoders", "recovered_share", *FINDINGS)
    metadata = {key: shards[0].metadata[key] for key in same if key in shards[0].metadata}
    if all("wall_clock_seconds" in s.metadata for s in shards):
        metadata["wall_clock_seconds"] = round(sum(s.metadata["wall_clock_seconds"] for s in shards), 3)
    if all("job" in s.metadata for s in shards):  # they were saved
        metadata["mined_by"] = [{key: s.metadata[key] for key in OF_A_JOB if key in s.metadata} for s in shards]
    _write(Path(folder), arrays, shards[0], (0, 1), **metadata, **more)
    return PairSet.open(folder)


def _refuse_unlike(shards: list[PairSet]) -> None:
    if not shards:
        raise HelipError("merge: no shards given")
    one = shards[0]
    for other in shards:
        differs = [what for what in ("spec", "corpus_size") if getattr(one, what) != getattr(other, what)]
        differs += [what for what in ("corpus_digest", "inputs", *FINDINGS) if one.metadata.get(what) != other.metadata.get(what)]
        differs += [] if _same(one.kept, other.kept) else ["the pairs they keep"]
        if differs:
            raise HelipError(
                f"shards {one.shard} and {other.shard} differ in {', '.join(differs)}: they are of different jobs; mine one again"
            )
    n = one.shard[1]
    if [s.shard for s in shards] != [(i, n) for i in range(n)]:
        have = ", ".join(f"{i}/{m}" for i, m in (s.shard for s in shards))
        raise HelipError(f"merge: expected shards 0/{n} to {n - 1}/{n}, each once, got {have}; mine the missing ones")


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def scratch(shape: tuple[int, ...], dtype: type, spare: int) -> np.ndarray:
    """Returns an array of zeros. One of more than `spare` bytes lies in $TMPDIR and vanishes with the process."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= spare or size == 0:
        return np.zeros(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="helip-mining-") as f:
            reserve(f.fileno(), size)
            return np.memmap(f, dtype, "w+", shape=shape)
    except OSError as error:
        raise HelipError(
            f"{tempfile.gettempdir()}: no room for {size >> 20} MiB of working arrays ({error}); set TMPDIR to a larger disk"
        ) from error
