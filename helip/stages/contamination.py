"""The stages `fingerprint` and `contamination`: are evaluation images among the training images?"""

from dataclasses import dataclass

from helip.errors import HelipError
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.stages.evaluation_set import BuildEvaluationSet
from helip.study import Study, total


@dataclass(frozen=True)
class Fingerprint(Stage):
    """Perceptual hashes of every image of a corpus."""

    corpus: str

    name = "fingerprint"
    revision = 2
    path = "fingerprints/{corpus}"
    files = ("fingerprints.npy", "fingerprints.json")
    record = ("fingerprints.json", "inputs", "fingerprint_digest")
    heeds = ("workers",)

    def config(self) -> None:
        return None

    def needs(self) -> list[Stage]:
        return [BuildCorpus(self.study, self.corpus)]

    def work(self) -> Work:
        """Units and items are pairs."""
        size = BuildCorpus(self.study, self.corpus).size()
        return Work(size, size, (f"fingerprint.{self.corpus}", "fingerprint"))

    def make(self, how: How) -> str:
        from helip.contamination import fingerprint_corpus
        from helip.data.corpus import Corpus

        corpus = Corpus.open(BuildCorpus(self.study, self.corpus).folder)
        workers = how.workers or self.resources().threads
        counted = fingerprint_corpus(corpus, self.folder, workers, {"fingerprint_digest": self.digest})
        return f"{counted['size']} images, {counted['duplicates']} with the fingerprint of an earlier one"


@dataclass(frozen=True)
class CheckContamination(Stage):
    """Counts of near-duplicates of evaluation images among the training images, and every match."""

    name = "contamination"
    path = ""
    files = ("contamination.json", "contamination.csv")
    record = ("contamination.json", "inputs", "contamination_digest")

    def config(self) -> None:
        return None

    def fingerprints(self) -> list[Fingerprint]:
        """Returns the hashes of every corpus that has samples of its own."""
        return [Fingerprint(self.study, corpus) for corpus in self.study.own_corpora]

    def sets(self) -> list[BuildEvaluationSet]:
        """Returns every evaluation set of the study."""
        return [BuildEvaluationSet(self.study, set_name) for set_name in self.study.declaration.evaluation]

    def needs(self) -> list[Stage]:
        return [*self.fingerprints(), *self.sets()]

    def work(self) -> Work:
        """Units are pairs."""
        pairs = total(BuildCorpus(self.study, corpus).size() for corpus in self.study.own_corpora)
        return Work(pairs, 0, ("contamination",))

    def make(self, how: How) -> str:
        from helip.contamination.report import contamination
        from helip.evaluation.sets import of_declaration

        if not self.fingerprints() or not self.sets():
            raise HelipError(f"{self.study.file}: no corpus or no evaluation set is bound: there is nothing to compare")
        sets = {one.set: of_declaration(one.set, one.config(), one.folder) for one in self.sets()}
        corpora = {one.corpus: (one.folder, BuildCorpus(self.study, one.corpus).output) for one in self.fingerprints()}
        counts = contamination(sets, corpora, {"contamination_digest": self.digest}, *self.outputs)
        print(f"{'set':14} {'corpus':14} {'items':>8} {'found':>8} {'share':>8} {'samples':>8}")
        for c in counts:
            print(f"{c['set']:14} {c['corpus']:14} {c['items']:8} {c['found']:8} {c['share']:8.4f} {c['samples']:8}")
        return f"{len(sets)} sets against {len(corpora)} corpora"


def contamination_of(study: Study) -> list[CheckContamination]:
    """Returns the check of a study; none where every corpus is generated, and its evaluation sets with it."""
    return [] if all(study.is_generated(corpus) for corpus in study.own_corpora) else [CheckContamination(study)]
