"""Pairs, masks and data for other trainers, by key and by row; each trainer takes a few steps on what it was given."""

import csv
import json
import logging
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import open_clip
import pandas
import pytest
import torch
from PIL import Image
from toys import COLOURS, ToyCorpus, declaration

from helip.cli import main
from helip.config import MiningSpec, ShardCorpus
from helip.data.build import build_corpus
from helip.mining import PairSet
from helip.mining.trainers import for_sentence_transformers
from helip.models import loading as models
from helip.models.hf_export import write_clip_model

SIZE = 12
HARD = {0: [6, 1], 1: [7, 2], 2: [8], 5: [0, 3]}  # of the others there is none: noise
KEEP = np.array([i not in (1, 8) for i in range(SIZE)])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two shards of toy images; the keys 000000, 000001, ... are in both."""
    import webdataset

    folder, toys = tmp_path_factory.mktemp("trainers"), ToyCorpus(SIZE)
    for shard in range(2):
        with webdataset.TarWriter(str(folder / f"part-{shard}.tar")) as tar:
            for i in range(6):
                tar.write({"__key__": f"{i:06d}", "png": toys.image_bytes(6 * shard + i), "txt": toys.caption(6 * shard + i).encode()})
    return build_corpus(ShardCorpus(path=str(folder)), folder / "corpus")


@pytest.fixture(scope="module")
def pairs(corpus):
    flat = [j for i in range(SIZE) for j in HARD.get(i, [])]
    offsets = np.cumsum([0] + [len(HARD.get(i, [])) for i in range(SIZE)])
    noise = np.array([i not in HARD for i in range(SIZE)])
    scores = np.linspace(0.9, 0.3, len(flat)).astype(np.float32)
    one = PairSet(np.array(flat, np.int32), scores, offsets.astype(np.int64), noise, MiningSpec(k=2), SIZE)
    one.save(corpus.folder.parent / "pairs", corpus_digest=corpus.digest)
    np.save(corpus.folder.parent / "keep.npy", KEEP)
    return corpus.folder.parent / "pairs"


def rows_of(path):
    match path.suffix:
        case ".parquet":
            return pandas.read_parquet(path).to_dict("records")
        case ".csv":
            return pandas.read_csv(path, dtype={"target_key": str, "hard_key": str, "row_key": str}).to_dict("records")
        case _:
            return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_hard_pairs_by_key(suffix, corpus, pairs, tmp_path):
    out = tmp_path / f"hard{suffix}"
    assert main(["export-pairs", str(pairs), "--out", str(out), "--corpus", str(corpus.folder)]) == 0
    rows = rows_of(out)
    assert [(r["target"], r["hard"], r["rank"]) for r in rows] == [
        (0, 6, 0),
        (0, 1, 1),
        (1, 7, 0),
        (1, 2, 1),
        (2, 8, 0),
        (5, 0, 0),
        (5, 3, 1),
    ]
    first = rows[0]
    assert (first["target_key"], first["target_shard"]) == ("000000", "part-0.tar")
    assert (first["hard_key"], first["hard_shard"]) == ("000000", "part-1.tar")  # the same key, in another shard
    assert first["score"] == pytest.approx(0.9)


def test_hard_pairs_by_row_as_json_lines(pairs, tmp_path):
    assert main(["export-pairs", str(pairs), "--out", str(tmp_path / "hard.jsonl")]) == 0
    assert rows_of(tmp_path / "hard.jsonl")[4].keys() == {"target", "hard", "rank", "score"}


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_mask_by_key(suffix, corpus, pairs, tmp_path):
    out = tmp_path / f"mask{suffix}"
    assert main(["export-mask", str(pairs.parent / "keep.npy"), "--corpus", str(corpus.folder), "--out", str(out)]) == 0
    rows = rows_of(out)
    assert [bool(r["keep"]) for r in rows] == KEEP.tolist()
    assert (rows[8]["row"], rows[8]["row_key"], rows[8]["row_shard"]) == (8, "000002", "part-1.tar")


def test_pairs_of_another_corpus_are_refused(pairs, tmp_path, capsys):
    import webdataset

    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        tar.write({"__key__": "a", "png": ToyCorpus().image_bytes(0), "txt": b"a"})
    build_corpus(ShardCorpus(path=str(tmp_path)), tmp_path / "corpus")
    assert main(["export-pairs", str(pairs), "--out", str(tmp_path / "x.csv"), "--corpus", str(tmp_path / "corpus")]) == 2
    assert "was mined on the corpus with digest" in capsys.readouterr().err
    assert main(["export-pairs", str(pairs), "--out", str(tmp_path / "x.txt")]) == 2
    assert "'.txt' is no form pairs are exported in; use .parquet, .csv, .jsonl" in capsys.readouterr().err


# ---------------------------------------------------------------- open_clip_train


@pytest.fixture(scope="module")
def csv_folder(corpus, pairs):
    out = corpus.folder.parent / "for_open_clip"
    keep = str(pairs.parent / "keep.npy")
    assert main(["export-data", str(corpus.folder), "--for", "open_clip", "--keep", keep, "--out", str(out)]) == 0
    return out


def test_the_csv_has_the_selection(corpus, csv_folder):
    with open(csv_folder / "pairs.csv", newline="") as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    assert [row["title"] for row in rows] == [corpus.caption(i) for i in np.flatnonzero(KEEP)]
    for row, i in zip(rows, np.flatnonzero(KEEP), strict=True):
        assert Path(row["filepath"]).read_bytes() == corpus.image_bytes(i)
        assert row["filepath"].endswith(f"images/00000/{i:08d}.png")
    assert json.loads((csv_folder / "export.json").read_text())["images"] == KEEP.sum() == 10


def test_open_clip_train_reads_it(csv_folder):
    """Its own dataset with its own defaults gives batches on which a model takes steps."""
    data = pytest.importorskip("open_clip_train.data", reason="open_clip_train comes with open_clip_torch")
    from open_clip_train.params import parse_args

    logging.disable(logging.NOTSET)
    args = parse_args(["--train-data", str(csv_folder / "pairs.csv"), "--dataset-type", "csv", "--batch-size", "5", "--workers", "0"])
    args.distributed = False
    vision = {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8}
    model = open_clip.CLIP(16, vision, {"width": 16, "heads": 2, "layers": 1})
    transform = open_clip.image_transform(16, is_train=True)
    loader = data.get_data(args, (transform, transform), tokenizer=open_clip.get_tokenizer("ViT-B-32"))["train"].dataloader
    optimiser, before = torch.optim.AdamW(model.parameters(), 1e-3), model.visual.proj.detach().clone()
    shapes = []
    for images, texts in loader:
        image, text, scale = model(images, texts)
        open_clip.ClipLoss()(image, text, scale).backward()
        optimiser.step()
        shapes.append((tuple(images.shape), tuple(texts.shape)))
    assert shapes == [((5, 3, 16, 16), (5, 77))] * 2
    assert not torch.equal(model.visual.proj, before)


def test_open_clips_csv_has_no_place_for_hard_pairs(corpus, pairs, tmp_path, capsys):
    given = ["export-data", str(corpus.folder), "--out", str(tmp_path / "x"), "--for"]
    assert main([*given, "open_clip", "--pairs", str(pairs)]) == 2
    assert "--pairs: --for open_clip takes no hard pairs; leave it out" in capsys.readouterr().err
    assert main([*given, "sentence-transformers"]) == 2
    assert "--pairs: --for sentence-transformers needs hard pairs; give the pair set of `helip mine`" in capsys.readouterr().err
    assert main([*given, "keras"]) == 2
    assert capsys.readouterr().err.startswith("helip export-data: --for: 'keras' is none of open_clip, sentence-transformers")


# ---------------------------------------------------------------- sentence-transformers


def tuples(corpus, pairs, out, *more):
    given = ["export-data", str(corpus.folder), "--for", "sentence-transformers", "--pairs", str(pairs), "--out", str(out), *more]
    assert main(given) == 0
    return rows_of(out / "train.jsonl")


def test_triplets_have_the_hardest_caption(corpus, pairs, tmp_path, capsys):
    rows = tuples(corpus, pairs, tmp_path / "out")
    assert [(row["positive"], row["negative"]) for row in rows] == [(corpus.caption(i), corpus.caption(HARD[i][0])) for i in (0, 1, 2, 5)]
    assert all(Path(row["anchor"]).read_bytes() == corpus.image_bytes(i) for row, i in zip(rows, (0, 1, 2, 5), strict=True))
    assert "4 tuples; 8 targets have fewer than 1 hard captions and are left out" in capsys.readouterr().out


def test_tuples_leave_out_whoever_has_too_few(corpus, pairs, tmp_path):
    rows = tuples(corpus, pairs, tmp_path / "out", "--negatives", "2")
    assert [row["positive"] for row in rows] == [corpus.caption(i) for i in (0, 1, 5)]
    assert (rows[0]["negative_1"], rows[0]["negative_2"]) == (corpus.caption(6), corpus.caption(1))


def test_the_selection_holds_for_targets_and_hard_pairs(corpus, pairs, tmp_path):
    rows = tuples(corpus, pairs, tmp_path / "out", "--keep", str(pairs.parent / "keep.npy"))
    kept = [(0, 6), (5, 0)]  # 1 and 8 are left out, and 2 had only 8
    assert [(row["positive"], row["negative"]) for row in rows] == [(corpus.caption(i), corpus.caption(j)) for i, j in kept]


class Twins(ToyCorpus):
    """The caption of 6 is that of 0."""

    def captions(self, i):
        return ["one more", self.caption(0)] if i == 0 else [self.caption(0 if i == 6 else i)]


def test_a_caption_equal_to_the_positive_is_no_negative(pairs, tmp_path):
    made = for_sentence_transformers(Twins(SIZE), PairSet.open(pairs), None, 1, tmp_path / "out", {})
    first = rows_of(tmp_path / "out/train.jsonl")[0]
    assert made == (4, 8)
    assert (first["positive"], first["negative"]) == ("one more", Twins(SIZE).captions(1)[0])


def test_sentence_transformers_trains_on_it(corpus, pairs, tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    clip = models.new(declaration(), ToyCorpus(), tmp_path / "tokenizer", 0)
    write_clip_model(tmp_path / "start", clip, clip.model.state_dict(), "toy")
    model = library.SentenceTransformer(str(tmp_path / "start"), device="cpu")
    loss = MultipleNegativesRankingLoss(model)
    rows = tuples(corpus, pairs, tmp_path / "out", "--negatives", "2")
    optimiser, values = torch.optim.SGD(model.parameters(), 1e-2), []
    for _ in range(4):
        columns = [model.preprocess([row[name] for row in rows]) for name in ("anchor", "positive", "negative_1", "negative_2")]
        values.append(loss(columns, None))
        optimiser.zero_grad()
        values[-1].backward()
        optimiser.step()
    assert values[-1] < values[0]
    assert Image.open(rows[0]["anchor"]).size == (16, 16) and COLOURS[0] in rows[0]["positive"]


def test_the_trainer_of_sentence_transformers_reads_it(corpus, pairs, tmp_path, monkeypatch):
    """What `helip export-data` prints as the next step: datasets opens the file, and the trainer takes its columns as tuples."""
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    for name in ("accelerate", "datasets"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'helip[trainers]'")
    import datasets
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    monkeypatch.chdir(tmp_path)
    tuples(corpus, pairs, tmp_path / "out", "--negatives", "2")
    clip = models.new(declaration(), ToyCorpus(), tmp_path / "tokenizer", 0)
    write_clip_model(tmp_path / "start", clip, clip.model.state_dict(), "toy")
    model = library.SentenceTransformer(str(tmp_path / "start"), device="cpu")
    before = {name: w.clone() for name, w in model.state_dict().items()}
    data = datasets.load_dataset("json", data_files=str(tmp_path / "out/train.jsonl"), split="train", cache_dir=str(tmp_path / "cache"))
    assert data.column_names == ["anchor", "positive", "negative_1", "negative_2"]
    arguments = library.SentenceTransformerTrainingArguments(
        "trained", max_steps=3, per_device_train_batch_size=2, learning_rate=1e-2, report_to="none", logging_steps=1, save_strategy="no"
    )
    loss = MultipleNegativesRankingLoss(model)
    library.SentenceTransformerTrainer(model, arguments, train_dataset=data, loss=loss).train()
    moved = {name.rpartition("model.")[2].partition(".")[0] for name, w in model.state_dict().items() if not torch.equal(w, before[name])}
    assert {"visual_projection", "text_projection"} <= moved
