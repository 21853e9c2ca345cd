"""Which pairs count as hard, and which are worth training on."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from helip.config.base import ConfigModel, Cosine, Name, Seed
from helip.config.selection import LemonSettings


class MiningSpec(ConfigModel):
    """Which pairs count as hard. Defaults are the `paper` preset (section 3.2, appendix A of arXiv 2305.05208).

    Two methods are no miners but what miners are measured against: `random` pairs, a control, and the `truth` of a generated corpus,
    a bound that no miner reaches. They read no features.
    """

    method: Literal["hpm", "fast_hpm", "image", "text", "random", "truth"] = Field(
        "hpm", description="hpm compares all pairs, fast_hpm a drawn pool; image and text use one modality; random and truth are references"
    )
    k: int = Field(500, gt=0, description="hard pairs kept for a target; a target with fewer is noise")
    tau_image: Cosine | None = Field(0.5, description="an image cosine counts only if > tau; none: every cosine, as in the released code")
    tau_text: Cosine | None = Field(0.5, description="a text cosine counts only if > tau; none: every cosine, as in the released code")
    outliers: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="share of the targets that are outliers (noise): sets both tau at one common quantile, in their place"
    )
    max_similarity: Cosine | None = Field(
        None, description="a candidate of a higher cosine, in either modality, is dropped as near-duplicate"
    )
    skip_first: int = Field(0, ge=0, description="nearest pairs of a target that are left out before its k hard pairs")
    pool: int | None = Field(None, gt=0, description="fast_hpm: candidates C drawn uniformly for a block of targets")
    pool_block: int = Field(4096, gt=0, description="fast_hpm: targets that share a pool")
    seed: Seed = Field(0, description="fast_hpm: random seed of the pools; random, truth: of what is drawn")
    ivf_candidates: int | None = Field(None, gt=0, description="approximate: candidates scored, best by the sum of cosines; none is exact")
    ivf_probes: int = Field(32, gt=0, description="approximate: inverted lists looked into")

    @model_validator(mode="before")
    @classmethod
    def _outliers_take_the_place_of_tau(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("outliers") is not None:
            return {"tau_image": None, "tau_text": None} | values
        return values

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.method == "fast_hpm") != (self.pool is not None):
            raise ValueError("pool belongs to method fast_hpm, and fast_hpm needs a pool")
        if self.outliers is not None and (self.tau_image is not None or self.tau_text is not None):
            raise ValueError("outliers sets both tau by quantile: give outliers, or tau_image and tau_text, not both")
        if self.method in ("random", "truth") and (self.outliers is not None or self.skip_first):
            raise ValueError(f"outliers and skip_first are of compared features, and method {self.method} compares none")
        return self

    @property
    def without_effect(self) -> frozenset[str]:
        """The fields that this method does not look at, whatever they are; a study's runs may inherit them."""
        compares, drawn = self.method not in ("random", "truth"), self.method == "fast_hpm"
        looks = {"pool_block": drawn, "seed": drawn or not compares, "ivf_probes": self.ivf_candidates is not None}
        looks |= dict.fromkeys(("ivf_candidates", "max_similarity"), compares)
        return frozenset(name for name, used in looks.items() if not used)


class Pairs(MiningSpec):
    """This is a mining job of the graph: a spec and the names of its two encoders."""

    image_encoder: Name  # of the study's encoders
    text_encoder: Name  # of the study's encoders


OF_SCORES = {  # fields of Selection that belong to some scores alone
    **dict.fromkeys(("batches", "batch_size", "seed", "temperature"), ("s_clip_loss",)),
    **dict.fromkeys(("k", "hubness"), ("agreement", "ridge")),
    "p": ("norm_sim",),
    "strength": ("ridge",),
    "lemon": ("lemon",),
}
ScoreName = Literal["clip_score", "s_clip_loss", "norm_sim", "agreement", "ridge", "lemon"]
BY_ENCODERS = ("agreement", "ridge", "lemon")  # scores that look at single-modality encoders' features


