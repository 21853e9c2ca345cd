"""`helip interpolate` and `helip filter-pairs`: what a trained checkpoint is good for beside training on."""

import argparse
from pathlib import Path

from helip.cli.options import at_least, loader_workers, own_group, torch_device
from helip.errors import HelipError
from helip.io import check_replaceable
from helip.models.layout import ABOUT

COMMANDS = {
    "interpolate": "mix the weights of a refined model and of its start (WiSE-FT); nothing is trained",
    "filter-pairs": "leave out hard pairs that a checkpoint takes for matches: false negatives, most likely",
}


def add(name, parser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("--study", help="a study of experiments/studies")
    parser.add_argument("--seed", default="0", help="with --study: of the run")
    own = own_group(parser, "files")
    own.add_argument("--out", type=Path, help="the folder to make")
    if name == "interpolate":
        parser.add_argument("names", nargs="*", metavar="RUN", help="with --study: an interpolation of runs.yaml")
        own.add_argument("--start", help="the checkpoint before refinement: an open_clip folder, NAME@TAG, NAME@FILE or hf-hub:ORG/NAME")
        own.add_argument("--refined", type=Path, help="the model that `helip refine` made of it")
        own.add_argument("--weight", type=float, default=0.5, help="of the refined model; the start has the rest")
        return _interpolate
    parser.add_argument("names", nargs="*", metavar="RUN PAIRS", help="with --study: the start checkpoint's run and a filtered pair set")
    own.add_argument("--corpus", type=Path, help="a corpus folder made by `helip corpus`")
    own.add_argument("--pairs", type=Path, help="a pair set made by `helip mine`")
    own.add_argument("--model", help="the model you will refine: NAME@TAG, NAME@FILE, hf-hub:ORG/NAME or an open_clip folder")
    own.add_argument("--pretrained", help=argparse.SUPPRESS)
    own.add_argument(
        "--margin", type=float, default=0.0, help="cosine: a caption this much worse than the true one is still taken for a match"
    )
    parser.add_argument("--batch-size", type=at_least(1), default=64, help="of the encoder")
    parser.add_argument("--workers", type=at_least(0), help="processes that decode images (default: none on a CPU, up to 8 for a GPU)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    return _filter


# ---------------------------------------------------------------- interpolate


def _interpolate(a):
    from helip.models import interpolation

    start, refined, weight, out, facts = _runs_of_study(a) if a.study else _folders_of_user(a)
    interpolation.write(start, refined, weight, out, facts)
    print(f"{out}: {1 - weight:g} of the start and {weight:g} of the refined model")


def _runs_of_study(a):
    from helip.study import load, start_seed

    study = load(a.study)
    if len(a.names) != 1:
        raise HelipError("with --study, name the interpolation: helip interpolate --study S --seed N RUN")
    run, seed = study.run(a.names[0]), a.seed
    study.train_inputs(run.name, seed)  # refuses an unknown seed
    if run.interpolate is None:
        raise HelipError(f"{study.file}: {run.name} is no interpolation; train it (`helip train`)")
    ends = str(study.model_dir(run.start, start_seed(seed))), study.model_dir(run.interpolate.run, seed)
    facts = {"digest": study.run_digest(run.name, seed), "of": run.interpolate.run}
    return *ends, run.interpolate.weight, study.model_dir(run.name, seed), facts


def _folders_of_user(a):
    if a.names or not (a.start and a.refined and a.out):
        raise HelipError("give --study S --seed N RUN, or --start NAME --refined DIR --out DIR")
    from helip.models.reference import parse

    start = parse(a.start)
    check_replaceable(a.out, ABOUT, a.refined, start.folder, start.file)
    return a.start, a.refined, a.weight, a.out, {}


# ---------------------------------------------------------------- filter-pairs


def _filter(a):
    from helip.data.corpus import Corpus
    from helip.mining import PairSet
    from helip.selection.false_negatives import drop_false_negatives
    from helip.selection.features import joint_features

    said = _pairs_of_study(a) if a.study else _pairs_of_user(a)
    device = torch_device(a.device)
    workers = loader_workers(a.workers, device)
    corpus = Corpus.open(said["corpus"])
    pairs = PairSet.open(said["pairs"], corpus.digest)
    (image, image_tower), (text, text_tower) = (
        joint_features(said["model"], said["pretrained"], modality, corpus, said["cache"], device, a.batch_size, workers)
        for modality in ("image", "text")
    )
    kept = drop_false_negatives(pairs, image.array, text.array, said["margin"])
    inputs = {**pairs.about.get("inputs", {}), "image_tower": image_tower.weights, "text_tower": text_tower.weights}
    known = {name: pairs.about[name] for name in ("encoders", "recovered_share") if name in pairs.about}
    facts = {"false_negative_margin": said["margin"], "entries_before": len(pairs.ids), **known, **said["facts"]}
    kept.save(said["out"], inputs=inputs, corpus_digest=corpus.digest, **facts)
    emptied = int(((kept.offsets[1:] == kept.offsets[:-1]) & ~kept.noise).sum())
    print(f"{said['out']}: kept {len(kept.ids)} of {len(pairs.ids)} hard pairs; {emptied} targets have none left and bring none")


def _pairs_of_study(a):
    from helip.study import load

    study = load(a.study)
    if len(a.names) != 2:
        raise HelipError("with --study, name the start run and the filtered pairs: helip filter-pairs --study S --seed N RUN PAIRS")
    start, name = a.names
    pairs, margin = study.filter_entry(start, name)
    return {
        "corpus": study.corpus_dir(study.run(start).corpus),
        "pairs": study.pairs_dir(pairs),
        "model": f"local-dir:{study.model_dir(start, a.seed)}",
        "pretrained": None,
        "cache": study.root / "selections" / start / f"seed{a.seed}" / "features",  # which `helip select` fills too
        "margin": margin,
        "out": study.root / "filtered" / start / f"seed{a.seed}" / name,
        "facts": {"digest": study.filter_digest(start, a.seed, name)},
    }


def _pairs_of_user(a):
    from helip.models.reference import parse, refuse_pretrained

    refuse_pretrained(a.model, a.pretrained)
    if a.names or not (a.corpus and a.pairs and a.model and a.out):
        raise HelipError("give --study S --seed N RUN PAIRS, or --corpus DIR --pairs DIR --model NAME --out DIR")
    model = parse(a.model)
    check_replaceable(a.out, "pairs.json", a.corpus, a.pairs, model.folder, model.file)
    given = {name: getattr(a, name) for name in ("corpus", "pairs", "margin", "out")}
    return given | {"model": model.name, "pretrained": model.pretrained, "cache": a.out.with_name(f"{a.out.name}.features"), "facts": {}}
