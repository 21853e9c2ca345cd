"""The table by kind, the page, and the file of costs that `helip plan` reads."""

import dataclasses
import html
import os
from pathlib import Path
from typing import Any

import yaml

from helip.io import atomic_file, provenance, write_json
from helip.planning.measured import MeasuredCost, costs_file, read_costs
from helip.rehearsal.fit import share
from helip.rehearsal.kinds import Kind, kinds
from helip.rehearsal.measured import Measured
from helip.rehearsal.rehearse import Rehearsal

HEAD = (
    "kind",
    "jobs",
    "result",
    "s a unit",
    "start s",
    "GPU MB",
    "host MB",
    "bytes an item",
    "sizes",
    "not as in the study",
    "at the declared size",
)


def _cells(kind: Kind, measured: Measured) -> tuple[str, ...]:
    last = measured.largest
    seconds = f"{measured.seconds:.3g}" if measured.seconds is not None else "-"
    gpu = [p.gpu_mb for p in measured.points if p.gpu_mb is not None]
    return (
        kind.title, str(kind.jobs), f"would fail: {measured.failure}" if measured.failure else "ok", seconds, f"{last.start:.1f}",
        f"{max(gpu):,.0f}" if gpu else "-", f"{max(p.host_mb for p in measured.points):,.0f}",
        f"{last.bytes:,.0f}" if last.bytes is not None else "-", ", ".join(str(p.size) for p in measured.points),
        "; ".join(measured.notes), "; ".join(measured.predictions),
    )  # fmt: skip


def markdown(rehearsal: Rehearsal) -> str:
    """Returns the table by kind with a line over it that says where, when and how large it was rehearsed."""
    scale, failed = rehearsal.scale, len(rehearsal.failed)
    machines = dict.fromkeys(m.origin["machine"] for _, m in rehearsal.results)
    when = dict.fromkeys(f"{m.origin['date']}, commit {m.origin['commit']}" for _, m in rehearsal.results)
    where = f"Rehearsed on {' and on '.join(machines)} ({'; '.join(when)}) in {rehearsal.seconds / 60:.0f} minutes"
    where += f" and, {rehearsal.earlier} of the kinds, in an earlier sitting" if rehearsal.earlier else ""
    cut = (
        ""
        if scale.on_gpu
        else f", without a GPU: batches cut to {scale.batch}; seconds say nothing of a GPU, and the plan takes none of them for GPU jobs"
    )
    busy, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if busy > 1.5 * cores:
        cut += f"; {busy:.0f} processes shared its {cores} cores, so seconds are those of a busy machine"
    counts = f"{len(rehearsal.results)} kinds of job, {failed} would fail."
    rows = [HEAD, ("---",) * len(HEAD), *(_cells(kind, measured) for kind, measured in rehearsal.results)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    left = f"\nNo time was left for {len(rehearsal.unseen)}: {', '.join(k.title for k in rehearsal.unseen)}.\n" if rehearsal.unseen else ""
    return f"{where}{cut}. {counts}\n{left}\n{table}\n"


def page(rehearsal: Rehearsal) -> str:
    """Returns the same as an HTML page of its own."""
    body = ["".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(*one)) for one in rehearsal.results]
    rows = "\n".join(
        f"<tr class={'bad' if one[1].failure else 'ok'}>{cells}</tr>" for one, cells in zip(rehearsal.results, body, strict=True)
    )
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in HEAD)
    first = html.escape(markdown(rehearsal).partition("\n")[0])
    style = (
        "body{font:14px sans-serif;margin:2em}.bad{background:#fdd}"
        "td,th{border-bottom:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}"
    )
    title = f"Rehearsal of study {html.escape(rehearsal.study.name)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        f"<h1>{title}</h1><p>{first}</p><table><tr>{head}</tr>\n{rows}</table></html>\n"
    )


def costs(rehearsal: Rehearsal) -> dict[str, dict[str, Any]]:
    """Returns the entries of the file of costs: of each key the kind with the most jobs; seconds of GPU jobs only from a GPU."""
    chosen: dict[str, tuple[Kind, Measured]] = {}
    for kind, measured in rehearsal.results:
        if measured.seconds is not None and (kind.cost not in chosen or kind.jobs > chosen[kind.cost][0].jobs):
            chosen[kind.cost] = (kind, measured)
    entries = {}
    for key, (kind, measured) in chosen.items():
        tells_time = rehearsal.scale.on_gpu or not kind.asked.gpu
        seconds = (measured.seconds or 0.0) * share(kind, rehearsal.scale)
        entry: dict[str, Any] = {"bytes": measured.largest.bytes}
        if tells_time:
            start = _start(kind, rehearsal)
            entry |= {"seconds": float(f"{seconds:.4g}"), "start": round(start, 1), "spread": round(measured.spread, 2)}
        entry |= measured.origin | {"device": measured.device}
        if measured.notes:
            entry["note"] = "; ".join(measured.notes)
        known = {name: value for name, value in entry.items() if value is not None}
        entries[key] = MeasuredCost.model_validate(known).model_dump(exclude_defaults=True)
    return entries


def _start(kind: Kind, rehearsal: Rehearsal) -> float:
    """Of one job: an evaluation or a probe goes through all sets."""
    together = [m for other, m in rehearsal.results if other.cost == kind.cost and kind.stage in ("evaluate", "probe")]
    return sum(m.largest.start for m in together) or next(m.largest.start for other, m in rehearsal.results if other == kind)


def _with_earlier(rehearsal: Rehearsal, file: Path) -> dict[str, dict[str, Any]]:
    """The costs with those of an earlier rehearsal for kinds that this one did not come to; each says its own date and commit."""
    known = {kind.cost for kind in kinds(rehearsal.study)}
    earlier = {key: cost.model_dump(exclude_defaults=True) for key, cost in read_costs(file).items() if key in known}
    return earlier | costs(rehearsal)


def write(rehearsal: Rehearsal, out: Path, costs_to: Path | None = None) -> list[Path]:
    """Writes the page `out`, the table and the points beside it, and the costs (by default beside the study); returns the files.

    A file of costs that is there keeps the entries of kinds that were not rehearsed this time.
    """
    costs_to = costs_to or costs_file(rehearsal.study)
    entries = [{"kind": kind.title, "jobs": kind.jobs, "cost": kind.cost, **dataclasses.asdict(m)} for kind, m in rehearsal.results]
    header = "# Written by `helip rehearse`, read by `helip plan` in place of the study's assumed costs. Edit the study, not this file.\n"
    text = header + yaml.safe_dump(_with_earlier(rehearsal, costs_to), sort_keys=True, width=160)
    for file, content in ((out, page(rehearsal)), (out.with_suffix(".md"), markdown(rehearsal)), (costs_to, text)):
        with atomic_file(file) as temporary:
            temporary.write_text(content)
    scale = dataclasses.asdict(rehearsal.scale)
    write_json(out.with_suffix(".json"), provenance(scale, study=rehearsal.study.name, seconds=rehearsal.seconds, kinds=entries))
    return [out, out.with_suffix(".md"), out.with_suffix(".json"), costs_to]
