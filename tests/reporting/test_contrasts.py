"""Primary contrasts: what a study fixes before its first run, tested over trainings and items."""

import csv
import shutil

import numpy as np
import pytest
import yaml
from scipy.stats import t
from wide import write_metrics

from helip.config import PrimaryContrast
from helip.errors import HelipError
from helip.reporting.contrasts import contrasts_content
from helip.reporting.pages import finished, write_contrasts, write_report
from helip.stages import BuildCorpus, DecideContrasts, metrics_file
from helip.study import Study

GAIN = {"question": "Does HELIP beat its control?", "run": "cc3m_clip_helip", "against": "cc3m_clip_control"}


def declare(study, **contrasts):
    declared = {name: PrimaryContrast.model_validate(GAIN | {"metrics": ["cifar10.zeroshot.acc1"]} | c) for name, c in contrasts.items()}
    study.declaration = study.declaration.model_copy(update={"contrasts": declared})
    return study


def four_trainings(study, gains=(4, 8, 12, 16), items=400):
    """Training s of HELIP wins the first gains[s] of the items that its control loses; nothing else differs."""
    seeds = tuple(map(str, range(len(gains))))
    for run in ("cc3m_clip", "cc3m_clip_control", "cc3m_clip_helip"):
        study.runs[run] = study.run(run).model_copy(update={"seeds": seeds})
        for s, seed in enumerate(seeds):
            level = 100 + (gains[s] if run.endswith("helip") else 0)
            for name in ("cifar10", "cifar100"):
                write_metrics(study, run, seed, name, np.arange(items) < level)
    return study


def test_the_interval_over_trainings_is_student_t_by_hand(study):
    """1, 2, 3 and 4 points: mean 2.5, variance 5 / 3, standard error 0.6455, 3.1824 of them at 3 degrees of freedom."""
    (row,) = contrasts_content(declare(four_trainings(study), gain={})).rows
    assert (row.effect, row.run_value, row.against_value) == pytest.approx((2.5, 27.5, 25.0))
    assert (row.seeds_ci_low, row.seeds_ci_high) == pytest.approx((2.5 - 2.0543, 2.5 + 2.0543), abs=1e-3)
    assert (row.n_seeds, row.n_items, row.primary, row.pairs) == (4, 400, True, 1)


def test_items_widen_the_interval_and_p_agrees_with_it(study):
    (row,) = contrasts_content(declare(four_trainings(study), gain={})).rows
    half = row.ci_high - row.effect
    assert half == pytest.approx(row.effect - row.ci_low)
    assert half > row.seeds_ci_high - row.effect
    standard_error = half / t.ppf(0.975, 3)
    assert row.p == pytest.approx(2 * t.sf(row.effect / standard_error, 3))


def test_corrections_run_over_every_declared_hypothesis(study):
    """Three hypotheses, one without metrics files: Holm multiplies the smallest p by 3."""
    study = declare(four_trainings(study), gain={"metrics": ["cifar10.zeroshot.acc1", "imagenet.zeroshot.acc1"]}, same={"run": "cc3m_clip"})
    tested, missing, same = contrasts_content(study).rows
    assert (tested.p_holm, tested.p_bh) == pytest.approx((3 * tested.p, 3 * tested.p))
    assert (missing.note, missing.effect, missing.p, missing.p_holm) == ("not run yet", None, None, None)
    assert (same.effect, same.p, same.ci_low) == (0.0, None, None)
    assert same.note == "no item and no training differs: no information"


def test_a_later_family_is_corrected_by_itself(study):
    """Two hypotheses, and one declared later: Holm multiplies by 2 in the first family, by 1 in the second."""
    study = declare(four_trainings(study), gain={}, same={"run": "cc3m_clip"}, again={"family": "confirmation"})
    content = contrasts_content(study)
    first, _, later = content.rows
    assert first.p == later.p
    assert (first.p_holm, later.p_holm) == pytest.approx((2 * first.p, first.p))
    assert "over all 2 declared hypotheses, and over all 1 declared hypotheses of the family confirmation beside them" in content.how


