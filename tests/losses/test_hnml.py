import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helip.losses import clip_loss, hard_negative_margin_loss, helip_loss
from helip.losses.hnml import margin_of


def slow_margin(similarity, seeds, hard):
    """Eq. 6, seed by seed, pair by pair, in plain Python."""
    per_seed = []
    for i, mine in zip(seeds, hard, strict=True):
        mine = [j for j in mine if j >= 0]
        negatives = [j for j in range(len(similarity)) if j != i and j not in mine]
        if not mine or not negatives:
            per_seed.append(0.0)
            continue
        least = min(float(similarity[i][j]) for j in mine)
        per_seed.append(sum(max(0.0, float(similarity[i][j]) - least) for j in negatives) / len(negatives))
    return sum(per_seed) / len(per_seed) if per_seed else 0.0


def rows(*values):
    return torch.tensor(values, dtype=torch.int64)


def test_by_hand_3x3():
    similarity = torch.tensor([[0.9, 0.3, 0.5], [0.2, 0.8, 0.1], [0.4, 0.6, 0.7]])
    # Seed 0 with hard pair 1; its only negative is 2: max(0, 0.5 - 0.3) = 0.2
    assert margin_of(similarity, rows(0), rows([1])).item() == pytest.approx(0.2)
    # Seed 1 with hard pair 0; negative 2: max(0, 0.1 - 0.2) = 0
    assert margin_of(similarity, rows(1), rows([0])).item() == 0
    # Both: (0.2 + 0) / 2
    assert margin_of(similarity, rows(0, 1), rows([1], [0])).item() == pytest.approx(0.1)
    # Text to image for seed 0 reads column 0 (0.9, 0.2, 0.4): max(0, 0.4 - 0.2) = 0.2; for seed 2 with hard pair 1 it reads
    # column 2 (0.5, 0.1, 0.7): max(0, 0.5 - 0.1) = 0.4, and row 2 (0.4, 0.6, 0.7): max(0, 0.4 - 0.6) = 0. Mean of both ways 0.2.
    assert margin_of(similarity, rows(0), rows([1]), symmetric=True).item() == pytest.approx(0.2)
    assert margin_of(similarity, rows(2), rows([1]), symmetric=True).item() == pytest.approx(0.2)


def test_by_hand_least_similar_hard_pair_and_missing_ones():
    similarity = torch.tensor([[0.9, 0.6, 0.4, 0.5, 0.1]] * 5)
    # Hard pairs 1 and 2: the least similar is 0.4; negatives 3, 4: (0.1 + 0) / 2
    assert margin_of(similarity, rows(0), rows([1, 2])).item() == pytest.approx(0.05)
    # Hard pair 2 alone (the other is missing): negatives 1, 3, 4: (0.2 + 0.1 + 0) / 3
    assert margin_of(similarity, rows(0), rows([2, -1])).item() == pytest.approx(0.1)


def test_by_hand_captions_without_images():
    # Two pairs and two further captions. Seed 0's hard pair is caption 2 (0.4); negatives 1 and 3: (0.2 + 0) / 2. Seed 1's is caption 3
    # (0.1); negatives 0 and 2: (0 + 0.2) / 2.
    similarity = torch.tensor([[0.9, 0.6, 0.4, 0.2], [0.1, 0.8, 0.3, 0.1]])
    assert margin_of(similarity, rows(0, 1), rows([2], [3])).item() == pytest.approx(0.1)


def test_positive_and_own_hard_pairs_are_no_negatives():
    # The positive (0.9) is far above the hard pair (0.3), and the other hard pair (0.8) above the least one: neither may count.
    similarity = torch.tensor([[0.9, 0.3, 0.8, 0.1]] * 4)
    assert margin_of(similarity, rows(0), rows([1, 2])).item() == 0


def test_direction_of_the_gradient():
    similarity = torch.tensor([[0.9, 0.3, 0.5, 0.4, 0.2]] * 5, requires_grad=True)
    margin_of(similarity, rows(0), rows([1])).backward()
    # Descent lowers negatives above the hard pair (2 and 3), raises the hard pair, and leaves the positive and easy negatives alone.
    torch.testing.assert_close(similarity.grad[0], torch.tensor([0.0, -2 / 3, 1 / 3, 1 / 3, 0.0]))
    assert not similarity.grad[1:].any()


