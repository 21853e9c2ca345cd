"""The paper's open question: what the report says first, from the decided claims and table 11."""

import re
from dataclasses import replace

import pytest

from helip.reporting.answer import FEW, answer, matrix, refinements
from helip.reporting.cells import Cell
from helip.reporting.claim_rows import ClaimRow
from helip.reporting.contrasts import ContrastRow, ContrastsContent
from helip.reporting.formats import between
from helip.reporting.table_content import TableContent

DECIDED = ClaimRow(
    claim="helip_beats_continued_training", verdict="cannot tell", place="here", text="a gain", expect="higher", margin=0.5,
    measure="accuracy", run="cc3m_clip_helip", over="cc3m_clip_control", compared=7, estimate=0.4, ci_low=-0.2, ci_high=0.9, n_seeds=3,
)  # fmt: skip


def compared(run, method, delta, p, reference="cc3m_clip_control", column="average", corpus="CC3M", corpora=1, arm="helip"):
    return Cell(
        corpus, "", None, method, run, arm, column, "zeroshot.acc1", 50.0, None, 3, None, reference, delta, delta - 0.5, delta + 0.5, p,
        ours=True, corpora=corpora,
    )  # fmt: skip


def table(study, *cells):
    return TableContent(study.name, "table11", study.tables["table11"], cells)


@pytest.fixture
def asked(study):
    """p-values .0025, .02 and .9 of three refinements, times 3, 2 and 1; the control is measured against its start and is none of them."""
    return table(
        study,
        compared("cc3m_clip_control", "control", 3.0, 0.001, reference="cc3m_clip"),
        compared("cc3m_clip_select_sclip10", "selected", 1.5, 0.0025),
        compared("cc3m_clip_cleaned", "cleaned", -1.0, 0.02),
        compared("cc3m_clip_helip", "HELIP", 0.25, 0.9),
        compared("cc3m_clip_helip", "HELIP", 9.0, 0.001, column="imagenet"),
    )


def corrected(study, asked):
    return {r.cell.run: r.p_holm for r in refinements(study, asked)}


def test_p_values_are_corrected_over_refinements_alone(study, asked):
    assert corrected(study, asked) == {
        "cc3m_clip_select_sclip10": pytest.approx(0.0075),
        "cc3m_clip_cleaned": pytest.approx(0.04),
        "cc3m_clip_helip": pytest.approx(0.9),
    }


def test_arms_that_use_the_truth_are_bounds_without_correction(study, asked):
    told = study.run("cc3m_clip_select_sclip10")
    study.runs["cc3m_clip_select_sclip10"] = told.model_copy(update={"select": told.select.model_copy(update={"score": "truth"})})
    p_values = {"cc3m_clip_select_sclip10": None, "cc3m_clip_cleaned": pytest.approx(0.04), "cc3m_clip_helip": pytest.approx(0.9)}
    assert corrected(study, asked) == p_values
    text = answer(study, [DECIDED], asked)
    assert "Out of a miner's reach, told by the generator: selected on CC3M +1.50 [+1.00, +2.00]." in text


def test_the_answer_gives_verdict_then_what_is_above_and_below(study, asked):
    first, *more = answer(study, [DECIDED], asked).split("\n\n")
    gain = "over the same steps, batch size and data without hard pairs it gains +0.40 points (95 % interval −0.20 to +0.90)"
    assert first.startswith(f"**This study cannot tell whether HELIP as printed beats plain continued training: {gain}, on the average of")
    assert first.endswith("table 1's sets, over 7 starts, 3 trainings of each.**")
    assert more[0].startswith("Table 11 sets 3 refinements beside their control")
    assert more[1].endswith("above the control selected on CC3M +1.50 [+1.00, +2.00]; below it cleaned on CC3M −1.00 [−1.50, −0.50].")
    assert more[2] == "Each by itself, uncorrected: above the control none; below it none."