def test_pooled_pairs_weigh_the_same(study):
    """HELIP over its control is 2.5 points, over its start 2.5 too; the control over its start nothing: means 2.5 and 1.25."""
    four_trainings(study)
    nothing = [{"run": "cc3m_clip_control", "against": "cc3m_clip"}]
    alike = [{"run": "cc3m_clip_helip", "against": "cc3m_clip"}]
    half, whole = contrasts_content(declare(study, half={"pooled": nothing}, whole={"pooled": alike})).rows
    assert (half.effect, whole.effect) == pytest.approx((1.25, 2.5))
    assert (half.pairs, half.run) == (2, "cc3m_clip_helip cc3m_clip_control")
    (alone,) = contrasts_content(declare(study, gain={})).rows
    assert whole.p == pytest.approx(alone.p)  # the same trainings on the same items say nothing new


def test_an_interaction_is_a_difference_of_differences(study):
    """HELIP is 2.5 points above its control, which is its start's equal: 2.5 - 0, turned round 0 - 2.5, and beyond both 0 - 1.25."""
    four_trainings(study)
    nothing, gained = ({"run": run, "against": "cc3m_clip"} for run in ("cc3m_clip_control", "cc3m_clip_helip"))
    study = declare(
        study, gain={}, more={"beyond": [nothing]}, less=nothing | {"beyond": [gained]}, half=nothing | {"beyond": [gained, nothing]}
    )
    alone, more, less, half = contrasts_content(study).rows
    assert [row.effect for row in (more, less, half)] == pytest.approx([2.5, -2.5, -1.25])
    assert (less.run_value, less.against_value) == pytest.approx((0.0, 2.5))
    assert (alone.beyond, less.beyond) == ("", "cc3m_clip_helip - cc3m_clip")
    assert [row.p for row in (more, less, half)] == pytest.approx([alone.p] * 3)
    assert (less.ci_low, less.ci_high) == pytest.approx((-alone.ci_high, -alone.ci_low))
    assert (half.seeds_ci_low, half.seeds_ci_high) == pytest.approx((-alone.seeds_ci_high / 2, -alone.seeds_ci_low / 2))


def test_refinements_of_one_start_are_one_draw(study):
    """Two pre-trainings of two refinements each are paired by both seeds, and are two draws."""
    four_trainings(study)
    for run in ("cc3m_clip_control", "cc3m_clip_helip"):
        study.runs[run] = study.run(run).model_copy(update={"seeds": ("0r0", "0r1", "1r0", "1r1")})
        for seed, gained in zip(study.run(run).seeds, (4, 8, 12, 16), strict=True):
            write_metrics(study, run, seed, "cifar10", np.arange(400) < 100 + gained * run.endswith("helip"))
    (row,) = contrasts_content(declare(study, gain={})).rows
    assert (row.effect, row.n_seeds) == (pytest.approx(2.5), 2)  # 1.5 and 3.5 points: standard error 1
    assert row.seeds_ci_high - row.effect == pytest.approx(t.ppf(0.975, 1), abs=1e-3)


def test_a_meaningless_study_tests_nothing(study):
    study = declare(four_trainings(study), gain={})
    study.declaration = study.declaration.model_copy(update={"meaningless": True})
    (row,) = contrasts_content(study).rows
    assert (row.effect, row.p, row.ci_low) == (pytest.approx(2.5), None, None)
    assert row.note == "the study declares its numbers meaningless: nothing is tested"


def test_csv_and_page_carry_the_same_numbers(study):
    page = write_contrasts(declare(four_trainings(study), gain={}))
    with open(study.root / "contrasts.csv", newline="") as f:
        (row,) = csv.DictReader(f)
    assert (row["contrast"], row["metric"], row["effect"], row["primary"]) == ("gain", "cifar10.zeroshot.acc1", "2.5000", "True")
    assert (
        "| **Does HELIP beat its control?** (`gain`) | `cifar10.zeroshot.acc1` | `cc3m_clip_helip` − `cc3m_clip_control` | +2.50 [" in page
    )
    assert "over all 1 declared hypotheses" in page


