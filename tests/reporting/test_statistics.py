import itertools
import json

import numpy as np
import pytest
import torch

from helip.config import Column
from helip.errors import HelipError
from helip.evaluation.run import packed
from helip.reporting.chance import chance_level
from helip.reporting.correction import benjamini_hochberg, holm
from helip.reporting.counts import Counted, partial_conjunction
from helip.reporting.measured import Measured, Metrics, per_image, raised
from helip.reporting.statistics import Estimate, Gain, Noise, Paired, Spread, chance, gain, interval, spread, training_noise
from helip.stages import metrics_file


def paired(ours, reference, clusters=None, sets=None, start="start"):
    """Columns of one comparison; each of a test set of its own where nothing else is said."""
    rows = len(ours[0])
    columns = zip(sets or map(str, range(len(ours))), ours, reference, strict=True)
    return Paired(tuple((name, a.astype(float) - b) for name, a, b in columns), tuple(clusters or map(str, range(rows))), start)


def paired_draws(ours, reference, clusters=None):
    return gain([paired(ours, reference, clusters)]).draws


def paired_bootstrap(ours, reference, resamples=10_000):
    return interval(gain([paired(ours, reference)], resamples).draws)


def test_equal_methods_have_an_interval_of_nothing():
    hits = np.random.default_rng(0).random((3, 200)) < 0.4
    assert paired_bootstrap([hits], [hits]) == (0.0, 0.0)


def test_a_difference_in_every_item_and_seed_has_no_width():
    assert paired_bootstrap([np.ones((2, 30), bool)], [np.zeros((2, 30), bool)]) == (100.0, 100.0)


def test_the_interval_over_items_is_that_of_a_binomial_share():
    """One seed, 1,000 items, 300 of them won: standard error sqrt(.3 x .7 / 1000) = 1.449 points, interval 30 -+ 1.96 x 1.449."""
    wins = np.zeros((1, 1000), bool)
    wins[0, :300] = True
    low, high = paired_bootstrap([wins], [np.zeros_like(wins)], resamples=20_000)
    assert low == pytest.approx(30 - 2.84, abs=0.25)
    assert high == pytest.approx(30 + 2.84, abs=0.25)


def test_seeds_that_disagree_widen_the_interval():
    """Two seeds, one wins everything and one nothing: the mean of two drawn seeds is 0, 50 or 100 with chances 1/4, 1/2, 1/4."""
    ours = np.array([[True] * 50, [False] * 50])
    assert paired_bootstrap([ours], [np.zeros_like(ours)]) == (0.0, 100.0)


def test_pairing_by_item_beats_ignoring_it():
    rng = np.random.default_rng(1)
    hard = rng.random(500) < 0.5
    ours, reference = hard[None] | (rng.random((1, 500)) < 0.05), hard[None]
    paired = paired_bootstrap([ours], [reference])
    shuffled = paired_bootstrap([ours], [rng.permutation(reference[0])[None]])
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 2


def test_the_average_of_sets_weighs_sets_not_items():
    won, lost = np.ones((1, 10), bool), np.zeros((1, 1000), bool)
    low, high = paired_bootstrap([won, lost], [np.zeros_like(won), np.zeros_like(lost)])
    assert (low, high) == (50.0, 50.0)


def test_the_same_numbers_give_the_same_interval():
    rng = np.random.default_rng(2)
    a, b = rng.random((3, 100)) < 0.5, rng.random((3, 100)) < 0.4
    assert paired_bootstrap([a], [b]) == paired_bootstrap([a], [b])


