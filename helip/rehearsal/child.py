"""`python -m helip.rehearsal.child REQUEST RESULT`: one kind at one size, in a process of its own.

A process of its own has a peak memory of its own, and what kills it (no memory, a library's abort) is a finding and no end.
"""

import dataclasses
import importlib
import os
import resource
import sys
import traceback
from pathlib import Path

from helip.errors import HelipError
from helip.io import provenance, read_json, write_json
from helip.rehearsal.kinds import kinds
from helip.rehearsal.measured import Point
from helip.rehearsal.request import Job, Request
from helip.rehearsal.scale import Scale

MODULES = {"evaluate": "evaluation", "probe": "probing", "select": "selection", "filter": "selection", "import": "checkpoints"}


def main(request_file: str, result_file: str) -> int:
    """Runs what the request asks and writes what was found; returns 0 however that went, 1 where a process of a training failed."""
    request = Request(**read_json(Path(request_file)))
    job = _job(request)
    module = importlib.import_module(f"helip.rehearsal.jobs.{MODULES.get(job.kind.stage, job.kind.stage)}")
    point = Point(job.size)
    try:
        point = module.run(job, [request_file, result_file])
    except HelipError as error:
        point.failure = str(error)
    except Exception as error:  # whatever a library raises is the finding
        traceback.print_exc()
        point.failure = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; the whole of it is in {request.folder}.log"
    _peaks(point)
    here = provenance(None)
    point.machine, point.date, point.commit = here["machine"], here["written"][:10], here["commit"] or "unknown"
    if int(os.environ.get("RANK", 0)) == 0:
        write_json(Path(result_file), dataclasses.asdict(point))
    return 1 if point.failure and "RANK" in os.environ else 0


def _job(request: Request) -> Job:
    from helip.study import Study

    study = Study(request.study, results=Path(request.results))
    kind = next(kind for kind in kinds(study, request.tables) if kind.title == request.title)
    return Job(kind, request.size, Scale(**request.scale), Path(request.folder), Path(request.sample), request.facts)


def _peaks(point: Point) -> None:
    point.host_mb = max(point.host_mb, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        point.gpu_mb = max(torch.cuda.max_memory_reserved(i) for i in range(torch.cuda.device_count())) / (1 << 20)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
