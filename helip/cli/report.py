"""`helip table` and `helip track`: from metrics files to tables, and into MLflow."""

from pathlib import Path

COMMANDS = {
    "table": "build a table of a study from its metrics files (CSV and Markdown)",
    "track": "import a study's finished trainings and metrics into the MLflow store, idempotently",
}


def add(name, parser):
    parser.add_argument("--study", required=True, help="a study of experiments/studies")
    match name:
        case "table":
            parser.add_argument("table", help="table1, table2, ...")
            return _table
        case "track":
            parser.add_argument("--store", type=Path, help="the sqlite file (default: mlflow.db in the results folder)")
            parser.add_argument("--out", type=Path, help="write what was imported to this JSON file")
            return _track


def _table(arguments):
    from helip.reporting.tables import write_table
    from helip.study import load

    print(write_table(load(arguments.study), arguments.table))


def _track(arguments):
    from helip.artefact import write_json
    from helip.reporting.tracking import import_study
    from helip.study import load

    study = load(arguments.study)
    store = arguments.store or study.root.parent / "mlflow.db"
    counts = import_study(study, store)
    print(f"{store}: {counts['imported']} runs imported, {counts['unchanged']} unchanged")
    if arguments.out:
        write_json(arguments.out, {"store": str(store), **counts})
