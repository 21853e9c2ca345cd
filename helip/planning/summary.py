"""Jobs by stage with their hours, disk and memory, as lines of text."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from helip.planning.jobs import added_by, check_costs, cost_key, cost_of, hours_of
from helip.planning.measured import costs_file
from helip.planning.schedule import duration, jobs_of, wall_clock
from helip.stages import STAGES, Stage, left_of
from helip.study import Study

GB = 1e9


@dataclass
class Line:
    """What the jobs of a stage cost together. `unpriced` jobs have no declared cost or no known size, and are not in the sums."""

    stage: str
    jobs: int = 0
    left: int = 0  # whose artefact is not there yet, or is there of other settings
    outdated: int = 0  # of those left: there of other settings
    gpus: int = 0  # of one job
    threads: int = 1
    longest_hours: float = 0.0
    limit_hours: float = 0.0  # the declared time limit; a longer training is requeued and goes on
    gpu_hours: float = 0.0
    core_hours: float = 0.0
    disk_gb: float = 0.0
    memory_gb: float = 0.0  # of one job
    unpriced: int = 0
    origins: dict[str, None] = field(default_factory=dict)  # ordered


def summary(study: Study, artefacts: Collection[Stage]) -> list[Line]:
    """Returns one line a stage, in the order of the work."""
    check_costs(study)
    by_stage: dict[str, Line] = {}
    left = left_of(artefacts)
    for one in artefacts:
        _add(by_stage.setdefault(one.label, Line(one.label)), one, one in left)
    names = [stage.name for stage in STAGES]
    order = {name: n for n, name in enumerate(names)} | {"import": names.index("train") - 0.5}
    return sorted(by_stage.values(), key=lambda line: order[line.stage])


def _add(line: Line, one: Stage, is_left: bool) -> None:
    asked, work = one.resources(), one.work()
    line.jobs, line.left, line.outdated = line.jobs + 1, line.left + is_left, line.outdated + (is_left and one.is_done)
    line.gpus, line.threads = max(line.gpus, asked.gpu), max(line.threads, asked.threads)
    line.memory_gb = max(line.memory_gb, asked.mem_mb / 1000)
    line.limit_hours = max(line.limit_hours, asked.runtime / 60)
    if not work.costs:
        return
    cost = cost_of(one)
    if cost is None or work.units is None or work.items is None:
        line.unpriced += 1
        return
    hours = hours_of(one) or 0.0
    line.longest_hours = max(line.longest_hours, hours)
    line.gpu_hours, line.core_hours = line.gpu_hours + hours * asked.gpu, line.core_hours + hours * asked.threads
    line.disk_gb += cost.bytes * work.items / GB
    line.origins[f"{cost_key(one)}: {cost.origin}"] = None


HEAD = ("stage", "jobs", "left", "GPUs", "longest h", "limit h", "GPU-hours", "core-hours", "disk GB", "memory GB")


DOUBLED = (8, 16, 32, 64, 128, 256)  # devices, where nobody says how many


def plan_text(study: Study, planned: Sequence[Stage], devices: int | None = None, whole: bool = True) -> str:
    """Returns the plan: what is assumed, the jobs by stage, what the table of the open question adds, and how long it takes.

    devices: GPUs (cores, in a study without GPUs) that work at the same time; None for several numbers of them. whole: whether the plan is
    of all that the study makes.
    """
    lines, question = summary(study, planned), study.report.question.table
    added = summary(study, added_by(study, question, planned)) if whole and question in study.tables else []
    return "\n".join([*_assumed(lines), "", text(study, lines, added, question), "", *_wall_clock(lines, planned, devices)])


def _assumed(lines: list[Line]) -> list[str]:
    """What a reader must know before any number."""
    origins = dict.fromkeys(origin for line in lines for origin in line.origins)
    assumed = [origin.partition(": ")[0] for origin in origins if origin.partition(": ")[2].startswith("assumed")]
    if not origins:
        return ["Jobs are counted; the study declares no costs, so that no hours are known: `helip rehearse STUDY` measures them."]
    match len(assumed):
        case 0:
            return [f"An estimate: all {len(origins)} costs behind it were measured."]
        case count if count == len(origins):
            return [f"An estimate: all {count} costs behind it are assumed and none was measured; each says its ground below."]
    return [f"An estimate: {len(assumed)} of the {len(origins)} costs behind it are assumed, not measured: {', '.join(assumed)}."]


def _wall_clock(lines: list[Line], planned: Sequence[Stage], devices: int | None) -> Iterator[str]:
    """How long what is left takes; nothing where no cost is known."""
    if not any(line.origins for line in lines):
        return
    gpus = any(one.resources().gpu for one in planned)
    jobs, unit = jobs_of(planned, gpus), "GPUs" if gpus else "cores"
    most = max((job.devices for job in jobs), default=0)
    counts = [devices] if devices else ([n for n in DOUBLED if n >= most] if gpus else [1, 2, 4, 8, 16])
    times = [f"{n} {unit}: {duration(hours)}" for n in counts if (hours := wall_clock(jobs, n)) is not None]
    if devices and not times:
        yield f"Wall-clock of what is left: never on {devices} {unit}, since one job asks for {most}."
    elif times:
        waits = "no waiting in queues, and cores without limit beside them" if gpus else "no other work on them"
        yield f"Wall-clock of what is left ({waits}): {'; '.join(times)}."


def text(study: Study, lines: list[Line], added: Sequence[Line] = (), question: str = "") -> str:
    """Returns a Markdown table, what it leaves out, and where the costs come from.

    added: the part of it that the table of the open question alone asks for, which is a line of its own.
    """
    rows = [HEAD, ("---", *["---:"] * (len(HEAD) - 1)), *map(_row, lines), _total(lines)]
    rows += [_total(list(added), f"of these for {question} alone")] if added else []
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    table = [
        "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))) + " |" for r in rows
    ]
    return "\n".join([*table, *_remarks(study, lines)])


def _row(line: Line) -> tuple[str, ...]:
    counts = (line.stage, str(line.jobs), str(line.left), str(line.gpus))
    if line.stage == "table":
        return (*counts, *["0"] * 5, "-")
    if line.unpriced == line.jobs:
        return (*counts, *["?"] * 5, f"{line.memory_gb:.0f}")
    hours = (f"{line.longest_hours:.1f}", f"{line.limit_hours:.1f}", f"{line.gpu_hours:,.0f}", f"{line.core_hours:,.0f}")
    return (*counts, *hours, f"{line.disk_gb:,.1f}", f"{line.memory_gb:.0f}")


def _total(lines: list[Line], label: str = "all") -> tuple[str, ...]:
    def total(of: str) -> float:
        return sum(getattr(line, of) for line in lines)

    peak = max((line.memory_gb for line in lines), default=0)
    sums = (f"{total('gpu_hours'):,.0f}", f"{total('core_hours'):,.0f}", f"{total('disk_gb'):,.1f}")
    sums = sums if any(line.origins for line in lines) else ("?", "?", "?")
    return (label, str(total("jobs")), str(total("left")), "", "", "", *sums, f"{peak:.0f}")


def _remarks(study: Study, lines: list[Line]) -> list[str]:
    remarks = []
    origins = dict.fromkeys(f"  {origin}" for line in lines for origin in line.origins)
    if outdated := sum(line.outdated for line in lines):
        remarks.append(f"{outdated} of the jobs left have files of other settings than {study.file} declares now: they are made again.")
    for line in lines:
        if line.unpriced and origins:
            why = "no cost is declared, or nobody has said how large their data are"
            remarks.append(f"{line.stage}: {line.unpriced} of {line.jobs} jobs are not in the sums: {why}.")
        if line.longest_hours > line.limit_hours > 0:
            how = "goes on after its time limit" if line.stage == "train" else "would meet its time limit: raise resources"
            remarks.append(f"{line.stage}: the longest job {how} ({line.longest_hours:.1f} of {line.limit_hours:.1f} hours).")
    measured = costs_file(study)
    files = " and ".join([*([str(study.file)] if study.declaration.costs else []), *([str(measured)] if measured.exists() else [])])
    return ["", *remarks, *([f"Costs, from {files}:", *origins] if origins else [])]
