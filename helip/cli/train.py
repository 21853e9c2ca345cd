"""`helip train` and `helip refine`: a run of a study, or hard-pair refinement of your own checkpoint on your own data."""

import sys
from pathlib import Path

from helip.cli.options import at_least, torch_device
from helip.errors import HelipError

COMMANDS = {
    "train": "train a run of a study, pre-training or refinement; goes on from its last state",
    "refine": "refine any open_clip checkpoint with the hard pairs of your own corpus",
}


def add(name, parser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("--workers", type=at_least(0), help="loader processes (default: none on a CPU, up to 8 beside a GPU)")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    if name == "train":
        parser.add_argument("--study", required=True)
        parser.add_argument("run_name", metavar="RUN", help="a run of the study")
        parser.add_argument("--seed", required=True, help="e.g. 0, or 0r1 for the second refinement of pre-training 0")
        return _train
    parser.add_argument("--corpus", type=Path, required=True, help="a corpus folder made by `helip corpus`")
    parser.add_argument("--pairs", type=Path, help="a pair set made by `helip mine`; the arm `control` needs none")
    parser.add_argument("--keep", type=Path, help="keep.npy of `helip select`: the pairs to train on")
    parser.add_argument(
        "--start", "--model", dest="start", required=True, help="NAME@TAG, NAME@FILE, hf-hub:ORG/NAME or an open_clip folder"
    )
    parser.add_argument("--out", type=Path, required=True, help="the model folder to make")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--recipe", type=Path, help="a YAML file of Refinement fields; the options below override it")
    _add_fields(parser.add_argument_group("refinement"))
    return _refine


FIELDS = {
    "arm": str, "steps": int, "epochs": float, "batch_size": int, "learning_rate": float, "weight_decay": float, "warmup_steps": int,
    "schedule": str, "precision": str, "clip_norm": float, "accumulate": int, "seed_fraction": float, "p": int, "gamma": float,
    "ema": float, "save_every": int,
}  # fmt: skip
SWITCHES = ("symmetric_margin", "drop_noise", "checkpoint_gradients")


def _add_fields(group) -> None:
    import argparse

    for field, kind in FIELDS.items():
        group.add_argument(f"--{field.replace('_', '-')}", type=kind)
    for field in SWITCHES:
        group.add_argument(f"--{field.replace('_', '-')}", action=argparse.BooleanOptionalAction)


def _train(arguments):
    from helip.study import load

    study = load(arguments.study)
    study.run_digest(arguments.run_name, arguments.seed)  # refuses unknown names before anything heavy is imported
    if study.run(arguments.run_name).interpolate:
        raise HelipError(f"{study.file}: {arguments.run_name} is an interpolation: make it with `helip interpolate`, which trains nothing")
    if arguments.run_name in study.declaration.published:
        what = f"{arguments.run_name} is a published checkpoint in study {study.name}"
        raise HelipError(f"{study.file}: {what}: fetch it (`helip fetch-model`), or remove it from `published` to train it")

    def job(world):
        from helip.stages.train import train_job

        return train_job(study, arguments.run_name, arguments.seed, world)

    def retention_set(name):
        from helip.evaluation.sets import of_declaration

        if name not in study.declaration.evaluation:
            raise HelipError(f"{study.file}: refinement -> retention -> set: '{name}' is none of the study's evaluation sets")
        return of_declaration(name, study.declaration.evaluation[name], study.evaluation_dir(name))

    return _run(arguments, job, retention_set)


def _refine(arguments):
    from helip.io import check_replaceable
    from helip.models.layout import ABOUT
    from helip.models.reference import parse

    recipe, a = _recipe(arguments), arguments
    start = parse(a.start)
    check_replaceable(a.out, ABOUT, a.corpus, a.pairs, a.keep, a.recipe, start.folder, start.file)

    def job(world):
        from helip.training.jobs import of_own_data

        return of_own_data(recipe, a.corpus, a.pairs, a.start, a.out, a.seed, a.keep)

    def retention_set(name):
        from helip.evaluation.sets import of_folder

        return of_folder(Path(name))

    return _run(arguments, job, retention_set)


def _recipe(arguments):
    from helip.config import Refinement
    from helip.config.reading import read_yaml, validate

    options = {field: value for field in (*FIELDS, *SWITCHES) if (value := getattr(arguments, field)) is not None}
    settings = (read_yaml(arguments.recipe, dict) if arguments.recipe else {}) | options
    return validate(Refinement, settings, str(arguments.recipe or "options"))


def _run(arguments, make_job, retention_set):
    from helip.training import Interrupts

    with Interrupts() as listening:  # before torch is imported: whenever the signal comes, the exit code asks to be requeued
        from helip.training.processes import processes_wanted, relaunch

        torch_device(arguments.device)  # refuses a GPU that is not there
        wanted = 1 if arguments.device == "cpu" else processes_wanted()
        if wanted > 1:
            return relaunch(wanted, sys.argv[1:], listening=listening)
        return _train_here(arguments, make_job, retention_set, listening)


def _train_here(arguments, make_job, retention_set, listening):
    import dataclasses

    from helip.training.distributed import join, leave
    from helip.training.jobs import prepare
    from helip.training.loop import train

    world = join(arguments.device)
    try:
        job = dataclasses.replace(make_job(world), workers=arguments.workers)
        if (watched := getattr(job.recipe, "retention", None)) is not None:
            job = dataclasses.replace(job, retention_score=_retention_score(job.clip, retention_set(watched.set), str(world.device)))
        if world.leads:
            job = dataclasses.replace(job, warnings=prepare(job))
        return train(job, world, listening)
    finally:
        leave()


def _retention_score(clip, data, device):
    """model -> accuracy or mean recall at 1 on a small set, in points."""
    from helip.evaluation.extraction import Extractor
    from helip.evaluation.metrics import retrieval, zeroshot
    from helip.evaluation.model import ClipModel
    from helip.training.validation import transform_of

    def score(model):
        extractor = Extractor(ClipModel(model, transform_of(clip), clip.tokenize, "training", "training", device), cache=None)
        if data.task == "classification":
            return zeroshot(extractor, data).metrics["acc1"]
        recalls = retrieval(extractor, data).metrics
        return (recalls["image_recall_at_1"] + recalls["text_recall_at_1"]) / 2

    return score
