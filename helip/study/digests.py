"""What an artefact stands for: a digest of its declaration, of everything it is made from, and of its stage's revision."""

import functools
from typing import Any

from helip.config import GeneratedSet, RunEncoder, SelfSupervisedEncoder, Stage, UnionCorpus
from helip.io import digest
from helip.study.declared import Declared, seed_number, start_seed
from helip.study.resolve import ResolvedRun, encoders_of

# Raise a stage's number when its code changes what it makes: everything downstream is then made again.
REVISIONS: dict[Stage, int] = {
    "corpus": 1, "evaluation_set": 1, "train_encoder": 1, "encode": 1, "mine": 1, "select": 2, "filter": 1, "train": 2, "evaluate": 2,
    "probe": 2, "fingerprint": 1, "contamination": 1,
}  # fmt: skip
REPORTING = 3  # the same for tables, figures, verdicts and the report, which are cheap: one number for all


class Digests(Declared):
    """The digests of everything that a study can make; Snakemake has them in its params."""

    def _digest(self, stage: Stage, *parts: Any) -> str:
        return digest([stage, REVISIONS[stage], *parts])

    def corpus_digest(self, corpus: str) -> str:
        declared = self._known("corpora", corpus)
        parts = [self.corpus_digest(c) for c in declared.of] if isinstance(declared, UnionCorpus) else []
        return self._digest("corpus", declared, *parts)

    def fingerprint_digest(self, corpus: str) -> str:
        return self._digest("fingerprint", self.corpus_digest(corpus))

    def contamination_digest(self) -> str:
        parts = [self.fingerprint_digest(c) for c in self.own_corpora] + [self.evaluation_digest(e) for e in self.declaration.evaluation]
        return self._digest("contamination", *parts)

    def evaluation_digest(self, name: str) -> str:
        return self._digest("evaluation_set", self._known("evaluation", name))

    def encoder_digest(self, corpus: str, encoder: str) -> str:
        """Of the encoder that a corpus is encoded with."""
        match declared := self._known("encoders", encoder):
            case RunEncoder(run=run, seed=seed):
                return self._digest("train_encoder", declared, self.run_digest(run, str(seed)))
            case SelfSupervisedEncoder(corpus=home):
                return self._digest("train_encoder", declared, self.corpus_digest(home or corpus))
        return self._digest("train_encoder", declared)

    def features_digest(self, corpus: str, encoder: str) -> str:
        return self._digest("encode", self.encoder_digest(corpus, encoder), self.corpus_digest(corpus))

    def pairs_digest(self, name: str) -> str:
        corpus, spec = self.pairs_entry(name)
        made_from = [self.features_digest(corpus, e) for e in encoders_of(spec)] or [self.corpus_digest(corpus)]
        return self._digest("mine", spec, *made_from)

    def selection_digest(self, start: str, seed: str, name: str) -> str:
        spec = self.selection_entry(start, name)
        target = self.evaluation_digest(spec.target) if spec.target else None
        return self._digest("select", spec, self.run_digest(start, seed), target)

    def filter_digest(self, start: str, seed: str, name: str) -> str:
        pairs, margin = self.filter_entry(start, name)
        return self._digest("filter", margin, self.pairs_digest(pairs), self.run_digest(start, seed))

    @functools.cache  # noqa: B019  a study lives as long as the process
    def run_digest(self, run: str, seed: str) -> str:
        r = self.run(run)
        if run in self.declaration.published:
            return self._digest("train", self.declaration.published[run])
        if r.interpolate:
            ends = self.run_digest(r.start, start_seed(seed)), self.run_digest(r.interpolate.run, seed)
            return self._digest("train", r.interpolate.weight, *ends)
        start = self.run_digest(r.start, start_seed(seed)) if r.start else None
        pairs = self._drawn_digest(r, seed) if r.pairs else None
        parts = [r.recipe, self.model_declaration(run), self.corpus_digest(r.corpus), start, pairs, seed_number(seed)]
        if r.select:
            parts.append(self.selection_digest(r.start, start_seed(seed), self.selection_name(run)))
        return self._digest("train", *parts)

    def _drawn_digest(self, r: ResolvedRun, seed: str) -> str:
        if r.false_negative_margin is None:
            return self.pairs_digest(self.pairs_name(r))
        return self.filter_digest(r.start, start_seed(seed), self.filtered_name(r.name))

    def data_digest(self) -> str:
        """Of what `helip data check` looks at."""
        declared = self.declaration
        expected = {n: s.expected.model_dump() for n, s in declared.evaluation.items() if not isinstance(s, GeneratedSet)}
        return digest([declared.corpora, declared.evaluation, declared.published, expected])

    def metrics_digest(self, run: str, seed: str, stage: Stage) -> str:
        sets = [self.evaluation_digest(n) for n, _ in self.tasks(stage)]
        return self._digest(stage, self.run_digest(run, seed), *sets)
