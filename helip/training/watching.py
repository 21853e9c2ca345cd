"""What is watched while a model trains: its score on validation, and what it retains of what it could do before."""

import logging

import numpy as np
from torch import Tensor, nn

from helip.config import Refinement, Retention
from helip.training.curve import MetricsLog
from helip.training.distributed import DistributedContext
from helip.training.duplicates import Duplicates
from helip.training.job import TrainJob
from helip.training.retention import Retained
from helip.training.sampler import held_out_mask
from helip.training.validation import Best, held_out_recall, held_out_recall_of_features

log = logging.getLogger(__name__)


class Watch:
    """The watch over one training takes its scores where they are due, remembers the weights that they speak for, and says when to stop.

    Scores go into the curve as `validation` and `retention`; `warnings` are for train.json.
    """

    def __init__(self, job: TrainJob, world: DistributedContext, steps: int, curve: MetricsLog):
        refinement = job.recipe if isinstance(job.recipe, Refinement) else None
        self.job, self.world, self.steps, self.curve = job, world, steps, curve
        self.stopping = refinement.early_stopping if refinement else None
        self.retention = refinement.retention if refinement else None
        self.best = Best(self.stopping) if self.stopping else None
        self.retained = Retained(self.retention) if self.retention and self.retention.stop is not None else None
        self.warnings: list[str] = []
        self._held_out = held_out_mask(len(job.corpus), self.stopping.held_out) if self.stopping and not job.validation else None

    def drawable(self, duplicates: Duplicates | None = None) -> np.ndarray:
        """Returns which pairs may be trained on, bool [N]: the selected ones, but those held out for validation and equals of these.

        `duplicates` are those of the corpus, where they are known. A warning counts the pairs that leave as equals: they may be many.
        """
        keep = np.ones(len(self.job.corpus), bool) if self.job.keep is None else self.job.keep
        if self._held_out is None:
            return keep
        out = self._held_out if duplicates is None else duplicates.equal_to(self._held_out)
        if equals := int((keep & out & ~self._held_out).sum()):
            self.warn(f"{equals} pairs have the image or a caption of a held-out pair, and are not trained on either")
        return keep & ~out

    @property
    def validated(self) -> np.ndarray:
        """Ids of the pairs of validation: all of a validation corpus, else those of the training corpus that are held out."""
        if self.job.validation is not None:
            return np.arange(len(self.job.validation))
        return np.zeros(0, np.int64) if self._held_out is None else np.flatnonzero(self._held_out)

    @property
    def over(self) -> bool:
        """Whether the training has ended before its last step: validation gains no more, or too much is forgotten."""
        return bool(self.best and self.best.exhausted) or bool(self.retained and self.retained.fell)

    def due(self, step: int) -> bool:
        """Whether anything is measured after this step."""
        return bool(self.retention and step % self.retention.every == 0) or bool(
            self.stopping and (step % self.stopping.every == 0 or step == self.steps)
        )

    def look(self, model: nn.Module, step: int) -> bool:
        """Measures retention and validation where they are due, validation at the end too; returns True when the training is to stop.

        model: as it would be exported now.
        """
        if self.retention and step % self.retention.every == 0 and self._look_at_retention(model, step, self.retention):
            return True
        if self.stopping and self.best and (step % self.stopping.every == 0 or step == self.steps):
            score = self.world.agreed(self.recall())
            self.best.see(model, score, step)
            self.curve.note(step, validation=score)
            return self.best.exhausted
        return False

    def recall(self) -> float:
        """Returns the mean recall at 1 of the job's model on the pairs of validation, in [0, 1]."""
        job = self.job
        if job.features is not None:
            return held_out_recall_of_features(job.clip, job.features, self.validated, self.world.device)
        return held_out_recall(job.clip, job.validation or job.corpus, self.validated, self.world.device)

    def _look_at_retention(self, model: nn.Module, step: int, retention: Retention) -> bool:
        """True when the model has forgotten more than the recipe allows."""
        model.eval()
        assert self.job.retention_score is not None  # a job whose recipe watches retention brings it
        score = self.world.agreed(self.job.retention_score(model))
        if self.retained:
            self.retained.see(model, score, step)
        self.curve.note(step, retention=score)
        first = next(row["retention"] for row in self.curve.rows if "retention" in row)
        if score < first - retention.tolerance:
            self.warn(f"step {step}: retention fell from {first:.2f} to {score:.2f}, more than {retention.tolerance:g} points")
        if self.retained and self.retained.fell:
            self.warn(f"step {step}: retention fell more than {retention.stop:g} points: exported is step {self.retained.step}")
        return bool(self.retained and self.retained.fell)

    def warn(self, what: str) -> None:
        """Logs a warning, and keeps it for train.json."""
        self.warnings.append(what)
        log.warning("%s: %s", self.job.name, what)

    def chosen(self) -> dict[str, Tensor] | None:
        """Returns the weights that are exported in place of the last: those before the model forgot too much, or the best on validation."""
        if self.retained and self.retained.fell:
            return self.retained.weights
        return self.best.weights if self.best else None

    def facts(self) -> dict[str, float]:
        """Returns what train.json says of the choice: its step, and its score."""
        of_best = {"best_step": self.best.step, "best_validation": self.best.score} if self.best else {}
        return of_best | ({"retained_step": self.retained.step} if self.retained and self.retained.fell else {})
