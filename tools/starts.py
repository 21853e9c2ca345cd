"""The levels of a study's starts beside chance: `python -m tools.starts` writes docs/results/miniature/starts.csv from metrics files.

A gain is read off a column only where its start is well above chance; a test holds every row to three times that.
"""

import csv
from collections import defaultdict
from pathlib import Path

import helip.study
from helip.io import read_json
from helip.reporting.chance import chance_level
from helip.study import Study

STARTS = Path(__file__).parents[1] / "docs" / "results" / "miniature" / "starts.csv"
METRICS = {"zeroshot": ("acc1",), "retrieval": ("image_recall_at_1", "text_recall_at_1"), "probe": ("acc1",)}


def rows(study: Study) -> list[dict[str, str]]:
    """Returns a row for each pre-training and metric: percent, the mean over the seeds that were evaluated, beside chance."""
    starts = []
    for run in (r for r in study.runs.values() if r.start is None):
        values, chances = defaultdict(list), {}
        for path in sorted((study.root / "metrics" / run.name).glob("seed*/*.json")):
            content = read_json(path)
            for metric in METRICS[content["task"]]:
                name = f"{content['set']}.{content['task']}.{metric}"
                values[name].append(content["metrics"][metric])
                chances[name] = chance_level(content, metric)
        starts += [
            {"run": run.name, "metric": name, "value": f"{sum(v) / len(v):.2f}", "chance": f"{chances[name]:.3f}", "seeds": str(len(v))}
            for name, v in values.items()
        ]
    return starts


if __name__ == "__main__":
    with open(STARTS, "w", newline="") as file:
        writer = csv.DictWriter(file, ["run", "metric", "value", "chance", "seeds"])
        writer.writeheader()
        writer.writerows(rows(helip.study.load("miniature")))
    print(STARTS)
