"""Resume state: one file, whole or absent, that holds everything a killed training needs to go on as if nothing had happened."""

import logging
import os
import re
from pathlib import Path
from typing import Any

import torch

from helip.errors import HelipError
from helip.io import atomic_file

REQUEUE = os.EX_TEMPFAIL  # 75, the exit code that says: state is saved, run the same command again
KEPT = 2  # files: should the last be damaged, the one before it is good
log = logging.getLogger(__name__)


def save(folder: Path, step: int, digest: str, payload: dict[str, Any]) -> None:
    """Writes `step<n>.pt` and removes all but the last two; the payload holds tensors and plain values only.

    `digest` names the run that the state belongs to. OSError is raised where the disk refuses.
    """
    with atomic_file(folder / f"step{step:09d}.pt") as temporary:
        _write({"digest": digest, "step": step, **payload}, temporary)
    for old in _files(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def _write(value: dict[str, Any], path: Path) -> None:
    try:
        with open(path, "wb") as file:  # given a path, torch keeps the system's reason to itself
            torch.save(value, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # after it torch only misses the bytes
            raise error.__context__ from None
        raise


def latest(folder: Path, digest: str) -> dict[str, Any] | None:
    """Returns the newest readable state, on the CPU, or None when there is none; HelipError is raised for one of another run."""
    for path in reversed(_files(folder)):
        try:
            payload = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file raises whatever its damage leads to
            log.warning("%s: not readable (%s); going back to the state before it", path, str(error).splitlines()[0])
            continue
        if not isinstance(payload, dict) or payload.get("digest") != digest:
            raise HelipError(f"{path}: is the state of another run; give this run a folder of its own, or delete that one")
        return payload
    return None


def sweep(folder: Path) -> None:
    """Removes what a process killed during a save left behind."""
    for part in folder.glob(".step*.pt.*"):
        part.unlink(missing_ok=True)


def last_step(folder: Path) -> int | None:
    """Returns the step of the newest state there, or None where there is none."""
    files = _files(folder)
    return int(files[-1].stem.removeprefix("step")) if files else None


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step*.pt") if re.fullmatch(r"step\d{9}\.pt", p.name))
