"""What is said before the first step."""

import pytest
from toys import RESNET, VIT, ToyCorpus, declaration, job, recipe, refinement

from helip.errors import HelipError
from helip.models import loading as models
from helip.training.job import sampler_of
from helip.training.preparation import prepare


@pytest.mark.parametrize(("settings", "batch_size"), [({"p": 6}, 12), ({"seed_fraction": 0.05}, 12), ({"p": 4}, 4)])
def test_an_arm_helip_without_hard_pairs_is_refused(tmp_path, settings, batch_size):
    expected = {"p": 1, "seed_fraction": 1} | settings
    words = f"p {expected['p']}, seed_fraction {expected['seed_fraction']:g}, batch_size {batch_size} and lists of at most 5 hard pairs"
    with pytest.raises(HelipError, match=words):
        prepare(job(tmp_path, refinement(batch_size=batch_size, **settings)))


@pytest.mark.parametrize(
    ("settings", "has_them"),
    [
        ({"p": 5}, True),
        ({"seed_fraction": 0.0}, False),
        ({"arm": "control", "p": 6}, False),
        ({"role": "negatives", "batch_size": 2}, True),
    ],
)
def test_an_arm_that_has_them_or_wants_none_is_not(tmp_path, settings, has_them):
    asked = job(tmp_path, refinement(**settings))
    assert prepare(asked) == ()
    sampler = sampler_of(asked.recipe, len(asked.corpus), asked.seed, asked.pairs, asked.keep)
    assert any(len(sampler(step).hard) for step in range(5)) == has_them


@pytest.mark.parametrize(("vision", "warned"), [(RESNET, 1), (VIT, 0)])
def test_checkpointing_that_has_no_effect_is_reported(tmp_path, vision, warned):
    corpus = ToyCorpus(side=32)
    clip = models.new(declaration(vision), corpus, tmp_path / "tokenizer", seed=0)
    warnings = prepare(job(tmp_path, recipe(checkpoint_gradients=True), corpus, clip))
    assert sum("checkpoint_gradients does nothing" in warning for warning in warnings) == warned