@pytest.mark.parametrize(("sign", "side"), [(1, "above the control"), (-1, "below it")])
def test_a_sentence_names_the_few_largest_differences(study, sign, side):
    cells = [compared("cc3m_clip_helip", f"arm {i}", sign * (1 + i / 10), 0.001) for i in range(FEW + 2)]
    shown = answer(study, [DECIDED], table(study, *cells)).split("\n\n")[2]
    named = shown.partition(f"{side} ")[2].partition(";")[0]
    assert [f"arm {i} " in named for i in range(FEW + 2)] == [False, False] + FEW * [True]
    assert re.search(r" and 2 more\.?$", named)


@pytest.mark.parametrize(("p", "says"), [(0.02, "is above"), (0.2, "cannot be told from")])
def test_what_was_declared_the_best_is_asked_once(study, p, says):
    study.runs["helip_plus"] = study.run("cc3m_clip_select_sclip10")
    asked = table(study, compared("helip_plus", "plus", 0.8, p), compared("cc3m_clip_cleaned", "cleaned", 1.0, 0.02))
    assert corrected(study, asked) == {"helip_plus": p, "cc3m_clip_cleaned": 0.02}
    _, second, third, *_ = answer(study, [DECIDED], asked).split("\n\n")
    plus = "+0.80 [+0.30, +1.30] points on CC3M, 2 refinements of 2 pre-trainings; "
    assert second.startswith(f"**`helip_plus` {says} plain continued training:** {plus}p {p}, asked once and not corrected.")
    assert second.endswith("It is plain continued training on the 90 % of the pairs that the start scores highest by `s_clip_loss`.")
    assert third.startswith("Table 11 sets 1 refinement beside")


def test_means_over_corpora_come_first_with_own_correction(study, asked):
    """.01 and .03 of two means, times 2 and 1; beside them the three of CC3M as before."""
    runs = {arm: f"cc3m_clip_{arm} cc12m_clip_{arm}" for arm in ("control", "select_sclip10", "helip")}
    study.runs |= {name: study.run("cc3m_clip_helip") for name in ("cc12m_clip_helip", "cc12m_clip_control")}
    study.runs["cc12m_clip_select_sclip10"] = study.run("cc3m_clip_select_sclip10")
    pooled = {"corpus": "2 corpora", "corpora": 2}
    over = pooled | {"reference": "cc3m_clip_control cc12m_clip_control"}
    asked = table(
        study,
        *asked.cells,
        compared(runs["control"], "control", 2.0, 0.001, reference="cc3m_clip cc12m_clip", **pooled),
        compared(runs["select_sclip10"], "selected", 1.25, 0.01, **over),
        compared(runs["helip"], "HELIP", -0.75, 0.03, **over),
        compared(runs["helip"], "HELIP rather than selection", -2.0, 0.001, reference=runs["select_sclip10"], arm="contrast", **pooled),
    )
    text = answer(study, [DECIDED], asked)
    assert "One refinement beside another, uncorrected: HELIP rather than selection on 2 corpora −2.00 [−2.50, −1.50]." in text
    p_values = corrected(study, asked)
    assert (p_values[runs["select_sclip10"]], p_values[runs["helip"]], p_values["cc3m_clip_cleaned"]) == pytest.approx((0.02, 0.03, 0.04))
    assert runs["control"] not in p_values
    assert f"Only 4 of the {len({run for _, _, run, _, _ in study.table_rows('table11')})} rows" in text
    assert "Table 11 sets 2 refinements beside their control" in text
    both = "above the control selected on 2 corpora +1.25 [+0.75, +1.75]; below it HELIP on 2 corpora −0.75 [−1.25, −0.25]."
    assert f"**Over corpora together.** Shown with Holm's correction over all 2 at 5 %: {both}" in text
    assert "On one corpus alone: Shown with Holm's correction over all 3 at 5 %: above the control selected on CC3M" in text
    short = matrix(study, asked)
    assert short.corpora == ("2 corpora", "CC3M")
    method, (together, alone) = short.rows[0]
    assert (method, between(together.cell), between(alone.cell)) == ("selected", "+1.25 [+0.75, +1.75]", "+1.50 [+1.00, +2.00]")


