"""Artefacts on disk: whole or absent, each with a JSON beside it that says what it is and where it came from."""

import contextlib
import errno
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from helip.config import ConfigModel
from helip.errors import HelipError

if TYPE_CHECKING:
    import numpy as np

_BEGUN, _BEGUN_AT = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
MISPLACED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP})  # a path that is wrong
REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM})  # the system's no to a writer
EMPTY = 128  # bytes of a .npy file that holds no value: the system maps no empty array
PACKAGES = ("torch", "open_clip_torch", "timm", "sentence-transformers", "faiss-cpu", "clip-benchmark", "numpy", "snakemake")


def _begin() -> None:
    """A process that was forked, as jobs of helip.warm are, began then and not with the one that it comes from."""
    global _BEGUN, _BEGUN_AT
    _BEGUN, _BEGUN_AT = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")


os.register_at_fork(after_in_child=_begin)


def declared(value: Any) -> Any:
    """Returns what a declaration says beyond its defaults, as plain JSON values: the part of it that a digest stands for."""
    match value:
        case ConfigModel():
            fields = type(value).model_fields
            options = {f: v for f in fields if f not in value.excluded_from_digest and (v := getattr(value, f)) != fields[f].default}
            return {"is": type(value).__name__} | {f: declared(v) for f, v in options.items()}
        case dict():
            return {k: declared(v) for k, v in value.items()}
        case list() | tuple():
            return [declared(v) for v in value]
        case _:
            return value