def test_the_stage_needs_the_metrics_of_its_runs_alone(study):
    stage = DecideContrasts(declare(study, gain={"metrics": ["cifar10.zeroshot.acc1", "cifar10.zeroshot.acc5"]}))
    runs = ("cc3m_clip_helip", "cc3m_clip_control")
    assert stage.inputs() == [metrics_file(study, run, seed, "cifar10", "zeroshot") for run in runs for seed in ("0", "1")]
    assert stage.outputs == [study.root / "contrasts.csv", study.root / "contrasts.md"]
    with pytest.raises(HelipError, match="contrasts: the study declares none"):
        DecideContrasts(declare(study)).config()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"run": "cc3m_clip_helpi"}, "names run 'cc3m_clip_helpi', and there is no such run; did you mean 'cc3m_clip_helip'"),
        ({"beyond": [{"run": "cc3m_clip_helpi", "against": "cc3m_clip"}]}, "names run 'cc3m_clip_helpi', and there is no such run"),
        ({"run": "cc12m_clip"}, "names run 'cc12m_clip', and the study binds no corpus, model or encoder for it"),
        ({"run": "cc3m_clip_control"}, "sets cc3m_clip_control against itself; name the run"),
        ({"metrics": ["cub.probe.acc1"]}, "names metric 'cub.probe.acc1', and the study evaluates "),
        ({"metrics": ["cifar10.acc1"]}, "metrics -> 0"),
        ({"metrics": ["cifar10.zeroshot.acc1"] * 2}, "names 'cifar10.zeroshot.acc1' twice"),
        (
            {"pooled": [{"run": "cc3m_clip_helip", "against": "cc3m_clip_control"}]},
            "cc3m_clip_helip against cc3m_clip_control is named twice",
        ),
    ],
)
def test_a_contrast_that_cannot_be_asked_is_refused(project, tmp_path, change, sentence):
    experiments = tmp_path / "experiments"
    shutil.copytree(project / "experiments", experiments)
    file = experiments / "studies" / "smoke.yaml"
    contrast = GAIN | {"metrics": ["cifar10.zeroshot.acc1"]} | change
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"contrasts": {"gain": contrast}}))
    with pytest.raises(HelipError, match=f"smoke.yaml: contrasts -> gain.*{sentence}"):
        Study("smoke", experiments)


def test_runs_of_other_seeds_are_not_paired(project, tmp_path):
    experiments = tmp_path / "experiments"
    shutil.copytree(project / "experiments", experiments)
    file = experiments / "studies" / "smoke.yaml"
    declared = yaml.safe_load(file.read_text()) | {"contrasts": {"gain": GAIN | {"metrics": ["cifar10.zeroshot.acc1"]}}}
    declared["runs"] = (declared.get("runs") or {}) | {"cc3m_clip_helip": {"seeds": [5, 6]}}
    file.write_text(yaml.safe_dump(declared))
    sentence = "cc3m_clip_helip and cc3m_clip_control are not paired: their seeds are 5, 6 and 0, 1; give them the same ones"
    with pytest.raises(HelipError, match=sentence):
        Study("smoke", experiments)


def test_the_report_shows_them_before_the_claims(study):
    """Also while the study is under way: tables, claims and figures are of what is there."""
    BuildCorpus(study, "cc3m").output.write_text('{"size": 600}')
    page = write_report(declare(four_trainings(study), gain={}), finished(study)).read_text()
    assert 0 < page.index('<section id="contrasts">') < page.index('<section id="verdicts">')
    shown = page[page.index('<section id="contrasts">') : page.index('<section id="verdicts">')]
    assert "<td>Does HELIP beat its control?</td><td><code>cifar10.zeroshot.acc1</code></td><td>+2.50 [" in shown
    assert (study.root / "contrasts.csv").exists()
