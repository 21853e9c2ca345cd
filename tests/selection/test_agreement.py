import numpy as np
import pytest
from slow_agreement import places, slow_agreement, slow_nearest, slow_ridge_cosines

from helip.errors import HelipError
from helip.mining.features import checked
from helip.selection import neighbours as near
from helip.selection.agreement import agreement, combined, neighbour_terms
from helip.selection.keep import detection
from helip.selection.neighbours import centred, nearest
from helip.selection.ridge import combined as combined_ridge
from helip.selection.ridge import ridge, ridge_terms

# two pairs of twins: 0 and 1 look alike and read alike, 2 and 3 too; pair 4 looks like 0 and 1 and reads like 2 and 3
IMAGE = np.array([[10, 1], [10, 2], [1, 10], [2, 10], [10, 0]], np.float32)
TEXT = np.array([[3, 0], [3, 1], [0, 3], [1, 3], [0, 1]], np.float32)


def corpus(size: int = 150, seed: int = 0, share: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clustered image [N, 40] and text [N, 24] features and which pairs have a caption of another cluster."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 8, size)
    mismatched = rng.random(size) < share
    printed = np.where(mismatched, (label + rng.integers(1, 8, size)) % 8, label)
    image = rng.standard_normal((8, 40))[label] + rng.standard_normal((size, 40))
    text = rng.standard_normal((8, 24))[printed] + rng.standard_normal((size, 24))
    return image.astype(np.float32), text.astype(np.float32), mismatched


def test_a_pair_of_two_clusters_agrees_least():
    scores = agreement(IMAGE, TEXT, k=2)
    assert scores.argmin() == 4
    terms = neighbour_terms(IMAGE, TEXT, k=1)
    # the nearest image to 4 is 0 (10 1 against 10 0), whose caption 3 0 is orthogonal to 0 1; the nearest caption is 2's, 0 3
    assert terms.text_among_images[4] == pytest.approx(0) and terms.images.ids[4].tolist() == [0]
    assert terms.image_among_texts[4] == pytest.approx(1 / 101**0.5) and terms.texts.ids[4].tolist() == [2]


@pytest.mark.parametrize("k", [1, 7, 100, 149])
@pytest.mark.parametrize("hubness", [False, True])
def test_agreement_is_that_of_the_slow_twin(k, hubness):
    image, text, _ = corpus()
    apart = np.abs(agreement(image, text, k, hubness=hubness) - slow_agreement(image, text, k, hubness))
    assert apart.max() < 0.011 and apart.mean() < 1e-3  # float32 may swap two neighbours in rank


def test_neighbours_of_negative_cosine_are_found_too():
    x = np.array([[1, 0], [-1, 0.1], [-1, -0.2], [0, 1]], np.float32)
    nearest_rows = nearest("image", x, 3)
    assert nearest_rows.ids.tolist() == slow_nearest(x, 3)
    assert nearest_rows.cosines[0].tolist() == pytest.approx([0, -0.9806, -0.9950], abs=1e-4)


def test_ties_go_to_the_smaller_id():
    x = np.array([[1, 0]] * 6 + [[0, 1]], np.float32)
    assert nearest("text", x, 3).ids.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_neighbours_of_more_rows_than_mining_orders_are_exact(dtype):
    image = corpus(1500)[0].astype(dtype)
    nearest_rows, truth = nearest("image", image, 5), slow_nearest(image, 5)
    assert np.mean([set(a) == set(b) for a, b in zip(nearest_rows.ids.tolist(), truth, strict=True)]) > 0.999


def test_shards_have_the_rows_of_the_whole():
    image, text, _ = corpus()
    whole, parts = neighbour_terms(image, text, 9), [neighbour_terms(image, text, 9, shard=(i, 4)) for i in range(4)]
    for name in ("text_among_images", "image_among_texts"):
        assert (np.concatenate([getattr(p, name) for p in parts]) == getattr(whole, name)).all()
    for hubness in (False, True):
        assert (combined(parts[::-1], hubness) == combined([whole], hubness)).all()
    with pytest.raises(HelipError, match=r"begin at rows \[0, 75, 112\] and do not join"):
        combined([parts[0], parts[2], parts[3]])


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_and_blocks_change_no_bit(workers, monkeypatch):
    image, text, _ = corpus()
    before = neighbour_terms(image, text, 9, workers=1)
    monkeypatch.setattr(near, "BLOCK_BYTES", 9000)
    after = neighbour_terms(image, text, 9, workers=workers)
    assert (before.text_among_images == after.text_among_images).all()
    assert (before.images.cosines == after.images.cosines).all()


def test_the_product_finds_the_neighbours_that_mining_finds(monkeypatch):
    image = corpus()[0]
    mined = nearest("image", image, 6)
    monkeypatch.setattr(near, "BLOCK_BYTES", 9000)
    for rows, ids, cosines in near.nearest_by_product(checked("image", image), np.arange(len(image)), 6):
        assert (ids == mined.ids[rows]).all() and (cosines == mined.cosines[rows]).all()


def test_agreement_finds_planted_mismatches_better_than_support():
    from helip.config import MiningSpec
    from helip.mining import mine

    image, text, mismatched = corpus(1200, share=0.15)
    pairs = mine(image, text, MiningSpec(k=10, tau_image=0, tau_text=0))
    support = np.zeros(len(image), np.float32)
    support[~pairs.noise] = pairs.scores_flat.reshape(-1, 10)[:, -1]
    everything = np.ones(len(image), bool)
    aucs = [detection(s, everything, mismatched)["auc"] for s in (support, agreement(image, text), ridge(image, text))]
    assert aucs[1] > aucs[0] + 0.02 and aucs[1] > 0.9 and aucs[2] > 0.9


def test_an_approximate_search_says_its_recall():
    image = corpus(1200)[0]
    nearest_rows, truth = nearest("image", image, 5, approximate=True), nearest("image", image, 5)
    recall = np.mean([np.isin(t, f).mean() for t, f in zip(truth.ids, nearest_rows.ids, strict=True)])
    assert truth.recall is None
    assert nearest_rows.recall == pytest.approx(recall, abs=0.05) and recall > 0.8


def test_the_recall_of_a_shard_is_that_of_its_rows():
    """Few inverted lists are looked into, so that some neighbours are missed."""
    image = corpus(1200)[0]
    truth, shards = nearest("image", image, 5), [nearest("image", image, 5, approximate=True, shard=(i, 3)) for i in range(3)]
    for one in shards:
        recall = np.mean([np.isin(truth.ids[one.first + row], ids).mean() for row, ids in enumerate(one.ids)])
        assert len(one) == 400 and one.recall == pytest.approx(recall)  # all rows of a shard are looked at: at most 500


def test_centred_features_have_no_mean_and_keep_their_precision(monkeypatch):
    image = corpus()[0] + 5
    monkeypatch.setattr(near, "BLOCK_BYTES", 9000)
    assert np.abs(centred(image).mean(0)).max() < 1e-6
    assert centred(image.astype(np.float16)).dtype == np.float16
    assert isinstance(centred(image, memory=1000), np.memmap)


@pytest.mark.parametrize("hubness", [False, True])
def test_ridge_leaves_each_pair_out_of_its_own_prediction(hubness):
    image, text, _ = corpus(60)
    nearest_rows = ridge_terms(image, text, strength=0.5, k=7)
    for place, (source, target) in enumerate(((image, text), (text, image))):
        cosines = slow_ridge_cosines(source, target, 0.5)
        off = np.where(np.eye(60, dtype=bool), -2, cosines)
        dense = (np.sort(off, 1)[:, -7:].mean(1) + np.sort(off, 0)[-7:].mean(0)) / 2
        assert nearest_rows.cosines[:, place] == pytest.approx(np.diag(cosines), abs=1e-5)
        assert nearest_rows.hubness[:, place] == pytest.approx(dense, abs=1e-5)
    terms = nearest_rows.cosines - nearest_rows.hubness * hubness
    assert ridge(image, text, strength=0.5, k=7, hubness=hubness) == pytest.approx(
        (np.array(places(terms[:, 0])) + np.array(places(terms[:, 1]))) / 2, abs=1e-6
    )


def test_ridge_refuses_features_of_one_direction():
    """Unit rows of one direction and other norms differ by their rounding, whose variance is above 0."""
    _, text, _ = corpus(60)
    rng = np.random.default_rng(0)
    image = (rng.standard_normal((1, 40)) * rng.uniform(1, 3, (60, 1))).astype(np.float32)
    for given, name in (((image, text), "image"), ((text, image), "text")):
        with pytest.raises(HelipError, match=f"the {name} features of all 60 pairs are equal, so they predict nothing"):
            ridge(*given, k=7)


def test_shards_of_ridge_have_the_rows_of_the_whole(monkeypatch):
    from helip.selection import ridge as module

    monkeypatch.setattr(module, "ROWS", 32)
    monkeypatch.setattr(module, "SAMPLE", 50)
    image, text, _ = corpus()
    whole, parts = ridge_terms(image, text), [ridge_terms(image, text, shard=(i, 4)) for i in range(4)]
    assert (np.concatenate([p.cosines for p in parts]) == whole.cosines).all()
    assert (np.concatenate([p.hubness for p in parts]) == whole.hubness).all()
    assert (combined_ridge(parts[::-1]) == ridge(image, text)).all()
    with pytest.raises(HelipError, match="do not join"):
        combined_ridge(parts[1:])


def broken(image, text, what):
    if what == "nan":
        image[3, 2] = np.nan
    return {"shorter": (image, text[:-1]), "nan": (image, text), "flat": (image[0], text), "words": (image, text.astype(str))}[what]


@pytest.mark.parametrize("score", [agreement, ridge])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("shorter", "150 image and 149 text rows: not of the same pairs"),
        ("nan", "image features: row 3 holds NaN or infinity"),
        ("flat", r"image features: expected a float16 or float32 array \[N, D\]"),
        ("words", "text features"),
    ],
)
def test_bad_features_get_one_sentence(score, what, message):
    image, text, _ = corpus()
    with pytest.raises(HelipError, match=message):
        score(*broken(image, text, what))


def test_k_above_the_corpus_gets_one_sentence():
    image, text, _ = corpus(20)
    with pytest.raises(HelipError, match="k = 20: a target has only 19 candidates"):
        agreement(image, text, 20)
    with pytest.raises(HelipError, match="give 0 < k < 20"):
        ridge(image, text, k=20)
