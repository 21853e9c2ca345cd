"""Published checkpoints: a file at hand is imported; of an address the first megabytes are fetched."""

import time
import urllib.error
import urllib.request

from helip.data.locations import resolve_path
from helip.errors import HelipError
from helip.models.published import import_checkpoint
from helip.rehearsal.measured import MB, Point
from helip.rehearsal.request import Job
from helip.stages import Train

FIRST = 4 * MB


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds a checkpoint, by the speed of its first megabytes or of a whole import, and the bytes of file and model."""
    assert isinstance(job.kind.one, Train)
    declared, point = job.kind.one.study.declaration.published[job.kind.one.run], Point(1, units=1)
    begun = time.monotonic()
    if declared.path is not None:
        file = resolve_path(declared.path, declared.obtain)
        if not file.exists():
            raise HelipError(f"{file}: is not there; {declared.obtain or 'put it there or correct the path'}")
        import_checkpoint(file, job.folder / "model")
        point.repetitions = [time.monotonic() - begun]
        point.bytes = float(file.stat().st_size + sum(one.stat().st_size for one in (job.folder / "model").iterdir()))
        return point
    assert declared.url is not None
    request = urllib.request.Request(declared.url, headers={"User-Agent": "helip", "Range": f"bytes=0-{FIRST - 1}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            got = len(answer.read(FIRST))
            stated = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    except (OSError, urllib.error.URLError) as error:
        raise HelipError(
            f"{declared.url}: does not answer ({getattr(error, 'reason', error)}); correct the address or fetch it by hand"
        ) from None
    size = int(stated) if stated.isdigit() else got
    point.repetitions, point.bytes = [(time.monotonic() - begun) * size / max(1, got)], 1.33 * size  # the model is a third of it
    point.notes.append("the first megabytes alone")
    return point
