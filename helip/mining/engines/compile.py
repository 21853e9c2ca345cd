"""Compiles the fused kernel for the CPU at hand, once, where there is a C++ compiler."""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import warnings
from pathlib import Path

from helip.errors import HelipError
from helip.io import atomic_file

SOURCES = Path(__file__).with_name("kernel")
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-pthread", "-Wno-psabi")
COMPILERS = ("c++", "g++", "clang++")


def cache_dir() -> Path:
    """Returns the folder of compiled kernels: $HELIP_CACHE, or helip under the user's cache folder."""
    root = os.environ.get("HELIP_CACHE")
    return Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "helip"


@functools.cache
def library(target: str = "native") -> ctypes.CDLL | None:
    """Returns the kernel compiled with -march=`target`, or None where there is no compiler: the torch engine then does the work."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        return None
    # A home folder is shared by machines of different kinds: the file's name says which processor it was compiled for.
    key = "\0".join((*(p.read_text() for p in sorted(SOURCES.glob("*.?pp"))), *FLAGS, target, compiler, _processor()))
    path = cache_dir() / f"fused-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    try:
        if not path.exists():
            with atomic_file(path) as temporary:
                command = [compiler, *FLAGS, f"-march={target}", str(SOURCES / "fused.cpp"), "-o", str(temporary)]
                subprocess.run(command, check=True, capture_output=True, text=True)
        return ctypes.CDLL(str(path))
    except (OSError, HelipError, subprocess.CalledProcessError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        warnings.warn(f"the fused mining kernel could not be compiled ({why[-1] if why else error}); mining will be slower", stacklevel=2)
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return platform.machine() + next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return platform.machine() + platform.processor()
