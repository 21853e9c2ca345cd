"""`helip refine` from its request to its answer: a study is written, the graph is built, the answer is printed."""

import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from helip.config import FrozenModel, Refinement, TrainConfig
from helip.data.parts import FEWEST
from helip.errors import HelipError
from helip.io import digest, read_json, write_json
from helip.models.layout import Format
from helip.own import planning, running
from helip.own.arms import ARMS, warmup_of
from helip.own.files import NAME, plain, study_file, text_of, write
from helip.own.fitting import steps_in
from helip.own.sources import amount_of, corpus_of, counted
from helip.own.start import StartFacts, check_trainable, digest_of, look_at
from helip.own.study import Machine, Request, declare, name_of
from helip.stages import Answer, Train
from helip.study import Study
from helip.study.resolve import ResolvedRun

RECORD = "refine.json"  # of a folder that `helip refine` made: what was asked for
PAGE, BEST = "report.html", "best_model"


@dataclass(frozen=True)
class Way:
    """How a request is run, which changes nothing in the answer."""

    out: Path
    machine: Machine
    profile: str | None = None
    minutes: float | None = None
    export: tuple[Format, ...] = ()  # forms of the best model that are written beside the answer


def dry_run(request: Request, way: Way) -> str:
    """Returns what will be done, how long it will take and how much disk it needs. Nothing is written into the folder.

    Raises HelipError as `refine` does before its first job.
    """
    _check_folder(way.out)
    study_stays = _asked(request, way).study_stays
    start = look_at(request.model, way.machine.device)
    with tempfile.TemporaryDirectory(prefix="helip-refine-") as place:
        study = declare(request, start, way.machine)
        loaded = _study(way.out) if study_stays else _tried(study, Path(place), way, start)
        _check_exports(loaded, way)
        sizes = _sizes(study, request, way)
        lines = planning.plan(loaded, start, sizes, way.machine.cores)
    free = shutil.disk_usage(_existing(way.out)).free
    return "\n".join([*_described(request, loaded, start, sizes), "", planning.text(lines), "", *_room(lines, free, way, start)])


def refine(request: Request, way: Way) -> None:
    """Builds the answer in the folder, from wherever an earlier command left off, and prints it.

    Raises HelipError for what cannot be read, and where a job fails; KeyboardInterrupt where it is stopped.
    """
    begun = time.monotonic()
    _check_folder(way.out)
    with running.alone(way.out) as lock:
        _declare(request, way)
        _check_exports(_study(way.out), way)
        jobs = 0
        if way.minutes is not None and not read_json(way.out / RECORD).get("steps"):
            jobs = _fit(request, way, begun, lock)
        jobs += running.build(way.out, [PAGE], way.machine.cores, way.profile, lock)
        _finish(way.out, jobs, time.monotonic() - begun)
        if way.export:
            _export(request, way)


def _existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)


