"""`helip table`, `claims`, `figure`, `report` and `track`: from metrics files to what people read, and into MLflow."""

from pathlib import Path

COMMANDS = {
    "table": "build a table of a study from its metrics files (CSV, Markdown, LaTeX)",
    "claims": "decide the paper's claims from what a study measured (CSV and Markdown)",
    "figure": "draw a figure of a study (PNG and PDF)",
    "report": "put a study's verdicts, tables and figures on one self-contained page",
    "track": "import a study's finished trainings and metrics into the MLflow store, idempotently",
}


def add(name, parser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument("--study", required=True, help="a study of experiments/studies")
    match name:
        case "table":
            parser.add_argument("table", help="table1, table2, ...")
            parser.add_argument("--finished", action="store_true", help="while runs are under way: only rows whose numbers are all there")
            return _table
        case "claims":
            return _claims
        case "figure":
            parser.add_argument("figure", help="figure4, figure5, figure6, figure7, figure8")
            return _figure
        case "report":
            parser.add_argument("--markdown", type=Path, metavar="FOLDER", help="write it as Markdown and PNG into this folder instead")
            parser.add_argument("--finished", action="store_true", help="while the study is under way: make and show what can be shown")
            return _report
        case "track":
            parser.add_argument("--store", type=Path, help="the sqlite file (default: mlflow.db in the results folder)")
            parser.add_argument("--out", type=Path, help="write what was imported to this JSON file")
            return _track


def _table(arguments):
    from helip.reporting.pages import write_table
    from helip.study import load

    print(write_table(load(arguments.study), arguments.table, arguments.finished))


def _claims(arguments):
    from helip.reporting.pages import write_claims
    from helip.study import load

    study = load(arguments.study)
    print(f"{study.root / 'claims.csv'}: {', '.join(f'{n} {v}' for v, n in write_claims(study).counts.items())}")


def _figure(arguments):
    from helip.reporting.figures import draw
    from helip.study import load

    print(*draw(load(arguments.study), arguments.figure))


def _report(arguments):
    from helip.reporting.document import everything
    from helip.reporting.pages import finished, write_pages, write_report
    from helip.study import load

    study = load(arguments.study)
    shown = finished(study) if arguments.finished else everything(study)
    print(write_pages(study, arguments.markdown, shown) if arguments.markdown else write_report(study, shown))


def _track(arguments):
    from helip.io import write_json
    from helip.reporting.tracking import import_study
    from helip.study import load

    study = load(arguments.study)
    store = arguments.store or study.root.parent / "mlflow.db"
    counts = import_study(study, store)
    print(f"{store}: {counts['imported']} runs imported, {counts['unchanged']} unchanged")
    if arguments.out:
        write_json(arguments.out, {"store": str(store), **counts})
