"""The stage `check_data`: are all data of a study there, and what they should be? Jobs that ask for a GPU wait for it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from helip.config import GeneratedSet, Resources
from helip.errors import HelipError
from helip.io import provenance, write_json
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.stages.evaluation_set import BuildEvaluationSet
from helip.study import total


@dataclass(frozen=True)
class CheckData(Stage):
    """One line for each corpus, evaluation set and published checkpoint. It is a job: what counts is what the compute node sees."""

    name = "check_data"
    path = ""
    files = ("data.json",)
    record = ("data.json", "inputs", "data_digest")

    def config(self) -> object:
        declared = self.study.declaration
        expected = {n: s.expected.model_dump() for n, s in declared.evaluation.items() if not isinstance(s, GeneratedSet)}
        return [declared.corpora, declared.evaluation, declared.published, expected]

    def resources(self) -> Resources:
        return self.study.resources("evaluation_set")

    def work(self) -> Work:
        """Units are images."""
        images = total(BuildEvaluationSet(self.study, set_name).work().units for set_name in self.study.declaration.evaluation)
        return Work(images, 0, ("check_data", "evaluation_set"))

    def make(self, how: How) -> str:
        findings = self.look()
        self.write(findings, self.output)
        return f"{len(findings)} sources are there, or will be made or fetched"

    def write(self, findings: list[dict[str, str]], out: Path) -> None:
        """Writes the findings as JSON."""
        write_json(out, provenance({"study": self.study.name}, {"data_digest": self.digest}, findings=findings))

    def look(self) -> list[dict[str, str]]:
        """Prints and returns the findings; HelipError where something is missing or is not what it should be."""
        from helip.download.check import check, to_do

        findings = []
        for finding in check(self.study, lambda corpus: BuildCorpus(self.study, corpus).folder):
            findings.append(finding)
            print(f"{finding.state:15} {finding.kind:14} {finding.name:14} {finding.detail}", flush=True)
        missing = [f for f in findings if f.state == "missing"]
        if missing:
            print("to do:", *to_do(missing), sep="\n- ", flush=True)
            raise HelipError(
                f"{self.study.file}: {len(missing)} of {len(findings)} sources are missing or not what they should be (above); put them "
                "there, or take them out of the study, which then leaves out what needs them"
            )
        return [asdict(finding) for finding in findings]
