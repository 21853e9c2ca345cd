"""Our numbers are CLIP benchmark's own: the same model and set through its evaluate() give the same values."""

import open_clip
import pytest
import torch
from clip_benchmark.datasets.builder import build_dataset, image_captions_collate_fn
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval

from helip.evaluation import metrics
from helip.evaluation.extraction import Extractor
from helip.evaluation.sets import of_folder


class Sized:
    """CLIP benchmark asks a loader for `dataset.classes`."""

    def __init__(self, dataset, collate=None, batch_size=16):
        self.dataset = dataset
        self.loader = torch.utils.data.DataLoader(dataset, batch_size, collate_fn=collate)

    def __iter__(self):
        return iter(self.loader)


def opened(folder, model_folder, task):
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{model_folder}")
    dataset = build_dataset(f"wds/{folder.name}", root=str(folder), transform=transform, split="test", task=task)
    return model.eval(), open_clip.get_tokenizer(f"local-dir:{model_folder}"), dataset


def test_zeroshot_classification(classification, model_folder, model):
    theirs_model, tokenizer, dataset = opened(classification, model_folder, "zeroshot_classification")
    theirs = zeroshot_classification.evaluate(
        theirs_model, Sized(dataset), tokenizer, dataset.classes, dataset.templates, device="cpu", amp=False
    )
    ours = metrics.zeroshot(Extractor(model, None), of_folder(classification))
    assert ours.metrics == pytest.approx({name: 100 * value for name, value in theirs.items()}, abs=1e-9)
    assert set(ours.metrics) == {"acc1", "acc5", "mean_per_class_recall"}
    assert ours.n == 60


def test_retrieval(retrieval, model_folder, model):
    theirs_model, tokenizer, dataset = opened(retrieval, model_folder, "zeroshot_retrieval")
    loader = Sized(dataset, image_captions_collate_fn)
    theirs = zeroshot_retrieval.evaluate(theirs_model, loader, tokenizer, device="cpu", amp=False, recall_k_list=[1, 5, 10])
    ours = metrics.retrieval(Extractor(model, None), of_folder(retrieval))
    expected = {name.replace("_retrieval_recall@", "_recall_at_"): 100 * value for name, value in theirs.items()}
    assert ours.metrics == pytest.approx(expected, abs=1e-4)  # theirs are float32 means
    assert len(ours.metrics) == 6


@pytest.mark.parametrize("name", ["cifar10", "flickr8k/retrieval"])
def test_real_sets(name, data_root, model_folder, model):
    folder = data_root / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in the real data")
    if name == "cifar10":
        theirs_model, tokenizer, dataset = opened(folder, model_folder, "zeroshot_classification")
        arguments = (theirs_model, Sized(dataset, batch_size=250), tokenizer, dataset.classes, dataset.templates)
        theirs = zeroshot_classification.evaluate(*arguments, device="cpu", amp=False)
        ours = metrics.zeroshot(Extractor(model, None), of_folder(folder))
        assert (ours.n, ours.metrics["acc1"]) == (5000, pytest.approx(100 * theirs["acc1"], abs=1e-9))
    else:
        theirs_model, tokenizer, dataset = opened(folder, model_folder, "zeroshot_retrieval")
        loader = Sized(dataset, image_captions_collate_fn, 250)
        theirs = zeroshot_retrieval.evaluate(theirs_model, loader, tokenizer, device="cpu", amp=False, recall_k_list=[1])
        ours = metrics.retrieval(Extractor(model, None), of_folder(folder))
        assert (ours.n, len(ours.hits["image_recall_at_1"]), len(ours.hits["text_recall_at_1"])) == (1000, 5000, 1000)
        assert ours.metrics["image_recall_at_1"] == pytest.approx(100 * theirs["image_retrieval_recall@1"], abs=1e-4)
        assert ours.metrics["text_recall_at_1"] == pytest.approx(100 * theirs["text_retrieval_recall@1"], abs=1e-4)
