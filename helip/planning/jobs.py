"""The artefacts behind a study's tables, each once, and what one of them costs."""

from collections.abc import Iterable

from helip.config import Cost
from helip.errors import HelipError, nearest
from helip.planning.measured import measured_costs, priced
from helip.stages import STAGES, CheckData, MakeTable, Stage, behind, contamination_of, contrasts_of, data_check
from helip.study import Study

# Keys of `costs` that are no stage: what the stages `train` and `mine` do where nothing is trained or mined.
OTHER_COSTS = ("import", "merge")


def artefacts(study: Study, tables: Iterable[str] | None = None) -> list[Stage]:
    """Returns everything behind these tables (all that the study can make, if None; then with the contamination check), each artefact once.

    HelipError for an unknown table.
    """
    roots: list[Stage]
    if tables is None:
        every = [MakeTable(study, name) for name in study.tables if "/" not in name]
        roots = [*(table for table in every if table.inputs()), *contrasts_of(study), *contamination_of(study)]
    else:
        roots = [MakeTable(study, name) for name in tables]
    stages = behind(roots)
    if any(data_check(one) for one in stages) and (check := CheckData(study)) not in stages:
        stages.append(check)
    return stages


def cost_key(one: Stage) -> str | None:
    """Returns the entry of the study's `costs`, or of its measured ones, that prices an artefact; None where none does."""
    return price[0] if (price := priced(one)) else None


def cost_of(one: Stage) -> Cost | None:
    """Returns the cost of an artefact, measured or declared; None where there is neither."""
    return price[1] if (price := priced(one)) else None


def hours_of(one: Stage) -> float | None:
    """Returns how long the job of an artefact takes; None where the study declares no cost, or nobody has said how large its data are."""
    cost, work = cost_of(one), one.work()
    return None if cost is None or work.units is None else (cost.start + cost.seconds * work.units) / 3600


def added_by(study: Study, table: str, planned: Iterable[Stage]) -> list[Stage]:
    """Returns what of a whole plan one table alone asks for: no other table shows it."""
    others = [MakeTable(study, name) for name in study.tables if "/" not in name and name != table]
    own = set(behind([MakeTable(study, table)])) - set(behind(root for root in others if root.inputs()))
    return [one for one in planned if one in own]


def check_costs(study: Study) -> None:
    """Refuses a cost that no artefact would look up, which is a misspelling: of a stage, or of what the stage is of."""
    known, declared = {stage.name for stage in STAGES} | {*OTHER_COSTS}, study.declaration
    for key in (*declared.costs, *measured_costs(study)):
        if (stage := key.partition(".")[0]) not in known:
            raise HelipError(
                f"{study.file}: costs -> {key}: there is no such stage{nearest(stage, known)}; they are {', '.join(sorted(known))}"
            )
    kinds, objectives = ({c.kind for c in declared.corpora.values()}, {r.recipe.objective.name for r in study.runs.values()})
    bound = {*study.declared, *declared.models, *declared.encoders, *declared.corpora, *declared.evaluation, *kinds, *objectives}
    for key in declared.costs:
        if unknown := next((name for name in key.split(".")[1:] if name not in bound), None):
            raise HelipError(f"{study.file}: costs -> {key}: the study has no '{unknown}'{nearest(unknown, bound)}; no job would cost that")
