"""`helip mine`, `merge-pairs` and `export-pairs`: hard pairs of a study's corpus, or of a user's own features."""

import argparse
import io
import sys
import time
from pathlib import Path
from typing import Any, get_args

from helip.cli.options import at_least, own_group, shard
from helip.config import MiningSpec
from helip.errors import HelipError
from helip.io import check_replaceable, write_json

COMMANDS = {
    "mine": "find the hard pairs of every image-text pair",
    "merge-pairs": "join the shards of a mining job",
    "export-pairs": "write a pair set as parquet or in the released code's CSV form",
}


def add(name: str, parser: argparse.ArgumentParser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    match name:
        case "mine":
            _add_mine(parser)
            return _mine
        case "merge-pairs":
            parser.add_argument("--study")
            own_group(parser, "shards").add_argument("--out", type=Path)
            parser.add_argument("pairs", nargs="+", help="the name of a study's pairs, or the folders of the shards")
            return _merge
        case "export-pairs":
            parser.add_argument("pairs", type=Path, help="the folder of a pair set")
            parser.add_argument("--out", type=Path, required=True, help="a .parquet or .csv file")
            return _export


def _add_mine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study")
    parser.add_argument("pairs", nargs="?", help="the name of a study's pairs")
    own = own_group(parser, "data")
    own.add_argument("--image-features", type=_features_file, help="a folder made by `helip encode`, or an .npy file [N, D]")
    own.add_argument("--text-features", type=_features_file, help="the same")
    own.add_argument("--corpus", type=Path, help="a corpus folder, for the audit sheet; random and truth draw from it")
    own.add_argument("--keep", type=Path, help="the keep.npy of `helip select`: mine these pairs as if there were no others")
    own.add_argument("--out", type=Path, help="the folder to make")
    own.add_argument("--preset", choices=("paper", "released_code"), default="paper", help="what is meant by what you do not say")
    own.add_argument("--method", choices=get_args(MiningSpec.model_fields["method"].annotation), help="hpm")
    own.add_argument("--k", type=int, help="hard pairs kept for a target (500)")
    own.add_argument("--tau", type=float, help="both thresholds at once (0.5)")
    own.add_argument("--tau-image", type=float)
    own.add_argument("--tau-text", type=float)
    own.add_argument("--no-tau", action="store_true", help="every cosine counts, as in the released code")
    own.add_argument("--max-similarity", type=float, help="drop candidates nearer than this in either modality")
    own.add_argument("--pool", type=int, help="fast_hpm: candidates a target is given")
    own.add_argument("--pool-block", type=int, help="fast_hpm: targets that share a pool (4096)")
    own.add_argument("--seed", type=int, help="fast_hpm: of the pools; random, truth: of what is drawn (0)")
    own.add_argument("--ivf-candidates", type=int, help="approximate: score only this many, by the sum of their cosines")
    own.add_argument("--ivf-probes", type=int, help="approximate: inverted lists looked into (32)")
    parser.add_argument("--memory", help="what mining may allocate (2GiB; of a study: its mem_mb less the interpreter)")
    parser.add_argument("--workers", type=at_least(1), help="threads (all cores; of a study: its threads)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (cpu; of a study: cuda where it declares a gpu)")
    parser.add_argument("--shard", type=shard, default=(0, 1), metavar="i/n", help="mine only part i of n; merge-pairs joins the parts")


def _features_file(given: str) -> Path:
    path = Path(given)
    return path / "features.npy" if path.is_dir() else path


def _mine(a: argparse.Namespace) -> None:
    from helip.cli import mining_jobs

    job = mining_jobs.of_study(a.study, a.pairs, a.shard) if a.study else mining_jobs.of_files(a)
    how = job.how | {name: value for name in ("memory", "workers", "device") if (value := getattr(a, name)) is not None}
    begun = time.monotonic()
    found = _found(job, a.shard, how)
    said = {"wall_clock_seconds": round(time.monotonic() - begun, 3), "recovered_share": getattr(job.corpus, "recovered_share", None)}
    found.save(job.out, inputs=job.inputs, corpus_digest=job.corpus_digest, encoders=job.encoders, **said)
    noise, of = found.noise[found.mined], f" of {len(found)}" if job.keep is not None else ""
    share = noise.mean() if len(noise) else 0
    print(f"{job.out}: {len(noise)}{of} targets, {len(found.ids)} hard pairs, {share:.1%} of the targets are noise")
    if a.shard == (0, 1):
        _audited(found, job)


def _found(job: Any, shard: tuple[int, int], how: dict[str, Any]) -> Any:
    """The pair set of a job, by a miner or by what miners are measured against."""
    from helip.mining import mine, references

    match job.spec.method:
        case "random":
            return references.random_pairs(len(job.corpus), job.spec, shard, progress=True)
        case "truth":
            if (truth := job.truth()) is None:
                raise HelipError(f"{job.corpus.folder}: method 'truth' needs a generated corpus, and this one does not know its truth")
            return references.true_pairs(truth, job.spec, shard)
    arrays = job.arrays()
    return mine(arrays["image"], arrays["text"], job.spec, keep=job.keep, shard=shard, progress=True, **how)


def _audited(found: Any, job: Any) -> None:
    """The pairs are saved by now: an audit that fails must not cost hours of mining."""
    try:
        _audit(found, job)
    except Exception as error:
        print(f"warning: {job.out}: the pairs are whole, their audit failed ({type(error).__name__}: {error})", file=sys.stderr)


def _audit(found: Any, job: Any) -> None:
    """audit.json beside the pairs, its lines on the terminal, and where the corpus is at hand a sheet of targets to look at."""
    from helip.mining.audit import audit, lines, sheet

    arrays, corpus = job.arrays(), job.corpus
    report = audit(found, arrays["image"], arrays["text"], job.truth())
    write_json(job.out / "audit.json", report)
    print("\n".join(f"  {line}" for line in lines(report)))
    if corpus is not None:
        sheet(found, lambda i: (_thumbnail(corpus, i), corpus.caption(i)), job.out / "audit.html", title=job.out.name)
        print(f"{job.out / 'audit.html'}: targets with their hard pairs, to look at")


def _thumbnail(corpus: Any, i: int) -> bytes:
    """A small JPEG: five hundred photographs in full would make a page that no browser likes."""
    image, data = corpus.image(i), io.BytesIO()
    image.thumbnail((192, 192))
    image.save(data, "JPEG", quality=85)
    return data.getvalue()


def _merge(a: argparse.Namespace) -> None:
    from helip.cli import mining_jobs
    from helip.mining.pairs import PairSet, merge
    from helip.study import load

    folders, out, job = [Path(p) for p in a.pairs], a.out, None
    if a.study:
        job = mining_jobs.of_study(a.study, a.pairs[0])
        folders, out = load(a.study).mine_shards(a.pairs[0]), job.out
        if not folders:
            raise HelipError(f"merge-pairs: the study mines '{a.pairs[0]}' in one job; resources -> mine -> pairs_per_shard cuts it")
    elif out is None:
        raise HelipError("merge-pairs needs --out DIR")
    else:
        check_replaceable(out, "pairs.json", *folders)
    merged = merge([PairSet.open(folder) for folder in folders], out)
    print(f"{out}: {len(merged)} targets from {len(folders)} shards")
    if job:
        _audited(merged, job)


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
