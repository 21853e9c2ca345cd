"""Takes the pictures of a study in MLflow that the docs show: python -m tools.mlflow_screenshots STUDY [STORE].

`make screenshots` calls it. It serves the store itself, and shows its pages at the width of a desktop, and two of them at that of a phone.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import requests

from helip.errors import HelipError
from tools.screenshots import HEIGHT, IMAGES, WIDTHS, find_browser, shoot

HOST = "helip.example"  # by another name than localhost, MLflow opens no assistant beside its pages
SIZE = (1600, 860)  # of a desktop, pixels
PHONE = (WIDTHS["phone"], HEIGHT)
ON_A_PHONE = ("list", "run")


@contextmanager
def served(store: str) -> Iterator[int]:
    """Yields the port at which `helip ui` shows a store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    helip = Path(sys.executable).with_name("helip")
    command = [helip, "ui", "--store", store, "--port", str(port), "--allowed-hosts", HOST]
    framed = os.environ | {"MLFLOW_SERVER_X_FRAME_OPTIONS": "NONE"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=framed)
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


def main(study: str, store: str = "results/mlflow.db") -> None:
    """Takes the list of runs, the charts, one run, its artifacts, and the comparison of HELIP with its control. Raises HelipError without a
    browser or an import of the study."""
    from mlflow import MlflowClient  # takes seconds

    browser = find_browser()
    with served(store) as port:
        client = MlflowClient(tracking_uri=f"http://127.0.0.1:{port}")
        experiment = client.get_experiment_by_name(study)
        if experiment is None:
            raise HelipError(f"{store}: has no study '{study}'; import it with `helip track {study}`")
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
        pictures = {name: (name, SIZE) for name in pages} | {f"{name}-phone": (name, PHONE) for name in ON_A_PHONE}
        for picture, (name, size) in pictures.items():
            shoot(browser, pages[name], size, IMAGES / f"mlflow-{picture}.png", seconds=40, host=HOST)
            print(IMAGES / f"mlflow-{picture}.png")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except HelipError as error:
        sys.exit(f"screenshots: {error}")
