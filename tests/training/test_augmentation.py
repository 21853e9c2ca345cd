"""Views of an image: a pure function of (image, sample seed)."""

import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from toys import ToyCorpus, ToyPairs

from helip.config import Augmentation
from helip.errors import HelipError
from helip.hashing import uniforms
from helip.training.augmentation import PER_VIEW, STRONG, View, crop_and_flip, crop_box, luminance, recolour, views
from helip.training.batches import PairDataset, ToDevice, cut, loading
from helip.training.sampler import Sampler


def tokens_of(captions):
    return torch.tensor([[1, 5, 9, 0, 0, 0] if len(c) < 14 else [1, 5, 5, 5, 9, 0] for c in captions])


def rows(corpus=None, **more) -> PairDataset:
    return PairDataset(corpus or ToyCorpus(), tokens_of, (16, 16), more.pop("views", (View((0.5, 1.0), 0.5), STRONG)), **more)


def test_uniforms_are_uniform_and_of_each_seed_alone():
    seeds = np.arange(4000, dtype=np.int64)
    u = uniforms(seeds, 3)
    assert u.shape == (4000, 3)
    assert 0 <= u.min() < u.max() < 1
    assert np.abs(u.mean(0) - 0.5).max() < 4 / (12 * 4000) ** 0.5  # four standard deviations of the mean of 4,000 uniform numbers
    assert np.abs(np.corrcoef(u.T) - np.eye(3)).max() < 4 / 4000**0.5  # and of a correlation of 4,000 independent pairs
    assert np.array_equal(uniforms(seeds[17:18], 3), u[17:18])


@pytest.mark.parametrize(
    ("size", "scale"), [((40, 30), (0.25, 0.5)), ((32, 32), (0.9, 1.0)), ((32, 32), (0.08, 1.0)), ((30, 40), (0.9, 1.0))]
)
def test_crops_lie_inside_and_have_the_area_and_ratio_asked_for(size, scale):
    width, height = size
    for u in uniforms(np.arange(500), PER_VIEW):
        left, upper, right, lower = crop_box(width, height, u, scale)
        assert 0 <= left < right <= width + 1e-9
        assert 0 <= upper < lower <= height + 1e-9
        assert scale[0] - 1e-9 <= (right - left) * (lower - upper) / (width * height) <= scale[1] + 1e-9
        assert 3 / 4 - 1e-9 <= (right - left) / (lower - upper) <= 4 / 3 + 1e-9


def test_a_panorama_gets_the_largest_crop_of_an_allowed_ratio():
    u = np.full(PER_VIEW, 0.5)
    assert crop_box(300, 60, u, (0.9, 1.0)) == pytest.approx((110, 0, 190, 60))
    assert crop_box(60, 300, u, (0.9, 1.0)) == pytest.approx((0, 110, 60, 190))


def test_the_whole_image_is_kept_when_nothing_is_asked():
    image = ToyCorpus().image(3)
    u = uniforms(np.array([5]), PER_VIEW)[0]
    assert np.array_equal(crop_and_flip(image, u, (16, 16), View((1.0, 1.0))), np.asarray(image))
    flipped = crop_and_flip(image, u, (16, 16), View((1.0, 1.0), flip=1.0))
    assert np.array_equal(flipped, np.asarray(image)[:, ::-1])


def test_height_and_width_are_not_mixed_up():
    assert crop_and_flip(Image.new("RGB", (50, 20)), uniforms(np.array([0]), PER_VIEW)[0], (8, 16), View((1.0, 1.0))).shape == (8, 16, 3)


def test_colours_by_hand():
    image = torch.full((1, 3, 4, 4), 0.5)
    u = torch.full((1, PER_VIEW), 0.5)
    assert torch.allclose(recolour(image, u, View((1, 1), jitter=0.4)), image)  # every factor is 1
    u[0, 5] = 1.0  # brightness 1.4
    assert torch.allclose(recolour(image, u, View((1, 1), jitter=0.4)), image * 1.4)
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    u = torch.full((1, PER_VIEW), 0.5)
    assert torch.allclose(recolour(red, u, View((1, 1), grey=1.0)), torch.full_like(red, 0.299))
    assert torch.allclose(luminance(red), torch.full((1, 1, 4, 4), 0.299))


