"""Jobs by stage with their hours, disk and memory, as lines of text."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from helip.planning.jobs import check_costs, cost_key, cost_of
from helip.stages import STAGES, Stage
from helip.study import Study

GB = 1e9


@dataclass
class Line:
    """What the jobs of a stage cost together. `unpriced` jobs have no declared cost or no known size, and are not in the sums."""

    stage: str
    jobs: int = 0
    left: int = 0  # whose artefact is not there yet
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


def summary(study: Study, artefacts: Iterable[Stage]) -> list[Line]:
    """Returns one line a stage, in the order of the work."""
    check_costs(study)
    by_stage: dict[str, Line] = {}
    for one in artefacts:
        _add(by_stage.setdefault(one.label, Line(one.label)), one)
    names = [stage.name for stage in STAGES]
    order = {name: n for n, name in enumerate(names)} | {"import": names.index("train") - 0.5}
    return sorted(by_stage.values(), key=lambda line: order[line.stage])


def _add(line: Line, one: Stage) -> None:
    asked, work = one.resources(), one.work()
    line.jobs, line.left = line.jobs + 1, line.left + (not one.is_done)
    line.gpus, line.threads = max(line.gpus, asked.gpu), max(line.threads, asked.threads)
    line.memory_gb = max(line.memory_gb, asked.mem_mb / 1000)
    line.limit_hours = max(line.limit_hours, asked.runtime / 60)
    if not work.costs:
        return
    cost = cost_of(one)
    if cost is None or work.units is None or work.items is None:
        line.unpriced += 1
        return
    hours = (cost.start + cost.seconds * work.units) / 3600
    line.longest_hours = max(line.longest_hours, hours)
    line.gpu_hours, line.core_hours = line.gpu_hours + hours * asked.gpu, line.core_hours + hours * asked.threads
    line.disk_gb += cost.bytes * work.items / GB
    line.origins[f"{cost_key(one)}: {cost.origin}"] = None


HEAD = ("stage", "jobs", "left", "GPUs", "longest h", "limit h", "GPU-hours", "core-hours", "disk GB", "memory GB")


def text(study: Study, lines: list[Line]) -> str:
    """Returns a Markdown table, what it leaves out, and where the costs come from."""
    rows = [HEAD, ("---", *["---:"] * (len(HEAD) - 1)), *map(_row, lines), _total(lines)]
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


def _total(lines: list[Line]) -> tuple[str, ...]:
    def total(of: str) -> float:
        return sum(getattr(line, of) for line in lines)

    peak = max((line.memory_gb for line in lines), default=0)
    sums = (f"{total('gpu_hours'):,.0f}", f"{total('core_hours'):,.0f}", f"{total('disk_gb'):,.1f}")
    return ("all", str(total("jobs")), str(total("left")), "", "", "", *sums, f"{peak:.0f}")


def _remarks(study: Study, lines: list[Line]) -> list[str]:
    remarks = []
    for line in lines:
        if line.unpriced:
            why = "no cost is declared, or nobody has said how large their data are"
            remarks.append(f"{line.stage}: {line.unpriced} of {line.jobs} jobs are not in the sums: {why}.")
        if line.longest_hours > line.limit_hours > 0:
            how = "goes on after its time limit" if line.stage == "train" else "would meet its time limit: raise resources"
            remarks.append(f"{line.stage}: the longest job {how} ({line.longest_hours:.1f} of {line.limit_hours:.1f} hours).")
    origins = dict.fromkeys(f"  {origin}" for line in lines for origin in line.origins)
    return [
        "",
        *remarks,
        *(["Costs, from " + str(study.file) + ":", *origins] if origins else ["No costs are declared: only jobs are counted."]),
    ]
