"""An image with several captions is one pair: all are kept, encoders see the first, a training draws one."""

import json

import numpy as np
import pytest
import torch
from archives import noisy, tar_of

from helip.config import ShardCorpus
from helip.data.build import build_corpus
from helip.training.augmentation import View, caption_draws
from helip.training.batches import PairDataset
from helip.training.sampler import Sampler

FIVE = ["a dog", "a brown dog", "an animal", "a dog", "a pet"]


def _shards(folder, captions=FIVE, txt=None):
    files = []
    for n in range(3):
        files += [(f"{n}.jpg", noisy(seed=n)), (f"{n}.txt", txt or f"first {n}".encode())]
        files.append((f"{n}.json", json.dumps({"captions": [f"{c} {n}" for c in captions], "title": f"title {n}"}).encode()))
    tar_of(folder / "in" / "0.tar", files)
    return str(folder / "in")


def test_captions_of_a_list_in_json_are_all_kept_once(tmp_path):
    corpus = build_corpus(ShardCorpus(path=_shards(tmp_path), captions="json.captions"), tmp_path / "corpus")
    assert corpus.captions(1) == ["a dog 1", "a brown dog 1", "an animal 1", "a pet 1"]
    assert corpus.caption(1) == "a dog 1"
    assert corpus.key(1) == "1"
    assert corpus.caption_counts().tolist() == [4, 4, 4]
    assert corpus.manifest["captions"] == 12


def test_a_text_in_json_is_one_caption(tmp_path):
    corpus = build_corpus(ShardCorpus(path=_shards(tmp_path), captions="json.title"), tmp_path / "corpus")
    assert [corpus.captions(i) for i in range(3)] == [["title 0"], ["title 1"], ["title 2"]]


def test_lines_of_a_txt_are_captions_where_declared(tmp_path):
    path = _shards(tmp_path, txt=b"one line \n\n another\r\n")
    lines = build_corpus(ShardCorpus(path=path, captions="lines"), tmp_path / "lines")
    whole = build_corpus(ShardCorpus(path=path), tmp_path / "whole")
    assert lines.captions(0) == ["one line", "another"]
    assert whole.captions(0) == ["one line \n\n another"]
    assert whole.caption_counts().tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("record", "detail"), [({"x": 1}, "its .json has no 'captions'; it has 'x'"), ({"captions": [3]}, "'captions' of its .json is neither")]
)
def test_a_record_without_captions_is_quarantined(tmp_path, record, detail):
    files = [("a.jpg", noisy(seed=0)), ("a.json", json.dumps(record).encode())]
    good = [("b.jpg", noisy(seed=1)), ("b.json", json.dumps({"captions": ["fine"]}).encode())]
    tar_of(tmp_path / "in" / "0.tar", files + good)
    corpus = build_corpus(ShardCorpus(path=str(tmp_path / "in"), captions="json.captions", max_quarantined=0.5), tmp_path / "corpus")
    assert [corpus.captions(i) for i in range(len(corpus))] == [["fine"]]
    assert detail in (tmp_path / "corpus" / "quarantine.csv").read_text()


def test_a_caption_that_holds_a_nul_is_quarantined(tmp_path):
    tar_of(tmp_path / "in" / "0.tar", [("a.jpg", noisy(seed=0)), ("a.txt", b"a\0b"), ("b.jpg", noisy(seed=1)), ("b.txt", b"b")])
    corpus = build_corpus(ShardCorpus(path=str(tmp_path / "in"), max_quarantined=0.5), tmp_path / "corpus")
    assert [corpus.caption(i) for i in range(len(corpus))] == ["b"]
    assert corpus.manifest["quarantined"] == {"caption holds a NUL": 1}


def test_a_training_draws_each_caption_alike(tmp_path):
    corpus = build_corpus(ShardCorpus(path=_shards(tmp_path), captions="json.captions"), tmp_path / "corpus")
    place = {caption: n for i in range(3) for n, caption in enumerate(corpus.captions(i))}
    rows = PairDataset(corpus, lambda texts: torch.tensor([[place[t], 9] for t in texts]), (8, 8), (View((1.0, 1.0)),))
    sampler, shown = Sampler(3, 3, seed=0, arm="control"), []
    for step in range(400):
        plan = sampler(step)
        tokens = rows[plan][1].tokens[:, 0].numpy()
        np.testing.assert_array_equal(tokens, (caption_draws(plan.sample_seeds) * 4).astype(int))
        shown += tokens.tolist()
    counts = np.bincount(shown)
    assert len(counts) == 4
    assert np.abs(counts - 300).max() < 60  # four standard deviations of a binomial