def test_no_seeds_is_zero_with_a_gradient(unit):
    image, text = unit(3, seed=1), unit(3, seed=2)
    loss = hard_negative_margin_loss(image, text, rows(), torch.empty(0, 2, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert not image.grad.any()


def test_a_seed_without_hard_pairs_adds_zero(unit):
    image, text = unit(5, seed=1), unit(5, seed=2)
    alone = hard_negative_margin_loss(image, text, rows(0), rows([1]))
    with_empty = hard_negative_margin_loss(image, text, rows(0, 3), rows([1], [-1]))
    with_empty.backward()
    assert with_empty.item() == pytest.approx(alone.item() / 2, rel=1e-12)
    assert torch.isfinite(image.grad).all()


@st.composite
def plans(draw):
    size = draw(st.integers(3, 9))
    seeds = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=size, unique=True))
    width = draw(st.integers(1, 4))
    hard = []
    for i in seeds:
        mine = draw(st.lists(st.sampled_from([j for j in range(size) if j != i]), max_size=min(width, size - 1), unique=True))
        hard.append(mine + [-1] * (width - len(mine)))
    return size, seeds, hard, draw(st.integers(0, 10**6))


@settings(max_examples=80, deadline=None)
@given(plans())
def test_is_its_slow_twin(plan):
    size, seeds, hard, seed = plan
    similarity = torch.rand(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ours = margin_of(similarity, torch.tensor(seeds), torch.tensor(hard)).item()
    assert ours == pytest.approx(slow_margin(similarity.tolist(), seeds, hard), rel=1e-12, abs=1e-15)
    both = margin_of(similarity, torch.tensor(seeds), torch.tensor(hard), symmetric=True).item()
    other = slow_margin(similarity.T.tolist(), seeds, hard)
    assert both == pytest.approx((ours + other) / 2, rel=1e-12, abs=1e-15)


def test_order_of_the_batch_and_of_hard_pairs_changes_nothing(unit):
    image, text = unit(6, seed=1), unit(6, seed=2)
    seeds, hard = rows(0, 2), rows([1, 3], [4, -1])
    before = hard_negative_margin_loss(image, text, seeds, hard).item()
    order = torch.tensor([3, 0, 5, 1, 4, 2])  # new row r holds old row order[r]
    place = order.argsort()  # old row -> new row
    moved = torch.where(hard < 0, hard, place[hard.clamp(min=0)]).flip(1)
    assert hard_negative_margin_loss(image[order], text[order], place[seeds], moved).item() == pytest.approx(before, rel=1e-12)
    assert hard_negative_margin_loss(image, text, seeds.flip(0), hard.flip(0)).item() == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
def test_gradient(unit, symmetric):
    seeds, hard = rows(0, 2), rows([1, 3], [4, -1])
    image, text = unit(6, seed=1), unit(6, seed=2)
    assert hard_negative_margin_loss(image, text, seeds, hard, symmetric) > 0
    assert torch.autograd.gradcheck(lambda i, t: hard_negative_margin_loss(i, t, seeds, hard, symmetric), (image, text))


def test_helip_is_clip_plus_gamma_margin(unit):
    image, text = unit(6, seed=1), unit(6, seed=2)
    seeds, hard = rows(0, 2), rows([1, 3], [4, -1])
    clip, margin = clip_loss(image, text, 20.0), hard_negative_margin_loss(image, text, seeds, hard)
    assert helip_loss(image, text, 20.0, seeds, hard, gamma=0.0).item() == pytest.approx(clip.item(), rel=1e-12)
    assert helip_loss(image, text, 20.0, seeds, hard, gamma=0.7).item() == pytest.approx((clip + 0.7 * margin).item(), rel=1e-12)
    no_seeds = helip_loss(image, text, 20.0, rows(), torch.empty(0, 1, dtype=torch.int64))
    assert no_seeds.item() == pytest.approx(clip.item(), rel=1e-12)


def test_helip_gradient(unit):
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    seeds, hard = rows(0, 2), rows([1, 3], [4, -1])
    loss = lambda i, t, s: helip_loss(i, t, s, seeds, hard, gamma=0.5, symmetric=True)  # noqa: E731
    assert torch.autograd.gradcheck(loss, (unit(6, seed=1), unit(6, seed=2), scale))


def test_helip_computes_the_similarity_once(unit):
    image, text = unit(6, seed=1), unit(6, seed=2)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
        helip_loss(image, text, 20.0, rows(0), rows([1]), symmetric=True)
    products = [e.count for e in profile.key_averages() if e.key == "aten::mm"]
    assert products == [1]