def digest(value: Any) -> str:
    """Returns 16 hexadecimal digits standing for a declaration or any JSON value."""
    return hashlib.sha256(json.dumps(declared(value), sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Returns the sha256 of a file's bytes, in full."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Runs a block that writes to `path`. Raises HelipError, which names it, for a full disk, a missing right or a read-only place."""
    try:
        yield
    except OSError as error:
        raise refused(error, path) from error


def refused(error: OSError, path: Path | str | None = None) -> HelipError:
    """Returns the one sentence for a system that refuses to write to `path`. Without one, it is of the file that the error names, which
    may be one that was read.
    """
    place = path or error.filename or "a file"
    verb = "written" if path else "read or written" if error.errno in (errno.EACCES, errno.EPERM, *MISPLACED) else "written"
    remedy = "correct the path" if error.errno in MISPLACED else "free space or fix the permissions and run again"
    return HelipError(f"{place}: could not be {verb} ({error.strerror or error}); {remedy}")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, renamed to it when the block ends well and removed when it does not."""
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb") as f:
                os.fsync(f.fileno())
            os.chmod(temporary, 0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, over: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that takes its place when the block ends well and vanishes when it does not.

    over: names of which a folder that is to be replaced must hold one, where nobody else has made sure that it may be.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_others(path, over)
        _sweep(path)
        temporary = _hidden(path)
        os.chmod(temporary, 0o755)
        try:
            yield temporary
            old = path.replace(_hidden(path)) if path.exists() else None
            temporary.replace(path)
            if old:
                shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _hidden(path: Path) -> Path:
    """A new folder beside `path`, named so that others can tell when its maker is gone."""
    return Path(tempfile.mkdtemp(prefix=f".{path.name}.{platform.node()}.{os.getpid()}.", dir=path.parent))


def _sweep(path: Path) -> None:
    """Removes what processes of this machine left of `path` when they were killed."""
    made = re.compile(re.escape(f".{path.name}.{platform.node()}.") + r"(\d+)\.\w+")
    for left in path.parent.iterdir():
        if (match := made.fullmatch(left.name)) and not psutil.pid_exists(int(match[1])):
            shutil.rmtree(left, ignore_errors=True)


def _refuse_others(path: Path, over: tuple[str, ...]) -> None:
    if not over or not path.exists():
        return
    held = {p.name for p in path.iterdir() if not p.name.startswith(".nfs")}  # .nfs: deleted, and still open in some process
    if held and not held & {*over}:
        raise HelipError(f"{path}: holds {min(held)} and nothing of what would replace it ({over[0]}, ...); name another folder")


def printable(text: str) -> str:
    r"""Returns a name that can be written as UTF-8: a byte of it that is none, which Python keeps as a lone surrogate, becomes \xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_replaceable(out: Path, marker: str, *inputs: Path | str | None) -> None:
    """Checks that a user's `out` may be replaced by `atomic_folder`: asked before hours of work.

    marker: the JSON in every folder of the kind that will be made. inputs: what is read; a name that is no path is none, and
    `local-dir:` may stand before a folder. HelipError where `out` holds something else, or one of the inputs.
    """
    with writing(out):
        if out.name in ("", "..") or out.is_symlink() or (out.exists() and not out.is_dir()):
            raise HelipError(f"{out}: is no folder that can be replaced; name one that does not exist yet")
        above = next(parent for parent in out.absolute().parents if parent.exists())
        if not os.access(above, os.W_OK):
            raise HelipError(f"{out}: {above} is read-only, so nothing can be made there; name another folder")
        if out.exists() and any(out.iterdir()) and not (out / marker).is_file():
            raise HelipError(f"{out}: has no {marker}, so it holds something else, and all of it would be deleted; name another folder")
        for given in filter(None, inputs):
            place = Path(str(given).rpartition("local-dir:")[2])
            if place.exists() and place.resolve().is_relative_to(out.resolve()):
                raise HelipError(f"{out}: holds {place}, which is read, and would be deleted with it; name another folder")


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON to `path`, which appears whole. Raises ValueError for NaN, HelipError where it cannot be written."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, made_by: str = "") -> Any:
    """Returns the content of a JSON file of ours, a mapping, whose absent entries are a HelipError too.

    HelipError where it is missing, broken, or no mapping. made_by: the command that makes it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        of_a_study = f"build it first (`snakemake {path}` for a study's artefact)"
        remedy = f"make it with `{made_by}`, or correct the path" if made_by else of_a_study
        raise HelipError(f"{path}: not found; {remedy}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HelipError(f"{path}: not readable as JSON ({error}); delete it and build it again") from None
    if not isinstance(content, dict):
        raise HelipError(f"{path}: holds {type(content).__name__} and no mapping of entries; delete it and build it again")
    return _Entries(Path(path), content)


class _Entries(dict[str, Any]):
    """The entries of a JSON file, which is named where one is absent."""

    def __init__(self, path: Path, content: dict[str, Any]):
        super().__init__(content)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise HelipError(f"{self._path}: has no entry '{name}', so it is of something else or of another version; build it again")

    def __reduce__(self) -> Any:
        return _Entries, (self._path, dict(self))


def load_array(path: Path | str, remedy: str, *, mapped: bool = True) -> "np.ndarray[Any, Any]":
    """Returns the array of a .npy file, of any shape and type; memory-mapped unless `mapped` is false or it is empty.

    Raises HelipError, which ends in `remedy`, where the file is missing, truncated, not an array, or would run code when it is opened.
    """
    import numpy as np  # here, not above: this module is light

    path = Path(path)
    try:
        if mapped and path.stat().st_size > EMPTY:
            return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
        return np.asarray(np.load(path, allow_pickle=False))
    except FileNotFoundError:
        raise HelipError(f"{path}: not found; {remedy}") from None
    except (ValueError, EOFError, OSError) as error:
        reason = "it holds no numbers" if "pickle" in str(error) else error  # NumPy's advice is to let the file run its code
        raise HelipError(f"{path}: not a whole .npy array, it is truncated or of another format ({reason}); {remedy}") from None


def reserve(file: int, size: int) -> None:
    """Reserves the space of an open file of that many bytes before it is mapped. Raises OSError where the disk has no room for it."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(file, 0, size)


def new_array(path: Path | str, dtype: Any, shape: tuple[int, ...]) -> "np.memmap[Any, Any]":
    """Returns a new memory-mapped .npy file of zeros to write into.

    Its space is reserved first: on a full disk, a mapped file without space ends the process with a bus error. Raises OSError instead.
    """
    import numpy as np  # here, not above: this module is light

    path, dtype = Path(path), np.dtype(dtype)
    with open(path, "wb") as file:
        descr = np.lib.format.dtype_to_descr(dtype)  # type: ignore[no-untyped-call]
        head = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)  # type: ignore[no-untyped-call]
        size = file.tell() + dtype.itemsize * math.prod(shape)
        file.truncate(size)
        file.flush()
        reserve(file.fileno(), size)
    return np.lib.format.open_memmap(path, "r+")  # type: ignore[no-any-return,no-untyped-call]


@functools.cache
def _surroundings() -> dict[str, Any]:
    here = Path(__file__).resolve().parent
    git = subprocess.run(
        ["git", "--no-optional-locks", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {"commit": git.stdout.strip(), "host": platform.node(), "python": platform.python_version(), "versions": versions}


def machine() -> str:
    """This machine's processor, how many of its cores this process may use, and the GPUs that it has computed on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join([_processor(), f"{cores} core{'s' * (cores != 1)}", *_gpus()])


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpus() -> list[str]:
    """Names of the GPUs on which this process has held anything. torch is asked only where the process uses it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return []
    used = [i for i in range(torch.cuda.device_count()) if torch.cuda.max_memory_allocated(i)]
    return list(dict.fromkeys(torch.cuda.get_device_name(i) for i in used))


def _job() -> dict[str, Any]:
    """What this process (and those of its children that have ended) took so far; the last artefact of a job says what the job took."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cost = {"wall_clock_seconds": time.monotonic() - _BEGUN, "cpu_seconds": sum(u.ru_utime + u.ru_stime for u in used)}
    return {"pid": os.getpid(), "begun": _BEGUN_AT, **{name: round(seconds, 1) for name, seconds in cost.items()}}


def provenance(declaration: Any, inputs: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """Returns the JSON that lies beside an artefact: the resolved declaration, digests of inputs, versions, commit, machine, time, cost."""
    resolved = declaration.model_dump(mode="json") if isinstance(declaration, ConfigModel) else declaration
    now = datetime.now(UTC).isoformat(timespec="seconds")
    what = {"declaration": resolved, "inputs": inputs or {}, "written": now}
    return what | {"machine": machine(), "job": _job()} | _surroundings() | more
