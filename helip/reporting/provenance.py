"""What a reader needs to trust or repeat the numbers, from the JSON beside every artefact: what the jobs cost, machines, times, versions,
digests, and how many evaluation images are among the training images."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from helip.io import provenance, read_json
from helip.stages import BuildCorpus, contamination_of, model_of
from helip.study import Study

# results/<study>/<folder> -> what its jobs do; models are imported, trained or interpolated
STAGES = {
    "corpora": "build a corpus", "evaluation": "build an evaluation set", "encoders": "train an encoder", "features": "encode",
    "trunks": "encode views", "pairs": "mine", "pair_shards": "mine a shard", "selections": "select", "filtered": "filter pairs",
    "models": "train", "sweeps": "sweep weights", "metrics": "evaluate", "judged": "judge pairs", "fingerprints": "fingerprint",
    "contamination.json": "count contamination",
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
        """CPU time of all jobs."""
        return sum(self.cpu.values()) / 3600

    @property
    def facts(self) -> dict[str, str]:
        """When, where and at what cost, as the artefacts say; empty where no job is known."""
        if not self.jobs:
            return {}
        jobs = ", ".join(f"{n} to {stage}" for stage, n in self.jobs.items())
        return {
            "Date": f"{self.begun[:16].replace('T', ' ')} to {self.ended[:16].replace('T', ' ')} UTC",
            "Machine": "; ".join(sorted(self.machines)),
            "Commit": ", ".join(sorted(self.commits)),
            "Jobs": f"{sum(self.jobs.values())} ({jobs}), besides the tables and figures",
            "Cost": f"{self.cpu_hours:.2f} CPU-hours; {sum(self.wall.values()) / 3600:.2f} hours of wall-clock, summed over jobs",
        }

    @property
    def by_stage(self) -> list["StageCost"]:
        """What the jobs took, by what they do."""
        return [StageCost(stage, n, self.wall[stage] / n, self.wall[stage] / 60, self.cpu[stage] / 60) for stage, n in self.jobs.items()]


@dataclass(frozen=True)
class StageCost:
    """What the jobs of one stage took."""

    stage: str
    jobs: int
    seconds_each: float
    minutes: float
    cpu_minutes: float


@dataclass(frozen=True)
class RunDigest:
    """What one training stands for, and by which commit it was made."""

    run: str
    seed: str
    digest: str
    commit: str | None  # None: not trained
    written: str = ""
    outdated: bool = False  # trained with other settings than are declared now, which the digest then stands for


@dataclass(frozen=True)
class CorpusDigest:
    """What one corpus stands for, and what is in it."""

    corpus: str
    declaration: str
    content: str | None  # None: not built
    outdated: bool = False  # built of another declaration than today's, which the digest then stands for


@dataclass(frozen=True)
class Provenance:
    """Of the page and of the study: when and by which code the page was written, and what every training and corpus stands for."""

    written: str  # date
    commit: str
    seeds: tuple[int, ...]
    versions: dict[str, str]  # of Python and the packages
    runs: tuple[RunDigest, ...]
    corpora: tuple[CorpusDigest, ...]

    @property
    def trainings(self) -> int:
        """How many trainings are done."""
        return sum(run.commit is not None for run in self.runs)


@dataclass(frozen=True)
class Overlap:
    """Images of one evaluation set that are among the training images of one corpus."""

    set: str
    corpus: str
    items: int
    duplicates: int
    share: float


@dataclass(frozen=True)
class Contamination:
    """Near-duplicates of evaluation images among training images: two images are one where at most so many bits of 64 differ."""

    dct_bits: int
    gradient_bits: int
    overlaps: tuple[Overlap, ...]

    @property
    def explanation(self) -> str:
        """What was counted, in words."""
        return (
            f"Test images with a near-duplicate among the training images, by perceptual hashes (at most {self.dct_bits} bits of 64 of one "
            f"and {self.gradient_bits} of another differ). Nothing was removed: the numbers above are of whole sets, as the paper's are."
        )


def interval_of_job(metadata: dict[str, Any]) -> tuple[str, str]:
    """Returns when the job that wrote an artefact began and ended, as ISO times; empty where its JSON does not say.

    A training that was stopped and went on says how long it trained in all: it began that much earlier than it ended, or before.
    """
    begun, ended = metadata.get("job", {}).get("begun", ""), metadata.get("written", "")
    if not begun or not ended:
        return begun or ended, ended
    earliest = datetime.fromisoformat(ended) - timedelta(seconds=metadata.get("wall_clock_seconds", 0.0))
    return min(datetime.fromisoformat(begun), earliest).isoformat(), ended


def costs(study: Study) -> Costs:
    """Returns what all artefacts in the study's folder cost. Artefacts of one job name the same process; its last record counts."""
    jobs: dict[tuple, tuple[str, dict[str, Any]]] = {}
    total = Costs()
    for stage, metadata in _artefacts(study.root):
        job = metadata["job"]
        key = (metadata["host"], job["pid"], job["begun"])
        if key not in jobs or jobs[key][1]["cpu_seconds"] < job["cpu_seconds"]:
            jobs[key] = (stage, job)
        total.begun = min(total.begun or job["begun"], job["begun"])
        total.ended = max(total.ended, metadata["written"])
        total.machines.add(metadata["machine"])
        total.commits.add(metadata["commit"] or "unknown")
    for stage, job in jobs.values():
        total.jobs[stage] = total.jobs.get(stage, 0) + 1
        total.wall[stage] = total.wall.get(stage, 0.0) + job["wall_clock_seconds"]
        total.cpu[stage] = total.cpu.get(stage, 0.0) + job["cpu_seconds"]
    return total


