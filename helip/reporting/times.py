"""Table 10: how long the mining jobs took, from the JSON beside their pairs. One timing each: no interval."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helip.errors import HelipError
from helip.io import read_json
from helip.reporting.rows import Cell
from helip.stages import Mine
from helip.study import Study


def pairs_file(study: Study, run: str) -> Path:
    return Mine(study, study.pairs_name(study.run(run))).folder / "pairs.json"


def mining_minutes(study: Study, run: str) -> float:
    """Wall-clock of the job that mined a run's pairs, or the sum over its jobs."""
    path = pairs_file(study, run)
    seconds = read_json(path).get("wall_clock_seconds")
    if seconds is None:
        raise HelipError(f"{path}: does not say how long mining took; mine again (`snakemake --forcerun mine {path}`)")
    return seconds / 60


def mining_jobs(about: dict[str, Any]) -> list[dict[str, Any]]:
    """What the jobs that mined a pair set say of themselves: its shards', or the one that made it."""
    return about.get("mined_by") or [about]


def machines(about: dict[str, Any]) -> str:
    """The machines that mined a pair set, as its jobs name them."""
    return " and ".join(sorted({job.get("machine") or job.get("host", "") for job in mining_jobs(about)}))


def time_cells(study: Study, name: str, finished: bool = False) -> Iterator[Cell]:
    for corpus, label, run, published, ours in study.table_rows(name):
        if finished and not pairs_file(study, run).exists():
            continue
        about = read_json(pairs_file(study, run))
        if "wall_clock_seconds" not in about:  # pairs that were mined elsewhere: nobody timed them
            continue
        bound, minutes = study.run(run), mining_minutes(study, run)
        data = study.declaration.corpora[bound.corpus].label
        for column in study.tables[name].columns:
            yield Cell(corpus, data, about.get("recovered_share"), label, run, bound.arm, column.key, column.metric, minutes, None, 1,
                       published.get(column.key), ours=ours, machine=machines(about), jobs=len(mining_jobs(about)))  # fmt: skip
