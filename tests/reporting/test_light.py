"""Reporting, planning and the description of the graph are light: a login node without torch reads files and plans."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["reporting", "planning", "stages", "study"])
def test_importing_every_module_brings_no_torch(project, package):
    code = (
        f"import importlib, pkgutil, sys, helip.{package} as package;"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(package.__path__, package.__name__ + '.')];"
        "print([m for m in ('torch', 'open_clip', 'sentence_transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
