"""Wrong declarations: the entry, what could stand there, and the nearest of it."""

import copy

import pytest

from helip.config import StudyConfig
from helip.config.reading import read_yaml, validate
from helip.errors import HelipError

LIBRARIES = "timm, torchvision, open_clip, sentence_transformers, simclr, run, trunk"


@pytest.fixture(scope="module")
def declared(project):
    return read_yaml(project / "experiments/studies/smoke.yaml", dict)


@pytest.mark.parametrize(
    ("place", "key", "value", "sentence"),
    [
        ("encoders dino_vits8", "library", "tim", f"encoders -> dino_vits8: library 'tim' is none of {LIBRARIES}; did you mean 'timm'?"),
        ("encoders dino_vits8", "library", None, f"encoders -> dino_vits8: library is missing: write one of {LIBRARIES}"),
        ("encoders dino_vits8", "widht", 3, "encoders -> dino_vits8 -> widht: unknown key: "),
        ("models rn50", "vocab", 3, "models -> rn50 -> vocab: unknown key: remove it or correct its spelling; did you mean 'vocabulary'?"),
        ("refinement", "arm", "helpi", "refinement -> arm: 'helpi' is none of control, cleaned, helip; did you mean 'helip'?"),
        ("corpora cc3m", "kind", "xyz", "corpora -> cc3m: kind 'xyz' is none of generated, webdataset, "),
        ("pretraining clip", "objective", {"name": "slip", "heads": [1]}, "pretraining -> clip -> objective -> heads: unknown key: "),
        ("", "evalution", {}, "evalution: unknown key: remove it or correct its spelling; did you mean 'evaluation'?"),
        ("", "resources", {"trian": {}}, "resources -> trian: 'trian' is none of corpus, evaluation_set, "),
        ("corpora", "CC 3", {"kind": "generated"}, "corpora -> CC 3: 'CC 3' is no name: use small letters, digits and underscores"),
        ("refinement", "steps", -1, "refinement -> steps: Input should be greater than 0"),
    ],
)  # fmt: skip
def test_one_sentence_with_the_choices(declared, place, key, value, sentence):
    wrong = copy.deepcopy(declared)
    at = wrong
    for part in place.split():
        at = at[part]
    at.pop(key, None)
    if value is not None:
        at[key] = value
    with pytest.raises(HelipError) as error:
        validate(StudyConfig, wrong, "smoke.yaml")
    assert str(error.value).startswith(f"smoke.yaml: {sentence}")
