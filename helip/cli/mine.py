"""`helip mine`, `merge-pairs` and `export-pairs`: hard pairs of a study's corpus, or of a user's own features."""

import argparse
import time
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from helip.artefact import digest, file_digest, read_json, write_json
from helip.binding import encoders_of
from helip.config import MiningSpec, Resources
from helip.errors import HelipError
from helip.study import load

COMMANDS = {
    "mine": "find the hard pairs of every image-text pair",
    "merge-pairs": "join the shards of a mining job",
    "export-pairs": "write a pair set as parquet or in the released code's CSV form",
}
FIELDS = ("method", "k", "tau_image", "tau_text", "max_similarity", "pool", "pool_block", "seed", "ivf_candidates", "ivf_probes")


def _features_file(given: str) -> Path:
    path = Path(given)
    return path / "features.npy" if path.is_dir() else path


def add(name: str, parser: argparse.ArgumentParser):
    match name:
        case "mine":
            _add_mine(parser)
            return _mine
        case "merge-pairs":
            parser.add_argument("--study")
            parser.add_argument("--out", type=Path)
            parser.add_argument("pairs", nargs="+", help="the name of a study's pairs, or the folders of the shards")
            return _merge
        case "export-pairs":
            parser.add_argument("pairs", type=Path, help="the folder of a pair set")
            parser.add_argument("--out", type=Path, required=True, help="a .parquet or .csv file")
            return _export


def _add_mine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study")
    parser.add_argument("pairs", nargs="?", help="the name of a study's pairs")
    parser.add_argument("--image-features", type=_features_file, help=".npy, [N, D], float16 or float32")
    parser.add_argument("--text-features", type=_features_file, help="a folder made by `helip encode`, or an .npy file [N, D]")
    parser.add_argument(
        "--corpus", type=Path, help="a corpus folder: shown in the audit sheet; random and truth draw from it instead of features"
    )
    parser.add_argument("--out", type=Path, help="the folder to make")
    parser.add_argument("--method", choices=get_args(MiningSpec.model_fields["method"].annotation), default="hpm")
    parser.add_argument("--k", type=int, default=500, help="hard pairs kept for a target")
    parser.add_argument("--tau", type=float, help="both thresholds at once")
    parser.add_argument("--tau-image", type=float, default=0.5)
    parser.add_argument("--tau-text", type=float, default=0.5)
    parser.add_argument("--no-tau", action="store_true", help="every cosine counts, as in the released code")
    parser.add_argument("--max-similarity", type=float, help="drop candidates nearer than this in either modality")
    parser.add_argument("--pool", type=int, help="fast_hpm: candidates a target is given")
    parser.add_argument("--pool-block", type=int, default=4096, help="fast_hpm: targets that share a pool")
    parser.add_argument("--seed", type=int, default=0, help="fast_hpm: of the pools; random, truth: of what is drawn")
    parser.add_argument("--ivf-candidates", type=int, help="approximate: score only this many nearest by the first modality")
    parser.add_argument("--ivf-probes", type=int, default=32, help="approximate: inverted lists looked into")
    parser.add_argument("--memory", help="what mining may allocate (2GiB; of a study: its mem_mb less the interpreter)")
    parser.add_argument("--workers", type=int, help="threads (all cores; of a study: its threads)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (cpu; of a study: cuda where it declares a gpu)")
    parser.add_argument("--shard", type=_shard, default=(0, 1), metavar="i/n", help="mine only part i of n; merge-pairs joins the parts")