def test_columns_of_one_test_set_share_its_items():
    """The same hits twice say nothing new: of one set the interval stays, of two sets it shrinks by the root of 2."""
    won = np.random.default_rng(3).random((1, 400)) < 0.5
    nothing = np.zeros_like(won)
    alone = gain([paired([won], [nothing], sets=["flickr30k"])])
    same = gain([paired([won, won], [nothing, nothing], sets=["flickr30k", "flickr30k"])])
    other = gain([paired([won, won], [nothing, nothing], sets=["flickr30k", "mscoco"])])
    assert np.allclose(same.draws, alone.draws)
    assert same.items == pytest.approx(alone.items)
    assert other.items == pytest.approx(alone.items / 2)
    assert other.draws.std() == pytest.approx(alone.draws.std() / 2**0.5, rel=0.05)


def test_only_comparisons_of_one_start_share_its_trainings():
    won = np.array([[True] * 50, [False] * 50, [True] * 25 + [False] * 25])
    nothing = np.zeros_like(won)
    alone = gain([paired([won], [nothing])])
    same = gain([paired([won], [nothing]), paired([won], [nothing])])
    other = gain([paired([won], [nothing], start="one"), paired([won], [nothing], start="another")])
    assert np.allclose(same.draws, alone.draws)
    assert same.trainings == alone.trainings
    assert sum(s.variance for s in other.trainings) == pytest.approx(alone.trainings[0].variance / 2)
    assert other.draws.std() < alone.draws.std()


def test_a_shared_control_makes_two_comparisons_go_together():
    """Two arms that are as good as each other, against one lucky control: their mean is no surer than either."""
    rng = np.random.default_rng(4)
    control = rng.random((1, 300)) < 0.5
    arms = [rng.random((1, 300)) < 0.5 for _ in range(2)]
    joint = gain([paired([arm], [control], sets=["imagenet"]) for arm in arms])
    by_hand = 100**2 * np.var((arms[0].astype(float) + arms[1]).mean(0) / 2 - control[0], ddof=1) / 300
    assert joint.items == pytest.approx(by_hand)
    assert joint.draws.std() ** 2 == pytest.approx(by_hand, rel=0.05)


def test_trainings_that_share_a_start_are_drawn_together():
    """Two starts, two refinements each; one start wins everything. Drawn one by one, half of the draws would mix within a start."""
    ours = np.repeat(np.array([[True] * 40, [False] * 40]), 2, axis=0)
    reference = np.zeros_like(ours)
    together = paired_draws([ours], [reference], clusters=["0", "0", "1", "1"])
    assert set(np.unique(together)) == {0.0, 50.0, 100.0}
    apart = paired_draws([ours], [reference])
    assert {25.0, 75.0} < set(np.unique(apart))


def test_captions_of_an_image_are_one_item(measured):
    """Two images of two captions each, hits 1 0 and 1 1: the items are 0.5 and 1."""
    path = metrics_file(measured, "cc3m_clip", "0", "imagenet", "zeroshot")
    content = json.loads(path.read_text())
    content["per_item"]["acc1"] = packed(torch.tensor([True, False, True, True]), together=2)
    content["metrics"]["acc1"] = 75.0
    path.write_text(json.dumps(content))
    assert Metrics(path).hits("acc1").tolist() == [0.5, 1.0]


def test_images_with_unlike_numbers_of_captions_are_items_too():
    """Two captions, both hit, and four, one hit: the share is 3 of 6, and an image has three captions on average."""
    hits_Q = np.array([True, True, False, True, False, False])
    assert per_image(hits_Q, [2, 4]).tolist() == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert per_image(hits_Q, [2, 4]).mean() == hits_Q.mean()


def test_equal_shares_of_captions_differ_by_nothing(measured):
    """Three of five captions in both: a difference of 0.6 in two precisions would be a gain with an interval above zero."""
    for run, seed in itertools.product(("cc3m_clip", "cc3m_clip_control"), ("0", "1")):
        path = metrics_file(measured, run, seed, "imagenet", "zeroshot")
        content = json.loads(path.read_text()) | {"metrics": {"acc1": 60.0}}
        content["per_item"] = {"acc1": packed(torch.tensor([True, True, True, False, False] * 4), together=5)}
        path.write_text(json.dumps(content))
    columns = [Column(key="imagenet", label="ImageNet", set="imagenet", metric="zeroshot.acc1")]
    [(_, d_Sn)] = Measured(measured, []).difference("cc3m_clip", "cc3m_clip_control", columns).paired.columns
    assert d_Sn.shape == (2, 4) and not d_Sn.any()


