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
    incidental: ClassVar[frozenset[str]] = frozenset(  # change no result: left out of digests
        {"label", "question", "save_every", "obtain", "expected", "timeout", "retries", "processes"}
    )


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
    obtain: str = ""  # where to get them, for whoever has not
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


class DownloadedCorpus(Declaration):
    """A table of image URLs and captions, crawled by img2dataset into WebDataset shards; or the same corpus from a `mirror` of shards."""

    kind: Literal["downloaded"] = "downloaded"
    label: str = ""
    table: str  # .csv, .tsv or .parquet (a folder of parquet files too): a path with $VARIABLES, or an http(s) address
    obtain: str = ""  # where to get the table, for whoever has not
    header: tuple[str, ...] | None = None  # the columns of a table that does not name them in its first line
    url_column: str = "url"
    caption_column: str = "caption"
    hash_column: str | None = None  # of the image's bytes as published: an image of another hash is refused and counted
    hash: Literal["md5", "sha256", "sha512"] | None = None
    sample: int | None = Field(None, gt=0)  # rows drawn from the table, uniformly without replacement
    sample_seed: int = 0
    mirror: str | None = None  # address of ready-made shards with one {0000..0575}: then the table is not read
    image_size: int = Field(256, gt=0)  # pixels of the shorter side; smaller images stay as they are
    samples_per_shard: int = Field(10000, gt=0)
    timeout: int = Field(10, gt=0)  # seconds a server may be silent
    retries: int = Field(1, ge=0)
    processes: int = Field(16, gt=0)  # 64 connections each
    published_size: int | None = None
    min_recovered: Share = 0.0  # share of the table's rows below which the corpus fails
    max_quarantined: Share = 0.05

    @model_validator(mode="after")
    def _hash_is_named(self):
        if (self.hash is None) != (self.hash_column is None):
            raise ValueError("hash names the algorithm of hash_column: give both or neither")
        return self

    @property
    def source(self) -> dict[str, Any]:
        """What decides which bytes are fetched: a changed limit or label fetches nothing again."""
        return self.model_dump(
            exclude={"label", "obtain", "timeout", "retries", "processes", "min_recovered", "max_quarantined", "published_size"}
        )


class UnionCorpus(Declaration):
    """Other corpora of the study one behind the other; nothing is copied."""

    kind: Literal["union"] = "union"
    label: str = ""
    of: tuple[Name, ...] = Field(min_length=2)
    published_size: int | None = None


Corpus = Annotated[GeneratedCorpus | ShardCorpus | TableCorpus | DownloadedCorpus | UnionCorpus, Field(discriminator="kind")]

# ---------------------------------------------------------------- encoders for mining


class TimmEncoder(Declaration):
    library: Literal["timm"] = "timm"
    modality: Literal["image"] = "image"
    model: str  # a timm model name, e.g. vit_small_patch8_224.dino
    weights: str | None = None  # a local file; None lets timm find or download them
    centre: bool = False  # subtract the corpus mean before normalising
    logits: bool = False  # the classifier's output instead of features, as the released code has it
    image_size: int | None = Field(None, gt=0)  # pixels a side of a vision transformer's input; None: what the weights were made for


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
    ivf_candidates: int | None = Field(None, gt=0)  # approximate: only this many nearest by the first modality are scored; None is exact
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


# ---------------------------------------------------------------- selection


class Selection(Declaration):
    """Which pairs are worth training on, scored by the checkpoint that is refined (arXiv 2405.19547). Keeps the highest `keep`."""

    # truth: drops exactly the mismatched pairs of a generated corpus, whatever `keep` says: a bound that no score can pass
    score: Literal["clip_score", "s_clip_loss", "norm_sim", "column", "truth"] = "s_clip_loss"
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


class Retention(Declaration):
    """A small set evaluated at step 0 and every n steps, so that forgetting is seen while it happens. It decides nothing."""

    set: str  # an evaluation set of the study; for your own data, a folder in CLIP benchmark's wds layout
    every: int = Field(gt=0)  # steps
    tolerance: float = Field(1.0, ge=0)  # points below the start that are worth a warning


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
    retention: Retention | None = None


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