def _shard(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form i/n, for example 0/4")
    return int(i), int(n)


def _mine(a: argparse.Namespace) -> None:
    job = _study_job(a) if a.study else _own_job(a)
    arrays, begun = _arrays(job), time.monotonic()
    found = _found(a, job, arrays)
    cost = {"wall_clock_seconds": round(time.monotonic() - begun, 3)}
    found.save(job["out"], inputs=job["inputs"], corpus_digest=job["corpus_digest"], encoders=job["encoders"], **cost)
    print(f"{job['out']}: {len(found)} targets, {len(found.ids)} hard pairs, {found.noise.mean():.1%} of the targets are noise")
    if a.shard == (0, 1):
        _audit(found, arrays, job)


def _found(a: argparse.Namespace, job: dict[str, Any], arrays: dict[str, Any]) -> Any:
    """The pair set of a job, by a miner or by what miners are measured against."""
    from helip.mining import mine, references

    spec = MiningSpec.model_validate({name: getattr(job["spec"], name) for name in FIELDS})
    match spec.method:
        case "random":
            return references.random_pairs(len(job["corpus"]), spec, a.shard)
        case "truth":
            if (truth := _truth(job["corpus"])) is None:
                raise HelipError(f"{job['corpus'].folder}: method 'truth' needs a generated corpus, and this one does not know its truth")
            return references.true_pairs(truth, spec, a.shard)
    how = job["how"] | {name: value for name in ("memory", "workers", "device") if (value := getattr(a, name)) is not None}
    return mine(arrays["image"], arrays["text"], spec, shard=a.shard, progress=True, **how)


def _arrays(job: dict[str, Any]) -> dict[str, Any]:
    from helip.mining.features import load as load_features

    given = job["features"]
    return {name: load_features(given[name]) if given.get(name) else None for name in ("image", "text")}


def _audit(found: Any, arrays: dict[str, Any], job: dict[str, Any]) -> None:
    """audit.json beside the pairs, its lines on the terminal, and of a study's corpus a sheet of targets to look at."""
    from helip.mining.audit import audit, lines

    corpus = job.get("corpus")
    report = audit(found, arrays["image"], arrays["text"], _truth(corpus))
    write_json(job["out"] / "audit.json", report)
    print("\n".join(f"  {line}" for line in lines(report)))
    if corpus is not None:
        from helip.mining.sheet import sheet

        sheet(found, lambda i: (corpus.image_bytes(i), corpus.caption(i)), job["out"] / "audit.html", title=job["out"].name)


def _truth(corpus: Any) -> Any:
    """What a generated corpus knows of itself; None for others."""
    from helip.data.world.corpus import TRUTH
    from helip.data.world.truth import Truth

    return Truth.open(corpus.folder) if corpus is not None and (corpus.folder / TRUTH).is_file() else None


def _study_job(a: argparse.Namespace) -> dict[str, Any]:
    if not a.pairs:
        raise HelipError("mine --study needs the name of the pairs to mine")
    from helip.data.corpus import Corpus

    study = load(a.study)
    corpus, spec = study.pairs_entry(a.pairs)
    names = {"image": spec.image_encoder, "text": spec.text_encoder}
    used = {modality: name for modality, name in names.items() if name in encoders_of(spec)}
    folders = {modality: study.features_dir(corpus, name) for modality, name in used.items()}
    opened = Corpus.open(study.corpus_dir(corpus))  # its digest is of its content
    for folder in folders.values():
        _refuse_other_corpus(folder, opened.digest)
    return {
        "corpus": opened,
        "spec": spec,
        "features": {modality: folder / "features.npy" for modality, folder in folders.items()},
        "inputs": {f"{modality}_features": study.features_digest(corpus, name) for modality, name in used.items()}
        or {"corpus": study.corpus_digest(corpus)},
        "encoders": used,
        "corpus_digest": opened.digest,
        "how": _resources(study.resources("mine")),
        "out": study.pairs_dir(a.pairs) if a.shard == (0, 1) else study.pair_shard_dir(a.pairs, a.shard),
    }


def _resources(r: Resources) -> dict[str, Any]:
    """What the study asks of the scheduler is what mining may use; Python, torch and faiss take about 700 MB of it."""
    return {"memory": f"{max(r.mem_mb - 700, r.mem_mb // 2)}MB", "workers": r.threads, "device": "cuda" if r.gpu else None}


def _refuse_other_corpus(folder: Path, corpus_digest: str) -> None:
    about = read_json(folder / "features.json")
    if about.get("corpus_digest") != corpus_digest:
        raise HelipError(
            f"{folder}: features of another corpus (digest {about.get('corpus_digest')}, not {corpus_digest}); extract them again"
        )
    if about.get("logits"):
        print(f"warning: {folder}: '{about.get('encoder')}' gives classifier logits, not features: its labels leak into the pairs")


def _own_job(a: argparse.Namespace) -> dict[str, Any]:
    reference = a.method in ("random", "truth")
    if not a.out or not (a.corpus if reference else a.image_features or a.text_features):
        wanted = "--corpus DIR" if reference else "--image-features FILE --text-features FILE"
        raise HelipError(f"mine needs --study S PAIRS, or {wanted} --out DIR")
    taus = {"tau_image": a.tau_image, "tau_text": a.tau_text}
    if a.tau is not None or a.no_tau:
        taus = dict.fromkeys(taus, None if a.no_tau else a.tau)
    try:
        spec = MiningSpec.model_validate({name: getattr(a, name) for name in FIELDS} | taus)
    except ValidationError as error:
        one = error.errors()[0]
        raise HelipError(f"--{'-'.join(map(str, one['loc'])).replace('_', '-') or 'pool'}: {one['msg']}") from None
    features = {"image": a.image_features, "text": a.text_features}
    features = {n: path for n, path in features.items() if not reference and spec.method != {"image": "text", "text": "image"}[n]}
    corpora = {str(path): d for path in features.values() if path and (d := _own_corpus_digest(path))}
    inputs = {f"{n}_features": file_digest(path) for n, path in features.items() if path and path.is_file()}
    corpus = _own_corpus(a.corpus) if a.corpus else None
    if corpus is not None:
        corpora[str(a.corpus)] = corpus.digest
        inputs |= {"corpus": corpus.digest} if reference else {}
    if len(set(corpora.values())) > 1:
        raise HelipError(f"{', '.join(corpora)}: of different corpora; extract both features from one")
    return {"corpus": corpus, "spec": spec, "features": features, "inputs": inputs, "encoders": {}, "out": a.out, "how": {},
            "corpus_digest": next(iter(corpora.values()), None) or digest(inputs)}  # fmt: skip


def _own_corpus(folder: Path) -> Any:
    from helip.data.corpus import Corpus

    return Corpus.open(folder)


def _own_corpus_digest(path: Path) -> str | None:
    """Of features that helip extracted; a file from elsewhere stands for itself."""
    beside = path.with_suffix(".json")
    return read_json(beside).get("corpus_digest") if beside.is_file() else None


def _merge(a: argparse.Namespace) -> None:
    from helip.mining.pairs import PairSet, merge

    folders, out, job = [Path(p) for p in a.pairs], a.out, None
    if a.study:
        job = _study_job(argparse.Namespace(study=a.study, pairs=a.pairs[0], shard=(0, 1)))
        folders, out = load(a.study).mine_shards(a.pairs[0]), job["out"]
        if not folders:
            raise HelipError(f"merge-pairs: the study mines '{a.pairs[0]}' in one job; resources -> mine -> pairs_per_shard cuts it")
    if out is None:
        raise HelipError("merge-pairs needs --out DIR")
    merged = merge([PairSet.open(folder) for folder in folders], out)
    print(f"{out}: {len(merged)} targets from {len(folders)} shards")
    if job:
        _audit(merged, _arrays(job), job)


def _export(a: argparse.Namespace) -> None:
    from helip.mining import export
    from helip.mining.pairs import PairSet

    pairs = PairSet.open(a.pairs)
    match a.out.suffix:
        case ".parquet":
            export.to_parquet(pairs, a.out)
        case ".csv":
            export.to_csv(pairs, a.out)
        case other:
            raise HelipError(f"{a.out}: '{other}' is no form pairs are exported in; use .parquet or .csv")
    print(f"{a.out}: {len(pairs)} targets")
