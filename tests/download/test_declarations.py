"""Declarations of what comes from elsewhere: what is refused, and what their digests depend on."""

import shutil

import pytest
import yaml

from helip.errors import HelipError
from helip.stages import BuildCorpus, model_of
from helip.study import Study


@pytest.fixture
def study(project, tmp_path):
    """load(change): the smoke study with a mirrored corpus and a union, changed."""
    shutil.copytree(project / "experiments", tmp_path / "experiments")
    file = tmp_path / "experiments/studies/smoke.yaml"
    original = yaml.safe_load(file.read_text())
    original["corpora"]["cc12m"] = {"kind": "downloaded", "table": "t.csv"}
    original["corpora"]["open29m"] = {"kind": "union", "of": ["cc3m", "cc12m"]}
    text = yaml.safe_dump(original)

    def load(change=lambda content: None) -> Study:
        content = yaml.safe_load(text)
        change(content)
        file.write_text(yaml.safe_dump(content))
        return Study("smoke", tmp_path / "experiments")

    return load


def put(kind: str, name: str, **more):
    return lambda content: content.setdefault(kind, {}).setdefault(name, {}).update(more)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("corpora", "open29m", of=["cc3m", "cc4m"]), "of names 'cc4m', which is no corpus of this study"),
        (put("corpora", "open29m", of=["cc3m", "open29m"]), "of names 'open29m', which is no corpus of this study with samples of its own"),
        (put("published", "nobody", url="http://x/a.pt"), "published -> nobody: there is no such run"),
        (put("published", "cc3m_clip", url="http://x/a.pt"), "published -> cc3m_clip: one checkpoint stands for one pre-training"),
        (put("published", "cc3m_clip", url="http://x/a.pt", path="a.pt"), "give one of url, path and model"),
        (put("published", "cc3m_clip"), "give one of url, path and model"),
        (put("published", "cc3m_clip", url="http://x/a.pt", sha256="abc"), "sha256"),
        (put("corpora", "cc12m", hash="md5"), "hash names the algorithm of hash_column"),
        (put("corpora", "cc12m", mirror="http://x/{0..1}.tar", sample=9), "sample has no effect beside mirror"),
        (put("corpora", "cc12m", mirror="http://x/{0..1}.tar", min_recovered=0.5), "min_recovered has no effect beside mirror"),
        (
            put("corpora", "cc12m", mirror="http://x/{0..1}.tar", hash="md5", hash_column="md5"),
            "hash_column, hash have no effect beside mirror, whose shards are taken as they are: leave them out, or leave out mirror",
        ),
    ],
)
def test_refused_with_a_sentence(study, change, says):
    with pytest.raises(HelipError, match=says):
        study(change)


def test_a_mirror_may_say_that_any_share_is_enough(study):
    declared = study(put("corpora", "cc12m", mirror="http://x/{0..1}.tar", min_recovered=0, sample=None)).corpus("cc12m")
    assert (declared.mirror, declared.min_recovered) == ("http://x/{0..1}.tar", 0)


def test_a_limit_changes_the_corpus_but_not_what_is_fetched(study):
    before, after = study(), study(put("corpora", "cc12m", max_quarantined=0.5))
    assert BuildCorpus(before, "cc12m").digest != BuildCorpus(after, "cc12m").digest
    assert BuildCorpus(before, "cc12m").fetched == BuildCorpus(after, "cc12m").fetched
    assert BuildCorpus(study(put("corpora", "cc12m", image_size=512)), "cc12m").fetched != BuildCorpus(before, "cc12m").fetched


def test_patience_and_words_change_nothing(study):
    change = put("corpora", "cc12m", timeout=60, retries=5, processes=2, obtain="ask", label="CC12M")
    assert BuildCorpus(study(), "cc12m").digest == BuildCorpus(study(change), "cc12m").digest


def test_a_union_is_made_again_when_a_member_changes(study):
    before, after = study(), study(put("corpora", "cc3m", mismatched=0.5))
    assert BuildCorpus(before, "open29m").digest != BuildCorpus(after, "open29m").digest
    assert [one.corpus for one in BuildCorpus(before, "open29m").needs()] == ["cc3m", "cc12m"]
    assert BuildCorpus(before, "cc3m").inputs() == []


def test_another_checkpoint_changes_all_digests_after_it(study):
    def published(url):
        def change(content):
            content["seeds"] = [0]
            content["published"] = {"cc3m_clip": {"url": url}}

        return study(change)

    one, other = published("http://x/a.pt"), published("http://x/b.pt")
    assert model_of(one, "cc3m_clip", "0").inputs() == []
    for run in ("cc3m_clip", "cc3m_clip_helip"):
        assert model_of(one, run, "0").digest != model_of(other, run, "0").digest


def test_yaml_may_inherit_by_merge_keys_but_not_say_a_key_twice(study, tmp_path):
    bound = study()
    text = bound.file.read_text()
    bound.file.write_text(text + "resources:\n  train: &usual {threads: 3}\n  evaluate: {<<: *usual, mem_mb: 77}\n")
    again = Study("smoke", tmp_path / "experiments")
    assert (again.resources("evaluate").threads, again.resources("evaluate").mem_mb) == (3, 77)
    bound.file.write_text(text + "resources: {train: {threads: 3, threads: 4}}\n")
    with pytest.raises(HelipError, match="'threads' is given twice"):
        Study("smoke", tmp_path / "experiments")
