"""Metrics files as jobs write them: {metrics: {name: percent}, per_item: {name: packed hits}, n, ...}."""

import base64
from pathlib import Path

import numpy as np

from helip.artefact import read_json
from helip.errors import HelipError


class Metrics:
    """One model on one set and task. `value(name)` is in percent, `hits(name)` [n] the share of each independent item that it got
    right: 0 or 1, and in between for an image of several captions, which are one item."""

    def __init__(self, path: Path):
        self.path, self.content = path, read_json(path)

    def value(self, name: str) -> float:
        try:
            return float(self.content["metrics"][name])
        except KeyError:
            has = ", ".join(sorted(self.content.get("metrics", {}))) or "none"
            raise HelipError(f"{self.path}: has no metric '{name}' (it has {has}); correct the column in tables.yaml") from None

    def hits(self, name: str) -> np.ndarray | None:
        packed = self.content.get("per_item", {}).get(name)
        if packed is None:
            return None
        bits = np.frombuffer(base64.b64decode(packed["bits"]), np.uint8)
        hits = np.unpackbits(bits, count=packed["length"]).astype(bool)
        together = packed.get("together", 1)
        return hits if together == 1 else hits.reshape(-1, together).mean(1)
