"""A training job put together from a study, or from a user's own corpus, pairs and checkpoint."""

from pathlib import Path

from helip.config import Refinement
from helip.data.corpus import Corpus
from helip.io import digest, file_digest
from helip.mining import PairSet
from helip.models import loading as models
from helip.models.layout import weights_file
from helip.models.reference import parse
from helip.selection.keep import read_keep
from helip.study import Study, seed_number, start_seed
from helip.training.distributed import DistributedContext
from helip.training.loop import Job


def of_study(study: Study, run_name: str, seed: str, world: DistributedContext) -> Job:
    """The training of one run and seed of a study: everything from its declarations."""
    run = study.run(run_name)
    corpus = Corpus.open(study.corpus_dir(run.corpus))
    state_dir, inputs = study.state_dir(run_name, seed), {"corpus": corpus.digest}
    pairs = None
    if run.pairs is not None:
        folder = study.drawn_pairs(run_name, seed)
        pairs = PairSet.open(folder, corpus_digest=corpus.digest)
        inputs["pairs"] = file_digest(folder / "pairs.json")
    keep = None
    if run.select is not None:
        keep = read_keep(study.selection_dir(run_name, seed) / "keep.npy", len(corpus))
        inputs["selection"] = file_digest(study.selection_dir(run_name, seed) / "keep.npy")
    if run.start is not None:
        folder = study.model_dir(run.start, start_seed(seed))
        clip = models.open_start(models.existing(folder))
        inputs["start"] = file_digest(folder / models.WEIGHTS)
    else:
        clip = _in_turn(world, lambda: models.new(study.model_declaration(run_name), corpus, state_dir / "tokenizer", seed_number(seed)))
    return Job(
        recipe=run.recipe, clip=clip, corpus=corpus, pairs=pairs, keep=keep, seed=seed_number(seed), inputs=inputs,
        digest=study.run_digest(run_name, seed), state_dir=state_dir, out=study.model_dir(run_name, seed), name=f"{run_name} seed {seed}",
        recovered_share=corpus.recovered_share,
    )  # fmt: skip


def of_own_data(
    recipe: Refinement, corpus: Path, pairs: Path | None, start: str, out: Path, seed: int = 0, keep: Path | None = None
) -> Job:
    """The refinement of any open_clip checkpoint on a corpus made by `helip corpus`, with pairs made by `helip mine`."""
    opened = Corpus.open(corpus)
    inputs, found, kept = {"corpus": opened.digest, "start": _start_digest(start)}, None, None
    if pairs is not None:
        found = PairSet.open(pairs, corpus_digest=opened.digest)
        inputs["pairs"] = file_digest(pairs / "pairs.json")
    if keep is not None:
        kept = read_keep(keep, len(opened))
        inputs["selection"] = file_digest(keep)
    stands_for = digest([recipe, inputs, seed])
    return Job(
        recipe=recipe, clip=models.open_start(start), corpus=opened, pairs=found, keep=kept, seed=seed, inputs=inputs,
        digest=stands_for, state_dir=out.with_name(f"{out.name}.state-{stands_for}"), out=out, name=out.name,
        recovered_share=opened.recovered_share,
    )  # fmt: skip


def _start_digest(start: str) -> str:
    """Of the weights where they are a file: in a folder, or of NAME@FILE."""
    found = parse(start)
    if found.folder is not None:
        file = weights_file(found.folder)
        return file_digest(file) if file else start
    return f"{found.name}@{file_digest(found.file)}" if found.file else start


def _in_turn(world: DistributedContext, make):
    """What `make` makes, first in the first process, then in the others: only one of them writes files."""
    made = make() if world.leads else None
    world.barrier()
    return made or make()
