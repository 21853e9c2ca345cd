"""Copy finished trainings, with their numbers and files, into an MLflow store: idempotent, incremental, and one process at a time.

Jobs never open the store (many writers break a new one); this local step reads what they wrote. A run is known by its key
(study/run/seed) and written again when the digest of its files has changed. An import without news never imports MLflow.
"""

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path

from helip.errors import HelipError
from helip.reporting.tracking import summaries
from helip.reporting.tracking.runs import RunContent, key_of
from helip.reporting.tracking.store import Known, Tracked, digest_of, explained, known_in_file
from helip.reporting.tracking.trainings import Trainings
from helip.stages import model_of
from helip.study import Study, start_seed

SCHEMA = "2"  # raised when the code changes what a run shows: everything is then imported again
SERVER = "MLFLOW_TRACKING_URI"

log = logging.getLogger(__name__)


def import_study(study: Study, store: Path) -> dict[str, int]:
    """Imports every finished training of a study into a sqlite store; returns how many were imported and how many were there already.

    HelipError is raised for a store of another version of MLflow, and for one that cannot be opened.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    with open(store.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        artifacts, uri = store.parent / f"{store.stem}-artifacts", f"sqlite:///{store.resolve()}"
        return Import(study, lambda: Tracked(study, uri, artifacts), known_in_file(store, study.name), uri).run(retire=True)


def import_to_server(study: Study, uri: str) -> dict[str, int]:
    """Imports every finished training of a study into an MLflow server, as `import_study` does, but for one thing: runs that this study
    does not have stay, since a colleague's may have them. HelipError where it does not answer.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    tracked = Tracked(study, uri, None)
    with explained(uri):
        return Import(study, lambda: tracked, tracked.known(), uri).run()


def server() -> str | None:
    """Returns the address of the tracking server that $MLFLOW_TRACKING_URI names; None where it names none."""
    uri = os.environ.get(SERVER, "")
    return uri if uri.startswith(("http://", "https://")) else None


def import_everywhere(study: Study, store: Path) -> dict[str, int]:
    """Imports into the store, and into the server that $MLFLOW_TRACKING_URI names. A server that is down is a warning, and no error."""
    counts = import_study(study, store)
    if uri := server():
        try:
            import_to_server(study, uri)
        except HelipError as error:
            log.warning("%s; the runs are in %s, and `helip track %s` sends them later", error, store, study.name)
    return counts


class Import:
    """One import: what is known, and what is written. `connect` opens the store, once something has to be written."""

    def __init__(self, study: Study, connect: Callable[[], Tracked], known: Known, uri: str):
        self.study, self.connect, self.known, self.uri = study, connect, known, uri
        self.trainings = Trainings(study)
        self._tracked: Tracked | None = None

    @property
    def tracked(self) -> Tracked:
        """The store, opened at the first use; what it knows is then what counts."""
        if self._tracked is None:
            with explained(self.uri):
                self._tracked = self.connect()
                self.known = self._tracked.known()
        return self._tracked

    def run(self, retire: bool = False) -> dict[str, int]:
        """Writes what has changed, and returns the counts of trainings. retire: remove what the study no longer has."""
        counts, done = {"imported": 0, "unchanged": 0}, self.trainings.done()
        if retire:
            self._retire()
        seeds: dict[str, list[str]] = {}
        for run, seed in done:
            seeds.setdefault(run, []).append(seed)
        for run, of_run in seeds.items():
            parent = self._write_seeds(run, of_run)
            for seed in of_run:
                counts["imported" if self._write_training(run, seed, parent) else "unchanged"] += 1
        if done:
            self._write_study(done)
        return counts

    def _retire(self) -> None:
        """Removes the runs of what the study no longer has: of a run that has another name now, and of a seed that was left out."""
        runs = self.study.runs.values()
        own_keys = {key_of(self.study), *(key_of(self.study, r.name, seed) for r in runs for seed in (None, *r.seeds))}
        if self.known.keys() - own_keys:
            with explained(self.uri):
                tracked = self.tracked
                for key in self.known.keys() - own_keys:
                    tracked.remove(key, self.known)

    def _write(self, key: str, digest: str, make: Callable[[], RunContent], parent: str | None = None, in_place: bool = False) -> bool:
        """Whether a run had to be written."""
        if self.known.get(key, ("", ""))[1] == digest:
            return False
        with explained(self.uri):
            tracked = self.tracked
            if self.known.get(key, ("", ""))[1] == digest:
                return False
            content = make()
            if in_place and tracked.can_update(content, self.known):
                tracked.update(content, digest, self.known)
            else:
                tracked.write(content, digest, self.known, parent)
        return True

    def _write_seeds(self, run: str, seeds: list[str]) -> str:
        """Writes the parent of a run's seeds, and returns its id, which stays while the run's settings do."""
        key = key_of(self.study, run)
        declared = "\n".join(model_of(self.study, run, seed).digest for seed in self.study.run(run).seeds)
        outdated = [seed for seed in seeds if self.trainings.is_outdated(run, seed)]
        files = [path for seed in seeds for path in self.trainings.files(run, seed)]
        last = ["every row is measured"] if self.study.control_of(run) and self.trainings.is_whole else []
        digest = f"{digest_of([], SCHEMA, declared, *outdated)[:16]}-{digest_of(files, SCHEMA, self.study.run(run).question, *last)}"
        same = self.known.get(key, ("", ""))[1].partition("-")[0] == digest.partition("-")[0]
        self._write(key, digest, lambda: summaries.of_seeds(self.trainings, run, seeds), in_place=same)
        return self.known[key][0]

    def _write_training(self, run: str, seed: str, parent: str) -> bool:
        start = self.study.run(run).start
        lineage = self.known.get(key_of(self.study, start, start_seed(seed)), ("", ""))[0] if start else ""
        words = [SCHEMA, self.study.run(run).question, model_of(self.study, run, seed).digest, parent, lineage]
        words += ["outdated"] if self.trainings.is_outdated(run, seed) else []
        digest = digest_of(self.trainings.files(run, seed), *words)
        return self._write(key_of(self.study, run, seed), digest, lambda: self.trainings.training(run, seed), parent)

    def _write_study(self, done: list[tuple[str, str]]) -> None:
        files = summaries.study_files(self.study)
        digest = digest_of(list(files.values()), SCHEMA, self.study.declaration.question, *(f"{run}/{seed}" for run, seed in done))
        self._write(key_of(self.study), digest, lambda: summaries.of_study(self.study, done), in_place=True)