def _weights(text: str) -> dict[str, float]:
    """The scores and weights in clip_score=1,agreement=0.5. ValueError, with a sentence for the user, for anything else."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in get_args(ScoreName) or name in weights:
            raise ValueError(f"'{part}' names no score, or one twice; they are {', '.join(get_args(ScoreName))}")
        try:
            weights[name] = float(weight)
        except ValueError:
            raise ValueError(f"'{part}' has no weight; write a number, as in {name}=1") from None
    return weights


class Selection(ConfigModel):
    """This says which pairs are worth training on, scored by the checkpoint that is refined (arXiv 2405.19547), by single-modality
    encoders, or by both. The highest `keep` stay.

    `score` may be a mapping of scores to weights, such as {clip_score: 1, agreement: 1}: then it is `mixture`, and `weights` holds them.
    """

    score: Literal[ScoreName, "mixture", "column", "truth"] = Field(
        "s_clip_loss",
        description=(
            "what a pair is scored by, or several with weights as in clip_score=1,agreement=1; truth, of a generated or mismatched corpus, "
            "drops the pairs that are known to be mismatched"
        ),
    )
    keep: float = Field(0.9, gt=0, le=1, description="share of the pairs that stays, those of the highest scores")
    batches: int = Field(10, gt=0, description="s_clip_loss: random batches that a pair is scored in (K)")
    batch_size: int = Field(32768, gt=1, description="s_clip_loss: pairs in a random batch (B), at most the corpus")
    temperature: float | None = Field(
        None, gt=0, description="s_clip_loss: divides the cosines; by default that of the model that scores, 1 / its logit scale"
    )
    target: Name | None = Field(None, description="norm_sim: an evaluation set whose train images stand for the target")
    p: Literal["2", "inf"] = Field("2", description="norm_sim: the norm over the target set")
    column: str | None = Field(None, description="column: an .npy file [N] of your own scores, one number for each pair")
    seed: Seed = Field(0, description="s_clip_loss: random seed of the batches")
    weights: dict[ScoreName, Annotated[float, Field(gt=0)]] = Field({}, description="mixture: of each score's ranks")
    k: int = Field(20, gt=0, description="agreement: neighbours in each modality; ridge: neighbours that hubness is the mean over")
    hubness: bool = Field(True, description="agreement, ridge: correct cosines for hubness, as CSLS does")
    strength: float = Field(1.0, gt=0, description="ridge: of the penalty, in mean eigenvalues of the features' covariance")
    approximate: bool = Field(
        False, description="agreement, lemon: search neighbours in a faiss inverted file, whose recall is recorded; beyond a million pairs"
    )
    lemon: LemonSettings = Field(LemonSettings(), description="lemon: its hyperparameters")
    image_encoder: Name | None = Field(None, description="agreement, ridge, lemon: an encoder of the study; lemon: or the start's")
    text_encoder: Name | None = Field(None, description="agreement, ridge, lemon: an encoder of the study; lemon: or the start's")
    image_features: str | None = Field(None, description="agreement, ridge, lemon: a folder of `helip encode`, or an .npy file [N, D]")
    text_features: str | None = Field(None, description="agreement, ridge, lemon: a folder of `helip encode`, or an .npy file [N, D]")

    sampling: Literal["hard", "soft"] = Field(
        "hard", description="hard: all kept pairs are drawn alike; soft: in proportion to their scores (soft cap sampling, FLYT)"
    )
    spread: float = Field(1.0, ge=0, description="soft: a pair weighs exp(spread x its standardised score); 0 draws all alike")
    penalty: float = Field(0.15, ge=0, description="soft: by which a pair's exponent falls each time it is drawn in an epoch")
    repeats: int | None = Field(
        None, gt=0, description="soft: times that a pair is a base sample in an epoch, at most; none: the penalty alone"
    )

    @property
    def scores(self) -> dict[str, float]:
        """The scores that are computed, with their weights."""
        return {str(name): weight for name, weight in self.weights.items()} if self.score == "mixture" else {self.score: 1.0}

    @property
    def without_effect(self) -> dict[str, tuple[str, ...]]:
        """The fields that these scores do not look at, whatever they are, with the scores that do; a study's runs may inherit them."""
        return {name: scores for name, scores in OF_SCORES.items() if not set(scores) & set(self.scores)}

    @property
    def asks_start(self) -> bool:
        """Whether a score looks at the model that is refined; lemon takes its own distances from that, wherever its neighbours are."""
        return not set(self.scores) <= {"column", "truth", "agreement", "ridge"}

    @property
    def needs_model(self) -> bool:
        """Whether a CLIP model must score, or lend its space to lemon."""
        alone = {"column", "truth", "agreement", "ridge", *(["lemon"] if self.image_features or self.image_encoder else [])}
        return not set(self.scores) <= alone

    @model_validator(mode="before")
    @classmethod
    def _a_mapping_is_a_mixture(cls, values: Any) -> Any:
        score = values.get("score") if isinstance(values, dict) else None
        if isinstance(score, str) and "=" in score:  # as a command line has it
            score = _weights(score)
        return values | {"score": "mixture", "weights": score} if isinstance(score, dict) else values

    @model_validator(mode="after")
    def _score_has_what_it_needs(self) -> Self:
        if (self.score == "mixture") != bool(self.weights):
            raise ValueError("a mixture needs the weights of its scores, and no other score has any: {clip_score: 1, agreement: 1}")
        if ("norm_sim" in self.scores) != (self.target is not None) or (self.score == "column") != (self.column is not None):
            raise ValueError("target belongs to score norm_sim and column to score column, and each needs its own")
        encoders = (self.image_encoder is not None) + (self.text_encoder is not None)
        files = (self.image_features is not None) + (self.text_features is not None)
        if encoders == 1 or files == 1 or (encoders and files):
            raise ValueError("give image_encoder with text_encoder, or image_features with text_features")
        if self.approximate and not {"agreement", "lemon"} & set(self.scores):
            raise ValueError("approximate searches neighbours, and only agreement and lemon ask for any")
        own = {name: getattr(self, name) for name in ("spread", "penalty", "repeats")}
        if self.sampling == "hard" and any(value != type(self).model_fields[name].default for name, value in own.items()):
            raise ValueError("spread, penalty and repeats belong to sampling soft")
        for score in ("agreement", "ridge"):
            if score in self.scores and not encoders + files:
                raise ValueError(f"score {score} needs image_encoder and text_encoder, or image_features and text_features")
        if encoders + files and not set(BY_ENCODERS) & set(self.scores):
            raise ValueError(f"encoders and features belong to scores {', '.join(BY_ENCODERS)}")
        return self
