"""What a reader needs to trust or repeat the numbers: machines, times, versions and digests, from the JSON beside every artefact."""

from collections.abc import Iterator
from typing import Any

from helip.io import provenance, read_json
from helip.reporting.costs import costs, made
from helip.reporting.html import details, escape, markdown, section, words
from helip.stages import BuildCorpus, model_of
from helip.study import Study


def facts(study: Study) -> str:
    """Of this page; `times` says when, where and by which commits the measurements were made."""
    now, trained = provenance(None), len(list(_trainings(study)))
    said = {"Page written": now["written"][:10], "by commit": now["commit"] or "unknown", "Trainings": trained,
            "Seeds": ", ".join(map(str, study.declaration.seeds))}  # fmt: skip
    return "<ul class='facts'>" + "".join(f"<li>{k} <b>{escape(str(v))}</b></li>" for k, v in said.items()) + "</ul>"


def _trainings(study: Study) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for run in study.runs.values():
        for seed in run.seeds:
            file = model_of(study, run.name, seed).folder / "train.json"
            if file.exists():
                yield run.name, seed, read_json(file)


def times(study: Study) -> str:
    """What the jobs took: what their artefacts say, nothing estimated."""
    cost = costs(study)
    if not cost.jobs:
        return ""
    rows = [[stage, str(n), f"{cost.wall[stage] / n:.0f}", f"{cost.wall[stage] / 60:.1f}", f"{cost.cpu[stage] / 60:.1f}"]
            for stage, n in cost.jobs.items()]  # fmt: skip
    head = ["What", "Jobs", "Seconds each", "Minutes in all", "CPU-minutes in all"]
    return section("times", "Times", markdown(made(cost)), details("By what the jobs do", words(head, rows)))


def digests(study: Study) -> str:
    """Versions of the packages, and what each run stands for."""
    now = provenance(None)
    versions = words(["Package", "Version"], [["Python", now["python"]], *([k, v] for k, v in now["versions"].items())])
    made = {(run, seed): about for run, seed, about in _trainings(study)}
    known = [(r.name, s) for r in study.runs.values() for s in r.seeds]
    rows = [[f"`{run}`", s, f"`{model_of(study, run, s).digest}`", _commit(made.get((run, s)))] for run, s in known]
    corpora = [[f"`{name}`", f"`{BuildCorpus(study, name).digest}`", _content(study, name)] for name in study.declaration.corpora]
    return section(
        "versions", "Versions and digests", versions,
        details("Digests of the runs", words(["Run", "Seed", "Digest of all it depends on", "Trained at commit"], rows)),
        details("Digests of the corpora", words(["Corpus", "Digest of the declaration", "Digest of the content"], corpora)),
    )  # fmt: skip


def _commit(about: dict[str, Any] | None) -> str:
    return f"`{about.get('commit') or 'unknown'}`, {about.get('written', '')[:10]}" if about else "not trained"


def _content(study: Study, corpus: str) -> str:
    file = BuildCorpus(study, corpus).output
    return f"`{read_json(file).get('digest', '')[:16]}`" if file.exists() else "not built"