def test_a_metrics_file_that_contradicts_itself_is_refused(measured):
    path = metrics_file(measured, "cc3m_clip", "0", "imagenet", "zeroshot")
    assert Metrics(path, set="imagenet", task="zeroshot").hits("acc1").mean() == 0.25
    with pytest.raises(HelipError, match="imagenet.zeroshot.json: is of set 'imagenet': it was put in another's place"):
        Metrics(path, set="cub", task="zeroshot")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"metrics": {"acc1": 26.0}}))
    with pytest.raises(HelipError, match="acc1 is not the share of the hits beside it"):
        Metrics(path).hits("acc1")


def test_items_that_stand_for_several_widen_the_interval():
    """100 images, half won with all five captions: the interval is that of 100 items, not of 500."""
    won = np.repeat([[1.0, 0.0]], 50, axis=1)
    low, high = paired_bootstrap([won], [np.zeros_like(won)], resamples=20_000)
    assert (low, high) == (pytest.approx(40, abs=1), pytest.approx(60, abs=1))  # 50 -+ 1.96 x 5


def test_holm_by_hand():
    """Sorted .01 .02 .04 times 3, 2, 1: .03 .04 .04."""
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_benjamini_hochberg_by_hand():
    """Sorted .01 .02 .04 .5 times 4, 2, 4/3 and 1: .04 .04 .0533 .5, each at most what follows."""
    assert benjamini_hochberg([0.04, 0.01, 0.5, 0.02]) == pytest.approx([0.16 / 3, 0.04, 0.5, 0.04])
    assert benjamini_hochberg([0.5, 0.9]) == [0.9, 0.9]
    assert benjamini_hochberg([]) == []


def gained(value, *trainings, items=0.0, draws=None):
    return Gain(value, trainings, items, np.full(10_000, value) if draws is None else draws)


def test_student_t_by_hand():
    """Differences 1, 2, 3 on the same items: variance 1, t = 2 / sqrt(1 / 3) = 3.4641 at 2 degrees of freedom: one-sided p 0.0371.

    With as much variance of the items beside it: t = 2.4495 at still 2 degrees of freedom, p 0.0669.
    """
    three = Spread(1.0, 0.5, 3)
    assert gained(2.0, three).p(0.0) == pytest.approx(0.0371, abs=1e-4)
    assert gained(2.0, three, items=1 / 3).p(0.0) == pytest.approx(0.0669, abs=1e-4)
    assert gained(2.0, Spread(0.5, 0.1, 3), Spread(0.5, 0.1, 3)).p(0.0) == pytest.approx(0.0129, abs=1e-4)  # 4 degrees of freedom
    assert gained(2.0, three).p(2.0, above=False) == 1.0  # the bootstrap's, which is the larger
    assert gained(5.0, Spread(0.0, 0.0, 1)).p(0.0) == 1.0  # one training proves nothing
    assert gained(2.0, Spread(0.0, 0.0, 3), items=1 / 3).p(0.0) == pytest.approx(0.0371, abs=1e-4)  # trainings that agree by chance


def test_variance_of_the_whole_study_moderates_a_comparison():
    """2 degrees of freedom of its own say 4, 6 of the study's say 1.5 x 2: (6 x 3 + 2 x 4) / 8 = 3.25, over 3 trainings."""
    noise, own = Noise(1.5, 6.0), Spread(4.0, 2.0, 3)
    assert noise.moderated(own) == (3.25, 8.0)
    assert Noise().moderated(own) == (4.0, 2.0)
    assert Noise().moderated(Spread(1.0, 2.0, 3)) == (2.0, 2.0)  # less than independent errors make it is chance
    assert gained(2.0, own).p(0.0, noise=noise) == pytest.approx(0.0455, abs=1e-4)  # t = 2 / sqrt(3.25 / 3) = 1.9215 at 8
    draws = np.random.default_rng(0).normal(2.0, 5.0, 10_000)
    low, high = gained(2.0, own, draws=draws).interval(noise)
    assert (low, high) == pytest.approx((2 - 2.306 * (3.25 / 3) ** 0.5, 2 + 2.306 * (3.25 / 3) ** 0.5), abs=0.1)


