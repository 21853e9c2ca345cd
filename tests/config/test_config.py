"""Settings that cannot work are refused where they are declared."""

import pytest
from pydantic import ValidationError

from helip.config import (
    EarlyStopping,
    GeneratedCorpus,
    GeneratedSet,
    Interpolation,
    MiningSpec,
    Refinement,
    Selection,
    SelfSupervisedEncoder,
    TrainConfig,
)

RECIPE = {"steps": 4, "batch_size": 8, "learning_rate": 1e-3}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("betas", (0.9, 1.0)), ("betas", (-0.1, 0.9)), ("eps", 0), ("augmentation", {"crop_scale": (0.0, 1.0)}),
        ("augmentation", {"crop_scale": (0.9, 0.5)}), ("augmentation", {"crop_scale": (0.5, 1.1)}),
        ("objective", {"name": "slip", "simclr_temperature": 0}), ("objective", {"name": "slip", "simclr_weight": -1}),
        ("objective", {"name": "slip", "head": (0, 8)}), ("objective", {"name": "declip", "queue": 0}),
        ("objective", {"name": "declip", "head": (8, -1)}),
        ("objective", {"name": "cyclip", "in_modal": -1}), ("objective", {"name": "cloob", "inverse_temperature": 0}),
        ("objective", {"name": "cloob", "hopfield_beta": 0}), ("objective", {"name": "hn_nce", "alpha": -1}),
        ("early_stopping", {"every": 2, "held_out": 0}), ("early_stopping", {"every": 2, "held_out": 1}),
    ],
)  # fmt: skip
def test_a_refinement_that_cannot_work(field, value):
    with pytest.raises(ValidationError, match=field):
        Refinement.model_validate(RECIPE | {field: value})


def test_what_lies_at_the_bounds_is_taken():
    edges = {"betas": (0, 0.999), "eps": 1e-12, "augmentation": {"crop_scale": (1, 1)}}
    assert TrainConfig.model_validate(RECIPE | edges | {"objective": {"name": "hn_nce", "alpha": 0, "beta": 0}}).betas == (0, 0.999)


@pytest.mark.parametrize(
    ("kind", "field", "needs"),
    [
        (MiningSpec, "seed", {}), (Selection, "seed", {}), (SelfSupervisedEncoder, "seed", {}), (GeneratedCorpus, "seed", {"size": 9}),
        (GeneratedCorpus, "world_seed", {"size": 9}), (GeneratedSet, "seed", {"task": "retrieval"}),
    ],
)  # fmt: skip
def test_a_negative_seed(kind, field, needs):
    kind.model_validate(needs | {field: 0})
    with pytest.raises(ValidationError, match=field):
        kind.model_validate(needs | {field: -1})


@pytest.mark.parametrize(
    ("field", "value"), [("width", 0), ("width", -3), ("dim", 0), ("learning_rate", 0), ("learning_rate", -1), ("temperature", 0)]
)
def test_an_encoder_that_cannot_be_trained(field, value):
    with pytest.raises(ValidationError, match=field):
        SelfSupervisedEncoder.model_validate({field: value})


def test_weights_to_try_beside_a_weight_are_refused():
    with pytest.raises(ValidationError, match="weights are tried on a validation set, and weight is given: leave one of them out"):
        Interpolation(run="helip", weight=0.5, weights=(0.1,))
    assert Interpolation(run="helip", validation="coco", weights=(0.1,)).weights == (0.1,)
    assert Interpolation(run="helip", weight=0.5).weight == 0.5


def test_a_held_out_share_beside_a_corpus_is_refused():
    with pytest.raises(ValidationError, match="held_out has no effect beside corpus, which is validated on in its place: leave one of"):
        EarlyStopping(every=2, corpus="other", held_out=0.1)
    assert EarlyStopping(every=2, corpus=None, held_out=0.1).held_out == 0.1
    assert EarlyStopping(every=2, corpus="other").corpus == "other"
