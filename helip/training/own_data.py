"""A training job put together from a user's own corpus, pairs and checkpoint."""

from pathlib import Path

from helip.config import Refinement
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.io import digest, file_digest
from helip.mining import PairSet
from helip.models import loading as models
from helip.models.frozen import FrozenClip
from helip.models.layout import weights_file
from helip.models.reference import parse
from helip.selection.keep import read_keep
from helip.selection.soft import of_selection
from helip.training.job import TrainJob


def of_own_data(
    recipe: Refinement, corpus: Path, pairs: Path | None, start: str, out: Path, seed: int = 0, keep: Path | None = None
) -> TrainJob:
    """Returns the job that refines any open_clip checkpoint on a corpus made by `helip corpus`, with pairs made by `helip mine`.

    `keep` is a selection's keep.npy. HelipError is raised where the pairs or the selection are of another corpus, and for a start whose
    trunks are frozen.
    """
    clip = models.open_start(start)
    if isinstance(clip.model, FrozenClip):
        raise HelipError(f"{start}: its trunks are frozen, and only a study trains its heads, on cached features; start from another model")
    opened = Corpus.open(corpus)
    inputs, pair_set, keep_mask, soft = {"corpus": opened.digest, "start": _start_digest(start)}, None, None, None
    if pairs is not None:
        pair_set = PairSet.open(pairs, corpus_digest=opened.digest)
        inputs["pairs"] = file_digest(pairs / "pairs.json")
    if keep is not None:
        keep_mask = read_keep(keep, len(opened))
        inputs["selection"], soft = file_digest(keep), of_selection(keep, keep_mask)
        inputs |= {"sampling": soft.digest} if soft else {}
    validation = None
    if recipe.early_stopping is not None and recipe.early_stopping.corpus is not None:
        validation = Corpus.open(recipe.early_stopping.corpus)
        inputs["validation"] = validation.digest
    stands_for = digest([recipe, inputs, seed])
    return TrainJob(
        recipe=recipe, clip=clip, corpus=opened, pairs=pair_set, keep=keep_mask, soft=soft, seed=seed, inputs=inputs,
        digest=stands_for, state_dir=out.with_name(f"{out.name}.state-{stands_for}"), out=out, name=out.name,
        recovered_share=opened.recovered_share, validation=validation,
    )  # fmt: skip


def _start_digest(start: str) -> str:
    """Of the weights where they are a file: in a folder, or of NAME@FILE."""
    reference = parse(start)
    if reference.folder is not None:
        file = weights_file(reference.folder)
        return file_digest(file) if file else start
    return f"{reference.name}@{file_digest(reference.file)}" if reference.file else start