def test_trainings_by_items_by_hand():
    """One hit of two trainings by two items: means 50 and 0, variance 1250; what is left of the four cells is 25 each, so the interaction's
    mean square is 2500, of the mean of two items 1250. The items vary by nothing else."""
    cells = np.array([[1.0, 0.0], [0.0, 0.0]])
    one = Paired((("imagenet", cells),), ("0", "1"))
    assert spread([one]) == Spread(1250.0, 1250.0, 2)
    assert gain([one]).items == 0.0
    twice = Paired((("imagenet", cells), ("imagenet", cells)), ("0", "1"))
    assert spread([twice]) == spread([one, one]) == spread([one])  # the same items again
    apart = Paired((("imagenet", cells), ("cub", cells)), ("0", "1"))
    assert spread([apart]) == Spread(1250.0, 625.0, 2)


@pytest.mark.parametrize(("scatter", "freedom"), [(None, (16, 256)), (4, (2, 8))])
def test_the_noise_of_trainings_is_told_by_many_comparisons(scatter, freedom):
    """1,600 comparisons of three trainings whose true variance is 1.5 times the expected one: the same for all, or as 4 degrees of freedom
    scatter it."""
    rng, n = np.random.default_rng(6), 1600
    true_G = 1.5 * (scatter / rng.chisquare(scatter, n) if scatter else np.ones(n))
    noise = training_noise([Spread(v * rng.chisquare(2) / 2 * 3.0, 3.0, 3)] for v in true_G)
    # F(2, d) is a Lomax distribution of shape a = d / 2. The inverse of its Fisher information gives log(factor) the variance 2 (a + 1) / a
    # an observation, beside an unknown a. To take the fewest degrees of freedom within a likelihood drop of 2.706 / 2 moves along the
    # profile by 2.706 ** 0.5 standard errors of log(a), (a + 1) / sqrt(n), so the factor by cov / var = 1 / (a + 1) of that, downwards.
    # Factors are tried in steps of log(256) / 160.
    shape = scatter / 2 if scatter else np.inf
    error, moved, step = (2 * (1 + 1 / shape) / n) ** 0.5, (2.706 / n) ** 0.5, np.log(256) / 160
    assert -3 * error - moved - step / 2 <= np.log(noise.factor / 1.5) <= 3 * error + step / 2
    assert freedom[0] <= noise.freedom <= freedom[1]
    assert training_noise([[Spread(1.0, 1.0, 3)]]) == training_noise([[Spread(1.0, 0.0, 3)] * 9]) == training_noise([]) == Noise()


def test_comparisons_that_share_their_control_say_less():
    """Forty differences from one control are not forty trainings: fewer degrees of freedom than forty with controls of their own."""
    rng = np.random.default_rng(8)
    spreads = [Spread(rng.chisquare(2) / 2, 1.0, 3) for _ in range(40)]
    apart, together = training_noise([s] for s in spreads), training_noise([spreads])
    assert together.freedom < apart.freedom
    # The likeliest factor rises with the degrees of freedom, so it falls here: at most by what the drop of 2.706 / 2 allows along the
    # profile (see above) of 40 that count as 4 x 40 / (3 + 40), and by a step of the factors that are tried.
    least = -((2.706 / (4 * 40 / 43)) ** 0.5) - np.log(256) / 160
    assert least <= np.log(together.factor / apart.factor) <= 0


