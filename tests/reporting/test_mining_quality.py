import csv

import numpy as np
import pytest

from helip.config import Claim, MiningSpec
from helip.mining import mine
from helip.mining.pairs import PairSet
from helip.reporting.claims import decide
from helip.reporting.measured import Measured
from helip.reporting.quality import overlap_by_target, quality, write_quality
from helip.stages import BuildCorpus, Mine
from helip.synthetic.truth import Truth

HPM = "cc3m.hpm.dino_vits8.sentence"


@pytest.fixture
def known(study, monkeypatch):
    """Three scenes of eleven attributes: 0 and 1 differ in one, 2 differs from both in all; caption 2 is another's.

    Target 0 has hard pairs 1 and 2, target 1 has hard pair 0, target 2 is noise.
    """
    attributes = np.array([[0] * 11, [0] * 10 + [1], [2] * 11], np.int8)
    captions = attributes.copy()
    captions[2] = 0
    named = np.zeros((3, 11), bool)
    named[0, 10] = named[1, 10] = named[2, 0] = True  # captions 0 and 1 name what tells them apart; caption 2 names what 0 and 1 share
    truth = Truth(np.array([0, 0, 1], np.int32), attributes, captions, named, np.array([False, False, True]))
    monkeypatch.setattr(Truth, "open", classmethod(lambda cls, folder: truth))
    pairs = PairSet(np.array([1, 2, 0], np.int32), np.ones(3, np.float32), np.array([0, 2, 3, 3]), np.array([False, False, True]),
                    MiningSpec(k=2), 3)  # fmt: skip
    pairs.save(Mine(study, HPM).folder)
    return study


def test_quality_by_hand(known):
    measured = quality(known, HPM)
    assert measured.false_negatives == pytest.approx(100 / 3)  # caption 2 is true of image 0
    assert measured.truly_hard == pytest.approx(200 / 3)  # (0, 1) and (1, 0)
    assert measured.same_concept == pytest.approx(200 / 3)
    assert measured.attribute_overlap == pytest.approx(100 * (10 + 0 + 10) / 33)
    assert (measured.noise_precision, measured.noise_recall, measured.noise_targets) == (100, 100, 1)
    assert overlap_by_target(known, HPM)[:2] == pytest.approx([100 * 5 / 11, 100 * 10 / 11])
    assert np.isnan(overlap_by_target(known, HPM)[2])


def test_the_table_has_a_row_for_each_pair_set(known, tmp_path):
    write_quality(known, tmp_path / "quality.csv")
    with open(tmp_path / "quality.csv", newline="") as f:
        (row,) = csv.DictReader(f)
    assert (row["pairs"], row["method"], row["false_negatives"]) == (HPM, "hpm", "33.3333")


def test_few_targets_say_nothing(known):
    same = {"run": "cc3m_clip_helip", "over": "cc3m_clip_helip", "table": "table6", "measure": "attribute_overlap"}
    known.claims = {"same": Claim(text="the same pairs", place="here", **same)}
    (decision,) = decide(known, Measured(known, []))
    assert (decision.verdict, decision.note) == ("not run", "2 targets have hard pairs by both methods, too few to say anything")


def test_a_claim_on_mined_pairs_is_decided_over_targets(project, tmp_path):
    from wide import _one_hot, build_corpora, mine_pairs, wide_study

    study = wide_study(project, tmp_path)
    claims = {name: study.claims[name] for name in ("hpm_pairs_are_nearer", "fast_hpm_is_faster")}
    study.claims = claims
    assert {d.verdict for d in decide(study, Measured(study, []))} == {"not run"}
    build_corpora(study, ("cc3m",))
    mine_pairs(study, [name for name in study.pairs if name.startswith("cc3m")])
    nearer, faster = decide(study, Measured(study, []))
    assert (nearer.verdict, faster.verdict) == ("reproduced", "not run")
    assert nearer.stated.effect.estimate > 3 and nearer.stated.effect.n_seeds is None
    other_way = {"run": "cc3m_clip_text_mining", "over": "cc3m_clip_helip", "also": ()}
    study.claims = {"turned": Claim(**claims["hpm_pairs_are_nearer"].model_dump() | other_way)}
    (turned,) = decide(study, Measured(study, []))
    none = "the same test does not find its positive control (there is none)"
    assert (turned.verdict, turned.note.partition("; ")[2]) == ("cannot tell", none)
    usual = study.pairs[HPM][1]
    study.pairs["cc3m.truth"] = "cc3m", usual.model_copy(update={"method": "truth"})
    truth = Truth.open(BuildCorpus(study, "cc3m").folder)
    exact = [_one_hot(rows).astype(np.float32) for rows in (truth.attributes, truth.caption_attributes)]
    mine(*exact, MiningSpec(k=usual.k, tau_image=0.2, tau_text=0.2), workers=1).save(Mine(study, "cc3m.truth").folder)
    (turned,) = decide(study, Measured(study, []))
    assert (turned.verdict, turned.stated.positive_control.kind) == ("not reproduced", "the generator's own hard pairs")
