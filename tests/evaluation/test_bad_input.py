"""One clear sentence for each thing that can be missing or broken."""

import pytest
from tiny_sets import picture, write_classification, write_model, write_retrieval, write_split, write_tar

from helip.config import BenchmarkSet, WdsSet
from helip.errors import HelipError
from helip.evaluation import metrics
from helip.evaluation.extraction import Extractor
from helip.evaluation.model import load
from helip.evaluation.sets import of_declaration, of_folder


def test_a_missing_set(tmp_path, model):
    for name in ("gone", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(HelipError, match=rf"{name}/test/nshards.txt: not found; evaluation set '{name}' needs it"):
            metrics.zeroshot(Extractor(model, None), of_folder(tmp_path / name))


def test_a_missing_root_of_a_clip_benchmark_set(tmp_path, model):
    declared = BenchmarkSet(task="classification", name="cifar10", root=str(tmp_path / "gone"))
    data = of_declaration("cifar10", declared, tmp_path)
    with pytest.raises(HelipError, match="gone: not found; evaluation set 'cifar10' needs it"):
        metrics.zeroshot(Extractor(model, None), data)
    (tmp_path / "gone").mkdir()
    with pytest.raises(HelipError, match=r"evaluation set 'cifar10' \(test\) cannot be opened"):
        metrics.zeroshot(Extractor(model, None), data)


@pytest.mark.parametrize("name", ["mscoco_captions", "flickr30k"])
def test_missing_captions_are_never_downloaded(tmp_path, model, name, monkeypatch):
    monkeypatch.setattr("clip_benchmark.datasets.builder.call", lambda *a, **k: pytest.fail("a shell command was run"))
    (tmp_path / "val2014").mkdir()
    data = of_declaration(name, BenchmarkSet(task="retrieval", name=name, root=str(tmp_path)), tmp_path)
    with pytest.raises(HelipError, match=r"_test_karpathy.(json|txt): not found"):
        metrics.retrieval(Extractor(model, None), data)


def test_an_unset_variable_in_a_declared_path(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_DATA", raising=False)
    with pytest.raises(HelipError, match=r"\$NO_SUCH_DATA is not set"):
        of_declaration("x", WdsSet(task="classification", path="$NO_SUCH_DATA/x"), tmp_path)


def test_missing_weights(tmp_path):
    with pytest.raises(HelipError, match=r"open_clip_model.safetensors: not found; train the run first"):
        load(f"local-dir:{tmp_path / 'model'}")
    folder = write_model(tmp_path / "model")
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(HelipError, match="open_clip_config.json is missing"):
        load(str(folder))


def test_truncated_weights(tmp_path):
    weights = write_model(tmp_path / "model") / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(HelipError, match=r"model/open_clip_model\.safetensors: its weights do not load"):
        load(str(tmp_path / "model"))


def test_weights_of_another_architecture(tmp_path):
    folder = write_model(tmp_path / "model")
    config = (folder / "open_clip_config.json").read_text()
    (folder / "open_clip_config.json").write_text(config.replace('"embed_dim": 24', '"embed_dim": 32'))
    with pytest.raises(HelipError, match=r"its weights do not load \(text_projection is \d+x24 in the file and \d+x32 in the model"):
        load(str(folder))


def test_an_unknown_model_name():
    with pytest.raises(HelipError, match="open_clip has no model 'ViT-Q-32'"):
        load("ViT-Q-32@openai")


def test_a_truncated_archive(tmp_path, model):
    folder = write_classification(tmp_path / "set")
    tar = folder / "test" / "1.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    with pytest.raises(HelipError, match="the test split of 'set' cannot be read"):
        metrics.zeroshot(Extractor(model, tmp_path / "cache"), of_folder(folder))
    assert not list(tmp_path.glob("cache/*/images*"))


def test_a_missing_shard(tmp_path, model):
    folder = write_classification(tmp_path / "set")
    (folder / "test" / "1.tar").unlink()
    with pytest.raises(HelipError, match="the test split of 'set' cannot be read"):
        metrics.zeroshot(Extractor(model, None), of_folder(folder))


def test_an_undecodable_image(tmp_path, model):
    folder = write_classification(tmp_path / "set")
    write_tar(folder / "test" / "1.tar", [("a.png", b"no picture"), ("a.cls", b"1")])
    with pytest.raises(HelipError, match="the test split of 'set' cannot be read"):
        metrics.zeroshot(Extractor(model, None), of_folder(folder))


@pytest.mark.parametrize("name", ["classnames.txt", "zeroshot_classification_templates.txt"])
def test_missing_words(tmp_path, model, name):
    folder = write_classification(tmp_path / "set")
    (folder / name).unlink()
    with pytest.raises(HelipError, match=rf"{name}: not found; evaluation set 'set' needs it"):
        metrics.zeroshot(Extractor(model, None), of_folder(folder))


def test_more_labels_than_class_names(tmp_path, model):
    folder = write_classification(tmp_path / "set")
    (folder / "classnames.txt").write_text("red\ngreen")
    with pytest.raises(HelipError, match="labels outside its 2 class names"):
        metrics.zeroshot(Extractor(model, None), of_folder(folder))


def test_an_unknown_type_of_set(tmp_path):
    folder = write_retrieval(tmp_path / "set")
    (folder / "dataset_type.txt").write_text("multilabel")
    with pytest.raises(HelipError, match="'multilabel' is neither classification nor retrieval"):
        of_folder(folder)


def test_an_empty_split(tmp_path, model):
    folder = write_classification(tmp_path / "set")
    write_split(folder / "test", [])
    with pytest.raises(HelipError, match="the test split of 'set'"):
        metrics.zeroshot(Extractor(model, None), of_folder(folder))


def test_an_image_that_lost_its_label(tmp_path, model):
    import numpy as np

    folder = write_classification(tmp_path / "set")
    write_tar(folder / "test" / "1.tar", [("a.png", picture((1, 2, 3), np.random.default_rng(0)))])
    with pytest.raises(HelipError, match="the test split of 'set' cannot be read"):
        metrics.zeroshot(Extractor(model, None), of_folder(folder))
