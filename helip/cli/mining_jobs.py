"""What `helip mine` is asked to do: a study's pair set, or a user's own files."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helip.config import MiningSpec, Resources
from helip.config.reading import validate_options
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.io import check_replaceable, digest, file_digest, read_json
from helip.study import load
from helip.study.resolve import encoders_of

FIELDS = tuple(MiningSpec.model_fields)


@dataclass(frozen=True)
class Job:
    """features: a file for each modality that is used. how: memory, workers and device, where a study says. corpus: what the audit shows
    and references draw from; None for features that come from elsewhere. keep: [N] bool, the pairs that are mined; None for all."""

    spec: MiningSpec
    features: dict[str, Path]
    inputs: dict[str, str]
    corpus: Corpus | None
    corpus_digest: str
    out: Path
    encoders: dict[str, str] = field(default_factory=dict)
    how: dict[str, Any] = field(default_factory=dict)
    keep: Any = None

    def arrays(self) -> dict[str, Any]:
        """Memory-mapped; None for a modality that is not used."""
        from helip.mining.features import load as load_features

        return {name: load_features(self.features[name]) if name in self.features else None for name in ("image", "text")}

    def truth(self) -> Any:
        """What a generated corpus knows of itself; None for others."""
        from helip.synthetic.truth import Truth

        known = self.corpus is not None and Truth.known(self.corpus.folder)
        return Truth.open(self.corpus.folder) if known else None


def of_study(name: str, pairs: str | None, shard: tuple[int, int] = (0, 1)) -> Job:
    """The job that mines a pair set of a study, or shard (i, n) of it. HelipError where the study has no such pair set."""
    if not pairs:
        raise HelipError("mine --study needs the name of the pairs to mine")
    study = load(name)
    corpus_name, spec = study.pairs_entry(pairs)
    by_modality = {"image": spec.image_encoder, "text": spec.text_encoder}
    encoders = {modality: encoder for modality, encoder in by_modality.items() if encoder in encoders_of(spec)}
    features = {modality: study.features_dir(corpus_name, encoder) / "features.npy" for modality, encoder in encoders.items()}
    inputs = {f"{modality}_features": study.features_digest(corpus_name, encoder) for modality, encoder in encoders.items()}
    corpus = Corpus.open(study.corpus_dir(corpus_name))  # its digest is of its content
    return Job(
        spec=MiningSpec.model_validate({name: getattr(spec, name) for name in FIELDS}),
        features=features,
        inputs=inputs or {"corpus": study.corpus_digest(corpus_name)},
        corpus=corpus,
        corpus_digest=_common_digest(features, corpus),
        out=study.pairs_dir(pairs) if shard == (0, 1) else study.pair_shard_dir(pairs, shard),
        encoders=encoders,
        how=_resources(study.resources("mine")),
    )


def _resources(r: Resources) -> dict[str, Any]:
    """What the study asks of the scheduler is what mining may use; Python, torch and faiss take about 700 MB of it."""
    return {"memory": f"{max(r.mem_mb - 700, r.mem_mb // 2)}MB", "workers": r.threads, "device": "cuda" if r.gpu else None}


def of_files(a: argparse.Namespace) -> Job:
    """The job that a user's own files and options ask for. HelipError where they contradict each other or are of several corpora."""
    given = {"image": a.image_features, "text": a.text_features}
    reference = a.method in ("random", "truth")
    if not a.out or not (a.corpus if reference else any(given.values())):
        wanted = "--corpus DIR" if reference else "--image-features FILE --text-features FILE"
        raise HelipError(f"mine needs --study S PAIRS, or {wanted} --out DIR")
    if reference and a.keep:
        raise HelipError(f"--keep: says which pairs a miner compares, and method '{a.method}' compares no features; leave it out")
    check_replaceable(a.out, "pairs.json", *given.values(), a.corpus, a.keep)
    keep = _keep(a.keep, given)
    spec = _spec(a, given, keep)
    unused = {"image": ("text",), "text": ("image",), "random": tuple(given), "truth": tuple(given)}.get(spec.method, ())
    features = {modality: path for modality, path in given.items() if path and modality not in unused}
    inputs = {f"{modality}_features": file_digest(path) for modality, path in features.items() if path.is_file()}
    corpus = Corpus.open(a.corpus) if a.corpus else None
    if reference:
        inputs["corpus"] = corpus.digest
    common = _common_digest(features, corpus, a.keep) or digest(inputs)
    if a.keep:
        inputs["selection"] = file_digest(a.keep)
    return Job(spec, features, inputs, corpus, common, a.out, keep=keep)


def _keep(path: Path | None, features: dict[str, Path | None]) -> Any:
    """The mask of `helip select`; None where all pairs are mined."""
    from helip.mining.features import load as load_features
    from helip.selection.keep import read_keep

    return read_keep(path, len(load_features(next(filter(None, features.values()))))) if path else None


def _spec(a: argparse.Namespace, features: dict[str, Path | None], keep: Any) -> MiningSpec:
    """The preset, and what was said otherwise."""
    said = {name: value for name in FIELDS if (value := getattr(a, name)) is not None}
    if a.tau is not None or a.no_tau:
        said |= dict.fromkeys(("tau_image", "tau_text"), None if a.no_tau else a.tau)
    spelled = dict.fromkeys(("tau_image", "tau_text"), "tau") if a.tau is not None else None
    values = _preset(a.preset, features, keep).model_dump() | said
    return validate_options(MiningSpec, values, nameless="pool", spelled=spelled)


def _preset(name: str, features: dict[str, Path | None], keep: Any) -> MiningSpec:
    from helip.mining import presets
    from helip.mining.features import load as load_features

    if name == "paper":
        return presets.PAPER
    path = next((path for path in features.values() if path), None)
    if path is None:
        raise HelipError(f"--preset {name} depends on how many pairs there are: give --image-features or --text-features")
    return presets.released_code(len(load_features(path)) if keep is None else int(keep.sum()))


def _common_digest(features: dict[str, Path], corpus: Corpus | None, keep: Path | None = None) -> str | None:
    """Of the corpus that all these are of; None where none of them says. A file from elsewhere, with no features.json, says nothing."""
    found = {str(corpus.folder): corpus.digest} if corpus is not None else {}
    said_in = {path: path.with_suffix(".json") for path in features.values()} | ({keep: keep.with_name("selection.json")} if keep else {})
    for path, beside in said_in.items():
        about = read_json(beside) if beside.is_file() else {}
        if about.get("corpus_digest"):
            found[str(path)] = about["corpus_digest"]
        if about.get("logits"):
            encoder = about.get("declaration", {}).get("model", "its encoder")
            print(f"warning: {path}: '{encoder}' gave classifier logits, not features: its labels decide what counts as alike")
    if len(set(found.values())) > 1:
        which = ", ".join(f"{path} (digest {one})" for path, one in found.items())
        raise HelipError(f"not of one corpus: {which}; extract the features of this corpus again, or select from it")
    return next(iter(found.values()), None)
