import json
import subprocess
import sys

import numpy as np
import pytest

from helip.cli import main
from helip.config import Selection, UnionCorpus
from helip.data.corpus import Corpus
from helip.download.corpora import join
from helip.errors import HelipError
from helip.selection.job import Job, run
from helip.selection.keep import detection
from helip.synthetic.truth import Truth

SMALL = {"score": "s_clip_loss", "batch_size": 16, "batches": 4}


def read(folder):
    return np.load(folder / "keep.npy"), np.load(folder / "scores.npy"), json.loads((folder / "selection.json").read_text())


def test_a_selection_records_its_share_and_its_detection(job, corpus_folder):
    metadata = run(job(keep=0.75, **SMALL))
    keep, scores, written = read(job().out)
    assert metadata == written
    assert (keep.dtype, scores.dtype, keep.sum(), written["kept"], written["size"]) == (np.bool_, np.float32, 36, 36, 48)
    assert scores[keep].min() == pytest.approx(written["threshold"])
    assert written["quantiles"]["0.5"] == pytest.approx(np.median(scores), abs=1e-6)
    assert written["declaration"]["score"] == "s_clip_loss"
    assert written["truth"] == detection(scores, keep, Truth.open(corpus_folder).mismatched)
    assert written["truth"]["mismatched"] > 0


def test_scores_are_those_of_both_towers_features(job):
    from helip.selection import clip_score, s_clip_loss

    metadata = run(job(keep=0.5, **SMALL))
    image, text = (np.load(job().cache / modality / "features.npy") for modality in ("image", "text"))
    assert (read(job().out)[1] == s_clip_loss(image, text, metadata["temperature"], 16, 4)).all()
    run(job("plain", score="clip_score", keep=0.5))
    assert (read(job("plain").out)[1] == clip_score(image, text)).all()


def test_selections_of_a_checkpoint_share_its_features(job, monkeypatch):
    run(job(keep=0.5, **SMALL))
    monkeypatch.setattr("helip.selection.features.encode", lambda *a, **k: pytest.fail("encoded again"))
    run(job("plain", score="clip_score", keep=0.5))


