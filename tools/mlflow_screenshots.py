"""Takes the pictures of a study's runs in MLflow: the list, the charts, a run, its artifacts, and two arms beside each other."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from helip.errors import HelipError
from helip.reporting.tracking.importing import import_study
from helip.study import Study
from tools.browser import find_browser, shoot

HOST = "helip.example"  # by another name than localhost, MLflow opens no assistant beside its pages
SIZES = {"": (1600, 860), "-phone": (400, 900)}  # pixels
ON_A_PHONE = ("list", "run")
VIEW = "workflowType=machine_learning"


@contextmanager
def served(store: Path) -> Iterator[int]:
    """Yields the port at which `helip ui` shows a store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    helip = Path(sys.executable).with_name("helip")
    command = [helip, "ui", "--store", str(store), "--port", str(port), "--allowed-hosts", HOST]
    framed = os.environ | {"MLFLOW_SERVER_X_FRAME_OPTIONS": "NONE"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=framed)
    try:
        while not _answers(port):
            if server.poll() is not None:
                raise HelipError(f"`helip ui --store {store}` ended by itself: run it to see why")
            time.sleep(1)
        yield port
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=30).ok
    except requests.RequestException:
        return False


def take(results: Path, study: str, out: Path) -> None:
    """Takes the pictures into `out`, after an import of what the store of these results lacks.

    Raises HelipError without a browser, and for a study none of whose runs is measured against a control.
    """
    from mlflow import MlflowClient  # takes seconds

    browser, store = find_browser(), results / "mlflow.db"
    import_study(Study(study, results=results), store)
    with served(store) as port:
        pages = pages_of(MlflowClient(tracking_uri=f"http://127.0.0.1:{port}"), study, f"http://{HOST}:{port}")
        shown = [(name, "") for name in pages] + [(name, "-phone") for name in ON_A_PHONE]
        for name, end in shown:
            picture = out / f"mlflow-{name}{end}.png"
            shoot(browser, pages[name], SIZES[end], picture, seconds=40, host=HOST)
            print(picture)


def pages_of(client: Any, study: str, server: str) -> dict[str, str]:
    """Returns picture -> address of MLflow's page. HELIP and its control are compared where both are there, else a run and its control."""
    experiment = client.get_experiment_by_name(study).experiment_id
    stored = client.search_runs([experiment], "tags.`helip.key` != ''", max_results=5000)
    runs = {run.data.tags["helip.key"]: run for run in stored}
    arms = [(run, over) for run in stored if (over := runs.get(f"{study}/{run.data.tags.get('helip.control', '')}"))]
    if not arms:
        raise HelipError(f"{study}: no run that is measured against a control is finished; train one, or choose another study")
    run, over = min(arms, key=_place)
    one = next(key for key in sorted(runs) if key.startswith(f"{run.data.tags['helip.key']}/"))
    of_study = f"{server}/#/experiments/{experiment}/runs"
    two = quote(json.dumps([over.info.run_id, run.info.run_id]))
    return {
        "list": f"{of_study}?{VIEW}",
        "charts": f"{of_study}?{VIEW}&compareRunsMode=CHART",
        "run": f"{of_study}/{runs[one].info.run_id}?{VIEW}",
        "artifacts": f"{of_study}/{runs[one].info.run_id}/artifacts?{VIEW}",
        "compare": f"{server}/#/compare-runs?runs={two}&experiments={quote(json.dumps([experiment]))}&{VIEW}",
    }


def _place(arms: tuple[Any, Any]) -> tuple[bool, bool, int]:
    """HELIP of a start by its plain name comes first, then what else has hard pairs, then any run."""
    key = arms[0].data.tags["helip.key"]
    return arms[0].data.tags["helip.arm"] != "helip", not key.endswith("_helip"), len(key)
