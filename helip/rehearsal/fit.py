"""What two measured sizes say of the declared one: memory of a GPU and a host, time against the limit, disk."""

import shutil

from helip.config import Resources
from helip.rehearsal.kinds import Kind
from helip.rehearsal.measured import MB, Measured, at
from helip.rehearsal.scale import Scale
from helip.stages import Mine, MineShard, Probe, Train

# [B, B] float32 matrices of the gathered batch that the loss and its gradient hold at once in each process. Counted, not measured: no
# rehearsed batch is large enough to see them.
SIMILARITIES = {"clip": 6, "siglip": 7, "hn_nce": 9, "cyclip": 12, "cloob": 12, "slip": 18, "declip": 24}
USABLE = 0.92  # of a GPU's memory: the CUDA context and what its allocator cannot use take the rest


def predict(kind: Kind, measured: Measured, scale: Scale) -> None:
    """Adds to what was measured what will happen at the declared size, and the problems that this will be."""
    if measured.seconds is None:
        return
    asked = kind.asked
    match kind.one:
        case Train() if kind.stage == "train":
            _training(kind.one, measured, scale, asked)
        case Mine() | MineShard():
            _mining(kind.one, measured, asked)
        case Probe():
            _probe(kind, measured, asked)
    _time(kind, measured, scale, asked)
    _disk(kind, measured)


def _training(one: Train, measured: Measured, scale: Scale, asked: Resources) -> None:
    recipe = one.study.run(one.run).recipe
    micro = scale.micro_batch(recipe, asked.gpu)
    cut = scale.pieces(recipe) * scale.processes
    points = measured.points
    if all(p.gpu_mb is not None for p in points):
        gpu = at([(p.size / cut, p.gpu_mb or 0.0) for p in points], micro)
        how = "peak of two batches"
    else:
        gpu = at([(p.size / cut, p.saved_mb or 0.0) for p in points], micro)
        gpu = None if gpu is None else gpu + (points[-1].fixed_mb or 0.0)
        how = "tensors kept for the backward pass at two batches, weights, gradients and optimiser state"
    if gpu is None:
        return
    gpu += SIMILARITIES[recipe.objective.name] * 4 * recipe.batch_size**2 / MB
    room = scale.gpu_gb * 1024 * USABLE
    measured.predictions.append(f"{gpu / 1024:.1f} GiB of a GPU's {scale.gpu_gb:g} for {micro} rows a process ({how})")
    if gpu > room:
        times = max(2, -(-int(gpu) // int(room)))
        measured.problems.append(
            f"a step needs about {gpu / 1024:.1f} GiB of a GPU of {scale.gpu_gb:g}: multiply accumulate by {times}, "
            "set checkpoint_gradients, or take more GPUs"
        )


def _mining(one: Mine | MineShard, measured: Measured, asked: Resources) -> None:
    """Counted, not measured: how mining spends its memory depends on its budget, and no rehearsed size comes near it."""
    whole = one.whole if isinstance(one, MineShard) else one
    pairs = whole.corpus.size()
    if pairs is None:
        return
    lists = 4 * whole.config().k * pairs / whole.shards() / MB  # of ids, and as much of scores
    where = "memory" if lists < asked.mem_mb / 8 else "$TMPDIR, which must hold them"
    measured.predictions.append(f"{2 * lists / 1024:.1f} GiB of lists for a job's targets, in {where}")


def _probe(kind: Kind, measured: Measured, asked: Resources) -> None:
    _, train = next(one.images() for one in kind.one.sets() if one.set == kind.set)  # type: ignore[attr-defined]
    if train is None:
        return
    needed = measured.largest.host_mb + measured.largest.facts["row_mb"] * train
    measured.predictions.append(f"{needed / 1024:.1f} GiB of memory for {train:,} train images")
    if needed > asked.mem_mb:
        measured.problems.append(
            f"a probe of {train:,} images needs about {needed:,.0f} MB: raise mem_mb of probe, which is {asked.mem_mb}"
        )


def share(kind: Kind, scale: Scale) -> float:
    """Returns what part of the rehearsed seconds a unit takes in the study, whose job has more GPUs or workers."""
    return scale.processes / max(1, kind.asked.gpu) if kind.stage == "train" else 1 / kind.shared


def _time(kind: Kind, measured: Measured, scale: Scale, asked: Resources) -> None:
    """Hours of the largest job, where they were measured on what the study will run on."""
    units = kind.one.work().units if kind.stage not in ("evaluate", "probe") else None
    if units is None or measured.seconds is None or (asked.gpu and not scale.on_gpu):
        return
    hours = (measured.largest.start + measured.seconds * units * share(kind, scale)) / 3600
    if hours >= 0.1:
        workers = f" by {kind.shared} workers" if kind.shared > 1 else ""
        measured.predictions.append(f"{hours:.1f} h for the largest of its jobs{workers}, with a limit of {asked.runtime / 60:.1f}")
    if hours > asked.runtime / 60 and kind.stage != "train":
        measured.problems.append(
            f"the largest job needs about {hours:.1f} h: raise runtime of {kind.one.name}, which is {asked.runtime} minutes"
        )


def _disk(kind: Kind, measured: Measured) -> None:
    items, each = kind.one.work().items, measured.largest.bytes
    if not items or each is None or kind.stage in ("evaluate", "probe"):
        return
    needed = items * each
    if needed < 1e9:
        return
    measured.predictions.append(f"{needed / 1e9:,.0f} GB of disk for the largest of its jobs")
    free = shutil.disk_usage(kind.one.study.root).free
    if needed > free:
        measured.problems.append(
            f"the largest job leaves {needed / 1e9:,.0f} GB and {free / 1e9:,.0f} are free here: put the results folder where there is room"
        )