def test_other_weights_at_the_same_path_are_encoded_again(job, model_folder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    run(job(score="clip_score"))
    before = read(job().out)[1]
    other = shutil.copytree(model_folder, tmp_path / "model")
    weights = load_file(other / "open_clip_model.safetensors")
    save_file({k: -v if k == "text_projection" else v for k, v in weights.items()}, other / "open_clip_model.safetensors")
    changed = job(score="clip_score")
    run(type(changed)(changed.spec, changed.corpus, changed.out, f"local-dir:{other}", cache=changed.cache))
    assert read(job().out)[1] == pytest.approx(-before, abs=1e-5)


def test_shards_joined_give_what_one_run_gives(job, tmp_path, monkeypatch):
    whole = run(job("whole", **SMALL))
    assert run(job("shared", **SMALL), shard=(0, 2)) is None
    assert run(job("shared", **SMALL), shard=(1, 2)) is None
    assert not job("shared").out.exists()
    monkeypatch.setattr("helip.selection.shuffles.s_clip_loss_of_shuffle", lambda *a: pytest.fail("computed again"))
    joined = run(job("shared", **SMALL))
    assert (read(job("shared").out)[1] == read(job("whole").out)[1]).all()
    assert joined["threshold"] == whole["threshold"]
    assert not list(tmp_path.glob(".*.partial"))


def test_a_killed_run_goes_on_after_its_last_shuffle(job, monkeypatch):
    from helip.selection import shuffles

    real, done = shuffles.s_clip_loss_of_shuffle, []

    def dies(image, text, k, *rest):
        if k == 2 and 2 not in done:
            done.append(2)
            raise KeyboardInterrupt
        done.append(k)
        return real(image, text, k, *rest)

    monkeypatch.setattr(shuffles, "s_clip_loss_of_shuffle", dies)
    with pytest.raises(KeyboardInterrupt):
        run(job(**SMALL))
    assert not job().out.exists()
    run(job(**SMALL))
    assert done == [0, 1, 2, 2, 3]


def test_one_batch_that_holds_the_corpus_is_scored_once(job):
    run(job(score="s_clip_loss", batch_size=48, batches=10))
    with pytest.raises(HelipError, match="--shard 0/2: this selection is a mean over 1 shuffles"):
        run(job("other", score="s_clip_loss", batch_size=48, batches=10), shard=(0, 2))


def test_norm_sim_takes_the_train_images_of_a_set(job, tmp_path):
    from helip.config import GeneratedSet
    from helip.evaluation.building import build_evaluation_set
    from helip.evaluation.sets import of_folder

    declaration = GeneratedSet(task="classification", probe=True, items=5, train_items=12)
    build_evaluation_set("caltech101", declaration, tmp_path / "caltech101")
    run(job("near", of_folder(tmp_path / "caltech101"), score="norm_sim", target="caltech101", p="inf"))
    scores = read(job("near").out)[1]
    assert ((scores > 0) & (scores <= 1 + 1e-6)).all()


def test_a_column_of_scores_needs_no_model_and_no_torch(corpus_folder, tmp_path):
    np.save(tmp_path / "mine.npy", np.arange(48))
    code = "import sys; from helip.cli import main; code = main(sys.argv[1:]); print(code, 'torch' in sys.modules)"
    arguments = ["select", "--corpus", corpus_folder, "--column", tmp_path / "mine.npy", "--keep", "0.25", "--out", tmp_path / "kept"]
    ran = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "0 False"
    assert np.flatnonzero(read(tmp_path / "kept")[0]).tolist() == list(range(36, 48))


def test_a_users_own_corpus_and_model_from_the_command_line(corpus_folder, model_folder, tmp_path, capsys):
    arguments = [
        "--corpus",
        corpus_folder,
        "--model",
        f"local-dir:{model_folder}",
        "--keep",
        "0.9",
        "--random-batch-size",
        "16",
        "--device",
        "cpu",
    ]
    assert main(["select", *map(str, arguments), "--out", str(tmp_path / "kept")]) == 0
    assert "kept 43 of 48 pairs" in capsys.readouterr().out
    assert (tmp_path / "kept.features" / "image" / "features.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--score", "clip_score"], "--model is missing: score clip_score needs the model you will refine"),
        (["--model", "local-dir:nowhere", "--keep", "0"], "--keep: Input should be greater than 0"),
        (["--model", "local-dir:nowhere", "--score", "norm_sim"], "--score: target belongs to score norm_sim"),
        (["--model", "local-dir:nowhere"], "nowhere: is not there; give an open_clip folder"),
        (["--model", "local-dir:nowhere", "--score", "clip_score", "--shard", "0/2"], "clip_score is one pass over the features"),
        (["--column", "none.npy"], "none.npy: not found"),
        (["--column", "none.npy", "--device", "cpu"], "--device: score column computes on the CPU; leave it out"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_nothing(corpus_folder, tmp_path, capsys, arguments, message):
    assert main(["select", "--corpus", str(corpus_folder), "--out", str(tmp_path / "kept"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "kept").exists()


def test_truth_drops_exactly_the_mismatched_pairs(job, corpus_folder):
    metadata = run(job(score="truth", keep=0.5))
    keep, _, _ = read(job().out)
    assert (keep == ~Truth.open(corpus_folder).mismatched).all()
    assert (metadata["truth"]["precision"], metadata["truth"]["recall"], metadata["truth"]["auc"]) == (1.0, 1.0, 1.0)


def test_the_truth_of_a_union_is_that_of_its_members(corpus_folder, tmp_path):
    twice = join(UnionCorpus(of=("one", "other")), [Corpus.open(corpus_folder)] * 2, tmp_path / "union")
    metadata = run(Job(Selection(score="truth"), twice, tmp_path / "kept"))
    assert (read(tmp_path / "kept")[0] == np.tile(~Truth.open(corpus_folder).mismatched, 2)).all()
    assert (metadata["truth"]["precision"], metadata["truth"]["recall"], metadata["size"]) == (1.0, 1.0, 96)
