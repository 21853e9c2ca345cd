"""The self-supervised encoder: reproducible, learns, and refuses what is not its own."""

import numpy as np
import pytest
import torch
from PIL import Image

from helip import encoders
from helip.config import SelfSupervisedEncoder
from helip.encoders.simclr import pixels
from helip.encoders.simclr_training import train
from helip.errors import HelipError
from helip.io import file_digest

SMALL = SelfSupervisedEncoder(width=4, dim=8, epochs=1, batch_size=16)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_same_seed_gives_the_same_bytes(discs, tmp_path, one_thread):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(SMALL.model_copy(update={"seed": seed}), discs(32), tmp_path / name)
    a, b, c = (file_digest(tmp_path / name / "model.safetensors") for name in "abc")
    assert a == b
    assert a != c


def test_training_leaves_the_global_random_state_alone(discs, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(SMALL, discs(32), tmp_path / "a")
    assert torch.equal(torch.rand(3), expected)


def test_it_learns_to_find_the_other_view(discs, tmp_path):
    train(SelfSupervisedEncoder(width=8, dim=16, epochs=40, batch_size=64, learning_rate=3e-3), discs(128), tmp_path / "a")
    losses = np.loadtxt(tmp_path / "a" / "curve.csv", delimiter=",", skiprows=1)[:, 1]
    assert len(losses) == 80
    assert losses[0] > 4.0  # ln 127 = 4.84 would be chance
    assert losses[-5:].mean() < losses[0] - 0.8


def test_the_loaded_encoder_embeds_in_evaluation_mode(trained, discs):
    encoder = encoders.load(*trained)
    one, two = (torch.stack([encoder.prepare(discs(9).image(i)) for i in range(n)]) for n in (1, 9))
    assert encoder.embed(two).shape == (9, encoder.dim)
    torch.testing.assert_close(encoder.embed(one)[0], encoder.embed(two)[0], atol=1e-5, rtol=1e-5)  # batch statistics play no part


def test_pixels_shrink_the_shorter_side_and_cut_the_centre():
    image = Image.new("RGB", (80, 40), "black")
    image.paste("white", (20, 0, 60, 40))  # the middle square
    square = pixels(image, 20)
    assert square.shape == (3, 20, 20)
    assert square[:, :, 1:-1].min() > 200
    untouched = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    assert np.array_equal(pixels(untouched, 16).numpy().transpose(1, 2, 0), np.asarray(untouched))


def test_a_corpus_smaller_than_a_batch_is_refused(discs, tmp_path):
    with pytest.raises(HelipError, match=r"batch_size 16 is larger than the corpus \(9 pairs\)"):
        train(SMALL, discs(9), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_an_encoder_trained_otherwise_is_refused(trained):
    declaration, folder = trained
    with pytest.raises(HelipError, match="trained with other settings"):
        encoders.load(declaration.model_copy(update={"temperature": 0.5}), folder)


def test_truncated_and_missing_weights_are_refused(trained, tmp_path):
    declaration, folder = trained
    (tmp_path / "encoder.json").write_bytes((folder / "encoder.json").read_bytes())
    with pytest.raises(HelipError, match=r"model.safetensors: not the weights of this encoder"):
        encoders.load(declaration, tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(HelipError, match=r"model.safetensors: not the weights of this encoder"):
        encoders.load(declaration, tmp_path)
    with pytest.raises(HelipError, match=r"encoder.json: not found"):
        encoders.load(declaration, tmp_path / "nowhere")
