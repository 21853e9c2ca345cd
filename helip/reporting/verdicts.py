"""The report's first section: how many claims held, and each with its interval drawn."""

from collections import Counter

from helip.reporting.claims_table import UNITS, VERDICTS, ClaimRow, DecidedClaims
from helip.reporting.html import details, escape, section
from helip.reporting.rows import csv_text

WIDTH, HEIGHT, MIDDLE = 400, 26, (92, 250)  # pixels: of the drawing, of a line in it, of the part where intervals lie


def verdicts(claims: DecidedClaims) -> str:
    """The section of a report with a card for each claim."""
    rows, how = claims.rows, claims.how.replace("*", "")
    counts = Counter(r.verdict for r in rows)
    boxes = "".join(f'<div class="{_tone(v)}"><b>{counts[v]}</b><span>{v}</span></div>' for v in VERDICTS)
    tried = [r for r in rows if r.verdict != "not run"]
    waiting = [r for r in rows if r.verdict == "not run"]
    key = "<p class='quiet'>Points: our estimates, with 95 % intervals; the dashed line is zero; ◇ is what the paper printed.</p>"
    cards = key + "".join(_card(r) for r in tried)
    rest = details(f"{len(waiting)} claims that this study did not run", "".join(_card(r) for r in waiting)) if waiting else ""
    return section("verdicts", "Did the paper’s claims hold?", f'<div class="counts">{boxes}</div>', _fair(rows), cards, rest,
                   details("How the verdicts came about", f"<p>{escape(how)}</p>"))  # fmt: skip


def _fair(rows: tuple[ClaimRow, ...]) -> str:
    """The question that the paper leaves open, in one sentence."""
    asked = [r for r in rows if r.verdict_over_control not in (None, "not run")]
    if not asked:
        return ""
    held = Counter(r.verdict_over_control for r in asked)
    said = ", ".join(f"{held[v]} {v}" for v in VERDICTS[:3])
    return (
        f"<p>The paper measures its gains from the checkpoint that it refines. Against <b>plain continued training</b> (the same steps "
        f"and batch size without hard pairs), the same {len(asked)} gains are: {said}.</p>"
    )


def _tone(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _card(r: ClaimRow) -> str:
    drawn = _forest(r) if r.ci_low is not None else ""
    facts = [escape(r.place)]
    if r.estimate is not None and r.ci_low is None:
        facts.append(f"measured: {r.estimate:.2f} {UNITS[r.measure]}")
    if r.n_seeds is not None:
        contrary = r.verdict == "not reproduced"
        p = r.p_holm_contrary if contrary else r.p_holm
        facts.append(f"{r.n_seeds} trainings, corrected p {p:.2g}{' of the contrary' if contrary else ''}")
    if r.note:
        facts.append(escape(r.note))
    if r.weakest:
        facts.append(f"least: <code>{escape(r.weakest)}</code>")
    return (
        f'<article class="claim {_tone(r.verdict)}" id="{escape(r.claim)}"><div><span class="chip">{r.verdict}</span>'
        f'<p>{escape(r.text)}</p><p class="place">{" · ".join(facts)}</p></div>{drawn}</article>'
    )


def _forest(r: ClaimRow) -> str:
    """The estimate with its interval, over the start and over the control; a hollow diamond is the published difference."""
    lines = [(_against(r), r.estimate, r.ci_low, r.ci_high, r.verdict)]
    if r.control_ci_low is not None:
        lines.append(("over control", r.control_estimate, r.control_ci_low, r.control_ci_high, r.verdict_over_control))
    printed = r.published
    values = [0.0, *(v for line in lines for v in line[1:4])] + ([] if printed is None else [printed])
    low, high = min(values), max(values)
    scale = (MIDDLE[1] - MIDDLE[0]) / ((high - low) or 1.0)

    def x(value: float) -> float:
        return MIDDLE[0] + (value - low) * scale

    height = HEIGHT * len(lines) + 4
    drawn = [f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{height}"/>']
    drawn += [_line(HEIGHT * (n + 0.5) + 2, x, *line) for n, line in enumerate(lines)]
    if printed is not None:
        at, y = x(printed), HEIGHT / 2 + 2
        drawn.append(f'<path class="printed" d="M{at:.1f} {y - 5}l5 5-5 5-5-5z"/>')
    ours, least, most, paper = map(csv_text, (r.estimate, r.ci_low, r.ci_high, r.published))
    label = f"{r.text} ours {ours}, interval {least} to {most}, published {paper or 'nothing'}"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(drawn)}</svg>'


def _against(r: ClaimRow) -> str:
    return "over start" if r.verdict_over_control else "measured"


def _line(y: float, x, label: str, value: float, low: float, high: float, verdict: str) -> str:
    return (
        f'<g class="{_tone(verdict)}"><text class="quiet" x="0" y="{y + 4}">{label}</text>'
        f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y}" y2="{y}" stroke="var(--tone)" stroke-width="2"/>'
        f'<circle cx="{x(value):.1f}" cy="{y}" r="4" fill="var(--tone)"/>'
        f'<text x="{MIDDLE[1] + 14}" y="{y + 4}">{value:+.2f} [{low:+.1f}, {high:+.1f}]</text></g>'
    )
