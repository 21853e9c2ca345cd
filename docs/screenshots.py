"""Takes the pictures of docs/images: python docs/screenshots.py STUDY [STORE]. It serves the store itself, and needs chromium."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import requests
from mlflow import MlflowClient
from PIL import Image

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOST = "helip.example"  # by another name than localhost, MLflow opens no assistant beside its pages
SIZE = (1600, 860)


@contextmanager
def served(store: str) -> Iterator[int]:
    """Yields the port at which `helip ui` shows a store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    helip = Path(sys.executable).with_name("helip")
    command = [helip, "ui", "--store", store, "--port", str(port), "--allowed-hosts", HOST]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            time.sleep(1)
            try:
                if server.poll() is not None or requests.get(f"http://127.0.0.1:{port}/health", timeout=2).ok:
                    break
            except requests.ConnectionError:
                continue
        yield port
    finally:
        server.terminate()
        server.wait()


def shoot(browser: str, address: str, out: Path) -> None:
    """Saves one page as a PNG of few colours, after 40 seconds of the browser's own time."""
    with tempfile.TemporaryDirectory() as profile:
        picture = Path(profile) / "page.png"
        options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", f"--user-data-dir={profile}"]
        options += [f"--host-resolver-rules=MAP {HOST} 127.0.0.1", f"--window-size={SIZE[0]},{SIZE[1]}"]
        command = [browser, *options, "--virtual-time-budget=40000", f"--screenshot={picture}", address]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        out.parent.mkdir(parents=True, exist_ok=True)
        Image.open(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=48).save(out, optimize=True)


def main(study: str, store: str = "results/mlflow.db") -> None:
    """Takes the list of runs, the charts, one run, its artifacts, and the comparison of HELIP with its control."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None) or sys.exit("no chromium on the PATH: install it")
    with served(store) as port:
        client = MlflowClient(tracking_uri=f"http://127.0.0.1:{port}")
        experiment = client.get_experiment_by_name(study) or sys.exit(f"{store} has no study '{study}': helip track {study}")
        runs = {run.data.tags["helip.key"]: run for run in client.search_runs([experiment.experiment_id], "tags.`helip.key` != ''")}
        start = min((key.split("/")[1] for key in runs if key.endswith("_helip")), key=len).removesuffix("_helip")
        arms = [runs[f"{study}/{start}_{arm}"].info.run_id for arm in ("control", "helip")]
        one = next(run for key, run in runs.items() if key.startswith(f"{study}/{start}_helip/")).info.run_id
        of = [experiment.experiment_id]
        view, server = "workflowType=machine_learning", f"http://{HOST}:{port}"
        of_study = f"{server}/#/experiments/{experiment.experiment_id}/runs"
        pages = {
            "list": f"{of_study}?{view}",
            "charts": f"{of_study}?{view}&compareRunsMode=CHART",
            "run": f"{of_study}/{one}?{view}",
            "artifacts": f"{of_study}/{one}/artifacts?{view}",
            "compare": f"{server}/#/compare-runs?runs={quote(json.dumps(arms))}&experiments={quote(json.dumps(of))}&{view}",
        }
        for name, address in pages.items():
            shoot(browser, address, IMAGES / f"mlflow-{name}.png")
            print(IMAGES / f"mlflow-{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
