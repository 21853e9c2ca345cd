"""What a study's artefacts cost, as the jobs that made them said: wall-clock, CPU time, machines, commits."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helip.study import Study

# results/<study>/<folder> -> what its jobs do; models are imported, trained or interpolated
STAGES = {
    "corpora": "build a corpus", "evaluation": "build an evaluation set", "encoders": "train an encoder", "features": "encode",
    "pairs": "mine", "pair_shards": "mine a shard", "selections": "select", "filtered": "filter pairs", "models": "train",
    "metrics": "evaluate", "fingerprints": "fingerprint", "contamination.json": "count contamination",
}  # fmt: skip


@dataclass
class Costs:
    """Sums over jobs. A job that was stopped and went on counts from its last start; tables and figures are not counted."""

    jobs: dict[str, int] = field(default_factory=dict)  # by what they do
    wall: dict[str, float] = field(default_factory=dict)  # seconds, summed over jobs
    cpu: dict[str, float] = field(default_factory=dict)
    begun: str = ""  # of the first job
    ended: str = ""  # of the last artefact
    machines: set[str] = field(default_factory=set)
    commits: set[str] = field(default_factory=set)

    @property
    def cpu_hours(self) -> float:
        return sum(self.cpu.values()) / 3600


def costs(study: Study) -> Costs:
    """What all artefacts that lie in the study's folder cost. Artefacts of one job say the same process; its last word counts."""
    jobs: dict[tuple, tuple[str, dict[str, Any]]] = {}
    total = Costs()
    for stage, about in _artefacts(study.root):
        job = about["job"]
        key = (about["host"], job["pid"], job["begun"])
        if key not in jobs or jobs[key][1]["cpu_seconds"] < job["cpu_seconds"]:
            jobs[key] = (stage, job)
        total.begun = min(total.begun or job["begun"], job["begun"])
        total.ended = max(total.ended, about["written"])
        total.machines.add(about["machine"])
        total.commits.add(about["commit"] or "unknown")
    for stage, job in jobs.values():
        total.jobs[stage] = total.jobs.get(stage, 0) + 1
        total.wall[stage] = total.wall.get(stage, 0.0) + job["wall_clock_seconds"]
        total.cpu[stage] = total.cpu.get(stage, 0.0) + job["cpu_seconds"]
    return total


def made(cost: Costs) -> str:
    """When, where and at what cost, as the artefacts say."""
    if not cost.jobs:
        return ""
    jobs = ", ".join(f"{n} to {stage}" for stage, n in cost.jobs.items())
    said = {
        "Date": f"{cost.begun[:16].replace('T', ' ')} to {cost.ended[:16].replace('T', ' ')} UTC",
        "Machine": "; ".join(sorted(cost.machines)),
        "Commit": ", ".join(sorted(cost.commits)),
        "Jobs": f"{sum(cost.jobs.values())} ({jobs}), besides the tables and figures",
        "Cost": f"{cost.cpu_hours:.2f} CPU-hours; {sum(cost.wall.values()) / 3600:.2f} hours of wall-clock, summed over jobs",
    }
    return "\n".join(f"- {name}: {value}" for name, value in said.items())


def _artefacts(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stage, the JSON beside an artefact), in the order of STAGES."""
    for place, stage in STAGES.items():
        for path in sorted((root / place).rglob("*.json")) or ([root / place] if (root / place).is_file() else []):
            about = json.loads(path.read_text())
            if isinstance(about, dict) and "job" in about:
                yield stage, about
                yield from ((STAGES["pair_shards"], one) for one in about.get("mined_by", ()))  # their own files are gone
