"""The stage `judge`: how good a pair set is by what mining did not see, the swapped captions and the captions beyond the first."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from helip.config import MismatchedCorpus
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus
from helip.stages.mine import Mine

LEVELLED = 2048  # targets that the AUC of a noise rule is of, at most
BY_PHOTOGRAPH = ("similarity", "likely_matches", "recalled")  # columns of anchors.npy: a value of each target


@dataclass(frozen=True)
class JudgePairs(Stage):
    """The quality of one pair set: percent, and what each target says of it."""

    pairs: str

    name = "judge"
    path = "judged/{pairs}"
    files = ("judged.json", "anchors.npy")

    @property
    def mined(self) -> Mine:
        """The pair set that is judged."""
        return Mine(self.study, self.pairs)

    def exact(self) -> Mine | None:
        """Returns the pair set that compares all pairs as this one compares pools; None where no run of the study has it."""
        corpus, spec = self.study.pairs_entry(self.pairs)
        wanted = spec.model_copy(update={"method": "hpm", "pool": None, "pool_block": type(spec).model_fields["pool_block"].default})
        names = [name for name, entry in self.study.pairs.items() if entry == (corpus, wanted)]
        return Mine(self.study, names[0]) if names and spec.method == "fast_hpm" else None

    def told(self) -> BuildCorpus:
        """Returns the corpus that has each photograph's own captions."""
        declared = self.mined.corpus.config()
        return BuildCorpus(self.study, declared.of) if isinstance(declared, MismatchedCorpus) else self.mined.corpus

    def config(self) -> object:
        return list(BY_PHOTOGRAPH)

    def needs(self) -> list[Stage]:
        exact = self.exact()
        return list(dict.fromkeys([self.mined, self.mined.corpus, self.told(), *self.mined.features(), *([exact] if exact else [])]))

    def work(self) -> Work:
        """Units are billions of compared pairs, which are compared once more; items, pairs."""
        return Work(self.mined.compared(), self.mined.corpus.size(), ("judge", "mine"))

    def make(self, how: How) -> str:
        import numpy as np

        from helip.data.corpus import Corpus
        from helip.data.wording import FEWEST, Wording
        from helip.io import atomic_folder, provenance, write_json
        from helip.mining.judging import by_target, recalled
        from helip.mining.pairs import PairSet

        pairs, exact = PairSet.open(self.mined.folder), self.exact()
        told, size = Corpus.open(self.told().folder), len(pairs)
        of_target = dict.fromkeys(BY_PHOTOGRAPH, np.full(size, np.nan))
        if told.caption_counts().min() >= FEWEST:
            words = Wording(told)
            i, j = np.repeat(np.arange(size), np.diff(pairs.offsets)), np.asarray(pairs.ids)
            alike = words.between(i, j)
            of_target["similarity"] = by_target(pairs, alike)
            of_target["likely_matches"] = by_target(pairs, alike >= words.within()[i])
        if exact is not None:
            of_target["recalled"] = recalled(pairs, PairSet.open(exact.folder))
        rows_NC = 100 * np.stack([of_target[name] for name in BY_PHOTOGRAPH], 1)
        facts: dict[str, Any] = {"targets": size, "hard_pairs": len(pairs.ids), "outlier_share": 100 * pairs.outlier_share}
        facts |= self._detector(pairs) | {"megabytes": self._megabytes()}
        facts |= {name: _mean(rows_NC[:, c]) for c, name in enumerate(BY_PHOTOGRAPH)}
        with atomic_folder(self.folder) as folder:
            np.save(folder / "anchors.npy", rows_NC.astype(np.float32))
            write_json(folder / "judged.json", provenance(self.mined.config(), {"pairs": self.mined.digest}, pairs=self.pairs, facts=facts))
        return ", ".join(f"{name} {value:.2f}" for name, value in facts.items() if value is not None)

    def _detector(self, pairs: Any) -> dict[str, float | None]:
        """The noise rule as a detector of mismatched pairs, in percent; nothing where the truth is not known or nothing was compared."""
        import numpy as np

        from helip.mining.features import checked, load
        from helip.mining.judging import detector
        from helip.mining.thresholds import target_levels
        from helip.synthetic.truth import mismatched

        wrong_N, spec = mismatched(self.mined.corpus.folder), self.mined.config()
        by_encoder = {one.encoder: one.output for one in self.mined.features()}
        if wrong_N is None or not by_encoder:
            return {}
        modalities = {"image": spec.image_encoder, "text": spec.text_encoder}
        features = [checked(m, load(by_encoder[e])) for m, e in modalities.items() if e in by_encoder]
        targets, levels = target_levels(features, spec, every=-(-len(pairs) // LEVELLED))
        noise_N = np.asarray(pairs.noise)
        whole = detector(np.where(noise_N, 0.0, 1.0), noise_N, wrong_N)
        sampled = detector(levels, noise_N[targets], wrong_N[targets])
        return {name: None if value is None else 100 * value for name, value in asdict(replace(whole, auc=sampled.auc)).items()}

    def _megabytes(self) -> float | None:
        """Of features, what a block of targets is compared with: those of its pool and its own, or of the whole corpus."""
        import numpy as np

        arrays = [np.load(one.output, mmap_mode="r") for one in self.mined.features()]
        if not arrays:
            return None
        spec, size = self.mined.config(), len(arrays[0])
        rows = size if spec.pool is None else min(size, spec.pool + spec.pool_block)
        return float(sum(rows * array.shape[1] * array.itemsize for array in arrays)) / 1e6


def _mean(values_N: Any) -> float | None:
    import numpy as np

    return None if np.isnan(values_N).all() else float(np.nanmean(values_N))
