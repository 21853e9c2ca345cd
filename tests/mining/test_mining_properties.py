"""Whatever the features: what every pair set must be, and what no choice of how to compute may change."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_mining import counts, scored, slow_pairs

from helip.config import MiningSpec
from helip.mining import mine as mine_with


def mine(*arguments):
    return mine_with(*arguments, workers=1)


@st.composite
def corpora(draw, most: int = 24):
    """Small integers give many exact ties, opposite rows, and cosines that are exactly tau."""
    n, image_dim, text_dim = draw(st.integers(2, most)), draw(st.integers(1, 5)), draw(st.integers(1, 70))
    kind = draw(st.sampled_from(("integers", "constant", "duplicates", "gaussian")))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))

    def features(dim: int) -> np.ndarray:
        match kind:
            case "integers":
                x = rng.integers(-2, 3, (n, dim)).astype(np.float32)
            case "constant":
                x = np.ones((n, dim), np.float32)
            case "duplicates":
                x = rng.standard_normal((3, dim)).astype(np.float32)[rng.integers(0, 3, n)]
            case _:
                x = rng.standard_normal((n, dim)).astype(np.float32)
        x[~x.any(1)] = 1
        return x

    return features(image_dim), features(text_dim)


thresholds = st.one_of(st.none(), st.sampled_from((-1.0, -0.5, 0.0, 0.5, 1.0)), st.floats(-1, 1, width=32))


@st.composite
def specs(draw, n: int):
    method = draw(st.sampled_from(("hpm", "image", "text", "fast_hpm")))
    pool = draw(st.integers(1, n + 2)) if method == "fast_hpm" else None
    most = min(n - 1, pool or n)
    return MiningSpec(
        method=method, k=draw(st.integers(1, most)), pool=pool, pool_block=draw(st.integers(1, n)), tau_image=draw(thresholds),
        tau_text=draw(thresholds), max_similarity=draw(st.one_of(st.none(), st.floats(0.5, 1))), seed=draw(st.integers(0, 3)),
    )  # fmt: skip


relaxed = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(st.data(), corpora())
def test_what_every_pair_set_is(data, features):
    n = len(features[0])
    spec = data.draw(specs(n))
    mined = mine(*features, spec)
    assert len(mined) == n
    assert mined.offsets[-1] == len(mined.ids) == len(mined.scores_flat)
    for i in range(n):
        ids, scores = mined.hard(i), mined.scores(i)
        assert len(ids) == (0 if mined.noise[i] else spec.k)
        assert i not in ids
        assert len(set(ids.tolist())) == len(ids)
        assert (scores > 0).all()
        assert all(
            (-a, x) < (-b, y) for (a, x), (b, y) in zip(zip(scores, ids, strict=True), zip(scores[1:], ids[1:], strict=True), strict=False)
        )


@relaxed
@given(st.data(), corpora())
def test_float64_agrees_where_float32_can_tell(data, features):
    """A target may differ from the slow twin only where some cosine is within 1e-6 of a bound, or scores about the k-th place are."""
    n = len(features[0])
    spec = data.draw(specs(n))
    mined, expected = mine(*features, spec), slow_pairs(*features, spec)
    for i in range(n):
        if set(mined.hard(i).tolist()) == set(expected[i][0]):
            continue
        every = scored(*features, spec, i)
        at_bound = any(abs(c - b) < 1e-6 for _, _, cs in every for c, tau in cs for b in (tau, spec.max_similarity, 0.0) if b is not None)
        order = sorted((s for s, _, cs in every if counts(s, cs, spec)), reverse=True)
        tied = len(order) > spec.k and order[spec.k - 1] - order[spec.k] < 1e-6
        assert at_bound or tied, f"target {i}: {mined.hard(i)} and {expected[i][0]}"


@relaxed
@given(st.data(), corpora())
def test_hard_pairs_are_mutual_in_score(data, features):
    """s_ij = s_ji to the bit: the product of cosines knows no direction."""
    mined = mine(*features, MiningSpec(k=data.draw(st.integers(1, len(features[0]) - 1)), tau_image=0.0, tau_text=0.0))
    score = {(i, int(j)): s for i in range(len(mined)) for j, s in zip(mined.hard(i), mined.scores(i), strict=True)}
    assert all(score[i, j] == score[j, i] for i, j in score if (j, i) in score)


@relaxed
@given(st.data(), corpora(), st.integers(-6, 6))
def test_scaling_rows_by_powers_of_two_changes_nothing(data, features, power):
    spec = data.draw(specs(len(features[0])))
    one, other = mine(*features, spec), mine(features[0] * np.float32(2.0**power), features[1], spec)
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.scores_flat, other.scores_flat)


@relaxed
@given(st.data(), corpora())
def test_renaming_the_pairs_renames_the_hard_pairs(data, features):
    n = len(features[0])
    order = np.array(data.draw(st.permutations(range(n))))
    spec = MiningSpec(k=1, tau_image=0.1, tau_text=0.1)
    one, other = mine(*features, spec), mine(features[0][order], features[1][order], spec)
    np.testing.assert_array_equal(one.noise[order], other.noise)
    for i in range(n):
        np.testing.assert_array_equal(one.scores(order[i]), other.scores(i))
