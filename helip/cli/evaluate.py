"""`helip evaluate` and `helip probe`: metrics of a study's checkpoint, or of your own model on a set in CLIP benchmark's wds layout."""

from pathlib import Path

from helip.cli.options import at_least, own_group

COMMANDS = {
    "evaluate": "zero-shot classification and retrieval of a model",
    "probe": "linear probe of a model's image features",
}


def add(name, parser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("--study", help="a study of experiments/studies; then RUN is one of its runs")
    parser.add_argument("run_name", nargs="?", metavar="RUN")
    parser.add_argument("--seed", help="of the run's checkpoint")
    own = own_group(parser, "model")
    own.add_argument("--model", help="NAME@TAG, NAME@FILE, hf-hub:ORG/NAME or an open_clip folder")
    own.add_argument("--set", type=Path, help="a folder in CLIP benchmark's wds layout")
    own.add_argument("--out", type=Path, help="the metrics file (JSON)")
    own.add_argument("--cache", type=Path, help="a folder that keeps features for the next evaluation")
    parser.add_argument("--workers", type=at_least(0), default=0, help="processes that decode images")
    return lambda arguments: _run(arguments, name)


def _run(arguments, stage: str) -> None:
    from helip.errors import HelipError
    from helip.models.network import offline_if_unreachable

    offline_if_unreachable()
    of_study = arguments.study and arguments.run_name and arguments.seed is not None
    of_user = arguments.model and arguments.set and arguments.out
    if bool(of_study) == bool(of_user):
        raise HelipError("give either --study S RUN --seed N, or --model MODEL --set FOLDER --out FILE")
    if of_study:
        _of_study(arguments, stage)
    else:
        _of_user(arguments, stage)


def _of_study(arguments, stage: str) -> None:
    from helip.study import load

    study = load(arguments.study)
    from helip.stages.evaluate import evaluate_run

    for path in evaluate_run(study, arguments.run_name, arguments.seed, stage, arguments.workers):
        _say(path)


def _of_user(arguments, stage: str) -> None:
    from helip.evaluation.extraction import Extractor
    from helip.evaluation.model import load
    from helip.evaluation.run import result_of, write_metrics
    from helip.evaluation.sets import of_folder

    data = of_folder(arguments.set)
    extractor = Extractor(load(arguments.model), arguments.cache, arguments.workers)
    task = "probe" if stage == "probe" else "retrieval" if data.task == "retrieval" else "zeroshot"
    said = {"model": arguments.model, "set": data.name, "task": task}
    write_metrics(arguments.out, said, result_of(extractor, data, task), extractor, {"model": arguments.model, "set": str(arguments.set)})
    _say(arguments.out)


def _say(path: Path) -> None:
    from helip.io import read_json

    values = ", ".join(f"{name} {value:.2f}" for name, value in read_json(path)["metrics"].items())
    print(f"{path}: {values}")
