"""A smoke study whose metrics files are written by the test: every number in a table can be told beforehand."""

import json

import numpy as np
import pytest
from wide import write_metrics

from helip.study import BoundStudy


@pytest.fixture
def study(project, tmp_path):
    bound = BoundStudy("smoke", project / "experiments", tmp_path / "results")
    bound.corpus_dir("cc3m").mkdir(parents=True)
    bound.manifest("cc3m").write_text(json.dumps({"recovered_share": 0.63}))
    return bound


@pytest.fixture
def measured(study):
    """Table 1's runs with known hits: each arm of seed s gets the first `level + s` of 40 items of every set right."""
    for run, level in {"cc3m_clip": 10, "cc3m_clip_control": 12, "cc3m_clip_cleaned": 16, "cc3m_clip_helip": 11}.items():
        for seed in ("0", "1"):
            for name in ("imagenet", "cifar10", "cifar100"):
                write_metrics(study, run, seed, name, np.arange(40) < level + int(seed))
    return study
