"""All kinds, one after the other, each at each of its sizes in a process of its own; what earlier ones found is handed on."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helip.config import GeneratedCorpus
from helip.data.build import build_corpus
from helip.errors import HelipError
from helip.io import read_json, write_json
from helip.rehearsal.fit import predict
from helip.rehearsal.kinds import Kind, kinds
from helip.rehearsal.measured import Measured, Point
from helip.rehearsal.processes import run_child
from helip.rehearsal.request import Request
from helip.rehearsal.scale import Scale
from helip.study import Study

MADE_UP = GeneratedCorpus(size=64, image_size=256)  # where no corpus of the study can be had


@dataclass
class Rehearsal:
    """What was rehearsed of a study: each kind with what was measured, in the order of the work."""

    study: Study
    scale: Scale
    results: list[tuple[Kind, Measured]]
    unseen: list[Kind]  # for which there was no time
    seconds: float  # of this sitting
    earlier: int = 0  # kinds that an earlier sitting measured

    @property
    def failed(self) -> list[tuple[Kind, Measured]]:
        """Returns the kinds that would fail."""
        return [(kind, measured) for kind, measured in self.results if measured.failure]


def rehearse(
    study: Study,
    scale: Scale,
    tables: Iterable[str] | None = None,
    only: Iterable[str] = (),
    within_s: float | None = None,
    earlier: Path | None = None,
    say: Callable[[str], None] = print,
    seen: Callable[[Rehearsal], object] | None = None,
) -> Rehearsal:
    """Runs the kinds of job behind these tables (all of the study, if None), of the stages in `only` where any are named.

    A kind that fails stops none of the others. The first of each stage come first, so that one of each is seen where `within_s` seconds
    are not enough for all; the others are then `unseen`. Files lie in results/<study>/rehearsal; of them the logs stay. earlier: the JSON
    beside an earlier page, whose kinds are not run again unless their stage is in `only`; corpora are, since others read them.
    """
    tables = None if tables is None else list(tables)
    folder, begun = study.root / "rehearsal", time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    known = read_earlier(earlier, only) if earlier else {}
    wanted = [kind for kind in kinds(study, tables) if not only or kind.stage in only or kind.title in known]
    theatre = Theatre(study, scale, tables, folder)
    results = [(kind, known[kind.title]) for kind in wanted if kind.title in known]
    for kind, measured in results:
        theatre.learn(measured)
        predict(kind, measured, scale)
    taken = len(results)

    def so_far() -> Rehearsal:
        came = {kind.title: measured for kind, measured in results}
        ordered = [(kind, came[kind.title]) for kind in wanted if kind.title in came]
        return Rehearsal(study, scale, ordered, [kind for kind in wanted if kind.title not in came], time.monotonic() - begun, taken)

    for kind in _breadth_first([kind for kind in wanted if kind.title not in known]):
        if within_s is not None and time.monotonic() - begun > within_s:
            break
        say(f"{kind.title} ...")
        results.append((kind, theatre.measure(kind)))
        predict(*results[-1], scale)
        say(f"{kind.title}: {results[-1][1].failure or 'ok'}")
        if seen:
            seen(so_far())
    for place in folder.iterdir():
        if place.is_dir():
            shutil.rmtree(place)
    return so_far()


def read_earlier(file: Path, only: Iterable[str]) -> dict[str, Measured]:
    """Returns what an earlier sitting measured, by title; without corpora and the stages in `only`. HelipError for another file."""
    try:
        entries = [one for one in read_json(file)["kinds"] if one["kind"].partition(" ")[0] not in ("corpus", *only)]
        return {one["kind"]: Measured([Point(**point) for point in one["points"]], one["device"]) for one in entries}
    except (KeyError, TypeError):
        raise HelipError(
            f"{file}: is not the JSON that a rehearsal of this version writes beside its page; name that, or rehearse anew"
        ) from None


def _breadth_first(wanted: list[Kind]) -> list[Kind]:
    """All corpora, of which others read one; then the first of each stage, the second of each, ..."""
    place = {kind: sum(other.stage == kind.stage for other in wanted[: wanted.index(kind)]) for kind in wanted}
    return sorted(wanted, key=lambda kind: (kind.stage != "corpus", place[kind]))


class Theatre:
    """Where kinds are run one by one; it keeps the sample corpus and the facts that they hand on."""

    def __init__(self, study: Study, scale: Scale, tables: list[str] | None, folder: Path):
        self.study, self.scale, self.tables, self.folder = study, scale, tables, folder
        self.facts: dict[str, Any] = {}

    def measure(self, kind: Kind) -> Measured:
        """Runs a kind at each of its sizes; not at the others once one has failed."""
        points = []
        for size in self.scale.sizes(kind):
            points.append(self._point(kind, size))
            if points[-1].failure and points[-1].seconds is None:
                break
        measured = Measured(points, self.scale.device if kind.one.takes_gpu else "cpu")
        self.learn(measured)
        return measured

    def learn(self, measured: Measured) -> None:
        """Keeps the facts that later kinds ask for."""
        for name, value in ((name, value) for point in measured.points for name, value in point.facts.items()):
            if isinstance(value, dict):
                self.facts[name] = self.facts.get(name, {}) | value

    def sample(self) -> Path:
        """Returns the corpus that encoders and trainings read: the largest that the rehearsal fetched, or one of made-up images."""
        made = self.facts.get("corpus", {})
        for name in made:
            return Path(made[name])
        folder = self.folder / "made-up"
        if not folder.exists():
            build_corpus(MADE_UP, folder)
        return folder

    def _point(self, kind: Kind, size: int) -> Point:
        place = self.folder / f"{kind.title.replace('/', '-').replace(' ', '_')}-{size}"
        place.mkdir()
        request, result, log = place / "request.json", place / "result.json", Path(f"{place}.log")
        sample = Path() if kind.stage == "corpus" else self.sample()
        asked = Request(
            self.study.name, str(self.study.root.parent), self.tables, kind.title, size, dataclasses.asdict(self.scale), str(place),
            str(sample), self.facts,
        )  # fmt: skip
        write_json(request, dataclasses.asdict(asked))
        code = run_child([str(request), str(result)], log, self.scale.limit_s)
        if code is None:
            return Point(size, failure=f"did not end in {self.scale.limit_s:.0f} s; see {log}, or give it more by --limit-s")
        if not result.exists():
            why = "it was killed, as happens when memory runs out: raise mem_mb" if code in (-9, 137) else f"it ended with code {code}"
            return Point(size, failure=f"{why}; see {log}")
        point = Point(**read_json(result))
        if sample.name == "made-up":
            point.notes.append("made-up images")
        return point
