"""What a child process is asked, and the same with its study loaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helip.rehearsal.kinds import Kind
from helip.rehearsal.scale import Scale


@dataclass(frozen=True)
class Request:
    """What a child is asked: the kind and size, where to work, and what earlier kinds found."""

    study: str
    results: str
    tables: list[str] | None
    title: str  # of the kind
    size: int
    scale: dict[str, Any]
    folder: str  # of this kind's files
    sample: str  # a corpus folder with real samples, or made-up ones
    facts: dict[str, Any] = field(default_factory=dict)  # widths of features by encoder, exported models by architecture


@dataclass(frozen=True)
class Job:
    """A request with its study loaded: what the module of a stage is called with."""

    kind: Kind
    size: int
    scale: Scale
    folder: Path
    sample: Path
    facts: dict[str, Any]

    @property
    def device(self) -> str:
        """Where this kind computes: on the GPU where there is one and its stage takes any."""
        return self.scale.device if self.kind.one.takes_gpu else "cpu"
