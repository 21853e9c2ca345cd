"""Metrics files as jobs write them: {metrics: {name: percent}, per_item: {name: packed hits}, n, ...}."""

import base64
from pathlib import Path

import numpy as np

from helip.errors import HelipError
from helip.io import read_json


class Metrics:
    """One model on one set and task. `value(name)` is in percent, `hits(name)` [n] the share of each independent item that it got
    right: 0 or 1, and in between for an image of several captions, which are one item."""

    def __init__(self, path: Path, **of: str):
        self.path, self.content = path, read_json(path)
        if wrong := [key for key, name in of.items() if self.content.get(key, name) != name]:
            said = ", ".join(f"{key} '{self.content[key]}'" for key in wrong)
            raise HelipError(f"{path}: is of {said}: it was put in another's place; remove it, and the next run makes it again")

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
        if abs(100 * hits.mean() - self.value(name)) > 1e-3:
            raise HelipError(f"{self.path}: {name} is not the share of the hits beside it; remove it, and the next run makes it again")
        together = packed.get("together", 1)
        return hits if together == 1 else hits.reshape(-1, together).mean(1)
