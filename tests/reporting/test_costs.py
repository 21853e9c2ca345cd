"""What the report says of machines, costs and contamination."""

import json

from helip.reporting.provenance import Overlap, contamination, costs
from helip.stages import CheckContamination


def artefact(path, pid, seconds, cpu, written="2026-11-22T10:00:00+00:00"):
    path.parent.mkdir(parents=True, exist_ok=True)
    job = {"pid": pid, "begun": "2026-11-22T09:30:00+00:00", "wall_clock_seconds": seconds, "cpu_seconds": cpu}
    path.write_text(json.dumps({"job": job, "host": "here", "machine": "a test machine", "commit": "abc", "written": written}))


def test_artefacts_of_one_job_are_counted_once(study):
    artefact(study.root / "metrics" / "a" / "seed0" / "x.json", pid=7, seconds=10, cpu=8)
    artefact(study.root / "metrics" / "a" / "seed0" / "y.json", pid=7, seconds=30, cpu=20, written="2026-11-22T10:30:00+00:00")
    artefact(study.root / "models" / "a" / "seed0" / "train.json", pid=8, seconds=3600, cpu=1780)
    (study.root / "models" / "a" / "seed0" / "open_clip_config.json").write_text("{}")
    cost = costs(study)
    assert (cost.jobs, cost.wall, cost.cpu_hours) == ({"train": 1, "evaluate": 1}, {"train": 3600, "evaluate": 30}, 0.5)
    facts = cost.facts
    assert (facts["Date"], facts["Machine"], facts["Commit"]) == ("2026-11-22 09:30 to 2026-11-22 10:30 UTC", "a test machine", "abc")
    assert facts["Jobs"] == "2 (1 to train, 1 to evaluate), besides the tables and figures"
    assert facts["Cost"].startswith("0.50 CPU-hours")


def test_a_study_without_artefacts_claims_no_cost(study):
    assert costs(study).facts == {}


def test_contamination_is_counted_for_each_set_and_corpus(study, monkeypatch):
    assert contamination(study) is None  # all generated
    monkeypatch.setattr("helip.study.Study.is_generated", lambda study, corpus: False)
    file = CheckContamination(study).output
    file.parent.mkdir(parents=True, exist_ok=True)
    counts = [{"set": "cifar10", "corpus": "cc3m", "items": 10000, "found": 12, "share": 0.0012, "samples": 13}]
    file.write_text(json.dumps({"declaration": {"dct_bits": 4, "gradient_bits": 8}, "counts": counts}))
    counted = contamination(study)
    assert counted.overlaps == (Overlap("cifar10", "cc3m", 10000, 12, 0.0012),)
    assert "at most 4 bits of 64 of one and 8 of another differ" in counted.explanation
