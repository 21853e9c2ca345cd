"""One sentence for a colleague: the answer, how sure it is, and what it rests on. A report and each table begin with it."""

from helip.reporting.cells import AVERAGE, CONTRAST, Cell
from helip.reporting.claim_rows import ClaimRow
from helip.reporting.claims import ALPHA
from helip.reporting.contrasts import ContrastRow, ContrastsContent
from helip.reporting.formats import between, p_value, signed
from helip.reporting.table_content import Row, TableContent, numbered
from helip.study import Study

MEANINGLESS = "The study declares its numbers meaningless: it shows that everything runs, and decides nothing."
ANSWERS = {
    "reproduced": "HELIP as printed beats plain continued training",
    "not reproduced": "HELIP as printed does not beat plain continued training by {margin:g} points or more",
    "cannot tell": "This study cannot tell whether HELIP as printed beats plain continued training",
    "not run": "This study does not say whether HELIP as printed beats plain continued training: it did not run both",
    "not measurable": "No metric of this study can say whether HELIP as printed beats plain continued training",
}


def question_sentence(study: Study, claim: ClaimRow) -> str:
    """Returns the report's answer to its question, from the claim that decides it."""
    if study.declaration.meaningless:
        return MEANINGLESS
    answer = ANSWERS[claim.verdict].format(margin=claim.margin)
    if claim.ci_low is None or claim.ci_high is None or claim.estimate is None:
        return f"{answer}."
    starts = f"{claim.compared} starts, {claim.n_seeds} trainings of each" if claim.compared != 1 else f"{claim.n_seeds} trainings"
    gained = f"{signed(claim.estimate)} points (95 % interval {signed(claim.ci_low)} to {signed(claim.ci_high)})"
    return (
        f"{answer}: over the same steps, batch size and data without hard pairs it gains {gained}, on the average of "
        f"{numbered(study.claims[claim.claim].table).lower()}'s sets, over {starts}."
    )


def contrasts_sentence(contrasts: ContrastsContent, meaningless: bool) -> str:
    """Returns what the primary contrasts show, with Holm's correction."""
    if meaningless:
        return MEANINGLESS
    made = [row for row in contrasts.rows if row.p_holm is not None]
    if not made:
        return f"None of the {len(contrasts.rows)} primary hypotheses is tested yet."
    shown = [row for row in made if row.p_holm is not None and row.p_holm <= ALPHA]
    many = f"Of {len(contrasts.rows)} primary hypotheses, fixed before the first run, {len(shown)} {_are(len(shown))} shown"
    lead = f"{many} at 5 % by Holm's correction"
    trainings = min(row.n_seeds for row in made if row.n_seeds is not None)
    rest = f"over at least {trainings} pre-trainings each"
    return f"{lead}, {rest}" + (f": {'; '.join(map(_contrast, shown))}." if shown else f"; {_contrast(min(made, key=_p))} comes nearest.")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _p(row: ContrastRow) -> float:
    return 1.0 if row.p is None else row.p


def _contrast(row: ContrastRow) -> str:
    low, high = (signed(value or 0.0) for value in (row.ci_low, row.ci_high))
    return f"{row.question} {row.metric} {signed(row.effect or 0.0)} [{low}, {high}], p {p_value(row.p_holm)}"


def table_sentence(table: TableContent) -> str:
    """Returns what a table shows: how many refinements are above and below plain continued training, and HELIP's own gain."""
    if table.meaningless:
        return MEANINGLESS
    if table.is_of_times:
        took = ", ".join(f"{c.value:.2f} minutes by {c.method} on {c.corpus}" for c in table.cells)
        return f"Mining took {took}." if took else "No mining was timed yet."
    if table.is_of_pairs:
        return _pairs_sentence(table)
    measured = [c for c in map(_key_cell, table.compared) if c.delta_p is not None]
    compared = [c for c in measured if c.arm not in (CONTRAST, "control") and not c.is_pooled]
    if not compared:
        return "No row of this table is measured beside its control: the numbers stand by themselves."
    above, below = (sum(_shown(c) and (c.compared().value > 0) == up for c in compared) for up in (True, False))
    where = "the average of its sets" if compared[0].column == AVERAGE else table.labels[compared[0].column]
    many = f"{above} of {len(compared)} refinements {_are(above)} above plain continued training and {below} below it"
    helip = [f"{c.corpus} {c.method} gains {between(c)} points over {c.n_seeds} trainings" for c in compared if c.arm == "helip"][:1]
    return f"On {where}, {many} (95 %, each by itself, uncorrected){'; ' if helip else ''}{''.join(helip)}."


def _pairs_sentence(table: TableContent) -> str:
    if not table.cells:
        return "No pair set was judged yet."
    first = next(iter(table.labels))
    cells = [cell for cell in table.cells if cell.column == first and cell.value == cell.value]
    if not cells:
        return "The numbers stand by themselves."
    low, high = (pick(cells, key=lambda cell: cell.value) for pick in (min, max))
    return f"{table.labels[first]}: from {low.value:.2f} ({low.method}) to {high.value:.2f} ({high.method})."


def _key_cell(row: Row) -> Cell:
    return next((cell for cell in row.cells if cell.column == AVERAGE), row.cells[0])


def _shown(cell: Cell) -> bool:
    return cell.delta_p is not None and cell.delta_p <= ALPHA