def test_blur_keeps_a_flat_image_and_the_mean():
    u = torch.zeros(1, PER_VIEW)
    flat = torch.full((1, 3, 16, 16), 0.25)
    assert torch.allclose(recolour(flat, u + 0.5, View((1, 1), blur=1.0)), flat, atol=1e-6)


@pytest.mark.parametrize("processes", [2, 8])
def test_rows_of_many_processes_are_the_rows_of_one(processes):
    batch = Sampler(120, 16, 0, ToyPairs(120), role="negatives")(3)
    _, whole = rows()[batch]
    parts = [rows(rank=r, world_size=processes)[batch][1] for r in range(processes)]
    for name in ("images", "numbers"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts], 1), getattr(whole, name))
    for name in ("tokens", "sample_seeds", "captions"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


def test_workers_and_caches_change_nothing():
    batches = [Sampler(40, 8, 0, arm="control")(s) for s in range(8)]
    corpus = ToyCorpus(40)
    runs = [
        loading(rows(corpus), batches, 0, False),
        loading(rows(corpus, cache_bytes=10**6), batches, 0, False),
        loading(rows(corpus), batches, 2, False),
    ]
    for (a, x), (b, y), (c, z) in zip(*runs, strict=True):
        assert a.ids.tolist() == b.ids.tolist() == c.ids.tolist()
        for name in ("images", "tokens", "numbers", "sample_seeds"):
            assert torch.equal(getattr(x, name), getattr(y, name))
            assert torch.equal(getattr(x, name), getattr(z, name))


class Broken(ToyCorpus):
    """Image 7 cannot be read; image 8 takes the process with it, and so does image 9, as a full /dev/shm does."""

    def image(self, i: int) -> Image.Image:
        if i == 7:
            raise HelipError("shard 00000.tar: image 7 is truncated; download it again")
        if i in (8, 9):
            os.kill(os.getpid(), signal.SIGKILL if i == 8 else signal.SIGBUS)
        return super().image(i)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (7, r"^shard 00000.tar: image 7 is truncated; download it again$"),
        (8, "loader process was killed, most likely for want of memory: give the job more"),
        (9, "loader process found no room in /dev/shm, .*enlarge it .docker run --shm-size 8g., or use fewer loader processes"),
    ],
)
def test_what_goes_wrong_in_a_loader_process_is_one_sentence(bad, words):
    keep = np.zeros(40, bool)
    keep[[bad, *range(20, 30)]] = True
    batches = [Sampler(40, 11, 0, arm="control", keep=keep)(0)]
    with pytest.raises(HelipError, match=words):
        list(loading(rows(Broken(40)), batches, 1, False))


def test_a_cache_holds_what_it_may():
    some = rows(cache_bytes=3 * 16 * 16 * 3)
    some[Sampler(120, 12, 0, arm="control")(0)]
    assert len(some._images) == 3


def test_trimmed_tokens_end_with_the_longest_caption():
    batch = Sampler(120, 12, 0, arm="control")(0)
    tokens = rows(trim=True)[batch][1].tokens
    assert tokens.shape == (12, 5)
    assert torch.equal(tokens, rows()[batch][1].tokens[:, :5])


def test_normalised_on_the_device_and_cut_into_micro_batches():
    own = views(["plain", "strong"], Augmentation())
    _, loaded = rows(views=own)[Sampler(120, 12, 0, arm="control")(0)]
    batch = ToDevice(torch.device("cpu"), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), own)(loaded)
    mean, std = (torch.tensor(x)[:, None, None] for x in ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1)))
    by_hand = (loaded.images[0].permute(0, 3, 1, 2) / 255 - mean) / std
    assert torch.allclose(batch["images"][0], by_hand, atol=1e-5)
    pieces = cut(batch, 3)
    for view in range(2):
        assert torch.equal(torch.cat([p["images"][view] for p in pieces]), batch["images"][view])
    assert torch.equal(torch.cat([p["tokens"] for p in pieces]), batch["tokens"])


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(crop_scale=(0.3, 0.9), flip=0.5)])
def test_a_declared_augmentation_is_the_plain_view(augmentation):
    plain, strong = views(["plain", "strong"], augmentation)
    assert plain == View(augmentation.crop_scale, augmentation.flip)
    assert strong is STRONG
