"""Every typed declaration of the project: frozen, unknown keys refused. Light: imports pydantic only.

A *run* (experiments/paper/runs.yaml) says what the paper compares, in names free of scale. A *study* (experiments/studies/*.yaml)
binds those names to corpora, architectures, encoders, schedules and evaluation sets. `helip.study` joins the two.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1, le=1)]


class Declaration(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    incidental: ClassVar[frozenset[str]] = frozenset({"label", "question", "save_every"})  # change no result: left out of digests


# ---------------------------------------------------------------- corpora


class GeneratedCorpus(Declaration):
    """A world of captioned scenes drawn from a seed; its truth is kept beside it for measuring, never for training."""

    kind: Literal["generated"] = "generated"
    label: str = ""
    size: int = Field(gt=0)  # pairs
    image_size: int = Field(32, ge=16)  # pixels a side
    mismatched: Share = 0.12  # share of pairs whose caption belongs to another scene
    world_seed: int = 0  # the concepts: shared by all corpora and evaluation sets of a study
    seed: int = 0  # the scenes drawn from them
    samples_per_shard: int = Field(2000, gt=0)


class ShardCorpus(Declaration):
    """WebDataset shards as img2dataset writes them: `key.jpg|png|webp`, `key.txt`, optionally `key.json`."""

    kind: Literal["webdataset"] = "webdataset"
    label: str = ""
    path: str  # a folder or a brace-free glob of .tar files; $VARIABLES are expanded
    published_size: int | None = None  # pairs in the published corpus, for the recovered share
    max_quarantined: Share = 0.05


class TableCorpus(Declaration):
    """A CSV, TSV or parquet table of image paths and captions, packed into shards of our own."""

    kind: Literal["table"] = "table"
    label: str = ""
    path: str
    image_column: str = "image"
    caption_column: str = "caption"
    published_size: int | None = None
    max_quarantined: Share = 0.05
    samples_per_shard: int = Field(10000, gt=0)


Corpus = Annotated[GeneratedCorpus | ShardCorpus | TableCorpus, Field(discriminator="kind")]

# ---------------------------------------------------------------- encoders for mining


class TimmEncoder(Declaration):
    library: Literal["timm"] = "timm"
    modality: Literal["image"] = "image"
    model: str  # a timm model name, e.g. vit_small_patch8_224.dino
    weights: str | None = None  # a local file; None lets timm find or download them
    centre: bool = False  # subtract the corpus mean before normalising
    logits: bool = False  # the classifier's output instead of features, as the released code has it


class TorchvisionEncoder(Declaration):
    library: Literal["torchvision"] = "torchvision"
    modality: Literal["image"] = "image"
    model: str  # a torchvision classifier; its features are the input of its last layer
    tag: str  # torchvision's name of the weights, e.g. IMAGENET1K_SWAG_LINEAR_V1 of vit_b_16 (SWAG ViT-B/16 is not in timm)
    weights: str | None = None  # a local file; None lets torchvision find or download them
    centre: bool = False


class OpenClipEncoder(Declaration):
    library: Literal["open_clip"] = "open_clip"
    modality: Literal["image", "text"]
    model: str  # an open_clip architecture, or local-dir:PATH
    pretrained: str | None = None
    centre: bool = False


class SentenceEncoder(Declaration):
    library: Literal["sentence_transformers"] = "sentence_transformers"
    modality: Literal["text"] = "text"
    model: str  # a hub name, a folder, or package:NAME for weights inside an installed package
    centre: bool = False


class SelfSupervisedEncoder(Declaration):
    """A small SimCLR encoder (arXiv 2002.05709) trained on the corpus itself: for places with no downloads."""

    library: Literal["simclr"] = "simclr"
    modality: Literal["image"] = "image"
    width: int = 32
    dim: int = 128  # of the features
    image_size: int = Field(32, ge=16)  # pixels a side that images are resized to
    epochs: float = Field(4, gt=0)
    batch_size: int = Field(256, gt=1)
    learning_rate: float = 1e-3
    temperature: float = 0.2
    seed: int = 0
    centre: bool = True  # uncentred SimCLR cosines have a median of about 0.7: tau would mean nothing


Encoder = Annotated[
    TimmEncoder | TorchvisionEncoder | OpenClipEncoder | SentenceEncoder | SelfSupervisedEncoder, Field(discriminator="library")
]

# ---------------------------------------------------------------- mining


class MiningSpec(Declaration):
    """Which pairs count as hard. Defaults are the `paper` preset (section 3.2, appendix A of arXiv 2305.05208)."""

    method: Literal["hpm", "fast_hpm", "image", "text"] = "hpm"
    k: int = Field(500, gt=0)
    tau_image: Cosine | None = 0.5  # a cosine counts only if > tau; None: every cosine counts, as in the released code
    tau_text: Cosine | None = 0.5
    max_similarity: Cosine | None = None  # drops candidates nearer than this in either modality: near-duplicates
    pool: int | None = Field(None, gt=0)  # fast_hpm: candidates C drawn uniformly per block of targets
    pool_block: int = Field(4096, gt=0)  # fast_hpm: targets that share a pool
    seed: int = 0  # fast_hpm: of the pools

    @model_validator(mode="after")
    def _pool_belongs_to_fast_hpm(self):
        if (self.method == "fast_hpm") != (self.pool is not None):
            raise ValueError("pool belongs to method fast_hpm, and fast_hpm needs a pool")
        return self


class Pairs(MiningSpec):
    """A mining job of the graph: a spec and the names of its two encoders."""

    image_encoder: Name
    text_encoder: Name


# ---------------------------------------------------------------- selection


class Selection(Declaration):
    """Which pairs are worth training on, scored by the checkpoint that is refined (arXiv 2405.19547). Keeps the highest `keep`."""

    score: Literal["clip_score", "s_clip_loss", "norm_sim", "column"] = "s_clip_loss"
    keep: float = Field(0.9, gt=0, le=1)
    batches: int = Field(10, gt=0)  # s_clip_loss: K random batches
    batch_size: int = Field(32768, gt=1)  # s_clip_loss: B, at most the corpus
    temperature: float = Field(0.01, gt=0)  # s_clip_loss
    target: Name | None = None  # norm_sim: an evaluation set whose train images stand for the target
    p: Literal["2", "inf"] = "2"  # norm_sim: the norm over the target set
    column: str | None = None  # column: an .npy file [N] of scores of your own
    seed: int = 0  # s_clip_loss: of the batches

    @model_validator(mode="after")
    def _score_has_what_it_needs(self):
        if (self.score == "norm_sim") != (self.target is not None) or (self.score == "column") != (self.column is not None):
            raise ValueError("target belongs to score norm_sim and column to score column, and each needs its own")
        return self


# ---------------------------------------------------------------- models and training


class Model(Declaration):
    """An open_clip architecture: by name, or by its config (`embed_dim`, `vision_cfg`, `text_cfg`)."""

    open_clip: str | None = None
    config: dict[str, Any] | None = None
    tokenizer: Literal["clip", "corpus"] = "clip"  # corpus: a small byte-pair vocabulary learnt from the run's own corpus
    vocabulary: int = Field(2048, ge=300)  # of a corpus tokenizer

    @model_validator(mode="after")
    def _one_source(self):
        if (self.open_clip is None) == (self.config is None):
            raise ValueError("give either open_clip (a name) or config (an architecture), not both")
        return self


class Augmentation(Declaration):
    """Of training images: random resized crop, flip, colour jitter. Defaults are open_clip's."""

    crop_scale: tuple[float, float] = (0.9, 1.0)
    flip: Share = 0.0
    jitter: float = Field(0.0, ge=0)


