"""Commands about a study as a whole, and about this machine: plan, runs, data check, doctor, report, track, ui."""

import os
import platform
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from helip.cli.command import ARGUMENT, Command, done
from helip.errors import HelipError

Study = Annotated[str, ARGUMENT]
STUDY = "a study of experiments/studies, without .yaml"


class Plan(Command):
    """Numbers are estimates by the `costs` of the study, each with its origin, measured or assumed."""

    study: Study = Field(description=STUDY)
    tables: Annotated[tuple[str, ...], ARGUMENT] = Field((), description="only what these tables need, e.g. table1; by default all")
    gpus: int | None = Field(None, gt=0, description="GPUs that work at once, for the wall-clock; cores in a study without GPUs")

    def run(self) -> None:
        """Prints the plan."""
        from helip import study
        from helip.planning import artefacts, measured, plan_text

        loaded = study.load(self.study)
        planned = artefacts(loaded, self.tables or None)
        print(plan_text(loaded, planned, self.gpus, whole=not self.tables))
        if remarks := measured.remarks(planned):
            print(remarks)


class Runs(Command):
    """Hours are of trainings: taken where they are done, and with a tilde where they are `helip plan`'s estimate."""

    study: Study = Field(description=STUDY)
    left_out: bool = Field(False, description="name every run that the study leaves out, and not only the first of each reason")

    def run(self) -> None:
        """Prints the runs."""
        from helip import study
        from helip.planning import runs_text

        print(runs_text(study.load(self.study), self.left_out))


class DataCheck(Command):
    """The exit code is 2 when a source is missing or not what it should be; the findings stand above the error."""

    study: Study = Field(description=STUDY)
    out: Path | None = Field(None, description="also write the findings as JSON, when nothing is missing")

    def run(self) -> None:
        """Prints a line for each source. Raises HelipError when one is missing."""
        from helip import study
        from helip.stages import CheckData

        check = CheckData(study.load(self.study))
        findings = check.look()
        if self.out:
            check.write(findings, self.out)
        done(then=f"helip plan {self.study}")


class Doctor(Command):
    """It looks at GPUs and kernels for them, memory, room, Slurm and data; the exit code is 1 when there is a problem."""

    results: Path = Field(Path(os.environ.get("HELIP_RESULTS", "results")), description="the folder where results go")
    out: Path | None = Field(None, description="a file to write the findings to as well")

    def run(self) -> int:
        """Prints the findings; returns 1 when there is a problem."""
        from helip.doctor import examine
        from helip.io import atomic_file

        findings = examine(self.results)
        problems = sum(not finding.ok for finding in findings)
        text = "\n".join([_here(), *map(_lines, findings), f"{problems} problem{'' if problems == 1 else 's'}"])
        print(text)
        if self.out:
            with atomic_file(self.out) as temporary:
                temporary.write_text(f"{text}\n")
        return 1 if problems else 0


def _here() -> str:
    return f"{platform.node()}, Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores for this process"


def _lines(finding: Any) -> str:
    if finding.ok:
        return f"ok       {finding.subject}: {finding.result}"
    return f"PROBLEM  {finding.subject}: {finding.result}\n         -> {finding.remedy}"


class Report(Command):
    """`snakemake results/STUDY/report.html` makes what the page needs first; this command takes what is there."""

    study: Study = Field(description=STUDY)
    markdown: Path | None = Field(None, description="write it as Markdown and PNG into this folder instead")
    finished: bool = Field(False, description="while the study is under way: make and show what can be shown")

    def run(self) -> None:
        """Writes the page."""
        from helip.reporting.document import everything
        from helip.reporting.pages import finished, write_pages, write_report
        from helip.study import load

        study = load(self.study)
        shown = finished(study) if self.finished else everything(study)
        page = write_pages(study, self.markdown, shown) if self.markdown else write_report(study, shown)
        done(f"{page}: {'what is finished' if self.finished else 'all'} of study {study.name}", then="open it in a browser or a pager")


class Track(Command):
    """What is there already is left alone, so that it may be run as often as you like. Where $MLFLOW_TRACKING_URI names a server, the runs
    go there as well."""

    study: Study = Field(description=STUDY)
    store: Path | None = Field(None, description="the sqlite file; by default mlflow.db in the results folder")
    out: Path | None = Field(None, description="write what was imported to this JSON file")

    def run(self) -> None:
        """Imports the runs and prints how many there were."""
        from helip.io import write_json
        from helip.reporting.tracking.importing import import_everywhere
        from helip.study import load

        study = load(self.study)
        store = self.store or study.root.parent / "mlflow.db"
        if store.is_dir():
            raise HelipError(f"--store {store}: is a folder; name the sqlite file, for example {store / 'mlflow.db'}")
        counts = import_everywhere(study, store)
        if self.out:
            write_json(self.out, {"store": str(store), **counts})
        if not any(counts.values()):
            done(f"{store}: nothing imported, as no training of {study.name} is finished yet", then=f"helip runs {study.name}, to see them")
            return
        done(f"{store}: {counts['imported']} runs imported, {counts['unchanged']} unchanged", then="make ui, to look at them")


class Ui(Command):
    """It is MLflow's own server with one worker. `make ui` starts it."""

    host: str = Field("127.0.0.1", description="the address to listen on; 0.0.0.0 listens on all of this machine")
    port: int = Field(5000, gt=0, lt=65536, description="the port to listen on")
    allowed_hosts: str = Field(
        "", description="names under which browsers reach it, with commas between; * allows all; by default localhost alone"
    )
    store: Path | None = Field(None, description="the sqlite file; by default mlflow.db in the results folder")

    def run(self) -> int:
        """Serves the store until it is interrupted."""
        from helip.reporting.tracking.server import serve

        results = Path(os.environ.get("HELIP_RESULTS", "results"))
        return serve(self.store or results / "mlflow.db", self.host, self.port, self.allowed_hosts)
