"""A JSON of ours that somebody damaged, or another one of the same name: every command says which file, in one sentence."""

import json

import numpy as np
import pytest
from archives import indexed, pairs

from helip import MiningSpec, mine
from helip.cli import main

DAMAGED = ["{}", "[]", "3", "null", '{"declaration": 3}']


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus of 12 pairs, features of it, a pair set and a selection, each in its folder."""
    folder = tmp_path_factory.mktemp("made")
    digest = indexed(folder, pairs(12)).digest
    rng = np.random.default_rng(0)
    for name in ("image", "text"):
        (folder / name).mkdir()
        np.save(folder / name / "features.npy", rng.standard_normal((12, 4)).astype(np.float32))
    features = [np.load(folder / name / "features.npy") for name in ("image", "text")]
    mine(*features, MiningSpec(k=2, tau_image=None, tau_text=None), workers=1).save(folder / "pairs")
    (folder / "kept").mkdir()
    np.save(folder / "kept" / "keep.npy", np.ones(12, bool))
    (folder / "kept" / "selection.json").write_text(json.dumps({"corpus_digest": digest}))
    return folder


LINES = {
    "corpus/manifest.json": "encode --corpus {0}/corpus --encoder timm:resnet18 --out {0}/out",
    "image/features.json": (
        "select --corpus {0}/corpus --score agreement --k 2 --image-features {0}/image --text-features {0}/text --out {0}/out"
    ),
    "pairs/pairs.json": "export-pairs {0}/pairs --out {0}/out.csv",
    "kept/selection.json": (
        "mine --image-features {0}/image --text-features {0}/text --keep {0}/kept --k 2 --no-tau --workers 1 --out {0}/out"
    ),
}


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize("name", LINES)
def test_a_damaged_json_is_one_sentence(made, name, content, capsys):
    before = (made / name).read_text() if (made / name).exists() else None
    (made / name).write_text(content)
    try:
        code = main(LINES[name].format(made).split())
    finally:
        (made / name).unlink() if before is None else (made / name).write_text(before)
    if name.startswith("kept") and content.startswith("{"):  # a mask from elsewhere says nothing of itself
        assert code == 0
        return
    assert code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(part in error for part in name.split("/"))


def test_the_folder_of_a_selection_stands_for_its_mask(made):
    line = "mine --image-features {0}/image --text-features {0}/text --keep {0}/{1} --k 2 --no-tau --workers 1 --out {0}/{2}"
    for keep, out in (("kept", "a"), ("kept/keep.npy", "b")):
        assert main(line.format(made, keep, out).split()) == 0
    assert (made / "a" / "ids.npy").read_bytes() == (made / "b" / "ids.npy").read_bytes()
