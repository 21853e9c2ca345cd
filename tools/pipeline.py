"""Draws the pipeline from the stages of a study: `python -m tools.pipeline` writes docs/assets/pipeline-light.svg and -dark.svg.

Its boxes are the stages that the study's artefacts belong to, its arrows what these artefacts need of each other; an arrow that follows
from others is left out.
"""

from collections.abc import Iterable
from pathlib import Path

import helip.study
from helip.planning.jobs import artefacts
from helip.stages import CheckData, Stage, Train, WriteReport
from helip.study import Study
from tools.layers import Edges, Place, layered

PROJECT = Path(__file__).parents[1]
ASSETS = PROJECT / "docs" / "assets"
STUDY = "smoke"  # the same stages as the miniature study, in a moment
COLUMN, ROW, WIDTH, HEIGHT, MARGIN = 124, 58, 104, 40, 8  # pixels
COLOURS = {
    "light": {"text": "#1f2328", "quiet": "#59636e", "line": "#8c959f", "box": "#f6f8fa", "edge": "#d1d9e0", "method": "#ddf4ff"},
    "dark": {"text": "#f0f6fc", "quiet": "#9198a1", "line": "#6e7681", "box": "#151b23", "edge": "#3d444d", "method": "#0c2d4d"},
}
METHOD = ("mine", "refine", "select")  # the steps that the method is made of stand out
OPTIONAL = ("filter", "interpolate")  # steps that only a few arms take: arrows run past them


def box_of(one: Stage) -> str:
    """Returns the name of the box that an artefact belongs to: its stage; a training is `pretrain`, or `refine` where it has a start."""
    if isinstance(one, Train):
        return "refine" if one.study.run(one.run).start else "pretrain"
    return one.name


def behind_report(study: Study) -> list[Stage]:
    """Returns every artefact behind the study's report, once; the check of its data is left out."""
    report = WriteReport(study)
    everything = [*artefacts(study), *report.needs(), report]
    return [one for one in {one.outputs[0]: one for one in everything}.values() if not isinstance(one, CheckData)]


def boxes_and_arrows(everything: Iterable[Stage]) -> tuple[dict[str, str], Edges]:
    """Returns the first file of each box, by its name, and the arrows (needed, needing) that do not follow from others."""
    files: dict[str, str] = {}
    needs: dict[str, set[str]] = {}
    for one in everything:
        files.setdefault(box_of(one), one.outputs[0].name)
        needs.setdefault(box_of(one), set()).update(box_of(need) for need in (*one.needs(), *one.awaits()))
    arrows = {(a, b) for b, each in needs.items() for a in _past(each, needs) if a != b and a in files}
    shown = {name: file for name, file in files.items() if name not in OPTIONAL}
    return shown, reduced(frozenset((a, b) for a, b in arrows if a in shown and b in shown))


def _past(names: set[str], needs: dict[str, set[str]]) -> set[str]:
    """What is needed, where an optional step between is left out."""
    return {one for name in names for one in (_past(needs[name], needs) if name in OPTIONAL else {name})}


def reduced(edges: Edges) -> Edges:
    """Returns the edges without those that a longer path implies: the transitive reduction of an acyclic graph."""

    def reaches(a: str, b: str) -> bool:
        return any(c == b or reaches(c, b) for x, c in edges if x == a)

    return frozenset((a, b) for a, b in edges if not any(c != b and reaches(c, b) for x, c in edges if x == a))


def svg(files: dict[str, str], arrows: Edges, theme: str) -> str:
    """Returns the picture in one of the themes of COLOURS."""
    colours, places = COLOURS[theme], layered(list(files), arrows)
    spots = [place for route in places.values() for place in route]
    width = 2 * MARGIN + max(p.column for p in spots) * COLUMN + WIDTH
    height = 2 * MARGIN + int(max(p.row for p in spots) * ROW) + HEIGHT
    arrow_head = f'<marker id="head" viewBox="0 0 6 6" refX="5.5" refY="3" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z" fill="{colours["line"]}"/></marker>'  # noqa: E501
    lines = [_path(places[edge], colours) for edge in sorted(arrows)]
    boxes = [_box(name, file, places[name, name][0], colours) for name, file in files.items()]
    title = f"The pipeline: what each stage needs. Stages: {', '.join(files)}."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
            f' font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
            f"<title>{title}</title>",
            f"<defs>{arrow_head}</defs>",
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


def _corner(place: Place) -> tuple[float, float]:
    return MARGIN + place.column * COLUMN, MARGIN + place.row * ROW


def _box(name: str, file: str, place: Place, colours: dict[str, str]) -> str:
    x, y = _corner(place)
    fill = colours["method"] if name in METHOD else colours["box"]
    short = file if len(file) <= 16 else f"{file[:15]}…"
    return (
        f'<g><rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="{colours["edge"]}"/>'
        f'<text x="{x + WIDTH / 2:g}" y="{y + 17:g}" text-anchor="middle" font-size="13" font-weight="600" fill="{colours["text"]}">'
        f"{name.replace('_', ' ')}</text>"
        f'<text x="{x + WIDTH / 2:g}" y="{y + 32:g}" text-anchor="middle" font-size="10" fill="{colours["quiet"]}">{short}</text></g>'
    )


def _path(route: tuple[Place, ...], colours: dict[str, str]) -> str:
    """An arrow along its places: out of the first box, over the free places between, into the last."""
    x, y = _corner(route[0])
    x, y = x + WIDTH, y + HEIGHT / 2
    d = [f"M{x:g} {y:g}"]
    for place in route[1:]:
        to_x, to_y = _corner(place)
        to_y += HEIGHT / 2
        middle = (x + to_x) / 2
        d.append(f"C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}")
        x, y = to_x, to_y
        if place != route[-1]:  # a free place is passed straight on
            x += WIDTH
            d.append(f"L{x:g} {y:g}")
    return f'<path d="{"".join(d)}" fill="none" stroke="{colours["line"]}" stroke-width="1.2" marker-end="url(#head)"/>'


def pictures(study: Study) -> dict[str, str]:
    """Returns the file name and text of each picture."""
    files, arrows = boxes_and_arrows(behind_report(study))
    return {f"pipeline-{theme}.svg": svg(files, arrows, theme) for theme in COLOURS}


if __name__ == "__main__":
    ASSETS.mkdir(parents=True, exist_ok=True)
    for name, text in pictures(helip.study.load(STUDY)).items():
        (ASSETS / name).write_text(text)
        print(ASSETS / name)