def test_pre_trainings_of_its_own_are_said_to_be_so(study):
    fresh = {"start": "fresh", "seeds": ("10r0", "10r1", "11r0", "11r1")}
    study.runs["helip_plus"] = study.run("cc3m_clip_select_sclip10").model_copy(update=fresh)
    asked = table(study, compared("helip_plus", "plus", 0.8, 0.02))
    assert "4 refinements of 2 pre-trainings kept for this question; p 0.02" in answer(study, [DECIDED], asked)


def test_rows_that_were_not_made_are_counted(study, asked):
    declared = len({run for _, _, run, _, _ in study.table_rows("table11") if run})
    assert f"Only 4 of the {declared} rows that the study declares were made" in answer(study, [DECIDED], asked)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("reproduced", "**HELIP as printed beats"), ("not reproduced", "does not beat plain"), ("not run", "does not say")],
)
def test_each_verdict_is_said_in_words(study, verdict, words):
    text = answer(study, [replace(DECIDED, verdict=verdict, ci_low=None if verdict == "not run" else 0.1)], None)
    assert words in text
    assert ("by 0.5 points or more" in text) == (verdict == "not reproduced")
    assert matrix(study, table(study)) is None


def test_the_short_table_has_a_row_for_each_refinement(study, asked):
    short = matrix(study, asked)
    assert short.corpora == ("CC3M",)
    assert [(method, between(one.cell), one.is_shown) for method, (one,) in short.rows] == [
        ("selected", "+1.50 [+1.00, +2.00]", True),
        ("cleaned", "−1.00 [−1.50, −0.50]", True),
        ("HELIP", "+0.25 [−0.25, +0.75]", False),
    ]
    assert short.note == "Bold: shown at 5 %, with Holm's correction over all rows; `helip_plus` is asked once, and bounds are not asked."


def test_a_meaningless_study_says_so_first(study, asked):
    study.declaration = study.declaration.model_copy(update={"meaningless": True})
    text = answer(study, [DECIDED], asked)
    assert text == "**The study declares its numbers meaningless: it shows that everything runs, and decides nothing.**"


def test_a_mixture_is_named_by_its_scores(study):
    run = study.run("cc3m_clip_select_sclip10")
    weights = {"clip_score": 1.0, "s_clip_loss": 2.0}
    mixed = run.select.model_copy(update={"score": "mixture", "weights": weights, "keep": 0.85})
    study.runs["helip_plus"] = run.model_copy(update={"select": mixed})
    text = answer(study, [DECIDED], table(study, compared("helip_plus", "plus", 0.8, 0.02)))
    assert "on the 85 % of the pairs that the start scores highest by `clip_score` and `s_clip_loss` (weight 2)." in text


@pytest.mark.parametrize(("holm", "shows"), [(0.01, "1 is shown"), (0.2, "0 are shown")])
def test_primary_contrasts_come_before_everything(study, holm, shows):
    row = ContrastRow("gain", "Does it?", "a", "b", "cifar10.zeroshot.acc1", "", True, 1, effect=1.0, ci_low=0.5, ci_high=1.5, p=0.005,
                      p_bh=0.01, p_holm=holm, n_seeds=24)  # fmt: skip
    first, second = answer(study, [DECIDED], None, ContrastsContent("smoke", (row,), "")).split("\n\n")
    assert first.startswith(f"**Of 1 primary hypotheses, fixed before the first run, {shows} at 5 % by Holm's correction")
    assert "Does it? cifar10.zeroshot.acc1 +1.00 [+0.50, +1.50], p 0." in first
    assert second.startswith("**This study cannot tell")
