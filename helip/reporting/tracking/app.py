"""A plugin of `mlflow server`: its pages open in the view of model training, with the list of studies first and no assistant beside it.

MLflow (3.17) keeps these choices in the browser, and begins with its view of language models; no tag of an experiment changes that. They
are made once for a browser that has none; whatever somebody chooses there later stays.
"""

import json
from pathlib import Path

from flask import Response
from mlflow.server import app as pages
from mlflow.server.fastapi_app import app

__all__ = ["app"]

CHOICES = {  # as MLflow's pages keep them in the browser: name and version -> JSON
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.settings.telemetry.enabled_v1": False,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
}
SCRIPT = """<script>
for (const [name, value] of Object.entries(%s)) localStorage.getItem(name) ?? localStorage.setItem(name, JSON.stringify(value));
if (!location.hash) location.replace("#/experiments");
</script>""" % json.dumps(CHOICES)  # noqa: UP031  (braces are JavaScript's here)


def first_page() -> Response:
    """Returns MLflow's page, with the choices made before its own scripts run; a browser asks for it anew each time."""
    page = (Path(str(pages.static_folder)) / "index.html").read_text()
    return Response(page.replace("<head>", f"<head>{SCRIPT}", 1), mimetype="text/html", headers={"Cache-Control": "no-cache"})


pages.view_functions["serve"] = first_page
