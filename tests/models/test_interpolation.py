"""Weights between a start and what was refined from it."""

import subprocess
import sys

import numpy as np
import pytest

from helip.errors import HelipError
from helip.models.interpolation import interpolated, weights_of


def test_by_hand():
    start = {"w": np.array([0.0, 2.0], np.float32), "half": np.array([1.0], np.float16), "n": np.array(3)}
    refined = {"w": np.array([4.0, 2.0], np.float32), "half": np.array([3.0], np.float16), "n": np.array(5)}
    mixed = interpolated(start, refined, 0.25)
    assert (mixed["w"].tolist(), mixed["half"].tolist(), mixed["n"]) == ([1.0, 2.0], [1.5], 5)
    assert (mixed["w"].dtype, mixed["half"].dtype) == (np.float32, np.float16)


def test_its_ends_are_the_start_and_the_refined_model():
    start, refined = ({"w": np.random.default_rng(s).standard_normal(50).astype(np.float32)} for s in (0, 1))
    assert np.array_equal(interpolated(start, refined, 1.0)["w"], refined["w"])
    assert np.array_equal(interpolated(start, refined, 0.0)["w"], start["w"])


@pytest.mark.parametrize("other", [{"w": np.zeros(3)}, {"v": np.zeros(2)}])
def test_another_architecture_is_refused(other):
    with pytest.raises(HelipError, match="differ in architecture: give the checkpoint that the model was refined from"):
        interpolated({"w": np.zeros(2)}, other, 0.5)


def test_a_broken_file_is_one_sentence(tmp_path):
    with pytest.raises(HelipError, match="open_clip_model.safetensors: not found; train it first"):
        weights_of(tmp_path)
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(HelipError, match="open_clip_model.safetensors: not readable"):
        weights_of(tmp_path)


def test_it_needs_no_torch():
    code = "import sys, helip.models.interpolation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