def _check_folder(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file() and not (out / ".lock").is_file():
        raise HelipError(f"--out {out}: holds other files; name a folder that is not there, or one that `helip refine` made")


def _study(out: Path) -> Study:
    return Study(NAME, out / "experiments", out / "results")


# ---------------------------------------------------------------- the study file


@dataclass(frozen=True)
class _Asked:
    """What is asked for as RECORD holds it, and whether the study that is there stays as it is for it."""

    facts: dict[str, Any]
    study_stays: bool
    steps: int | None  # that were fitted into --minutes for the same request


def _asked(request: Request, way: Way) -> _Asked:
    """Compares what is asked for with what the folder was made for. HelipError where the study was edited and is of other options, or
    where the data are no more what they were.
    """
    file, record = study_file(way.out), read_json(way.out / RECORD) if (way.out / RECORD).is_file() else {}
    facts = {"request": yaml.safe_load(yaml.safe_dump(plain(asdict(request)))), "minutes": way.minutes, "start": digest_of(request.model)}
    written = digest(file.read_text()) if file.is_file() else ""
    edited = bool(record and written) and written not in (record["study"], record.get("pending"))
    same = {name: record.get(name) for name in facts} == facts
    if edited and not same:
        raise HelipError(f"{file}: was edited, and the options changed since; run `snakemake {PAGE}` in {way.out}, or name another --out")
    facts |= {"machine": asdict(way.machine), "data": _data(request, way, record)}
    if edited:
        other = record.get("machine") not in (None, facts["machine"])
        as_it_is = "it is taken as it is, whatever --gpus and --memory-mb say" if other else "it is taken as it is"
        print(f"{file}: was edited; {as_it_is}", file=sys.stderr)
    study_stays = edited or (written == record.get("study") and {name: record.get(name) for name in facts} == facts)
    return _Asked(facts, study_stays, record.get("steps") if same else None)


def _data(request: Request, way: Way, record: dict[str, Any]) -> dict[str, int] | None:
    """How much the data are, as `counted` says: as it was recorded where they are gone, since those of a folder or table are packed."""
    manifest = way.out / "results" / NAME / "corpora" / "whole" / "manifest.json"
    before = record.get("data") if record.get("request", {}).get("data") == request.data and manifest.is_file() else None
    try:
        now = counted(corpus_of(request.data, request.corpus))
    except HelipError:
        if manifest.is_file():
            return before
        raise
    if before is not None and not before["bytes"]:
        before = before | {"bytes": now["bytes"]}  # earlier versions recorded 0 for a folder
    if before not in (None, now):
        held = ", ".join(f"{before[name]} {name} then and {now[name]} now" for name in now if before[name] != now[name])
        remedy = f"name another --out, or delete {manifest.parent}, and all is made of the new ones"
        raise HelipError(f"--data {name_of(request.data)}: changed since {way.out} was made ({held}); {remedy}")
    return now


def _tried(study: dict[str, Any], place: Path, way: Way, start: StartFacts) -> Study:
    """The study as it will be, from a folder that is not the user's. HelipError for what does not fit together, or not to the start."""
    write(place, study, running.project_root())
    tried = Study(NAME, place / "experiments", way.out / "results")
    for run in _arms(tried):
        check_trainable(start, tried.model(run.model), run.recipe, max(1, way.machine.gpus))
    return tried


def _arms(study: Study) -> list[ResolvedRun]:
    return [run for run in study.runs.values() if run.name in ARMS]


def _declare(request: Request, way: Way) -> None:
    """Writes the study, or takes the one that is there: a file edited by hand is never written over."""
    asked = _asked(request, way)
    if asked.study_stays:
        return
    start = look_at(request.model, way.machine.device)
    study = declare(request, start, way.machine)
    fitted = {"steps": asked.steps} if asked.steps else {}
    if asked.steps:
        _set_steps(study, asked.steps, request)
    with tempfile.TemporaryDirectory(prefix="helip-refine-") as place:
        _tried(study, Path(place), way, start)
    _write(way.out, study, asked.facts | fitted)
    for line in _described(request, _study(way.out), start, _sizes(study, request, way)):
        print(line, file=sys.stderr, flush=True)


def _write(out: Path, study: dict[str, Any], facts: dict[str, Any]) -> None:
    """Writes the study and the record of it. Killed between the two, it leaves no file that counts as edited."""
    if (out / RECORD).is_file():
        write_json(out / RECORD, read_json(out / RECORD) | {"pending": digest(text_of(study))})
    text = write(out, study, running.project_root())
    write_json(out / RECORD, facts | {"study": digest(text)})


def _sizes(study: dict[str, Any], request: Request, way: Way) -> planning.Sizes:
    """About how much there is, before anything was read whole."""
    amount = amount_of(study["corpora"]["whole"])
    held_out = min(1000, round(request.held_out * amount.images))
    return planning.Sizes(amount.images - 2 * held_out, held_out, amount.captions, planning.COLD if way.profile else planning.WARM)


def _described(request: Request, study: Study, start: StartFacts, sizes: planning.Sizes) -> list[str]:
    arms = _arms(study)
    recipe = arms[0].recipe
    steps = planning.steps_of(study, arms[0].name, sizes.pairs)
    size = f"{start.parameters / 1e6:.1f} million parameters, images of {start.image_size} pixels"
    images, held_out, data = sizes.pairs + 2 * sizes.held_out, sizes.held_out, name_of(request.data)
    warnings = []
    if held_out < FEWEST:
        few = f"warning: about {held_out} images are too few for a validation and a test set, which need at least {FEWEST} each"
        warnings.append(f"{few}; give more pairs, or raise --held-out")
    if recipe.batch_size > sizes.pairs:
        warnings.append(
            f"warning: a batch of {recipe.batch_size} is larger than the about {sizes.pairs} pairs of training; lower --batch-size"
        )
    told = f", {sizes.captions:.1f} captions each" if sizes.captions > 1 else ""
    return [
        f"start: {request.model}, {size}; {_trained(request, start, recipe)}",
        f"data: about {images} images of {data}{told}; about {held_out} are held out for validation and {held_out} for test",
        f"arms: {', '.join(f'{run.name} ({ARMS[run.name][0]})' for run in arms)}; {len(arms[0].seeds)} training(s) of each",
        f"training: about {steps} steps of {recipe.batch_size} pairs, learning rate {recipe.learning_rate:g}, {recipe.precision}",
        *warnings,
    ]


def _trained(request: Request, start: StartFacts, recipe: TrainConfig) -> str:
    """What of the model is trained, by the shares of its towers that are frozen."""
    assert isinstance(recipe, Refinement)  # as every arm's is
    sides = [side for side, share in (("image", recipe.freeze_image), ("text", recipe.freeze_text)) if share < 1]
    heads, both = start.is_frozen or bool(request.freeze), len(sides) > 1
    what = f"{'both' if both else f'the {sides[0]}'} tower{'s' * both}"
    if heads:
        on = "frozen trunks" if start.is_frozen else "both towers, which stay as they are,"
        what = f"heads on {on}" if both else f"the {sides[0]} head on {on}"
    return f"{what} {'are' if both else 'is'} trained"


def _room(lines: list[planning.Line], free: int, way: Way, start: StartFacts) -> list[str]:
    need = sum(line.disk for line in lines)
    room = []
    if start.measured_on != way.machine.device:
        room.append("The minutes are of this machine's CPU, since it has no GPU; on one they are far fewer.")
    room += [f"disk: {need / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free in {_existing(way.out)}"]
    if need > free:
        room.append("That is too little: name an --out on a larger disk.")
    if way.minutes is not None:
        room.append(f"--minutes {way.minutes:g}: once their first steps are measured, the trainings are fitted to what is left of that.")
    return [*room, f"The same command without --dry-run does it; its study file will be {study_file(way.out)}."]


# ---------------------------------------------------------------- a budget of time


def _fit(request: Request, way: Way, begun: float, lock: int) -> int:
    """Builds everything that the trainings need, measures their first steps, and writes into the study how many steps fit.

    Returns how many jobs ran.
    """
    assert way.minutes is not None  # the caller asked
    study = _study(way.out)
    trainings = [Train(study, run.name, seed) for run in _arms(study) for seed in run.seeds]
    targets = sorted({os.path.relpath(path, way.out) for one in trainings for path in one.inputs()})
    jobs = running.build(way.out, targets, way.machine.cores, way.profile, lock)
    declared = yaml.safe_load(study_file(way.out).read_text())
    record = read_json(way.out / RECORD)
    rest = _evaluations(study, way, declared)
    left = 60 * way.minutes - (time.monotonic() - begun) - rest
    steps = steps_in(left, study, None if way.machine.gpus else "cpu")
    _set_steps(declared, steps, request)
    _write(way.out, declared, record | {"steps": steps})
    print(f"--minutes {way.minutes:g}: {steps} steps of each training fit ({left / 60:.1f} minutes are left for them)", file=sys.stderr)
    return jobs


def _set_steps(study: dict[str, Any], steps: int, request: Request) -> None:
    """Sets the length of the trainings, and their warm-up where none was given. HelipError for a given one that is not shorter."""
    given = request.refinement.get("warmup_steps")
    if given is not None and given >= steps:
        raise HelipError(f"--warmup-steps {given}: {steps} steps fit into --minutes; lower it, or give more minutes")
    study["refinement"].pop("epochs", None)
    study["refinement"] |= {"steps": steps} | ({"warmup_steps": warmup_of(steps)} if given is None else {})


def _evaluations(study: Study, way: Way, declared: dict[str, Any]) -> float:
    """Seconds that the evaluations and sweeps will take."""
    start = look_at(declared["published"]["start"]["model"], way.machine.device)
    manifest = read_json(study.root / "corpora" / "train" / "manifest.json")
    captions, begin = manifest["captions"] / manifest["size"], planning.COLD if way.profile else planning.WARM
    sizes = planning.Sizes(manifest["size"], max(manifest["held_out"].values()), captions, begin)
    lines = planning.plan(study, start, sizes, way.machine.cores)
    return sum(line.seconds for line in lines if line.what not in ("train",))


# ---------------------------------------------------------------- the end


def _finish(out: Path, jobs: int, seconds: float) -> None:
    study = _study(out)
    answer = Answer(study)
    content = read_json(answer.folder / "answer.json")
    link = out / BEST
    model = content["best"]["model"]
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(Path("results") / NAME / model)
    print((answer.folder / "answer.txt").read_text(), end="")
    print(f"{out / PAGE}: the page ({jobs} jobs in {seconds / 60:.1f} minutes)")
    heads = isinstance(study.model("clip"), FrozenModel)
    opens = f"helip alone opens it, as --model {link}" if heads else f"open_clip loads it as local-dir:{link}"
    print(f"{link}: the model that is best on validation; {opens}")
    print(f"next: open {out / PAGE}; edit {study_file(out)} and run `snakemake {PAGE}` in {out} to change anything")


def _check_exports(study: Study, way: Way) -> None:
    if way.export:
        from helip.own.exports import check  # it imports torch

        check(study, way.export)


def _export(request: Request, way: Way) -> None:
    from helip.own.exports import FOLDER, export  # it imports torch

    for line in export(way.out, _study(way.out), request, way.export):
        print(line)
    print(f"next: helip push {way.out / FOLDER / way.export[0]} ORG/NAME")
