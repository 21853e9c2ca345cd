"""What a machine offers the project: a list of findings, each ok or a problem with its remedy. Nothing here needs a GPU or Slurm."""

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from helip.gpus import NOT_AN_ID

LEAST_DISK_GB = 20  # a study's features and checkpoints; the paper's shards need far more
LEAST_MEMORY_GB = 4


@dataclass(frozen=True)
class Finding:
    """This is what was seen of one part of the machine, and what to do where something is wrong."""

    subject: str
    result: str
    remedy: str = ""  # empty: nothing is wrong

    @property
    def ok(self) -> bool:
        """This says whether nothing is wrong."""
        return not self.remedy


def has_kernels(capability: tuple[int, int], built_for: list[str]) -> bool:
    """Says whether a torch built for these architectures runs on that GPU: its own, an older minor one of the same major, or any older PTX.

    A Tesla V100 is (7, 0) and needs sm_70; torch 2.10.0 from PyPI is the last that has it.
    """
    major, minor = capability
    for name in built_for:
        kind, _, digits = name.partition("_")
        digits = digits.rstrip("af")  # sm_90a and sm_100f are for that very architecture
        built = int(digits[:-1]), int(digits[-1])
        if name[-1] in "af":
            if built == capability:
                return True
        elif (kind == "sm" and built[0] == major and built[1] <= minor) or (kind == "compute" and built <= capability):
            return True
    return False


def torch_findings() -> Iterator[Finding]:
    """Yields findings on torch, the GPUs and NCCL."""
    try:
        import torch
    except Exception as error:  # a broken CUDA library is an OSError, a wrong pair of wheels a RuntimeError
        yield Finding("torch", f"cannot be imported ({error})", "install the project's pins: make setup")
        return
    built = built_for(torch)
    yield Finding("torch", f"{torch.__version__}, built for CUDA {torch.version.cuda or 'no'}: {' '.join(built) or 'no kernels'}")
    if not torch.cuda.is_available():
        yield no_gpu(torch.version.cuda)
        return
    for i in range(torch.cuda.device_count()):
        yield gpu_finding(i, torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i), built, torch.cuda.mem_get_info(i))
    if (missing := fewer_gpus(torch.cuda.device_count())) is not None:
        yield missing
    nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
    version = ".".join(map(str, torch.cuda.nccl.version())) if nccl else "absent"
    yield Finding("NCCL", version, "" if nccl else "several GPUs need it: install torch from PyPI (make setup)")


def built_for(torch) -> list[str]:
    """Returns the architectures in this torch: get_arch_list() is empty where there is no GPU, the flags it reads are not."""
    flags = getattr(torch._C, "_cuda_getArchFlags", lambda: None)()
    return flags.split() if flags else torch.cuda.get_arch_list()


ALLOTTED = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")


def allotted_gpus(environ: Mapping[str, str] = os.environ) -> tuple[str, list[str]]:
    """Returns (variable, ids) of the GPUs that a scheduler gave to this job; ("", []) where none did."""
    for name in ALLOTTED:
        if ids := [word.strip() for word in environ.get(name, "").split(",") if word.strip() not in NOT_AN_ID]:
            return name, ids
    count = environ.get("SLURM_GPUS_ON_NODE", "0")
    return ("SLURM_GPUS_ON_NODE", [str(i) for i in range(int(count))]) if count.isdecimal() and int(count) else ("", [])


def no_gpu(cuda: str | None, environ: Mapping[str, str] = os.environ, driver: Path = Path("/proc/driver/nvidia/version")) -> Finding:
    """Returns the finding without a GPU: no problem where there is none, and one where torch cannot use what there is or what a job got."""
    variable, ids = allotted_gpus(environ)
    if not ids and not driver.exists():
        return Finding("GPU", "none: training and mining run on the CPU")
    if not ids and environ.get("CUDA_VISIBLE_DEVICES") == "":
        return Finding("GPU", "hidden (CUDA_VISIBLE_DEVICES is empty): this job asked for none")
    given = f"this job was given GPU {', '.join(ids)} ({variable})" if ids else "there is a driver"
    problem = f"{given}, but torch (CUDA {cuda or 'none'}) finds no GPU"
    if driver.exists():
        return Finding("GPU", problem, "update the driver, or install torch from PyPI (make setup)")
    where = "start the container with its GPUs (--nv, --gpus all), or name nodes that have a driver in slurm/site.yaml"
    return Finding("GPU", f"{problem}: this node shows no NVIDIA driver", where)


def fewer_gpus(seen: int, environ: Mapping[str, str] = os.environ) -> Finding | None:
    """Returns a problem where torch sees fewer GPUs than this job was given; None where it sees them all."""
    variable, ids = allotted_gpus(environ)
    if seen >= len(ids):
        return None
    remedy = "ask for other nodes (exclude, in slurm/site.yaml), and show the node's administrator what nvidia-smi says there"
    return Finding("GPUs", f"this job was given {len(ids)} ({variable}: {', '.join(ids)}), and torch sees {seen}", remedy)


