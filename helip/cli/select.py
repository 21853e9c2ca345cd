"""`helip select`: which pairs of a study's corpus, or of your own, are worth training on."""

import argparse
from pathlib import Path

from helip.cli.options import at_least, loader_workers, own_group, shard, torch_device

COMMANDS = {"select": "score the pairs of a corpus with a CLIP model and keep the best"}


def add(name, parser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("--study", help="a study of experiments/studies; then RUN is the start checkpoint's and SELECTION a name of it")
    parser.add_argument("names", nargs="*", metavar="RUN SELECTION")
    parser.add_argument("--seed", default="0", help="of the start checkpoint; for your own data, of the random batches")
    own = own_group(parser, "data")
    own.add_argument("--corpus", type=Path, help="a corpus folder made by `helip corpus`")
    own.add_argument("--model", help="the model you will refine: NAME@TAG, NAME@FILE, hf-hub:ORG/NAME or an open_clip folder")
    own.add_argument("--pretrained", help=argparse.SUPPRESS)
    own.add_argument("--score", choices=("clip_score", "s_clip_loss", "norm_sim", "column"), default="s_clip_loss")
    own.add_argument("--keep", type=float, default=0.9, help="share of the pairs that stays")
    own.add_argument("--column", type=Path, help="an .npy file of your own scores, one per pair")
    own.add_argument("--target", type=Path, help="norm_sim: an evaluation set folder whose train images stand for the target")
    own.add_argument("--p", choices=("2", "inf"), default="2", help="norm_sim: the norm over the target")
    own.add_argument("--batches", type=int, default=10, help="s_clip_loss: random batches that a pair is scored in")
    own.add_argument("--random-batch-size", type=int, default=32768, help="s_clip_loss: pairs in a random batch")
    own.add_argument("--temperature", type=float, default=0.01, help="s_clip_loss")
    own.add_argument("--out", type=Path, help="folder for keep.npy, scores.npy, selection.json; features lie in OUT.features beside it")
    parser.add_argument("--batch-size", type=at_least(1), default=64, help="of the encoder")
    parser.add_argument("--workers", type=at_least(0), help="processes that decode images (default: none on a CPU, up to 8 for a GPU)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    parser.add_argument("--shard", type=shard, default=(0, 1), metavar="i/n", help="s_clip_loss: compute only part i of n of the shuffles")
    return _select


def _select(a):
    from helip.selection.job import Job, run

    said, inputs = _of_study(a) if a.study else _of_user(a)
    said["device"] = "cpu" if said["spec"].score == "column" else torch_device(a.device)  # a column is read without torch
    found = run(Job(**said, batch_size=a.batch_size, workers=loader_workers(a.workers, said["device"])), a.shard, inputs)
    if found is None:
        print(f"{said['out']}: shard {a.shard[0]}/{a.shard[1]} is done; the same command without --shard joins the shards")
        return
    truth = found.get("truth")
    against = f"; against truth: precision {truth['precision']}, recall {truth['recall']}, AUC {truth['auc']}" if truth else ""
    print(f"{said['out']}: kept {found['kept']} of {found['size']} pairs, those scored at least {found['threshold']:.4f}{against}")


def _of_study(a):
    from helip.data.corpus import Corpus
    from helip.errors import HelipError
    from helip.study import load

    if len(a.names) != 2:
        raise HelipError("with --study, name the start run and the selection: helip select --study S --seed N RUN SELECTION")
    study, (start, name) = load(a.study), a.names
    spec = study.selection_entry(start, name)
    out = study.root / "selections" / start / f"seed{a.seed}" / name
    said = {"spec": spec, "corpus": Corpus.open(study.corpus_dir(study.run(start).corpus)), "out": out}
    said |= {"model": f"local-dir:{study.model_dir(start, a.seed)}", "cache": out.parent / "features"}
    if spec.target:
        said["target"] = _target(spec.target, study.declaration.evaluation[spec.target], study.evaluation_dir(spec.target))
    return said, {"start": study.run_digest(start, a.seed)}


def _target(name, declaration, folder):
    from helip.evaluation.sets import of_declaration

    return of_declaration(name, declaration, folder)


def _of_user(a):
    from helip.data.corpus import Corpus
    from helip.errors import HelipError
    from helip.io import check_replaceable
    from helip.models.reference import parse, refuse_pretrained

    refuse_pretrained(a.model, a.pretrained)
    scored = a.score if a.column is None else "column"
    wanted = {"column": a.column, "norm_sim": a.model and a.target}.get(scored, a.model)
    if a.names or not (a.corpus and a.out and wanted):
        raise HelipError(
            "give --study S --seed N RUN SELECTION, or --corpus DIR --out DIR with --model NAME (and --target SET) or --column FILE"
        )
    model = parse(a.model) if a.model else None
    places = (model.folder, model.file) if model else ()
    check_replaceable(a.out, "selection.json", a.corpus, *places, a.column, a.target)
    said = {"spec": _spec(a, scored), "corpus": Corpus.open(a.corpus), "out": a.out, "cache": a.out.parent / f"{a.out.name}.features"}
    said |= {"model": model.name, "pretrained": model.pretrained} if model else {}
    if a.target:
        from helip.evaluation.sets import of_folder

        said["target"] = of_folder(a.target)
    return said, {}


def _spec(a, score):
    from helip.config import Selection
    from helip.config.reading import validate_options

    settings = {
        "score": score,
        "keep": a.keep,
        "batches": a.batches,
        "batch_size": a.random_batch_size,
        "temperature": a.temperature,
        "p": a.p,
    }
    settings |= {"target": "target" if a.target else None, "column": str(a.column) if a.column else None}
    return validate_options(Selection, settings | {"seed": a.seed}, nameless="score")