class ClipObjective(Declaration):
    name: Literal["clip"] = "clip"


class SlipObjective(Declaration):
    name: Literal["slip"] = "slip"
    simclr_weight: float = 1.0
    simclr_temperature: float = 0.1
    head: tuple[int, int] = (4096, 256)  # hidden and output width of the SimCLR MLP


class DeclipObjective(Declaration):
    name: Literal["declip"] = "declip"
    clip_weight: float = 0.4
    nearest_weight: float = 0.2
    simsiam_weight: float = 0.2
    masked_weight: float = 0.2
    queue: int = 65536
    masked_share: Share = 0.15


class CyclipObjective(Declaration):
    name: Literal["cyclip"] = "cyclip"
    in_modal: float = 0.25
    cross_modal: float = 0.25


class CloobObjective(Declaration):
    name: Literal["cloob"] = "cloob"
    hopfield_beta: float = 8.0
    inverse_temperature: float = 30.0


class HnNceObjective(Declaration):
    name: Literal["hn_nce"] = "hn_nce"
    alpha: float = 1.0
    beta: float = 0.25


Objective = Annotated[
    ClipObjective | SlipObjective | DeclipObjective | CyclipObjective | CloobObjective | HnNceObjective, Field(discriminator="name")
]


class Recipe(Declaration):
    """How a model is optimised. `batch_size` is the whole batch, over all processes and accumulation steps."""

    objective: Objective = ClipObjective()
    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    batch_size: int = Field(gt=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.1, ge=0)  # on matrices only
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    clip_norm: float | None = Field(None, gt=0)
    accumulate: int = Field(1, gt=0)  # micro-batches a batch is cut into; the gradient is that of the whole batch
    checkpoint_gradients: bool = False
    augmentation: Augmentation = Augmentation()
    ema: float | None = Field(None, gt=0, lt=1)
    save_every: int = Field(500, gt=0)  # steps between resume states

    @model_validator(mode="after")
    def _one_length(self):
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self


class EarlyStopping(Declaration):
    patience: int = Field(5, gt=0)  # validations without a gain (section 4.1: 5 epochs)
    every: int = Field(gt=0)  # steps
    held_out: Share = 0.02  # of the corpus, never trained on