class Expected(Declaration):
    """What a published evaluation set is known to hold: `helip check-data` compares. Digests are sha256 of the lines."""

    items: int | None = None
    train_items: int | None = None
    classes: int | None = None
    class_names: str | None = None  # digest
    templates: str | None = None  # digest


class WdsSet(Declaration):
    """A folder in CLIP benchmark's wds layout: classnames.txt, templates, {split}/nshards.txt, {split}/0.tar ..."""

    kind: Literal["wds"] = "wds"
    task: Literal["classification", "retrieval"]
    probe: bool = False
    path: str
    split: str = "test"
    obtain: str = ""  # where to get it, for whoever has not
    expected: Expected = Expected()


class BenchmarkSet(Declaration):
    """A data set that CLIP benchmark builds itself, by its name there."""

    kind: Literal["clip_benchmark"] = "clip_benchmark"
    task: Literal["classification", "retrieval"]
    probe: bool = False
    name: str
    root: str
    split: str = "test"
    obtain: str = ""  # where to get it, for whoever has not
    expected: Expected = Expected()


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


Stage = Literal[
    "corpus", "evaluation_set", "train_encoder", "encode", "mine", "select", "train", "evaluate", "probe", "fingerprint", "contamination"
]


class PublishedCheckpoint(Declaration):
    """A model that somebody published: its run is fetched and imported (`helip import`) instead of trained."""

    url: str | None = None
    path: str | None = None  # a file that you put there yourself, where no plain address serves it; $VARIABLES are expanded
    obtain: str = ""  # where to get that file
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")  # None: recorded when first fetched, and compared from then on

    @model_validator(mode="after")
    def _one_source(self):
        if (self.url is None) == (self.path is None):
            raise ValueError("give either url or path")
        return self


class Cost(Declaration):
    """What a stage costs, for `helip plan`. What a unit is depends on the stage: see helip/planning/jobs.py."""

    seconds: float = Field(0.0, ge=0)  # per unit, of a whole job with the GPUs and threads that the stage declares
    start: float = Field(60.0, ge=0)  # seconds before the first unit
    bytes: float = Field(0.0, ge=0)  # kept on disk per item
    origin: str  # measured (machine, date) or assumed (on what ground)


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
    published: dict[Name, PublishedCheckpoint] = {}  # runs whose model is fetched instead of trained
    resources: dict[Stage, Resources] = {}
    costs: dict[str, Cost] = {}  # by stage, or by stage.name: train.vit_b16, encode.dino_vits8

    @model_validator(mode="after")
    def _unions_have_members(self):
        for name, corpus in self.corpora.items():
            for member in corpus.of if isinstance(corpus, UnionCorpus) else ():
                if isinstance(self.corpora.get(member, corpus), UnionCorpus):
                    raise ValueError(f"corpora -> {name}: of names '{member}', which is no corpus of this study with samples of its own")
        return self


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


class Comparison(Declaration):
    run: Name
    over: Name


class Claim(Declaration):
    """A sentence of the paper as a comparison of two runs (or of several pairs of them) by what was measured."""

    text: str
    place: str
    table: Name
    columns: tuple[Name, ...] = ()  # of that table, averaged; none: all of them
    run: Name
    over: Name
    also: tuple[Comparison, ...] = ()  # further pairs that the sentence speaks of
    together: Literal["each", "mean"] = "each"  # with `also`: true of each pair, or of their mean
    expect: Literal["higher", "not_lower", "equal"] = "higher"
    margin: float = Field(0.5, ge=0)  # points: the smallest difference that counts
    # accuracy: of the columns. attribute_overlap: share of a generated image's attributes that its hard pairs show too, percent.
    # mining_minutes: wall-clock of the mining job. epochs: passes over the corpus that the refinement took.
    measure: Literal["accuracy", "attribute_overlap", "mining_minutes", "epochs"] = "accuracy"
