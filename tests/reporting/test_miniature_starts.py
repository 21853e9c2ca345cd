"""The starts of the miniature study stand well above chance: only then does a gain, or none, say anything."""

import csv

import numpy as np
import pytest

import helip.study
from helip.reporting.chance import ENOUGH
from helip.synthetic.concepts import cumulative
from helip.synthetic.world import world_of
from tools.starts import STARTS


@pytest.fixture(scope="module")
def starts() -> list[dict[str, str]]:
    with open(STARTS, newline="") as file:
        return list(csv.DictReader(file))


def rested_on(study) -> set[tuple[str, str]]:
    """Start and metric of every column that a claim reads."""
    columns_read = set()
    for claim in study.claims.values():
        columns = study.tables[claim.table].chosen(claim.columns)
        runs = {name for pair in (*claim.comparisons, *claim.than) for name in (pair.run, pair.over) if name in study.runs}
        columns_read |= {(study.run(name).start or name, f"{column.set}.{column.metric}") for name in runs for column in columns}
    return columns_read


def test_no_column_of_a_claim_is_below_three_times_chance(starts):
    read = rested_on(helip.study.load("miniature"))
    held = [r for r in starts if (r["run"], r["metric"]) in read]
    assert not [f"{r['run']} {r['metric']} {r['value']}" for r in held if float(r["value"]) < ENOUGH * float(r["chance"])]
    assert len(held) > 60
    zero_shot = [r for r in starts if not r["metric"].endswith("probe.acc1")]
    assert not [r for r in zero_shot if float(r["value"]) < ENOUGH * float(r["chance"])]
    sets = {r["metric"].split(".")[0] for r in zero_shot if r["run"] == "cc3m_clip"}
    assert sets == {*helip.study.load("miniature").declaration.evaluation}


def test_chance_is_that_of_the_classes(starts):
    chance = {r["metric"]: float(r["chance"]) for r in starts}
    assert chance["cifar10.zeroshot.acc1"] == 10 and chance["aircraft.zeroshot.acc1"] == pytest.approx(100 / 48, abs=1e-3)
    assert chance["flickr30k.retrieval.image_recall_at_1"] == pytest.approx(100 / 600, abs=1e-3)


def test_no_more_hard_pairs_than_images_of_a_concept():
    study = helip.study.load("miniature")
    smallest = study.corpus("cc3m")
    images = smallest.size * np.diff(cumulative(world_of(smallest)), prepend=0)
    assert study.declaration.mining.k <= np.median(images)
