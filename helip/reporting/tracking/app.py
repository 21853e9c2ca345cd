"""A plugin of `mlflow server`: its pages open in the view of model training, until somebody chooses the other one.

MLflow keeps that choice in the browser and begins with its view of language models; no tag of an experiment changes it (3.17).
"""

from pathlib import Path

from flask import Response
from mlflow.server import app as pages
from mlflow.server.fastapi_app import app

__all__ = ["app"]

KEY = "mlflow.workflowType_v1"  # where MLflow's pages keep the choice in the browser
SCRIPT = f"<script>localStorage.getItem('{KEY}')||localStorage.setItem('{KEY}','\"machine_learning\"')</script>"


def first_page() -> Response:
    """Returns MLflow's page, with the choice made before its own scripts run; a browser asks for it anew each time."""
    page = (Path(str(pages.static_folder)) / "index.html").read_text()
    return Response(page.replace("<head>", f"<head>{SCRIPT}", 1), mimetype="text/html", headers={"Cache-Control": "no-cache"})


pages.view_functions["serve"] = first_page
