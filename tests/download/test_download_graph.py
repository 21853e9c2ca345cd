"""The rules of the paper study at the size of a test: only the addresses differ. A mirror or a crawl, a union, a published checkpoint,
the data check and the contamination report, made by Snakemake from a server on this machine."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import open_clip
import pytest
import torch
import yaml
from PIL import Image

from helip.data.tars import samples, write

PLANTED = 5  # test images that are also, recompressed, in the training corpus
PARTS = ("Snakefile", "rules", "experiments", "profiles")


@pytest.fixture(scope="module")
def declip_file(tmp_path_factory) -> bytes:
    """A small random model in DeCLIP's layout: the text tower's prefix, and the mask's row in the vocabulary."""
    torch.manual_seed(0)
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1, "proj_bias": True}
    vision = {"image_size": 64, "layers": 1, "width": 64, "patch_size": 32}
    state = dict(open_clip.CLIP(embed_dim=32, quick_gelu=True, vision_cfg=vision, text_cfg=text).state_dict())
    state = {n if n.startswith("visual.") or n == "logit_scale" else f"encode_text.{n}": w for n, w in state.items()}
    words = state["encode_text.token_embedding.weight"]
    state["encode_text.token_embedding.weight"] = torch.cat([words[:49406], words[:1], words[49406:]])
    path = tmp_path_factory.mktemp("declip") / "declip.pth.tar"
    torch.save({"model": {f"module.{n}": w for n, w in state.items()}}, path)
    return path.read_bytes()


@pytest.fixture
def planted(data_root) -> list[bytes]:
    """The first test images of the retrieval set, recompressed."""
    images = []
    for _, files in samples(data_root / "flickr8k/retrieval/test/0.tar", frozenset({"jpg", "png", "webp"})):
        image, data = next(f.data for f in files if f.data), io.BytesIO()
        Image.open(io.BytesIO(image)).convert("RGB").save(data, "JPEG", quality=70)
        images.append(data.getvalue())
        if len(images) == PLANTED:
            break
    return images


@pytest.fixture
def workspace(project, data_root, site, photographs, planted, declip_file, tmp_path, no_proxy, monkeypatch):
    """A checkout with a study whose sources are on the server and in $MINE; `snakemake` runs in it."""
    for part in PARTS:
        (shutil.copytree if (project / part).is_dir() else shutil.copy)(project / part, tmp_path / part)
    some = [(f"{i:04d}", jpeg, caption) for i, (_, jpeg, caption) in enumerate(photographs[:60])]
    some += [(f"9{i:03d}", jpeg, "a test image that should not be here") for i, jpeg in enumerate(planted)]
    for name, part in (("0", some[:40]), ("1", some[40:])):
        write(tmp_path / f"{name}.tar", [f for key, jpeg, text in part for f in ((f"{key}.jpg", jpeg), (f"{key}.txt", text.encode()))])
        site.pages[f"shard-{name}.tar"] = (tmp_path / f"{name}.tar").read_bytes()
    site.pages["declip.pth.tar"] = declip_file
    (tmp_path / "mine").mkdir()
    shutil.copy(sorted((data_root / "flickr8k/pairs").glob("*.tar"))[3], tmp_path / "mine/00000.tar")
    _study(tmp_path / "experiments/studies/tiny.yaml", tmp_path / "experiments/studies/smoke.yaml", site)
    for name, value in {"MINE": tmp_path / "mine", "HELIP_DATA": data_root, "PYTHONPATH": project, "no_proxy": "*"}.items():
        monkeypatch.setenv(name, str(value))

    def snakemake(*arguments: str) -> str:
        command = [Path(sys.executable).with_name("snakemake"), "--cores", "2", "--quiet", "rules", "--", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ))
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout + done.stderr

    snakemake.folder = tmp_path
    return snakemake