class Refinement(Recipe):
    """Continued training of a pre-trained model (section 3.3). Arms share every setting but where the batch comes from."""

    arm: Literal["control", "cleaned", "helip"] = "helip"
    seed_fraction: Share = 1.0  # of the base samples that bring hard pairs (B' in section 3.3)
    p: int = Field(1, gt=0)  # hard pairs a seed brings
    gamma: float = Field(1.0, ge=0)  # weight of the margin loss, eq. 7
    symmetric_margin: bool = False  # eq. 6 is image to text only
    drop_noise: bool = True  # section 3.2; False is algorithm 3 as printed
    interpolate: float | None = Field(None, ge=0, le=1)  # weight of the refined model beside the start (WiSE-FT)
    early_stopping: EarlyStopping | None = None


# ---------------------------------------------------------------- evaluation


class GeneratedSet(Declaration):
    """An analogue of one of the paper's sets in the generated world, written in CLIP benchmark's wds layout."""

    kind: Literal["generated"] = "generated"
    task: Literal["classification", "retrieval"]
    probe: bool = False
    items: int = Field(1000, gt=0)  # test images
    train_items: int = Field(0, ge=0)  # for the linear probe
    image_size: int = Field(32, ge=16)
    world_seed: int = 0
    seed: int = 1


class WdsSet(Declaration):
    """A folder in CLIP benchmark's wds layout: classnames.txt, templates, {split}/nshards.txt, {split}/0.tar ..."""

    kind: Literal["wds"] = "wds"
    task: Literal["classification", "retrieval"]
    probe: bool = False
    path: str
    split: str = "test"


class BenchmarkSet(Declaration):
    """A data set that CLIP benchmark builds itself, by its name there."""

    kind: Literal["clip_benchmark"] = "clip_benchmark"
    task: Literal["classification", "retrieval"]
    probe: bool = False
    name: str
    root: str
    split: str = "test"


EvaluationSet = Annotated[GeneratedSet | WdsSet | BenchmarkSet, Field(discriminator="kind")]

# ---------------------------------------------------------------- runs and studies


class Run(Declaration):
    """One model of the paper. `start` is the run whose checkpoint it refines; `base` is a run whose entry it inherits."""

    question: str = ""
    base: Name | None = None
    corpus: Name | None = None
    model: Name | None = None
    objective: Name | None = None  # a pre-training recipe of the study
    start: Name | None = None
    refine: dict[str, Any] | None = None  # what differs from the study's refinement
    pairs: dict[str, Any] | None = None  # what differs from the study's mining
    select: dict[str, Any] | None = None  # what differs from the study's selection; {} takes it as it is
    seeds: tuple[int, ...] | None = None
    repeats: int = Field(1, gt=0)  # refinements of each start checkpoint, with different batches
    tables: dict[Name, str] = {}  # rows beyond those of tables.yaml: table name -> label


class Resources(Declaration):
    """What a rule asks of the scheduler."""

    threads: int = Field(1, gt=0)
    mem_mb: int = Field(2000, gt=0)
    runtime: int = Field(60, gt=0)  # minutes
    gpu: int = Field(0, ge=0)


Stage = Literal["corpus", "evaluation_set", "train_encoder", "encode", "mine", "select", "train", "evaluate", "probe"]


class Study(Declaration):
    question: str
    seeds: tuple[int, ...] = Field(min_length=1)
    corpora: dict[Name, Corpus]
    models: dict[Name, Model]
    encoders: dict[Name, Encoder]
    pretraining: dict[Name, Recipe]
    refinement: Refinement
    mining: Pairs
    selection: Selection = Selection()
    evaluation: dict[Name, EvaluationSet]
    runs: dict[Name, dict[str, Any]] = {}  # what this study sets differently in a run, or runs of its own
    resources: dict[Stage, Resources] = {}


# ---------------------------------------------------------------- tables and claims


class Column(Declaration):
    key: Name
    label: str
    set: Name
    metric: str  # task.metric, e.g. zeroshot.acc1, retrieval.text_recall_at_1, probe.acc1


class Row(Declaration):
    corpus: str  # the group the paper prints the row in
    label: str
    run: Name | None = None  # None: the paper quotes a number nobody here computes
    published: dict[Name, float] = {}
    ours: bool = False  # a row the paper does not have


class Table(Declaration):
    title: str
    place: str  # where in the paper
    columns: tuple[Column, ...]
    average: bool = False
    rows: tuple[Row, ...]
    note: str = ""


class Claim(Declaration):
    """A sentence of the paper as a comparison of two runs over some columns of a table."""

    text: str
    place: str
    table: Name
    columns: tuple[Name, ...]  # averaged
    run: Name
    over: Name
    expect: Literal["higher", "not_lower", "equal"] = "higher"
    margin: float = 0.0  # points: how far apart still counts as equal
