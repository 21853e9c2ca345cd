"""How far a kind of job is cut on this machine: a handful of samples everywhere, and small batches where there is no GPU."""

from dataclasses import dataclass

from helip.config import TrainConfig
from helip.rehearsal.kinds import Kind
from helip.stages import Train


@dataclass(frozen=True)
class Scale:
    """The sizes of a rehearsal."""

    device: str  # cpu or cuda
    batch: int = 8  # rows of a training batch where there is no GPU
    samples: int = 300  # pairs of a corpus that are fetched
    items: int = 100  # of an evaluation set
    steps: int = 3  # of a training
    processes: int = 1  # that train together
    limit_s: float = 900  # after which one kind at one size is given up
    gpu_gb: float = 32.0  # memory of one GPU of the study's machine

    @property
    def on_gpu(self) -> bool:
        """This says whether GPU jobs are measured on a GPU."""
        return self.device == "cuda"

    def sizes(self, kind: Kind) -> list[int]:
        """Returns the sizes that a kind is run at: two where the declared one is extrapolated to."""
        match kind.stage:
            case "train":
                return self._batches(kind)
            case "mine":
                return [1 << 16, 1 << 17] if self.on_gpu else [1 << 11, 1 << 12]
            case "encode":
                return [256] if self.on_gpu else [2 * self.batch]
            case "corpus" | "fingerprint" | "select" | "filter":
                return [self.samples if self.on_gpu or kind.stage in ("corpus", "fingerprint") else self.batch]
        return [self.items]

    def _batches(self, kind: Kind) -> list[int]:
        """Half of a batch and a whole one, each a multiple of what it is cut into; on a GPU that is one micro-batch a process, or half."""
        assert isinstance(kind.one, Train)
        recipe = kind.one.study.run(kind.one.run).recipe
        parts = self.processes * self.pieces(recipe)
        whole = min(recipe.batch_size, self.micro_batch(recipe, kind.asked.gpu) * parts if self.on_gpu else self.batch)
        whole = max(2 * parts, whole - whole % (2 * parts))
        return [whole // 2, whole]

    def pieces(self, recipe: TrainConfig) -> int:
        """Returns the micro-batches that a rehearsed batch is cut into: as declared on a GPU, at most two elsewhere."""
        return recipe.accumulate if self.on_gpu else min(recipe.accumulate, 2)

    @staticmethod
    def micro_batch(recipe: TrainConfig, gpus: int) -> int:
        """Returns the rows that one process encodes together in the study."""
        return max(1, recipe.batch_size // (max(1, gpus) * recipe.accumulate))
