"""`python benchmarks/rehearsal/here.py FOLDER [options of helip rehearse]`: rehearse study `paper` on a machine that has none of its data.

A web server on this machine serves photographs of $HELIP_DATA/flickr8k in the shape of each source, and evaluation sets stand in their
real layouts (sets.py). The study is the tracked one with other addresses; its architectures, recipes, encoders and shapes are untouched.
Costs go beside the page, where no plan reads them: those of stand-ins are not the study's. --costs FILE puts them elsewhere.
"""

import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image
from sets import LAYOUTS, Photograph

from helip.data.tars import samples, write

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = 400
WDS = ("cifar10", "cifar100", "flowers102")  # whose real files torchvision compares by checksum


class Quiet(SimpleHTTPRequestHandler):
    """The standard library's file server, without a line for each request."""

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A client that hangs up, as one that wants a file's first megabytes does, is no error."""

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def photographs(data: Path) -> list[Photograph]:
    """Returns the first photographs with their first captions; drawn patterns where there are none."""
    shards = sorted((data / "flickr8k" / "pairs").glob("*.tar"))
    contents = (files for shard in shards for _, files in samples(shard, frozenset({"jpg", "txt"})))
    pairs = [{f.extension: f.data for f in files} for files in itertools.islice(contents, PHOTOGRAPHS)]
    return [(one["jpg"], one["txt"].decode().splitlines()[0]) for one in pairs] or [drawn(i) for i in range(PHOTOGRAPHS)]


def drawn(i: int) -> Photograph:
    """Returns a JPEG of coarse coloured noise, with a caption."""
    coarse, data = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8), io.BytesIO()
    Image.fromarray(coarse).resize((320, 256), Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
    return data.getvalue(), f"what seed {i} draws, a pattern of coloured patches"


def served(folder: Path, photos: list[Photograph]) -> None:
    """Writes what the server offers: a shard for each mirror, single photographs for crawls, some bytes for checkpoints."""
    files = [f for i, (jpeg, text) in enumerate(photos) for f in ((f"{i:06d}.jpg", jpeg), (f"{i:06d}.txt", text.encode()))]
    for name in ("cc3m-train-0000.tar", "cc3m-validation-0000.tar", "cc12m-train-0000.tar"):
        write(folder / name, files)
    for i, (jpeg, _) in enumerate(photos):
        (folder / f"{i}.jpg").write_bytes(jpeg)
    for name in ("slip_base_cc3m_40ep.pt", "slip_base_cc12m_35ep.pt"):
        (folder / name).write_bytes(bytes(8 << 20))


def sources(folder: Path, address: str, photos: list[Photograph]) -> None:
    """Writes what lies in $HELIP_SOURCES: two subsets of YFCC as shards, and LAION's table of addresses."""
    import hashlib

    files = [f for i, (jpeg, text) in enumerate(photos) for f in ((f"{i:06d}.jpg", jpeg), (f"{i:06d}.txt", text.encode()))]
    for name in ("yfcc15m_v1", "yfcc15m_v2"):
        (folder / name).mkdir(parents=True)
        write(folder / name / "00000.tar", files)
    (folder / "relaion2b_en").mkdir()
    columns = {
        "url": [f"{address}/{i}.jpg" for i in range(len(photos))], "caption": [text for _, text in photos],
        "md5": [hashlib.md5(jpeg).hexdigest() for jpeg, _ in photos],
    }  # fmt: skip
    pq.write_table(pa.table(columns), folder / "relaion2b_en" / "part-0.parquet")


def study(folder: Path, address: str) -> None:
    """Writes experiments/ with the addresses of this machine in study `paper`."""
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    file = folder / "experiments/studies/paper.yaml"
    text = re.sub(r"https://huggingface\.co/datasets/pixparse/\w+-wds/resolve/main/", f"{address}/", file.read_text())
    text = text.replace("https://dl.fbaipublicfiles.com/slip/", f"{address}/")
    content = yaml.safe_load(text)
    for name in WDS:
        declared = content["evaluation"][name]
        kept = {key: declared[key] for key in ("task", "probe", "validation", "expected") if key in declared}
        content["evaluation"][name] = {"kind": "wds", "path": declared["root"], **kept}
    file.write_text(yaml.safe_dump(content, sort_keys=False, width=200))


def main() -> int:
    """Makes the stand-ins in FOLDER, rehearses there and returns the exit code."""
    folder, options = Path(sys.argv[1]).resolve(), sys.argv[2:]
    photos = photographs(Path(os.environ.get("HELIP_DATA", "none")))
    offered = folder / "served"
    offered.mkdir(parents=True)
    server = Server(("127.0.0.1", 0), partial(Quiet, directory=str(offered)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    served(offered, photos)
    sources(folder / "sources", address, photos)
    for name, layout in LAYOUTS.items():
        layout(folder / "sets" / name, photos)
    study(folder, address)
    places = {"HELIP_SOURCES": folder / "sources", "HELIP_SETS": folder / "sets", "HELIP_CHECKPOINTS": folder / "checkpoints"}
    if "--costs" not in options:
        options += ["--costs", str(folder / "results/paper/rehearsal.costs.yaml")]
    environ = os.environ | {name: str(place) for name, place in places.items()} | {"no_proxy": "*"}
    return subprocess.run([sys.executable, "-m", "helip", "rehearse", "paper", *options], cwd=folder, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
