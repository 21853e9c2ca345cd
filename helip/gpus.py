"""The GPUs of one machine, shared out between its jobs by file locks: no daemon, and a killed job gives its GPUs back.

Slurm does this itself. Without it, two jobs that both find CUDA_VISIBLE_DEVICES unset would both take GPU 0. Standard library only.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from helip.errors import HelipError

NOT_AN_ID = ("", "-1", "none", "void", "NoDevFiles")  # what stands in such a variable where a job has no GPU


def gpu_ids(environ: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> list[str]:
    """Returns the ids that jobs may take: those of $HELIP_GPUS (0,1,2 or UUIDs), else of $CUDA_VISIBLE_DEVICES, else of /dev/nvidia0, 1,
    ...
    """
    for name in ("HELIP_GPUS", "CUDA_VISIBLE_DEVICES"):
        if name in environ:
            return [word.strip() for word in environ[name].split(",") if word.strip() not in NOT_AN_ID]
    return [str(i) for i in sorted(int(p.name[6:]) for p in devices.glob("nvidia[0-9]*") if p.name[6:].isdigit())]


def _folder() -> Path:
    """/tmp whatever $TMPDIR says: the same for all that share the ids (in a Slurm job they are its own). Refused when another user's."""
    job = os.environ.get("SLURM_JOB_ID")
    folder = Path(os.environ.get("HELIP_LEASES", f"/tmp/helip-gpus-{os.getuid()}{f'-{job}' if job else ''}"))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HelipError(f"{folder}: cannot be made ({error.strerror}); set HELIP_LEASES to a folder of your own") from None
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise HelipError(f"{folder}: belongs to another user; set HELIP_LEASES to a folder of your own")
    return folder


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[bool]:
    """Yields whether the lock is ours; the kernel frees it when the last process holding the file is gone."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            os.set_inheritable(handle, True)  # a command that takes this process's place (exec) keeps its GPUs
            yield True
    finally:
        os.close(handle)


@contextmanager
def lease(count: int, ids: list[str] | None = None, poll_s: float = 0.5) -> Iterator[list[str]]:
    """Yields `count` GPU ids that no other job of this user holds on this machine; it waits for them in the order of asking.

    Raises:
        HelipError: the machine has fewer than `count`.
    """
    ids = list(dict.fromkeys(gpu_ids() if ids is None else ids))  # named twice, a GPU is still one
    if not 0 <= count <= len(ids):
        raise HelipError(
            f"a job asks for {count} GPUs and this machine offers {len(ids)} ({', '.join(ids) or 'none'}); "
            "set HELIP_GPUS, or lower `gpu` in the study's resources"
        )
    if count == 0:
        yield []
        return
    folder, mine = _folder(), []
    with ExitStack() as held:
        with _locked(folder / "gate.lock", wait=True):  # one job chooses at a time: no two wait for each other's half
            while True:
                for one in (i for i in ids if i not in mine):
                    with ExitStack() as attempt:
                        if attempt.enter_context(_locked(folder / f"{one.replace('/', '_')}.lock", wait=False)):
                            held.push(attempt.pop_all())
                            mine.append(one)
                    if len(mine) == count:
                        break
                if len(mine) == count:
                    break
                time.sleep(poll_s)
        yield sorted(mine, key=ids.index)


def torch_device(asked: str | None) -> str:
    """Returns the torch device as asked, else cuda where there is one. Raises HelipError for one that torch does not see."""
    import torch

    count = torch.cuda.device_count()
    if asked is None:
        return "cuda" if count else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise HelipError(f"--device {asked}: none that torch knows; write cpu, cuda or cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= count:
        raise HelipError(f"--device {asked}: torch sees {count} GPUs here; leave --device out, or run where there are more")
    return asked


def loader_workers(asked: int | None, device: str) -> int:
    """Processes that decode images: as asked, else none on a CPU and up to 8 for a GPU."""
    if asked is not None:
        return asked
    return min(8, os.cpu_count() or 1) if device.startswith("cuda") else 0
