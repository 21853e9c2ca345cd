"""A plugin of `mlflow server`: its pages open in the view of model training, with the list of studies first and no assistant beside it,
and a study's list of runs with its summary's columns.

MLflow (3.17) keeps these choices in the browser, and begins with its view of language models and with no metric in the list; no tag of an
experiment changes that. They are made once for a browser that has none; whatever somebody chooses there later stays.
"""

import json
from pathlib import Path

from flask import Response
from mlflow.server import app as pages
from mlflow.server.fastapi_app import app
from mlflow.server.handlers import _get_tracking_store

from helip.reporting.tracking.trainings import AVERAGE, GAIN

__all__ = ["app"]

CHOICES: dict[str, object] = {  # as MLflow's pages keep them in the browser: name and version -> JSON
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.settings.telemetry.enabled_v1": False,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
}
LIST = 'MLflowLocalStorage-1.1-ExperimentPage-["%s"]-ReactComponentState'  # what a browser knows of an experiment's list of runs
NAME, SOURCE = "attributes.`Run Name`", "attributes.`Source`"
METRICS = [f"metrics.`{name}`" for name in (GAIN, f"{GAIN}_low", f"{GAIN}_high", AVERAGE)]
SHOWN = {
    "selectedColumns": [*METRICS, SOURCE],
    "columnOrder": [NAME, *METRICS, SOURCE],  # widths are heeded of ordered columns alone
    "columnWidths": {NAME: 260, SOURCE: 140, **dict.fromkeys(METRICS, 175)},  # pixels
}
SCRIPT = """<script>
for (const [name, value] of Object.entries(%s)) localStorage.getItem(name) ?? localStorage.setItem(name, JSON.stringify(value));
if (!location.hash) location.replace("#/experiments");
</script>"""


def first_page() -> Response:
    """Returns MLflow's page, with the choices made before its own scripts run; a browser asks for it anew each time."""
    lists = {LIST % one.experiment_id: SHOWN for one in _get_tracking_store().search_experiments()}
    script = SCRIPT % json.dumps(CHOICES | lists)
    page = (Path(str(pages.static_folder)) / "index.html").read_text()
    return Response(page.replace("<head>", f"<head>{script}", 1), mimetype="text/html", headers={"Cache-Control": "no-cache"})


pages.view_functions["serve"] = first_page
