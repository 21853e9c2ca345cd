"""Early stopping on a corpus of its own: nothing of the training corpus is held out, and the score is that of the other corpus."""

import numpy as np
from toys import ToyCorpus, job, refinement

from helip.config import EarlyStopping
from helip.training.distributed import DistributedContext
from helip.training.loop import Trainer
from helip.training.validation import held_out_recall


def test_validation_is_on_the_corpus_that_is_given(tmp_path):
    other = ToyCorpus(30, 20)
    recipe = refinement(arm="control", early_stopping=EarlyStopping(every=2, corpus="other"))
    one = Trainer(job(tmp_path, recipe, validation=other), DistributedContext())
    drawn = np.concatenate([one.sampler(step).ids for step in range(10)])
    assert set(drawn.tolist()) == set(range(120))  # a pass over the corpus draws all of it: none is held out
    assert one.watch.recall() == held_out_recall(one.job.clip, other, np.arange(30), one.world.device)


def test_without_one_a_share_is_held_out(tmp_path):
    recipe = refinement(arm="control", early_stopping=EarlyStopping(every=2, held_out=0.25))
    one = Trainer(job(tmp_path, recipe), DistributedContext())
    drawn = np.concatenate([one.sampler(step).ids for step in range(10)])
    assert not set(drawn.tolist()) & set(one.watch.validated.tolist()) and len(one.watch.validated) == 30
