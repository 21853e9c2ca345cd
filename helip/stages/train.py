"""The stage `train`: one run and seed of a study as a training job."""

from helip.data.corpus import Corpus
from helip.io import file_digest
from helip.mining import PairSet
from helip.models import loading as models
from helip.selection.keep import read_keep
from helip.study import Study, seed_number, start_seed
from helip.training.distributed import DistributedContext
from helip.training.loop import TrainJob


def train_job(study: Study, run_name: str, seed: str, world: DistributedContext) -> TrainJob:
    """Returns the training job of one run and seed of a study; everything comes from its declarations."""
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
    return TrainJob(
        recipe=run.recipe, clip=clip, corpus=corpus, pairs=pairs, keep=keep, seed=seed_number(seed), inputs=inputs,
        digest=study.run_digest(run_name, seed), state_dir=state_dir, out=study.model_dir(run_name, seed), name=f"{run_name} seed {seed}",
        recovered_share=corpus.recovered_share,
    )  # fmt: skip


def _in_turn(world: DistributedContext, make):
    """What `make` makes, first in the first process, then in the others: only one of them writes files."""
    made = make() if world.leads else None
    world.barrier()
    return made or make()
