"""Zero-shot classification and retrieval: CLIP benchmark's own functions, fed with features that are already there."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from helip.config import RECALLS
from helip.errors import HelipError
from helip.evaluation.extraction import Extractor
from helip.evaluation.sets import EvaluationSet
from helip.io import digest

BATCH = 256


@dataclass(frozen=True)
class Result:
    """This is the result of one model on one set: `metrics` in percent, and `hits`, which items a metric counted, bool [items], for paired
    comparisons; the rest says how it came about.
    """

    metrics: dict[str, float]
    hits: dict[str, torch.Tensor]
    # so many items in a row are of one image, and not independent: as many of each, or a number for each image
    together: dict[str, int | list[int]] = field(default_factory=dict, kw_only=True)
    n: int  # images
    split: str
    digests: dict[str, str] = field(default_factory=dict)
    details: dict[str, object] = field(default_factory=dict)


class StoredFeatures:
    """Stands where CLIP benchmark expects a model: "images" and "tokens" are row numbers of features computed before."""

    def __init__(self, images_ND: torch.Tensor, texts_TD: torch.Tensor):
        self.images_ND, self.texts_TD = images_ND, texts_TD

    def encode_image(self, ids: torch.Tensor) -> torch.Tensor:
        """Returns the rows [B, D] of the image features."""
        return self.images_ND[ids]

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        """Returns the rows [B, D] of the text features."""
        return self.texts_TD[ids]


def zeroshot(extractor: Extractor, data: EvaluationSet) -> Result:
    """Returns acc1, acc5 (of five classes and more) and mean_per_class_recall; the prompts of a class are averaged as unit vectors."""
    from clip_benchmark.metrics import zeroshot_classification as benchmark

    split = data.test_split
    opened, features = data.open(None, split), extractor.images(data, split)
    classes, templates = opened.classes, opened.templates
    place = {text: i for i, text in enumerate(dict.fromkeys(_prompts(classes, templates, data)))}
    model = StoredFeatures(features.images, extractor.texts(list(place)))
    with _quiet():
        classifier = benchmark.zero_shot_classifier(
            model, lambda texts: torch.tensor([place[t] for t in texts]), classes, templates, "cpu", amp=False
        )
        batches = list(zip(torch.arange(len(features.labels)).split(BATCH), features.labels.split(BATCH), strict=True))
        logits_NC, labels_N = benchmark.run_classification(model, classifier, batches, "cpu", amp=False)
    check_labels(labels_N, len(classes), data)
    topk = tuple(k for k in (1, 5) if k <= len(classes))
    metrics = {f"acc{k}": 100 * a for k, a in zip(topk, benchmark.accuracy(logits_NC, labels_N, topk), strict=True)}
    metrics["mean_per_class_recall"] = mean_per_class_recall(labels_N, logits_NC.argmax(1))
    hits = {"acc1": logits_NC.topk(max(topk), 1).indices[:, 0] == labels_N}
    digests = {"images": features.digest, "class_names": digest(classes), "templates": digest(templates)}
    return Result(metrics, hits, len(labels_N), split, digests, {"classes": len(classes)})


def _prompts(classes: list[str], templates: list[str], data: EvaluationSet) -> list[str]:
    try:
        return [t.format(c=c) for c in classes for t in templates]
    except (KeyError, IndexError, ValueError) as error:
        raise HelipError(
            f"{data.root}: a template of '{data.name}' is not text with {{c}} for the class name ({error}); correct it"
        ) from None


def retrieval(extractor: Extractor, data: EvaluationSet) -> Result:
    """Returns recall in both directions: image_recall_at_k is text to image (one item a caption), text_recall_at_k image to text (one item
    an image; any of its captions).
    """
    from clip_benchmark.metrics.zeroshot_retrieval import batchify, recall_at_k
    from torch.nn.functional import normalize

    features = extractor.images(data, data.test_split)
    captions = [c for one in features.captions for c in one]
    if not all(features.captions):
        raise HelipError(f"{data.root}: an image of '{data.name}' has no caption; every image of a retrieval set needs one")
    place = {text: i for i, text in enumerate(dict.fromkeys(captions))}
    texts_TD = extractor.texts(list(place))[[place[c] for c in captions]]
    image_of_T = torch.tensor([i for i, one in enumerate(features.captions) for _ in one])
    scores_TN = normalize(texts_TD, dim=-1) @ normalize(features.images, dim=-1).T
    positive_TN = torch.zeros_like(scores_TN, dtype=torch.bool)
    positive_TN[torch.arange(len(captions)), image_of_T] = True
    hits = {}
    for name, scores, positive in (("image", scores_TN, positive_TN), ("text", scores_TN.T, positive_TN.T)):
        for k in RECALLS:
            hits[f"{name}_recall_at_{k}"] = batchify(recall_at_k, scores, positive, BATCH, "cpu", k=min(k, scores.shape[1])) > 0
    metrics = {name: 100 * hits_N.double().mean().item() for name, hits_N in hits.items()}
    counts = [len(one) for one in features.captions]
    together: dict[str, int | list[int]] = {f"image_recall_at_{k}": counts[0] if len(set(counts)) == 1 else counts for k in RECALLS}
    return Result(metrics, hits, len(features.captions), data.test_split, {"images": features.digest}, together=together)


def mean_per_class_recall(labels_N: torch.Tensor, predicted_N: torch.Tensor) -> float:
    """Returns the mean recall in percent over the classes that occur among the labels, as CLIP benchmark computes it."""
    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        return 100 * float(balanced_accuracy_score(labels_N, predicted_N))


def check_labels(labels_N: torch.Tensor, classes: int, data: EvaluationSet) -> None:
    """Raises HelipError for a label that is no class of the set."""
    if labels_N.ndim != 1 or labels_N.min() < 0 or labels_N.max() >= classes:
        raise HelipError(f"{data.root}: '{data.name}' has labels outside its {classes} class names; classnames.txt must name every class")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """CLIP benchmark draws a progress bar for every class and batch."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
