"""Costs that were measured: `helip rehearse` writes them beside the study, and the plan takes them in place of the assumed ones."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from helip.config import ConfigModel, Cost
from helip.config.reading import read_yaml
from helip.stages import Stage
from helip.study import Study

ASSUMED_WRONG_BY = 2.0  # a factor, either way: how far an assumed cost is taken to be off


class MeasuredCost(ConfigModel):
    """This is what a rehearsal measured of a stage. What it could not measure there is left to the study's assumption."""

    seconds: float | None = Field(None, ge=0, description="per unit, of a whole job with the GPUs and threads that the stage declares")
    start: float | None = Field(None, ge=0, description="seconds before the first unit")
    bytes: float | None = Field(None, ge=0, description="kept on disk per item")
    spread: float = Field(1.0, ge=1, description="slowest over fastest repetition")
    machine: str = Field(description="where it was measured")
    device: Literal["cpu", "cuda"] = Field(description="what computed")
    date: str = Field(description="when, as year-month-day")
    commit: str = Field(description="of the code that was measured")
    note: str = Field("", description="what was not as in the study")

    @property
    def origin(self) -> str:
        """Returns where it was measured and when, for the plan."""
        return f"measured: {self.machine}, {self.date}, commit {self.commit}{f' ({self.note})' if self.note else ''}"


def costs_file(study: Study) -> Path:
    """Returns the file of measured costs of a study: experiments/studies/NAME.costs.yaml."""
    return study.file.with_name(f"{study.name}.costs.yaml")


def measured_costs(study: Study) -> dict[str, MeasuredCost]:
    """Returns what was measured, by the keys of the study's `costs`; nothing where no rehearsal was made. HelipError for a broken file."""
    return read_costs(costs_file(study))


def read_costs(file: Path) -> dict[str, MeasuredCost]:
    """Returns the measured costs of a file; nothing where it is not there. HelipError for a broken file."""
    return _read(file, file.stat().st_mtime_ns) if file.exists() else {}


@functools.cache
def _read(file: Path, changed: int) -> dict[str, MeasuredCost]:
    return read_yaml(file, dict[str, MeasuredCost])


def priced(one: Stage) -> tuple[str, Cost, float] | None:
    """Returns (key, cost, factor) of an artefact: the most particular measured entry over the most particular declared one.

    The factor says how far seconds may be off, either way. None where neither the study nor a rehearsal says anything.
    """
    keys, declared, measured = one.work().costs, one.study.declaration.costs, measured_costs(one.study)
    assumed = next(((key, declared[key]) for key in keys if key in declared), None)
    rehearsed = next(((key, measured[key]) for key in keys if key in measured), None)
    if rehearsed is None:
        return (*assumed, ASSUMED_WRONG_BY) if assumed else None
    key, known = rehearsed
    under = assumed[1] if assumed else Cost(origin="")
    if known.seconds is None and assumed is None:
        return None
    origin = known.origin if known.seconds is not None else f"{under.origin}; bytes {known.origin}"
    told = {name: value for name in ("seconds", "start", "bytes") if (value := getattr(known, name)) is not None}
    return key, under.model_copy(update={**told, "origin": origin}), ASSUMED_WRONG_BY if known.seconds is None else known.spread


def remarks(artefacts: Iterable[Stage]) -> str:
    """Returns what the plan says of its own certainty: GPU-hours as a range, and how many of them stand on measured costs."""
    low = high = told = whole = 0.0
    for one in artefacts:
        cost, work, gpus = priced(one), one.work(), one.resources().gpu
        if cost is None or work.units is None or not gpus:
            continue
        _, price, factor = cost
        hours = gpus * (price.start + price.seconds * work.units) / 3600
        low, high, whole = low + hours / factor, high + hours * factor, whole + hours
        told += hours if price.origin.startswith("measured") else 0.0
    share = f"{told / whole:.0%} of them by measured costs, the rest by assumed ones" if told else "all of them by assumed costs"
    how = f"assumed costs may be wrong by a factor of {ASSUMED_WRONG_BY:g} either way, measured ones by the spread of their repetitions"
    return f"GPU-hours: {whole:,.0f}, between {low:,.0f} and {high:,.0f} ({how}); {share}." if whole else ""
