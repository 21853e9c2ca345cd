"""MLflow's own server over the store of a results folder: one worker, and a sentence where it cannot start."""

import importlib.metadata
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from helip.errors import HelipError
from helip.reporting.tracking.store import experiments_in_file, explained, reading

LOCAL = ("localhost", "127.0.0.1", "[::1]")
QUIET = ("--uvicorn-opts", "--log-level warning")  # no line for each file of a page
APP = "helip"  # of the entry points mlflow.app in pyproject.toml
ANY = ("0.0.0.0", "::")  # listened on, and no address for a browser
TRAINING = "workflowType=machine_learning"  # the view that has charts; MLflow's other one is of language models' answers
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # nothing to send, and no jobs of its own


def serve(store: Path, host: str, port: int, allowed_hosts: str = "") -> int:
    """Serves a store until it is interrupted; returns the exit code, which is 0 for an interrupt alone.

    allowed_hosts: names under which browsers reach it, with commas between. HelipError where the store is not there or of another version
    of MLflow, and where the port is taken.
    """
    check_store(store)
    check_port(host, port)
    print("\n".join([f"http://{host}:{port} shows {store}; Ctrl-C ends it", *links(store, host, port, allowed_hosts)]), flush=True)
    server = subprocess.Popen(command(store, host, port, allowed_hosts), env={**os.environ, **ENVIRONMENT})
    told: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        told.append(number)
        server.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    code = server.wait()
    if not told:
        raise HelipError(f"MLflow's server ended by itself (exit code {code}); what it printed stands above")
    return 0


def links(store: Path, host: str, port: int, allowed_hosts: str) -> list[str]:
    """Returns a line for each study of a store: the address of its experiment, in the view of model training.

    Where the server listens on all of a machine, the address has the first name that browsers may ask for, or else this machine's own.
    """
    named = [name for name in _names(allowed_hosts) if name != "*"]
    shown = host if host not in ANY else [*named, LOCAL[0]][0]
    experiments = experiments_in_file(store)
    return [f"  {study}: http://{shown}:{port}/#/experiments/{number}/runs?{TRAINING}" for study, number in experiments.items()]


def command(store: Path, host: str, port: int, allowed_hosts: str) -> list[str]:
    """Returns the command of MLflow's server. Its own page asks by POST, so that a host which may ask is also an origin that may."""
    mlflow = Path(sys.executable).with_name("mlflow")
    named = _names(allowed_hosts)
    allowed = ["--allowed-hosts", ",".join(_with_ports([*LOCAL, *named]))] if named else []
    origins = [f"{scheme}://{name}" for scheme in ("http", "https") for name in _with_ports(named)]
    allowed += ["--cors-allowed-origins", ",".join(origins)] if named else []
    uri = f"sqlite:///{store.resolve()}"
    listening = ["--backend-store-uri", uri, "--host", host, "--port", str(port), "--workers", "1"]
    return [str(mlflow), "server", *listening, *QUIET, *_app(), *allowed]


def _app() -> list[str]:
    """Our app of MLflow (app.py), where the package's installation knows it: one from before it had it does not."""
    return ["--app-name", APP] if importlib.metadata.entry_points(group="mlflow.app", name=APP) else []


def _names(allowed_hosts: str) -> list[str]:
    return [name.strip() for name in allowed_hosts.split(",") if name.strip()]


def _with_ports(names: Iterable[str]) -> list[str]:
    """Each name alone and with any port; '*' stays as it is."""
    return [pattern for name in names for pattern in ([name] if name == "*" else [name, f"{name}:*"])]


def check_port(host: str, port: int) -> None:
    """Raises HelipError where another process listens on a port, or where this machine has no such address."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind)) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
    except OSError as error:
        why = "is in use by another process" if error.errno == 98 else f"cannot be listened on ({error.strerror or error})"
        raise HelipError(f"port {port} of {host} {why}; name another: make ui PORT={port + 1}") from None


def check_store(store: Path) -> None:
    """Raises HelipError where a store is missing, is no store, or was written by another version of MLflow."""
    if not store.exists():
        raise HelipError(f"{store}: nothing is imported yet; run `make table1` or `helip track STUDY` first")
    try:
        with reading(store) as connection:
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    except (sqlite3.Error, TypeError) as error:
        raise HelipError(f"{store}: is no store of MLflow ({error}); remove it and import again") from None
    with explained(f"sqlite:///{store.resolve()}"):
        from mlflow.store.db.utils import _get_latest_schema_revision

        if version != (expected := _get_latest_schema_revision()):
            raise RuntimeError(f"out-of-date database schema: found {version}, expected {expected}")
