"""What a model that knows nothing would score, and the columns whose start is hardly above that: no gain can be read off them."""

from collections.abc import Sequence
from typing import Any

from helip.config import Column
from helip.reporting.measured import Measured

ENOUGH = 3.0  # times chance: a column whose start is below is left out


def chance_level(content: dict[str, Any], metric: str) -> float | None:
    """Returns the expected percent of a model that guesses, from the content of a metrics file; None where it does not tell.

    Classification among C classes: k / C for accK, 1 / C for the mean recall of classes. Retrieval among n images: k / n for recall at k,
    either way, where every image has as many captions.
    """
    classes = content.get("details", {}).get("classes")
    if metric.startswith("acc") and classes:
        return 100 * min(1.0, int(metric.removeprefix("acc")) / classes)
    if metric == "mean_per_class_recall" and classes:
        return 100 / classes
    if "_recall_at_" in metric and content.get("n"):
        return 100 * min(1.0, int(metric.rpartition("_")[2]) / content["n"])
    return None


def above_chance(measured: Measured, run: str, columns: Sequence[Column]) -> list[Column]:
    """Returns the columns on which the start of a run is at least three times chance; those whose chance is not known are among them.

    run: a refinement, whose start decides, or a start itself. A start that was not evaluated leaves nothing out.
    """
    start = measured.study.run(run).start or run
    return [c for c in columns if not measured.is_there(start, [c]) or not _at_chance(measured, start, c)]


def _at_chance(measured: Measured, start: str, column: Column) -> bool:
    metrics, name = measured.read(start, measured.study.run(start).seeds[0], column)
    level = chance_level(metrics.content, name)
    values = measured.values(start, [column])
    return level is not None and sum(values) / len(values) < ENOUGH * level
