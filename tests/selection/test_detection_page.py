"""The page of the detection study shows what its results file holds."""

import json
import sys

import pytest


@pytest.mark.parametrize("part", ["confirmation", "validation"])
def test_the_page_shows_the_table_of_the_results_file(project, monkeypatch, part):
    monkeypatch.syspath_prepend(project / "benchmarks")
    from detection import table

    folder = project / "docs" / "results" / "detection"
    assert table(json.loads((folder / "detection.json").read_text())[part]) in (folder / "README.md").read_text()
    sys.modules.pop("detection", None)
