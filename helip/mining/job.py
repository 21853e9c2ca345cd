"""A mining job from its files to an audited pair set: what `helip mine` and a study's stage `mine` do alike."""

import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.io import file_digest, read_json, write_json
from helip.mining.pairs import PairSet, merge
from helip.mining.references import Truth

if TYPE_CHECKING:  # it imports torch
    from helip.mining.thresholds import Thresholds

MANY = 0.5  # share of outliers that is worth a warning
FAR = 0.02  # a share of outliers from the one that was asked for
SHARES = (0.05, 0.15, 0.3)  # of outliers, whose tau the warning says
COPY = 0.9999  # score from which a hard pair is a copy of its target
THUMBNAIL = (192, 192)  # pixels: five hundred photographs in full would make a page that no browser likes


class CaptionedImages(Protocol):
    """The corpus that a job shows in its audit and draws references from (helip.data.corpus.Corpus is one)."""

    folder: Path
    digest: str

    @property
    def recovered_share(self) -> float | None:
        """The share of the published corpus that this one has; None where nothing is published."""

    def __len__(self) -> int: ...
    def image(self, i: int) -> Any: ...
    def caption(self, i: int) -> str: ...


@dataclass(frozen=True)
class MineJob:
    """One pair set to make, or a shard of it.

    features: the .npy file [N, D] of each modality, "image" and "text", that the method uses. inputs: digests for pairs.json.
    corpus: None for features that come from elsewhere; then the audit has no sheet. memory, workers, device: as `helip.mining.mine` takes
    them. keep: [N] bool, the pairs that are mined; None for all. truth: of a generated corpus, for the audit and the method `truth`.
    """

    spec: MiningSpec
    features: dict[str, Path]
    inputs: dict[str, str]
    corpus: CaptionedImages | None
    corpus_digest: str
    out: Path
    encoders: dict[str, str] = field(default_factory=dict)
    memory: int | str = "2GiB"
    workers: int | None = None
    device: str | None = None
    keep: np.ndarray | None = None
    truth: Truth | None = None

    def run(self, shard: tuple[int, int] = (0, 1)) -> PairSet:
        """Mines or draws the pairs (of one shard's targets), saves them in `out` and returns them; a whole pair set is audited.

        Raises HelipError for features, a corpus or a spec that do not fit together.
        """
        begun = time.monotonic()
        pairs = self._pairs(shard)
        facts = {"wall_clock_seconds": round(time.monotonic() - begun, 3), "recovered_share": getattr(self.corpus, "recovered_share", None)}
        pairs.save(self.out, inputs=self.inputs, corpus_digest=self.corpus_digest, encoders=self.encoders, **facts)
        if shard == (0, 1):
            self.audit(pairs)
            self.warn(pairs)
        return pairs

    def _pairs(self, shard: tuple[int, int]) -> PairSet:
        from helip.mining import mine, references

        match self.spec.method:
            case "random":
                return references.random_pairs(len(self._corpus()), self.spec, shard, progress=True)
            case "truth":
                corpus = self._corpus()
                if self.truth is None:
                    raise HelipError(f"{corpus.folder}: method 'truth' needs a generated corpus, and this one does not know its truth")
                return references.true_pairs(self.truth, self.spec, shard)
        image, text = self._arrays()
        return mine(
            image, text, self.spec, keep=self.keep, memory=self.memory, workers=self.workers, device=self.device, shard=shard, progress=True
        )

    def _corpus(self) -> CaptionedImages:
        """The corpus, for the methods that draw from it. HelipError where the job has none."""
        if self.corpus is None:
            raise HelipError(f"method '{self.spec.method}' draws from a corpus, and none is given; name its folder")
        return self.corpus

    def _arrays(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Image and text features, memory-mapped; None for a modality that is not used."""
        from helip.mining.features import load

        image, text = (load(self.features[name]) if name in self.features else None for name in ("image", "text"))
        return image, text

    def audit(self, pairs: PairSet) -> None:
        """Writes audit.json and, where the corpus is at hand, audit.html beside the pairs, and prints the report's lines.

        A failure is a warning: the pairs are saved by now, and an audit must not cost hours of mining.
        """
        try:
            self._audit(pairs)
        except Exception as error:
            what = f"the pairs are whole, their audit failed ({type(error).__name__}: {error})"
            print(f"warning: {self.out}: {what}", file=sys.stderr)

    def warn(self, pairs: PairSet) -> None:
        """Prints warnings: most targets are outliers, with the tau that would leave out fewer; another share of them than was asked for,
        since equal cosines have no tau between them; and copies in the lists.
        """
        outliers, copies = pairs.outlier_share, int((pairs.scores_flat >= COPY).sum()) if self.features else 0
        messages = []
        if outliers > MANY and self.features:
            messages.append(f"{outliers:.1%} of the targets are outliers (fewer than k = {pairs.spec.k} hard pairs){self._of_tau(pairs)}")
        asked = pairs.spec.outliers
        if asked is not None and abs(outliers - asked) > FAR:
            equal = f"so many have equal cosines that no tau lies between them: max_similarity {COPY} leaves copies out"
            messages.append(f"{outliers:.1%} of the targets are outliers, where {asked:.1%} were asked for; {equal}")
        if copies:
            share = f"{copies} of {len(pairs.ids)} hard pairs are copies of their target (score {COPY} or more)"
            messages.append(f"{share}: max_similarity {COPY} leaves them out")
        for one in messages:
            print(f"warning: {self.out}: {one}", file=sys.stderr)

    def _of_tau(self, pairs: PairSet) -> str:
        """The tau that was used, the cosines of the encoders, and the tau of smaller shares, as the end of a sentence."""
        from helip.mining.features import checked
        from helip.mining.thresholds import Thresholds

        selected, spec = None if self.keep is None else np.flatnonzero(self.keep), pairs.spec
        used = [m for m in ("image", "text") if spec.method in ("hpm", "fast_hpm", m)]
        arrays = dict(zip(("image", "text"), self._arrays(), strict=True))
        thresholds = Thresholds.of([checked(m, array, selected=selected) for m in used if (array := arrays[m]) is not None], spec)
        tau = pairs.metadata.get("tau") or {m: getattr(spec, f"tau_{m}") for m in used}
        quantiles = "; ".join(f"{m} {', '.join(f'{q} {c:g}' for q, c in of.items())}" for m, of in thresholds.cosines().items())
        return f", at tau {_taus(tau)}; cosines of random pairs: {quantiles}; {'; '.join(_fewer(thresholds, share) for share in SHARES)}"

    def _audit(self, pairs: PairSet) -> None:
        from helip.mining.audit import audit, lines, sheet

        image, text = self._arrays()
        report, corpus = audit(pairs, image, text, self.truth), self.corpus
        write_json(self.out / "audit.json", report)
        print("\n".join(f"  {line}" for line in lines(report)))
        if corpus is not None:
            sheet(pairs, lambda i: (_thumbnail(corpus, i), corpus.caption(i)), self.out / "audit.html", title=self.out.name)
            print(f"{self.out / 'audit.html'}: targets with their hard pairs, to look at")


def summary(pairs: PairSet) -> str:
    """Returns targets, hard pairs, the share of noise targets and tau where it was found, as a sentence for a terminal."""
    of = f" of {len(pairs)}" if pairs.kept is not None else ""
    tau = f" at tau {_taus(pairs.metadata['tau'])}" if "tau" in pairs.metadata else ""
    return f"{int(pairs.mined.sum())}{of} targets, {len(pairs.ids)} hard pairs, {pairs.outlier_share:.1%} of the targets are noise{tau}"


def _taus(tau: dict[str, float | None]) -> str:
    """'0.312 (image) and 0.25 (text)'."""
    return " and ".join(f"{'none' if value is None else f'{value:.4g}'} ({modality})" for modality, value in tau.items())


def _fewer(thresholds: "Thresholds", share: float) -> str:
    try:
        return f"outliers {share:g} would be tau {_taus(dict(thresholds.tau(share)))}"
    except HelipError:
        return f"no tau leaves out as few as {share:.0%}"


def join(folders: Sequence[Path], out: Path, job: MineJob | None = None) -> PairSet:
    """Writes the shards of one mining job to `out` as the pair set that one process would have made, audits it and returns it.

    job: what was mined, for the audit; None for shards that come alone, which are joined without one.
    """
    pairs = merge([PairSet.open(folder) for folder in folders], out)
    if job is not None:
        job.audit(pairs)
        job.warn(pairs)
    return pairs


def corpus_digest_of(features: dict[str, Path], corpus: CaptionedImages | None, keep: Path | None = None) -> str | None:
    """Returns the digest of the corpus that these files are all of; None where none of them says.

    A file from elsewhere, with no features.json or selection.json beside it, says nothing. Prints a warning for features that are a
    classifier's logits. Raises HelipError where two files are of different corpora or the same file, where features are of the other
    modality, and where a file is not the one that its JSON describes.
    """
    if len({path.resolve() for path in features.values()}) < len(features):
        raise HelipError(f"{next(iter(features.values()))}: is given as image and as text features; give the captions' features for text")
    digests = {str(corpus.folder): corpus.digest} if corpus is not None else {}
    described = {path: path.with_suffix(".json") for path in features.values()}
    described |= {keep: keep.with_name("selection.json")} if keep else {}
    for path, beside in described.items():
        metadata = read_json(beside) if beside.is_file() else {}
        modality = next((name for name, one in features.items() if one == path), None)
        if modality and (recorded := metadata.get("modality", modality)) != modality:
            raise HelipError(f"{path}: holds {recorded} features, and is given as {modality} features; give the {modality} encoder's")
        if modality and metadata.get("features_digest", "") not in ("", file_digest(path)):
            raise HelipError(f"{path}: is not the file that {beside.name} describes; encode the corpus again")
        if metadata.get("corpus_digest"):
            digests[str(path)] = metadata["corpus_digest"]
        if metadata.get("logits"):
            encoder = metadata.get("declaration", {}).get("model", "its encoder")
            print(f"warning: {path}: '{encoder}' gave classifier logits, not features: its labels decide what counts as alike")
    if len(set(digests.values())) > 1:
        which = ", ".join(f"{path} (digest {one})" for path, one in digests.items())
        raise HelipError(f"not of one corpus: {which}; extract the features of this corpus again, or select from it")
    return next(iter(digests.values()), None)


def _thumbnail(corpus: CaptionedImages, i: int) -> bytes:
    """A small JPEG of a sample."""
    image, data = corpus.image(i), io.BytesIO()
    image.thumbnail(THUMBNAIL)
    image.save(data, "JPEG", quality=85)
    return data.getvalue()
