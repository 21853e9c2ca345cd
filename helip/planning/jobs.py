"""The artefacts behind a study's tables, each once, and what one of them costs."""

from collections.abc import Iterable, Iterator

from helip.config import Cost
from helip.errors import HelipError, nearest
from helip.stages import STAGES, CheckData, MakeTable, Stage, contamination_of, contrasts_of, data_check
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
    unique = {one.output: one for root in roots for one in _behind(root)}
    if any(data_check(one) for one in unique.values()):
        check = CheckData(study)
        unique[check.output] = check
    return list(unique.values())


def _behind(one: Stage) -> Iterator[Stage]:
    """What an artefact is made from, and then itself."""
    for need in (*one.needs(), *one.awaits()):
        yield from _behind(need)
    yield one


def cost_key(one: Stage) -> str | None:
    """Returns the entry of the study's `costs` that prices an artefact; None where none does."""
    return next((key for key in one.work().costs if key in one.study.declaration.costs), None)


def cost_of(one: Stage) -> Cost | None:
    """Returns the declared cost of an artefact; None where the study declares none."""
    key = cost_key(one)
    return one.study.declaration.costs[key] if key else None


def check_costs(study: Study) -> None:
    """Refuses a cost that no artefact would look up, which is a misspelling."""
    known = {stage.name for stage in STAGES} | {*OTHER_COSTS}
    for key in study.declaration.costs:
        if (stage := key.partition(".")[0]) not in known:
            raise HelipError(
                f"{study.file}: costs -> {key}: there is no such stage{nearest(stage, known)}; they are {', '.join(sorted(known))}"
            )