def _artefacts(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stage, the JSON beside an artefact), in the order of STAGES."""
    for place, stage in STAGES.items():
        for path in sorted((root / place).rglob("*.json")) or ([root / place] if (root / place).is_file() else []):
            metadata = json.loads(path.read_text())
            if isinstance(metadata, dict) and "job" in metadata:
                yield stage, metadata
                yield from ((STAGES["pair_shards"], one) for one in metadata.get("mined_by", ()))  # their own files are gone


def provenance_of(study: Study) -> Provenance:
    """Returns the versions of this process and the digests of everything that the study trains."""
    now = provenance(None)
    versions = {"Python": now["python"], **now["versions"]}
    runs = tuple(_run_digest(study, r.name, seed) for r in study.runs.values() for seed in r.seeds)
    corpora = tuple(_corpus_digest(BuildCorpus(study, name)) for name in study.declaration.corpora)
    return Provenance(now["written"][:10], now["commit"] or "unknown", study.declaration.seeds, versions, runs, corpora)


def _run_digest(study: Study, run: str, seed: str) -> RunDigest:
    model = model_of(study, run, seed)
    if not (file := model.folder / "train.json").exists():
        return RunDigest(run, seed, model.digest, None)
    metadata, digest = read_json(file), model.recorded or model.digest
    return RunDigest(run, seed, digest, metadata.get("commit") or "unknown", metadata.get("written", "")[:10], model.is_outdated)


def _corpus_digest(one: BuildCorpus) -> CorpusDigest:
    content = read_json(one.output).get("digest", "")[:16] if one.is_done else None
    return CorpusDigest(one.corpus, one.recorded or one.digest, content, one.is_outdated)


def contamination(study: Study) -> Contamination | None:
    """Returns what `helip contamination` counted; None where all corpora are generated, and their evaluation sets with them."""
    made = [check.output for check in contamination_of(study) if check.is_done]
    if not made:
        return None
    metadata = read_json(made[0])
    overlaps = tuple(Overlap(c["set"], c["corpus"], c["items"], c["found"], c["share"]) for c in metadata["counts"])
    return Contamination(metadata["declaration"]["dct_bits"], metadata["declaration"]["gradient_bits"], overlaps)
