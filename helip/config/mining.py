"""Which pairs count as hard, and which are worth training on."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from helip.config.base import ConfigModel, Cosine, Name, Seed
from helip.config.selection import LemonSettings


class MiningSpec(ConfigModel):
    """Which pairs count as hard. Defaults are the `paper` preset (section 3.2, appendix A of arXiv 2305.05208).

    Two methods are no miners but what miners are measured against: `random` pairs, a control, and the `truth` of a generated corpus,
    a bound that no miner reaches. They read no features.
    """

    method: Literal["hpm", "fast_hpm", "image", "text", "random", "truth"] = "hpm"
    k: int = Field(500, gt=0)
    tau_image: Cosine | None = 0.5  # a cosine counts only if > tau; None: every cosine counts, as in the released code
    tau_text: Cosine | None = 0.5
    max_similarity: Cosine | None = None  # drops candidates nearer than this in either modality: near-duplicates
    pool: int | None = Field(None, gt=0)  # fast_hpm: candidates C drawn uniformly per block of targets
    pool_block: int = Field(4096, gt=0)  # fast_hpm: targets that share a pool
    seed: Seed = 0  # fast_hpm: of the pools; random, truth: of what is drawn
    ivf_candidates: int | None = Field(None, gt=0)  # approximate: only this many, by the sum of their cosines, are scored; None is exact
    ivf_probes: int = Field(32, gt=0)  # approximate: inverted lists looked into

    @model_validator(mode="after")
    def _pool_belongs_to_fast_hpm(self):
        if (self.method == "fast_hpm") != (self.pool is not None):
            raise ValueError("pool belongs to method fast_hpm, and fast_hpm needs a pool")
        return self


class Pairs(MiningSpec):
    """A mining job of the graph: a spec and the names of its two encoders."""

    image_encoder: Name
    text_encoder: Name


ScoreName = Literal["clip_score", "s_clip_loss", "norm_sim", "agreement", "ridge", "lemon"]
Positive = Annotated[float, Field(gt=0)]


class Selection(ConfigModel):
    """Which pairs are worth training on, scored by the checkpoint that is refined (arXiv 2405.19547), by single-modality encoders, or by
    both. Keeps the highest `keep`."""

    # truth: drops exactly the mismatched pairs of a generated corpus, whatever `keep` says: a bound that no score can pass
    # a mapping is a mixture: weights of the ranks of scores, e.g. {clip_score: 1, agreement: 1}
    score: ScoreName | Literal["column", "truth"] | dict[ScoreName, Positive] = "s_clip_loss"
    keep: float = Field(0.9, gt=0, le=1)
    batches: int = Field(10, gt=0)  # s_clip_loss: K random batches
    batch_size: int = Field(32768, gt=1)  # s_clip_loss: B, at most the corpus
    temperature: float = Field(0.01, gt=0)  # s_clip_loss
    target: Name | None = None  # norm_sim: an evaluation set whose train images stand for the target
    p: Literal["2", "inf"] = "2"  # norm_sim: the norm over the target set
    column: str | None = None  # column: an .npy file [N] of scores of your own
    seed: Seed = 0  # s_clip_loss: of the batches
    k: int = Field(20, gt=0)  # agreement: neighbours in each modality; ridge: of hubness
    hubness: bool = True  # agreement, ridge: correct cosines for hubness
    strength: float = Field(1.0, gt=0)  # ridge: of the penalty, in mean eigenvalues
    lemon: LemonSettings = LemonSettings()  # lemon
    # agreement, ridge, lemon: encoders of the study; or for your own data folders of `helip encode`, or .npy files [N, D]. lemon without
    # them looks in the checkpoint's own space
    image_encoder: Name | None = None
    text_encoder: Name | None = None
    image_features: str | None = None
    text_features: str | None = None

    @property
    def scores(self) -> dict[str, float]:
        """The scores that are needed, with their weights."""
        return dict(self.score) if isinstance(self.score, dict) else {self.score: 1.0}

    @model_validator(mode="after")
    def _score_has_what_it_needs(self):
        for score, needed in (("norm_sim", "target"), ("column", "column")):
            if (score in self.scores) != (getattr(self, needed) is not None):
                raise ValueError("target belongs to score norm_sim and column to score column, and each needs its own")
        encoders = (self.image_encoder is not None) + (self.text_encoder is not None)
        files = (self.image_features is not None) + (self.text_features is not None)
        if encoders == 1 or files == 1 or (encoders and files):
            raise ValueError("give image_encoder with text_encoder, or image_features with text_features")
        for score in ("agreement", "ridge"):
            if score in self.scores and not encoders + files:
                raise ValueError(f"score {score} needs image_encoder and text_encoder, or image_features and text_features")
        if encoders + files and not {"agreement", "ridge", "lemon"} & set(self.scores):
            raise ValueError("encoders and features belong to scores agreement, ridge and lemon")
        if not self.scores:
            raise ValueError("a mixture needs at least one score, e.g. {clip_score: 1, agreement: 1}")
        return self
