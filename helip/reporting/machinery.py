"""What a reader needs to trust or repeat the numbers: machines, times, versions and digests, from the JSON beside every artefact."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helip.artefact import provenance, read_json
from helip.reporting.html import details, escape, section, words
from helip.study import BoundStudy


def facts(study: BoundStudy) -> str:
    now, trained = provenance(None), len(list(_trainings(study)))
    said = {"Date": now["written"][:10], "Commit": now["commit"] or "unknown", "Machine": machine(), "Trainings": trained,
            "Seeds": ", ".join(map(str, study.declaration.seeds))}  # fmt: skip
    return "<ul class='facts'>" + "".join(f"<li>{k} <b>{escape(str(v))}</b></li>" for k, v in said.items()) + "</ul>"


def machine() -> str:
    """This machine's processor, and how many it may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} core{'s' * (cores != 1)}"


def _trainings(study: BoundStudy) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for run in study.runs.values():
        for seed in run.seeds:
            file = study.model_dir(run.name, seed) / "train.json"
            if file.exists():
                yield run.name, seed, read_json(file)


def _minings(study: BoundStudy) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in study.pairs:
        file = study.pairs_dir(name) / "pairs.json"
        if file.exists():
            yield name, read_json(file)


def times(study: BoundStudy) -> str:
    """Wall-clock of trainings by run and of mining jobs: what their JSON says, nothing estimated."""
    trained: dict[str, list[float]] = {}
    for run, _, about in _trainings(study):
        if "wall_clock_seconds" in about:
            trained.setdefault(run, []).append(about["wall_clock_seconds"])
    rows = [[f"train `{run}`", str(len(s)), f"{sum(s) / len(s):.0f}", f"{sum(s) / 60:.1f}"] for run, s in trained.items()]
    mined = [(name, about["wall_clock_seconds"]) for name, about in _minings(study) if "wall_clock_seconds" in about]
    rows += [[f"mine `{name}`", "1", f"{s:.1f}", f"{s / 60:.1f}"] for name, s in mined]
    if not rows:
        return ""
    whole = sum(map(sum, trained.values())) + sum(s for _, s in mined)
    jobs = f"{sum(map(len, trained.values()))} trainings and {len(mined)} mining jobs"
    said = f"<p>{jobs} took {whole / 3600:.2f} hours of wall-clock together.</p>"
    return section("times", "Times", said, details("By job", words(["Job", "Jobs", "Seconds each", "Minutes in all"], rows)))


def digests(study: BoundStudy) -> str:
    """Versions of the packages, and what each run stands for."""
    now = provenance(None)
    versions = words(["Package", "Version"], [["Python", now["python"]], *([k, v] for k, v in now["versions"].items())])
    made = {(run, seed): about for run, seed, about in _trainings(study)}
    known = [(r.name, s) for r in study.runs.values() for s in r.seeds]
    rows = [[f"`{run}`", s, f"`{study.run_digest(run, s)}`", _commit(made.get((run, s)))] for run, s in known]
    corpora = [[f"`{name}`", f"`{study.corpus_digest(name)}`", _content(study, name)] for name in study.declaration.corpora]
    return section(
        "versions", "Versions and digests", versions,
        details("Digests of the runs", words(["Run", "Seed", "Digest of all it depends on", "Trained at commit"], rows)),
        details("Digests of the corpora", words(["Corpus", "Digest of the declaration", "Digest of the content"], corpora)),
    )  # fmt: skip


def _commit(about: dict[str, Any] | None) -> str:
    return f"`{about.get('commit') or 'unknown'}`, {about.get('written', '')[:10]}" if about else "not trained"


def _content(study: BoundStudy, corpus: str) -> str:
    file = study.manifest(corpus)
    return f"`{read_json(file).get('digest', '')[:16]}`" if file.exists() else "not built"