def gpu_finding(index: int, name: str, capability: tuple[int, int], built: list[str], memory: tuple[int, int]) -> Finding:
    """Returns the finding on one GPU; `memory` is (free, total) in bytes."""
    free, total = (round(n / 2**30) for n in memory)
    precision = "fp16 with a gradient scaler" if capability < (8, 0) else "bf16"
    description = f"{name}, sm_{capability[0]}{capability[1]}, {free} of {total} GiB free, precision {precision}"
    if has_kernels(capability, built):
        return Finding(f"GPU {index}", description)
    remedy = "install torch 2.10.0 from PyPI, which serves sm_70 to sm_120 (make setup)"
    return Finding(f"GPU {index}", f"{description}; torch has no kernels for it", remedy)


def package_findings() -> Iterator[Finding]:
    """Yields the versions of the packages that everything hangs on."""
    for name in ("open_clip_torch", "snakemake", "submitit", "clip-benchmark"):
        try:
            yield Finding(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "not installed", "install the project: make setup")


def room_findings(results: Path) -> Iterator[Finding]:
    """Yields findings on disk where results go, shared memory (loader processes pass batches through it), and memory that is free."""
    for subject, folder, least in (("disk for results", results, LEAST_DISK_GB), ("/dev/shm", Path("/dev/shm"), 1)):
        yield room_finding(subject, folder, least, f", or make {results} a link to a larger disk" if folder is results else "")
    available = memory_gb()
    yield Finding("memory", f"{available:.0f} GiB free", "" if available >= LEAST_MEMORY_GB else f"free at least {LEAST_MEMORY_GB} GiB")


def room_finding(subject: str, folder: Path, least: float, more: str = "") -> Finding:
    """Returns the finding on the disk that a folder is on, or will be: a link without an end and a place without leave to write are
    problems. least: GiB. more: what else helps against a full disk."""
    above = [folder, *folder.absolute().parents]
    if (broken := next((place for place in above if place.is_symlink() and not place.exists()), None)) is not None:
        return Finding(subject, f"{broken} leads to {broken.resolve()}, which is not there", "mount that disk, or correct the link")
    here = next(place for place in above if place.exists())
    if not os.access(here, os.W_OK | os.X_OK):
        return Finding(subject, f"{here} cannot be written to", f"give yourself the right to write there{more}")
    free = shutil.disk_usage(here).free / 2**30
    return Finding(subject, f"{free:.0f} GiB free at {here}", "" if free >= least else f"free at least {least} GiB there{more}")


def memory_gb(meminfo: Path = Path("/proc/meminfo")) -> float:
    """Returns the memory that is available, in GiB."""
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) / 2**20


def _answers(*command: str) -> tuple[bool, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else ""


def slurm_findings() -> Iterator[Finding]:
    """Yields findings on Slurm and its accounting."""
    if shutil.which("sbatch") is None:
        yield Finding("Slurm", "none here: --profile local runs everything on this machine")
        return
    ok, answer = _answers("sinfo", "--version")
    reached, problem = _answers("squeue", "--noheader", "--jobs=1") if ok else (False, answer)
    reached = reached or "Invalid job id" in problem  # an answer, if to a stupid question
    remedy = "" if reached else "slurmctld does not answer: is this a node of the cluster? see SLURM_CONF"
    yield Finding("Slurm", answer if reached else problem, remedy)
    if reached:
        ok, answer = _answers("sacct", "--noheader", "--starttime=now")
        yield Finding("sacct", "answers" if ok else f"does not answer ({answer}); jobs are watched by squeue alone, which is enough")


FOLDERS = {
    "HELIP_DATA": ("the photographs of the studies flickr8k and questions", "only they need it"),
    "HELIP_SOURCES": ("training data of the study paper that no rule can fetch", "only the study paper needs it"),
    "HELIP_SETS": ("evaluation sets of the study paper", "only the study paper needs it"),
    "HELIP_CHECKPOINTS": ("checkpoints of the study paper behind a download page", "only the study paper needs it"),
    "HF_HOME": ("downloaded encoders", "the default is ~/.cache/huggingface"),
    "TORCH_HOME": ("downloaded weights", "the default is ~/.cache/torch"),
}


def data_findings() -> Iterator[Finding]:
    """Yields a finding for each variable that names a folder of data."""
    for name, (what, unset) in FOLDERS.items():
        value = os.environ.get(name)
        if value is None:
            yield Finding(name, f"not set: {unset}")
        elif Path(value).is_dir():
            yield Finding(name, f"{value} ({what})")
        else:
            yield Finding(name, f"{value}: no such folder", f"mount or create it, or set {name} to the folder of {what}")


def examine(results: Path = Path("results")) -> list[Finding]:
    """Returns all findings on this machine."""
    return [*torch_findings(), *package_findings(), *room_findings(results), *slurm_findings(), *data_findings()]
