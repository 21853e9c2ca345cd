"""Which files the reports of a study are made of, for the rules: what does not apply to a study is left out. Light, as the graph is."""

from pathlib import Path

from helip.config import AccuracyBySize, MiningQuality, PairSheet, Table
from helip.io import digest, file_digest
from helip.study import REPORTING, Study

TIMES = "mine.minutes"


def _pairs(study: Study, name: str) -> Path:
    return study.pairs_dir(name) / "pairs.json"


def runs_of(study: Study, table: str) -> list[str]:
    """The runs of a table's rows, each once."""
    return list(dict.fromkeys(run for _, _, run, _, _ in study.table_rows(table)))


def is_of_times(table: Table) -> bool:
    """Whether a table is of mining times: its one column is `mine.minutes`."""
    return all(c.metric == TIMES for c in table.columns)


def table_inputs(study: Study, table: str) -> list[Path]:
    """Metrics files and manifests, or the pairs whose mining was timed."""
    metrics = study.table_metrics(table)
    if is_of_times(study.tables[table]):
        return [_pairs(study, study.pairs_name(study.run(r))) for r in runs_of(study, table)]
    return metrics


def question(study: Study) -> str:
    """The table of the report's question; where the whole was not made, its first rows."""
    whole = study.report.question.table
    first = f"first/{whole}"
    return first if (study.root / f"{first}.csv").exists() and not (study.root / f"{whole}.csv").exists() else whole


def tables(study: Study) -> list[str]:
    """The tables that the study has something to put into, as the paper numbers them; figure 4's numbers are one."""
    return [n for n in study.tables if n != study.report.question.table and not n.startswith("first/") and table_inputs(study, n)]


def figures(study: Study) -> list[str]:
    """The figures that the study can draw."""
    return [name for name in study.report.figures if _has_data(study, name)]


def _has_data(study: Study, figure: str) -> bool:
    match study.report.figures[figure]:
        case AccuracyBySize(table=table):
            return bool(table_inputs(study, table))
        case PairSheet():
            return len(sheet_pairs(study, figure)) > 1
        case MiningQuality():
            return bool(quality_pairs(study))


def plotted(study: Study) -> list[str]:
    """The tables whose numbers a figure shows: the report does not print them as tables."""
    return [figure.table for figure in study.report.figures.values() if isinstance(figure, AccuracyBySize)]


def sheet_pairs(study: Study, figure: str) -> list[str]:
    """The pair sets that a sheet compares: of the first corpus that has the most of its methods, biggest pool first."""
    wanted, by_corpus = study.report.figures[figure].methods, {}
    for name, (corpus, spec) in study.pairs.items():
        if spec.method in wanted:
            by_corpus.setdefault(corpus, []).append((wanted.index(spec.method), -(spec.pool or 0), name))
    best = max(by_corpus.values(), key=lambda sets: len({method for method, _, _ in sets}), default=[])
    if len({method for method, _, _ in best}) < 2:
        return []
    usual = study.declaration.mining
    plain = [one for one in best if wanted[one[0]] != "hpm" or _is_usual(study, one[2], usual)] or best
    return [name for _, _, name in sorted(plain)]


def _is_usual(study: Study, name: str, usual) -> bool:
    """Mined with the study's own encoders and k: not an ablation."""
    spec = study.pairs_entry(name)[1]
    return (spec.image_encoder, spec.text_encoder, spec.k) == (usual.image_encoder, usual.text_encoder, usual.k)


def quality_pairs(study: Study) -> list[str]:
    """The pair sets that truth exists for and that the tables need."""
    needed = {study.pairs_name(study.run(r)) for name in tables(study) for r in runs_of(study, name) if study.run(r).pairs}
    return [n for n in _with_truth(study) if n in needed]


def _with_truth(study: Study) -> list[str]:
    return [n for n, (corpus, _) in study.pairs.items() if study.is_generated(corpus)]


def measurable_pairs(study: Study) -> list[str]:
    """All pair sets that truth exists for and that were made."""
    return [n for n in _with_truth(study) if _pairs(study, n).exists()]


def selection_files(study: Study) -> list[Path]:
    """What each kind of selection that was made says of itself, by the first seed's checkpoint."""
    files = (study.selection_dir(r.name, r.seeds[0]) / "selection.json" for r in study.runs.values() if r.select)
    return [path for path in dict.fromkeys(files) if path.exists()]


def shown_if_there(study: Study) -> list[tuple[str, str]]:
    """(file, digest) of what figure 8 and the report show where it was made and do not wait for."""
    asked = [path for path in (study.root / f"{question(study)}.csv",) if path.exists()]
    needed = quality_pairs(study)
    extra = [_pairs(study, n) for n in measurable_pairs(study) if n not in needed]
    return [(str(path), file_digest(path)) for path in (*asked, *extra, *selection_files(study))]


def figure_inputs(study: Study, figure: str) -> list[Path]:
    """Manifests and metrics files, or pairs; nothing for a figure that is not declared."""
    match study.report.figures.get(figure):
        case AccuracyBySize(table=table):
            corpora = [study.manifest(study.run(r).corpus) for r in runs_of(study, table)]
            return [*dict.fromkeys(corpora), *table_inputs(study, table)]
        case MiningQuality():
            return [_pairs(study, n) for n in quality_pairs(study)]
        case PairSheet():
            names = sheet_pairs(study, figure)
            return [*dict.fromkeys(study.manifest(study.pairs_entry(n)[0]) for n in names), *(_pairs(study, n) for n in names)]
    return []


def claims_inputs(study: Study) -> list[Path]:
    """Everything of the study that a claim could rest on: nothing is made for a claim alone that no table or figure shows."""
    files = [f for name in tables(study) for f in table_inputs(study, name)]
    return list(dict.fromkeys(files + [f for name in figures(study) for f in figure_inputs(study, name)]))


def report_inputs(study: Study) -> list[Path]:
    """The finished pages and pictures; `claims.csv` brings the rest."""
    made = [study.root / f"{name}.{kind}" for name in tables(study) for kind in ("csv", "md", "tex")]
    made += [study.root / f"{name}.png" for name in figures(study)]
    made += [study.contamination_file] if study.contamination_file else []
    return [study.root / "claims.csv", *made, *([ledger(study)] if ledger(study).exists() else [])]


def figure_digest(study: Study, figure: str) -> str:
    """Of what a figure is drawn from beyond its files' times."""
    drawn = [study.tables.get(figure), *map(str, figure_inputs(study, figure))]
    extra = shown_if_there(study) if isinstance(study.report.figures.get(figure), MiningQuality) else []
    return digest([REPORTING, figure, *drawn, *extra])


def claims_digest(study: Study) -> str:
    """Of what the paper says and prints: what was measured is in the files."""
    return digest([REPORTING, study.claims, study.tables])


def report_digest(study: Study) -> str:
    """Of what the report shows beyond its files' times."""
    return digest([REPORTING, study.declaration.question, *map(str, report_inputs(study)), *shown_if_there(study)])


def ledger(study: Study) -> Path:
    """Where paper, released code and project differ."""
    return study.file.parents[2] / "docs" / "discrepancies.md"