def _study(file: Path, smoke: Path, site) -> None:
    content = yaml.safe_load(smoke.read_text())
    content["seeds"] = [0]
    content["corpora"] = {
        "cc3m": {"kind": "downloaded", "table": "none.csv", "mirror": site.url("shard-{0..1}.tar"), "published_size": 100},
        "yfcc15m_v1": {"kind": "webdataset", "path": "$MINE", "published_size": 2000},
        "open29m": {"kind": "union", "of": ["cc3m", "yfcc15m_v1"], "published_size": 2100},
    }
    content["models"]["vit_b32"] = content["models"]["rn50"]
    content["evaluation"] = {
        "flickr30k": {"kind": "wds", "task": "retrieval", "path": "$HELIP_DATA/flickr8k/retrieval", "expected": {"items": 1000}},
    }
    content["published"] = {"cc3m_clip": {"url": site.url("declip.pth.tar")}}
    file.write_text(yaml.safe_dump(content))


def read_result(workspace, path: str) -> dict:
    return json.loads((workspace.folder / "results/tiny" / path).read_text())


@pytest.mark.long
def test_everything_that_comes_from_elsewhere(workspace, site, declip_file, planted):
    targets = [
        "results/tiny/data.json",
        "results/tiny/contamination.json",
        "results/tiny/corpora/open29m/manifest.json",
        "results/tiny/models/cc3m_clip/seed0/train.json",
    ]
    workspace(*targets)
    assert read_result(workspace, "corpora/cc3m/manifest.json")["recovered_share"] == 0.65
    own = read_result(workspace, "corpora/yfcc15m_v1/manifest.json")["size"]
    assert read_result(workspace, "corpora/open29m/manifest.json")["size"] == 65 + own
    states = {f["name"]: f["state"] for f in read_result(workspace, "data.json")["findings"]}
    assert states["yfcc15m_v1"] == states["flickr30k"] == "there" and "missing" not in states.values()

    counts = {(c["set"], c["corpus"]): c["found"] for c in read_result(workspace, "contamination.json")["counts"]}
    assert counts == {("flickr30k", "cc3m"): PLANTED, ("flickr30k", "yfcc15m_v1"): 0}
    rows = (workspace.folder / "results/tiny/contamination.csv").read_text().splitlines()[1:]
    assert sorted(tuple(r.split(",")[:4]) for r in rows) == [("flickr30k", str(i), "cc3m", str(60 + i)) for i in range(PLANTED)]

    train = read_result(workspace, "models/cc3m_clip/seed0/train.json")
    assert train["sha256"] == hashlib.sha256(declip_file).hexdigest() and train["published"] == "DeCLIP"
    folder = workspace.folder / "results/tiny/models/cc3m_clip/seed0"
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    assert model.encode_image(torch.zeros(1, 3, 64, 64)).shape == (1, 32)

    asked = sum(site.asked.values())
    assert "Nothing to be done" in workspace(*targets) and sum(site.asked.values()) == asked


@pytest.mark.long
def test_one_line_of_yaml_turns_a_mirror_into_a_crawl(img2dataset, workspace, site, photographs):
    file = workspace.folder / "experiments/studies/tiny.yaml"
    content = yaml.safe_load(file.read_text())
    lines = ["url,caption"]
    for i, (_, jpeg, caption) in enumerate(photographs[:50]):
        if i >= 10:  # ten are gone
            site.pages[f"{i}.jpg"] = jpeg
        lines.append(f'{site.url(f"{i}.jpg")},"{caption}"')
    (workspace.folder / "list.csv").write_text("\n".join(lines) + "\n")
    content["corpora"]["cc3m"] = {"kind": "downloaded", "table": "$MINE/../list.csv", "processes": 1, "published_size": 50}
    file.write_text(yaml.safe_dump(content))
    workspace("results/tiny/corpora/cc3m/manifest.json")
    manifest = read_result(workspace, "corpora/cc3m/manifest.json")
    assert (manifest["size"], manifest["recovered_share"]) == (40, 0.8)
    assert manifest["download"]["failed"] == {"HTTP 404": 10}
    with tarfile.open(next((workspace.folder / "results/tiny/downloads").glob("cc3m-*/shards/*.tar"))) as archive:
        assert len([n for n in archive.getnames() if n.endswith(".jpg")]) == 40