@pytest.mark.parametrize("scatter", [None, 4])
@pytest.mark.parametrize("items", [0.0025, 0.05, 1.0])
def test_a_family_of_nothing_is_held_to_its_level(items, scatter):
    """60 differences that are nothing, in 100 worlds of 3 trainings: where the trainings' noise is most of it and where the items' is,
    as large for all comparisons or not. A difference of 2 points is seen."""
    rng = np.random.default_rng(5)
    shown = {"ours": 0, "the bootstrap's": 0}
    seen = {"moderated": 0.0, "alone": 0.0}
    for _ in range(100):
        deviation_G = 0.5 * (scatter / rng.chisquare(scatter, 60) if scatter else np.ones(60)) ** 0.5
        trainings, by_items = rng.normal(0, 1, (60, 3)) * deviation_G[:, None], rng.normal(0, items**0.5, 60)
        gains = []
        for x, y in zip(trainings, by_items, strict=True):
            drawn = y + rng.choice(x, (2000, 3)).mean(1) + rng.normal(0, items**0.5, 2000)
            gains.append(Gain(x.mean() + y, (Spread(x.var(ddof=1), 0.2, 3),), items, drawn))
        noise = training_noise([g.trainings[0]] for g in gains)
        shown["ours"] += min(holm([g.p(0.0, noise=noise) for g in gains])) <= 0.05
        shown["the bootstrap's"] += min(holm([chance(g.draws, 0.0) for g in gains])) <= 0.05
        for how, n in (("moderated", noise), ("alone", Noise())):
            seen[how] += np.mean([g.student_p(-2.0, True, n) <= 0.05 / 60 for g in gains]) / 100
    assert shown["ours"] <= 0.05 * 100
    assert items > 0.01 or shown["the bootstrap's"] > 0.5 * 100
    assert seen["moderated"] > 3 * seen["alone"]


@pytest.mark.parametrize("starts", [1, 2, 6])
@pytest.mark.parametrize(("factor", "freedom"), [(0.9, 24.0), (1.0, 4.0), (1.5, 8.0)])
def test_single_and_pooled_intervals_hold_95_percent(starts, factor, freedom):
    """4,000 means over starts of three trainings, whose true variances scatter as the study's noise says. The standard error is 0.34 %."""
    rng, n, trainings, noise = np.random.default_rng(starts), 4000, 3, Noise(factor, freedom)
    variance_NM = factor * freedom / rng.chisquare(freedom, (n, starts))
    drawn_NMS = rng.normal(0, 1, (n, starts, trainings)) * variance_NM[..., None] ** 0.5
    means_N, own_NM = drawn_NMS.mean((1, 2)), drawn_NMS.var(2, ddof=1)
    spreads = [tuple(Spread(v, 1.0, trainings).scaled(1 / starts) for v in own_M) for own_M in own_NM]
    intervals = [Estimate(m, s, 0.0).student_interval(noise) for m, s in zip(means_N, spreads, strict=True)]
    covered = [low <= 0 <= high for low, high in intervals]
    assert 0.94 <= np.mean(covered) <= 0.96


