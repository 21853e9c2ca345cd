"""Equal images and captions are no negatives: found, masked in the loss or kept out of one batch; and false negatives that are learnt."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from toys import ToyCorpus, ToyPairs, job, refinement

from helip.config import EarlyStopping, FalseNegatives, Refinement
from helip.errors import HelipError
from helip.losses.clip import symmetric_info_nce
from helip.losses.glofnd import updated_thresholds
from helip.losses.hnml import margin_of
from helip.losses.simclr import simclr_loss
from helip.training.distributed import DistributedContext
from helip.training.duplicates import Duplicates, cached
from helip.training.loop import Trainer, train
from helip.training.objectives.false_negatives import GlobalFalseNegatives
from helip.training.preparation import prepare
from helip.training.sampler import BatchPlan, Sampler, held_out_mask

NO_CAPTIONS = np.zeros((4, 0), np.int64)


class Copies(ToyCorpus):
    """Pairs i and i + 30 are of one image; those whose number is a multiple of 40 share a caption."""

    digest = "copies"

    def image(self, i):
        return super().image(i % 30)

    def caption(self, i):
        return "the same" if i % 40 == 0 else super().caption(i)


def test_equal_images_and_captions_by_hand():
    result = Duplicates.from_values("abacd", [["x"], ["y"], ["z", "w"], ["x", "v"], ["w"]])
    # 0 and 2 have image a, 0 and 3 caption x, 2 and 4 caption w; 1 is alone
    assert (result.labels >= 0).any(1).tolist() == [True, False, True, True, True]
    groups = result.groups
    assert len({groups[i] for i in (0, 2, 3, 4)}) == 1 and groups[1] != groups[0]
    at = result.positions(np.array([3, 0, 1, 4]), NO_CAPTIONS)
    assert at.tolist() == [[0, 1], [1, 0]]  # 3 and 4 are joined by others, and not equal
    beside = result.positions(np.array([0, 1]), np.array([[2], [-1]]))  # column 2 is caption 2, beside the batch
    assert beside.tolist() == [[0, 2]]


def test_a_corpus_is_read_once(tmp_path, monkeypatch):
    corpus = Copies(60)
    result = cached(corpus, tmp_path)
    assert (result.groups[:30] == result.groups[30:]).all() and result.groups[0] == result.groups[40] == result.groups[10]
    monkeypatch.setattr(Copies, "image_bytes", lambda self, i: 1 / 0)
    assert (cached(corpus, tmp_path).labels == result.labels).all()
    with pytest.raises(HelipError, match="and the corpus has 50 pairs; delete it"):
        cached(Copies(50), tmp_path)


def test_masked_pairs_are_no_negatives_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.2, 0.4, 1.0]], dtype=torch.float64)
    excluded = torch.zeros(3, 3, dtype=torch.bool)
    excluded[0, 1] = excluded[1, 0] = True
    to_text = [np.log(np.exp([2.0, 0.0]).sum()) - 2, np.log(np.exp([3.0, 0.5]).sum()) - 3, np.log(np.exp([0.2, 0.4, 1.0]).sum()) - 1]
    to_image = [np.log(np.exp([2.0, 0.2]).sum()) - 2, np.log(np.exp([3.0, 0.4]).sum()) - 3, np.log(np.exp([0, 0.5, 1.0]).sum()) - 1]
    expected = (np.mean(to_text) + np.mean(to_image)) / 2
    assert float(symmetric_info_nce(logits, excluded, excluded.T)) == pytest.approx(expected)
    # anchor 0 with hard pair 2 has only negative 1, 1.0 above 0.0; masked, it has none
    seeds, hard = np.array([0]), np.array([[2]])
    assert float(margin_of(logits, seeds, hard)) == pytest.approx(1.0)
    assert float(margin_of(logits, seeds, hard, excluded_BB=excluded)) == 0


def test_the_loss_leaves_out_what_the_plan_names(tmp_path):
    one = Trainer(job(tmp_path, refinement(duplicates="mask", gamma=0.0), Copies()), DistributedContext())
    batch, inputs = next(one.batches())
    assert len(batch.equal) and not (tmp_path / "model").exists()
    features = one.stepper._encode(inputs)
    similarity = features["image_features"] @ features["text_features"].T
    mask = torch.zeros_like(similarity, dtype=torch.bool)
    for row, column in batch.equal:
        same_image = batch.ids[row] % 30 == batch.ids[column] % 30
        assert row != column and (same_image or batch.ids[row] % 40 == batch.ids[column] % 40 == 0)
        mask[row, column] = True
    scale = one.model.logit_scale.exp()
    loss, _ = one.objective.loss(features, scale, batch)
    assert float(loss) == pytest.approx(float(symmetric_info_nce(scale * similarity, mask, mask.T)), rel=1e-6)
    assert float(loss) < float(symmetric_info_nce(scale * similarity))


@pytest.mark.parametrize("false_negatives", [None, {"glofnd": 0.5, "rate": 1.0}])
def test_slip_masks_equal_pairs_in_both_softmaxes(tmp_path, false_negatives):
    objective = {"name": "slip", "head": (8, 4)}
    recipe = refinement(duplicates="mask", gamma=0.0, objective=objective, false_negatives=false_negatives)
    one = Trainer(job(tmp_path, recipe, Copies()), DistributedContext())
    batch, inputs = next(one.batches())
    features = one.objective.project(one.stepper._encode(inputs))
    equal = torch.zeros(12, 12, dtype=torch.bool)
    equal[tuple(torch.from_numpy(batch.equal).T)] = True
    views = features["view_1"], features["view_2"]
    parts = one.stepper.gradient(inputs, batch)[2]
    assert parts["simclr"].item() == pytest.approx(simclr_loss(*views, 0.1, equal).item(), rel=1e-5)
    assert equal.any() and parts["simclr"].item() < simclr_loss(*views, 0.1).item() - 1e-3


def test_what_equals_a_held_out_pair_is_not_drawn(tmp_path, caplog):
    stopping = EarlyStopping(every=4, held_out=0.1)
    drawn, held, told = {}, None, []
    for mode in ("ignore", "mask", "separate"):
        recipe = refinement(arm="control", duplicates=mode, early_stopping=stopping, batch_size=6)
        one = Trainer(job(tmp_path / mode, recipe, Copies()), DistributedContext())
        held = one.watch.validated
        drawn[mode] = {i for step in range(200) for i in one.sampler(step).ids.tolist()}
        told.append(" ".join(one.watch.warnings))
    images, captions = {i % 30 for i in held}, {i for i in held if i % 40 == 0}
    equal = {i for i in range(120) if i % 30 in images or (captions and i % 40 == 0)}
    assert len(held) == 12 and drawn["ignore"] == set(range(120)) - set(held.tolist())
    assert drawn["mask"] == drawn["separate"] == set(range(120)) - equal and len(equal) > 24
    sentence = f"{len(equal) - 12} pairs have the image or a caption of a held-out pair"
    assert [sentence in one for one in told] == [False, True, True]


def test_a_chain_of_equals_is_not_equal():
    copies = Duplicates.from_values("abbcd", [["x"], ["x"], ["y"], ["y"], ["z"]])  # 0 and 1 by caption, 1 and 2 by image, 2 and 3
    mask = np.array([True, False, False, False, False])
    assert copies.equal_to(mask).tolist() == [True, True, False, False, False]
    assert len(set(copies.groups[:4])) == 1
    assert copies.equal_to(~mask).tolist() == [True] * 5 and not copies.equal_to(mask & ~mask).any()


@pytest.mark.parametrize("settings", [{}, {"early_stopping": EarlyStopping(every=4, held_out=0.1)}, {"duplicates": "mask"}])
def test_batches_are_as_before_where_nothing_is_known(tmp_path, settings):
    one = Trainer(job(tmp_path, refinement(**settings), Copies()), DistributedContext())
    keep = ~held_out_mask(120, 0.1) if "early_stopping" in settings else None
    plain = Sampler(120, 12, 0, ToyPairs(120), keep=keep)
    assert all((one.sampler(step).ids == plain(step).ids).all() for step in range(20))


def test_separated_pairs_never_meet():
    corpus = Copies(120)
    duplicates = Duplicates.of(corpus)
    groups = duplicates.groups
    for role in ("batch", "negatives"):
        sampler = Sampler(120, 12, 0, ToyPairs(120), duplicates=duplicates, separate=True, role=role)
        for step in range(60):
            batch = sampler(step)
            assert len(set(groups[batch.ids])) == 12 and not len(batch.equal)
            held = [*batch.ids, *batch.captions[batch.captions >= 0]]
            assert len(set(groups[held])) == len(held) and batch.hard.max() < len(held)
    with pytest.raises(HelipError, match=f"a batch of 40 is larger than the {len(set(groups))} pairs left .* are copies of others"):
        Sampler(120, 40, 0, arm="control", duplicates=duplicates, separate=True)


def test_copies_are_a_warning_where_they_are_negatives(tmp_path):
    corpus = Copies()
    corpus.manifest = {"duplicates": 90}
    messages = [prepare(job(tmp_path, refinement(duplicates=mode), corpus)) for mode in (None, "mask")]
    assert ["90 of 120 pairs are copies" in " ".join(one) for one in messages] == [True, False]


def test_thresholds_find_the_quantile_of_an_anchors_negatives():
    torch.manual_seed(0)
    threshold, every = torch.ones(2), torch.rand(2, 4000)
    for _ in range(4000):
        drawn = every[:, torch.randint(0, 4000, (64,))]
        threshold = updated_thresholds(threshold, drawn, torch.ones_like(drawn, dtype=torch.bool), 0.1, 0.01)
    assert threshold.tolist() == pytest.approx([0.9, 0.9], abs=0.02)
    none = torch.zeros(2, 3, dtype=torch.bool)
    assert updated_thresholds(threshold, torch.ones(2, 3), none, 0.1, 0.5).equal(threshold)


def test_thresholds_stay_within_cosines():
    """A step of 1: from 0.95 with its only negative above, up by 0.9 to 1; from -0.95 with none above, down by 0.1 to -1."""
    threshold, similarity = torch.tensor([0.95, -0.95]), torch.tensor([[0.99], [-0.99]])
    assert updated_thresholds(threshold, similarity, torch.ones(2, 1, dtype=torch.bool), 0.1, 1.0).tolist() == [1, -1]


def test_what_lies_above_a_threshold_is_left_out_by_hand():
    module = GlobalFalseNegatives(FalseNegatives(glofnd=0.5, rate=0.1), 10)
    module.thresholds[0, [3, 7]] = torch.tensor([0.4, 0.9])
    similarity = torch.tensor([[0.9, 0.5], [0.8, 0.9]])
    plan = BatchPlan(np.array([3, 7]), *(np.zeros(0, np.int64),) * 4)
    to_text, to_image = module.masks(similarity, plan, None, None)
    assert to_text.tolist() == [[False, True], [False, False]] and not to_image.any()
    module.learn()
    # image 3 sees its only negative above 0.4: up by 0.1 x (1 - 0.5); image 7 below 0.9: down by 0.1 x 0.5
    assert module.thresholds[0, [3, 7]].tolist() == pytest.approx([0.45, 0.85])
    assert module.thresholds[1, [3, 7]].tolist() == pytest.approx([0.95, 0.95])
    waiting = GlobalFalseNegatives(FalseNegatives(glofnd=0.5, warmup=1), 10)
    waiting.thresholds.fill_(0)
    assert not waiting.masks(similarity, plan, None, None)[0].any()
    waiting.learn()
    waiting.thresholds.fill_(0)
    assert waiting.masks(similarity, plan, None, None)[0].tolist() == [[False, True], [True, False]]


class Stop:
    def __init__(self, trainer, at):
        self.trainer, self.at = trainer, at

    @property
    def seen(self):
        return self.trainer.step >= self.at


def test_masks_thresholds_and_moments_survive_a_restart(tmp_path):
    recipe = refinement(duplicates="mask", false_negatives={"glofnd": 0.2, "rate": 0.5}, moments=2, distill=0.5, accumulate=2)
    make = lambda name: job(tmp_path / name, recipe, Copies())  # noqa: E731
    assert train(make("whole"), DistributedContext()) == 0
    half = Trainer(make("parts"), DistributedContext())
    assert not half.run(Stop(half, 4))
    assert train(make("parts"), DistributedContext()) == 0
    one, other = ((tmp_path / name / "model" / "open_clip_model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert one == other
    assert "masked" in (tmp_path / "whole" / "model" / "curve.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("settings", [{"duplicates": "mask"}, {"false_negatives": {"glofnd": 0.1}}])
def test_objectives_without_a_softmax_to_mask_are_refused(settings):
    with pytest.raises(ValidationError, match="use objective clip, slip or cyclip"):
        Refinement(steps=1, batch_size=4, learning_rate=1, objective={"name": "hn_nce"}, **settings)
