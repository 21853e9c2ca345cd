"""A published checkpoint, played by a small random model in SLIP's layout, from address to model folder."""

import csv

import open_clip
import pytest
import torch

from helip.config import PublishedCheckpoint
from helip.download.checkpoints import fetch_model, obtain
from helip.errors import HelipError
from helip.io import file_digest, read_json
from helip.models.published import slip

CONFIG = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "timm_model_name": "vit_tiny_patch16_224", "timm_pool": "token", "timm_proj": "linear"},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


@pytest.fixture(autouse=True)
def _here(no_proxy, monkeypatch):
    monkeypatch.setitem(slip.TOWERS, 192, "vit_tiny_patch16_224")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """(model, file): open_clip's names turned back into SLIP's."""
    torch.manual_seed(0)
    model = open_clip.CLIP(**CONFIG).eval()
    state = {f"module.{name.replace('visual.trunk.', 'visual.')}": w for name, w in model.state_dict().items()}
    state["module.image_projection"] = state.pop("module.visual.head.proj.weight").T
    path = tmp_path_factory.mktemp("published") / "slip_base.pt"
    torch.save({"state_dict": state, "epoch": 40}, path)
    return model, path


@torch.no_grad()
def test_an_address_becomes_a_model_that_open_clip_loads(site, checkpoint, tmp_path):
    model, path = checkpoint
    site.pages["slip_base.pt"] = path.read_bytes()
    out = tmp_path / "models/cc3m_slip/seed0"
    out.mkdir(parents=True)  # Snakemake makes the folders of outputs before the job
    declared = PublishedCheckpoint(url=site.url("slip_base.pt"))
    sha256 = fetch_model(declared, "cc3m_slip", tmp_path / "checkpoints", out, "a digest")
    assert sha256 == file_digest(path) == read_json(next((tmp_path / "checkpoints").glob("*-slip_base.pt.json")))["sha256"]
    ours, _, _ = open_clip.create_model_and_transforms(f"local-dir:{out}")
    image = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(ours.eval().encode_image(image), model.encode_image(image), rtol=1e-5, atol=1e-5)
    metadata = read_json(out / "train.json")
    assert (metadata["digest"], metadata["published"], metadata["inputs"]) == ("a digest", "SLIP", {"checkpoint": sha256})
    with open(out / "curve.csv", newline="") as file:
        assert list(csv.reader(file)) == [["step", "loss"]]
    assert [p.name for p in out.parent.iterdir()] == ["seed0"]


def test_addresses_that_end_alike_are_two_files(site, tmp_path):
    site.pages |= {"slip/model.pt": b"one", "other/model.pt": b"another"}
    files = [obtain(PublishedCheckpoint(url=site.url(path)), "run", tmp_path)[0] for path in ("slip/model.pt", "other/model.pt")]
    assert [file.read_bytes() for file in files] == [b"one", b"another"]


def test_a_pinned_hash_that_differs_is_refused(site, checkpoint, tmp_path):
    site.pages["slip_base.pt"] = checkpoint[1].read_bytes()
    declared = PublishedCheckpoint(url=site.url("slip_base.pt"), sha256="0" * 64)
    with pytest.raises(HelipError, match="not the 0{64} declared"):
        fetch_model(declared, "cc3m_slip", tmp_path / "checkpoints", tmp_path / "model", "d")
    assert not (tmp_path / "model").exists()


def test_a_change_of_a_file_put_there_by_hand_is_refused(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("HELIP_CHECKPOINTS", str(tmp_path / "mine"))
    declared = PublishedCheckpoint(path="$HELIP_CHECKPOINTS/declip.pth.tar", obtain="download it from Google Drive")
    with pytest.raises(HelipError, match=r"declip.pth.tar: the published checkpoint of yfcc is not there; download it from Google Drive"):
        obtain(declared, "yfcc", tmp_path / "checkpoints")
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine/declip.pth.tar"
    file.write_bytes(checkpoint[1].read_bytes())
    assert obtain(declared, "yfcc", tmp_path / "checkpoints") == (file, file_digest(file))
    file.write_bytes(b"something else")
    with pytest.raises(HelipError, match=r"declip.pth.tar: its sha256 is .* is recorded in .*yfcc.json"):
        obtain(declared, "yfcc", tmp_path / "checkpoints")


def test_an_unset_variable_says_what_belongs_there(tmp_path, monkeypatch):
    monkeypatch.delenv("HELIP_CHECKPOINTS", raising=False)
    declared = PublishedCheckpoint(path="$HELIP_CHECKPOINTS/a.pt", obtain="download it from Google Drive")
    with pytest.raises(HelipError, match=r"\$HELIP_CHECKPOINTS is not set: .*download it from Google Drive"):
        obtain(declared, "yfcc", tmp_path)


def test_what_is_no_checkpoint_leaves_no_model(site, tmp_path):
    site.pages["page.pt"] = b"<html>sign in</html>"
    with pytest.raises(HelipError, match="page.pt"):
        fetch_model(PublishedCheckpoint(url=site.url("page.pt")), "run", tmp_path / "checkpoints", tmp_path / "model", "d")
    assert not (tmp_path / "model").exists()