@pytest.mark.parametrize("starts", [1, 6])
def test_intervals_hold_when_the_noise_is_estimated(starts):
    """The same, where 600 comparisons of three trainings say how far trainings scatter. The standard error is 0.4 %."""
    rng, n = np.random.default_rng(starts), 3000
    variance_NM = 1.2 * 6 / rng.chisquare(6, (n, starts))
    drawn_NMS = rng.normal(0, 1, (n, starts, 3)) * variance_NM[..., None] ** 0.5
    spreads = [tuple(Spread(v, 1.0, 3) for v in own_M) for own_M in drawn_NMS.var(2, ddof=1)]
    noise = training_noise([s] for of_mean in spreads[: 600 // starts] for s in of_mean)
    covered = 0
    for mean, of_mean in zip(drawn_NMS.mean((1, 2)), spreads, strict=True):
        low, high = Estimate(mean, tuple(s.scaled(1 / starts) for s in of_mean), 0.0).student_interval(noise)
        covered += low <= 0 <= high
    assert 0.94 <= covered / n <= 0.96


def few_trainings(trainings, share, noise, worlds=1500):
    """Gains of nothing, whose trainings scatter as the study's noise says and whose items vary `share` times as much."""
    rng = np.random.default_rng(trainings)
    weights_RS = rng.multinomial(trainings, np.full(trainings, 1 / trainings), 2000) / trainings
    for variance in noise.factor * noise.freedom / rng.chisquare(noise.freedom, worlds):
        x_S, items = rng.normal(0, variance**0.5, trainings), share * noise.factor / trainings
        by_items = rng.normal(0, items**0.5)
        draws = by_items + weights_RS @ x_S + rng.normal(0, (items + 1 / trainings) ** 0.5, 2000)
        yield Gain(x_S.mean() + by_items, (Spread(x_S.var(ddof=1), 1.0, trainings),), items, draws)


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("trainings", [2, 3])
def test_intervals_of_few_trainings_hold_95_percent(trainings, share):
    """1,500 comparisons of two and of three trainings that scatter much more than their items. The standard error is 0.56 %. An interval
    leaves 0 out wherever p says so, and seldom elsewhere: p is the larger of two."""
    noise = Noise(100.0, 8.0)
    gains = list(few_trainings(trainings, share, noise))
    left_out = np.array([not low <= 0 <= high for low, high in (g.interval(noise) for g in gains)])
    shown = np.array([min(g.p(0.0, above, noise) for above in (True, False)) <= 0.025 for g in gains])
    assert 0.94 <= 1 - left_out.mean() <= 0.965
    assert not (shown & ~left_out).any()
    assert (left_out & ~shown).mean() <= 0.01


def test_intervals_of_four_trainings_are_the_bootstrap_s():
    """Two of each of two starts, or four of one: the draws' own quantiles, which are not symmetric about the value."""
    draws = np.random.default_rng(0).exponential(1.0, 10_000)
    two, four = Spread(2.0, 1.0, 2), Spread(2.0, 1.0, 4)
    for trainings in ((two, two), (four,)):
        one = gained(1.0, *trainings, draws=draws)
        low, high = one.interval()
        assert high - 1.0 > 1.5 * (1.0 - low)
        assert one.interval() != one.student_interval()
    assert gained(1.0, two, draws=draws).interval() == gained(1.0, two).student_interval()


def test_partial_conjunction_by_hand():
    """At least two of .01 .02 .2 are so: the second smallest, twice."""
    assert [partial_conjunction([0.2, 0.01, 0.02], least) for least in range(5)] == pytest.approx([0.0, 0.03, 0.04, 0.2, 1.0])


def columns_of(rng, trainings, freedom, gain_C, n=60):
    """A comparison on columns of n items with these gains, whose trainings scatter 7 times as far as independent errors on them would."""
    own_C1 = rng.normal(0, 1, (len(gain_C), trainings, 1)) * (6 * freedom / rng.chisquare(freedom, (len(gain_C), 1, 1))) ** 0.5
    d_CSn = gain_C[:, None, None] + (own_C1 + rng.normal(0, n**0.5, (len(gain_C), trainings, n))) / 1000
    return Paired(tuple((f"set{c}", d_Sn) for c, d_Sn in enumerate(d_CSn)), tuple(map(str, range(trainings))))


@pytest.mark.parametrize(("trainings", "noise"), [(2, Noise(7.0, 8.0)), (3, Noise())])
@pytest.mark.parametrize("higher", [0, 2])
def test_a_count_of_columns_is_held_to_its_level(trainings, noise, higher):
    """Three columns, of which `higher` are clearly higher and the others nothing, in 200 worlds: one more is claimed. The standard error is
    1.5 %. The bootstrap alone is too sure of it."""
    rng, worlds, gain_C = np.random.default_rng(11), 200, np.where(np.arange(3) < higher, 0.5, 0.0)
    counted = [Counted([columns_of(rng, trainings, 8.0, gain_C)], [noise] * 3) for _ in range(worlds)]
    assert np.mean([c.p_fewer(higher + 1) <= 0.05 for c in counted]) <= 0.05 + 2 * 0.015
    assert np.mean([((c.draws_RC > 0).sum(1) <= higher).mean() <= 0.05 for c in counted]) > 0.1


def test_that_fewer_columns_are_higher_is_the_mirror():
    """That at least two of three are higher, of the differences turned round: that two are lower, so that no two are higher."""
    one = columns_of(np.random.default_rng(12), 3, 8.0, np.array([0.004, 0.002, -0.001]))
    turned = Paired(tuple((name, -d_Sn) for name, d_Sn in one.columns), one.clusters)
    for least in (1, 2, 3):
        assert Counted([turned]).p_as_many(4 - least) == Counted([one]).p_fewer(least)


@pytest.mark.parametrize("wobble", [0.0, 0.2])
def test_intervals_hold_the_truth_as_often_as_they_say(wobble):
    """Two arms that are the same, three trainings each, on 200 items of each of two sets; a training is better or worse on both by
    `wobble`. A mean of two sets shrinks the noise of the items and not that of the trainings: the noise of single sets says too little."""
    rng = np.random.default_rng(7)

    def trained(easy_2n):
        shift_S1 = rng.normal(0, wobble, (3, 1))
        return [(rng.random((3, 200)) < 1 / (1 + np.exp(-easy_n - shift_S1))).astype(float) for easy_n in easy_2n]

    pairs = []
    for g in range(400):
        easy = rng.normal(-1, 1.5, (2, 200))
        columns = zip(trained(easy), trained(easy), strict=True)
        pairs.append(Paired(tuple((f"{g}.{j}", a - b) for j, (a, b) in enumerate(columns)), ("0", "1", "2"), str(g)))
    gains, noise = [gain([p], 1000) for p in pairs], training_noise([spread([p])] for p in pairs)
    single = training_noise([spread([Paired((column,), p.clusters, p.start)])] for p in pairs for column in p.columns)
    moderated, raw = [g.interval(noise) for g in gains], [interval(g.draws) for g in gains]
    assert 0.93 <= np.mean([low <= 0 <= high for low, high in moderated]) <= 0.99
    widths = [np.mean([high - low for low, high in intervals]) for intervals in (moderated, raw)]
    if wobble:
        assert noise.factor > 1.3 * single.factor
    else:
        assert widths[0] < 0.8 * widths[1]  # what counting the interaction three times costs


def test_a_spread_of_nothing_by_chance_is_no_certainty():
    """Two trainings of 40 items that win two and lose one each, on other items: the same gain, and no proof of any."""
    d = np.zeros((2, 40))
    d[0, [0, 1, 2]], d[1, [3, 4, 5]] = (1, 1, -1), (1, 1, -1)
    mean = gain([Paired((("imagenet", d),), ("0", "1"))])
    assert mean.value == pytest.approx(2.5)
    assert mean.trainings[0].variance == pytest.approx(0.0)
    low, high = mean.interval()
    assert low < 0 < high
    assert mean.p(0.0) > 0.05


def test_chance_is_the_share_of_resamples_that_disagree():
    draws = np.array([-1.0, 1.0, 2.0, 3.0])
    assert chance(draws, 0.0) == 2 / 5
    assert chance(draws, 2.5, above=False) == 2 / 5


@pytest.mark.parametrize(
    ("content", "metric", "percent"),
    [
        ({"details": {"classes": 40}}, "acc1", 2.5),
        ({"details": {"classes": 40}}, "acc5", 12.5),
        ({"details": {"classes": 40}}, "mean_per_class_recall", 2.5),
        ({"details": {"classes": 3}}, "acc5", 100.0),
        ({"n": 200, "details": {}}, "text_recall_at_1", 0.5),
        ({"n": 200}, "image_recall_at_10", 5.0),
        ({"n": 200, "details": {}}, "acc1", None),
    ],
)
def test_chance_is_known_from_classes_or_candidates(content, metric, percent):
    assert chance_level(content, metric) == percent


def test_a_planted_gain_has_its_size_and_falls_on_the_same_items():
    """Two trainings of ten items, four and five of them right: a gain of 30 points turns three misses of each."""
    hits = np.zeros((2, 10))
    hits[0, :4], hits[1, :5] = 1, 1
    added = raised(hits, 0.3, "run cifar10")
    assert added.sum(1).tolist() == [3.0, 3.0] and set(np.unique(added)) == {0.0, 1.0}
    assert ((hits + added) <= 1).all()
    assert (added[0] * added[1]).sum() >= 2  # one item at most is right in one training alone
    assert raised(hits, -0.2, "run cifar10").sum(1).tolist() == [-2.0, -2.0]
    assert raised(hits, 0.9, "run cifar10").sum(1).tolist() == [6.0, 5.0]  # there are no more misses
    assert np.array_equal(raised(hits, 0.3, "run cifar10"), added)


def test_a_planted_gain_turns_the_misses_of_unlike_images():
    """Two captions and four: an image has 2/3 or 4/3 of a hit at most. Of six captions three are hits; the three misses are 50 points."""
    together = [2, 4]
    hits = per_image(np.array([[True, False, True, True, False, False]])[0], together)[None]
    most = per_image(np.ones(6, bool), together)
    assert most.tolist() == pytest.approx([2 / 3, 4 / 3])
    assert (hits + raised(hits, 0.9, "run coco", most)).tolist() == [pytest.approx(most)]
    assert raised(hits, 0.2, "run coco", most).mean() == pytest.approx(0.2)


def test_a_gain_is_planted_among_captions_of_unlike_images(measured):
    """Twelve captions of four images: four of them are hits in one run, and three in the other. Planted are 50 points."""
    for run, right in (("cc3m_clip_helip", 4), ("cc3m_clip_control", 3)):
        for seed in ("0", "1"):
            path = metrics_file(measured, run, seed, "imagenet", "zeroshot")
            content = json.loads(path.read_text()) | {"metrics": {"acc1": 100 * right / 12}}
            content["per_item"] = {"acc1": packed(torch.arange(12) < right, together=[5, 1, 2, 4])}
            path.write_text(json.dumps(content))
    columns = [Column(key="imagenet", label="ImageNet", set="imagenet", metric="zeroshot.acc1")]
    files, runs = Measured(measured, []), ("cc3m_clip_helip", "cc3m_clip_control")
    [(_, d_Sn)] = files.difference(*runs, columns).paired.columns
    [(_, planted_Sn)] = files.planted(*runs, columns, [50.0]).columns
    assert planted_Sn.mean() == pytest.approx(0.5)
    assert (planted_Sn >= d_Sn - 1e-6).all()
    least = np.array([3.0, 0.0, 0.0, 0.0]) / 3  # the control's hits: of an average of three captions an image
    assert (planted_Sn + least <= np.array([5, 1, 2, 4]) / 3 + 1e-6).all()


@pytest.mark.parametrize("key", [f"run{n} coco" for n in range(4)])
def test_a_planted_gain_lowers_no_item(key):
    """An image of many captions, all hits, is above 1 and has no miss to turn, whatever is known of what items may have."""
    hits = np.array([[4 / 3, 0.0, 2 / 3, 1.0], [1.0, 1 / 3, 4 / 3, 0.0]])
    assert (raised(hits, 0.3, key) >= 0).all()
    assert (raised(hits, -0.3, key) <= 0).all()
    assert raised(hits, 0.3, key).mean(1) == pytest.approx(0.3)
