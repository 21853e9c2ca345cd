"""Runs, studies, tables and claims."""

import statistics
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from helip.config.base import ConfigModel, Cosine, Name, Seeds, Share
from helip.config.contrasts import PrimaryContrast
from helip.config.corpora import Corpus, MismatchedCorpus, SubsetCorpus, UnionCorpus
from helip.config.encoders import Encoder
from helip.config.evaluation import EvaluationSet
from helip.config.mining import Pairs, Selection
from helip.config.training import AnyModel, Refinement, TrainConfig


class Interpolation(ConfigModel):
    """This model is (1 - weight) start + weight refined, of the weights of a refinement and of its start (WiSE-FT, arXiv 2109.01903)."""

    run: Name  # the refinement
    weight: Share | None = Field(None, description="share of the refined model; the start has the rest")
    validation: Name | None = Field(None, description="instead of a weight: the retrieval set on which the best of `weights` is found")
    weights: tuple[Share, ...] = Field((0.25, 0.5, 0.75, 1.0), description="shares of the refined model that are tried on that set")

    @model_validator(mode="after")
    def _given_or_found(self) -> Self:
        if (self.weight is None) == (self.validation is None) or not self.weights:
            raise ValueError("interpolate has either a weight, or a validation set and the weights to try on it")
        if self.weight is not None and "weights" in self.model_fields_set:
            raise ValueError("weights are tried on a validation set, and weight is given: leave one of them out")
        return self


class Run(ConfigModel):
    """A run is one model of the paper. `start` is the run whose checkpoint it refines; `base` is a run whose entry it inherits."""

    question: str = ""  # what this run is there to answer
    base: Name | None = None  # the run whose entry it inherits
    corpus: Name | None = None  # of the study, that it is trained on
    model: Name | None = None  # of the study's models
    objective: Name | None = None  # a pre-training recipe of the study
    start: Name | None = None  # the run whose checkpoint it refines
    refine: dict[str, Any] | None = None  # what differs from the study's refinement
    pairs: dict[str, Any] | None = None  # what differs from the study's mining
    select: dict[str, Any] | None = None  # what differs from the study's selection; {} takes it as it is
    false_negative_margin: Cosine | None = None  # leaves out hard pairs that the start checkpoint takes for matches, within this cosine
    interpolate: Interpolation | None = None  # instead of a training: another run and its start, in one model
    seeds: Seeds | None = None  # training seeds; none: the study's
    repeats: int = Field(1, gt=0)  # refinements of each start checkpoint, with different batches
    tables: dict[Name, str] = {}  # rows beyond those of tables.yaml: table name -> label

    @model_validator(mode="after")
    def _interpolation_is_all(self) -> Self:
        more = self.model_fields_set - {"interpolate", "question", "tables"}
        if self.interpolate and more:
            raise ValueError(f"interpolate takes everything from the run it names: remove {', '.join(sorted(more))}")
        return self


class Resources(ConfigModel):
    """These are what a rule asks of the scheduler."""

    threads: int = Field(1, gt=0)  # cores on each node
    mem_mb: int = Field(2000, gt=0)  # memory on each node, MB
    runtime: int = Field(60, gt=0)  # minutes
    gpu: int = Field(0, ge=0)  # GPUs of the whole job
    pairs_per_shard: int | None = Field(None, gt=0)  # mine: targets of a job; a larger corpus is mined by several, and joined


Stage = Literal[
    "corpus", "evaluation_set", "train_encoder", "encode", "encode_views", "mine", "judge", "select", "filter", "train", "sweep",
    "evaluate", "probe", "fingerprint", "contamination",
]  # fmt: skip


class PublishedCheckpoint(ConfigModel):
    """This is a model that somebody published: its run is fetched and imported (`helip import`) instead of trained.

    A file or an address is of SLIP's or DeCLIP's layout; `model` is any checkpoint that the commands take.
    """

    url: str | None = None  # its address
    path: str | None = None  # a file that you put there yourself, where no plain address serves it; $VARIABLES are expanded
    model: str | None = None  # a checkpoint as every command names it: NAME@TAG, NAME@FILE, hf-hub:ORG/NAME or a folder
    obtain: str = ""  # where to get that file
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")  # None: recorded when first fetched, and compared from then on

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.url, self.path, self.model)) != 1:
            raise ValueError("give one of url, path and model")
        return self


class Cost(ConfigModel):
    """This is what a stage costs, for `helip plan`. The unit depends on the stage: see `work` of the stage in helip/stages."""

    seconds: float = Field(0.0, ge=0)  # per unit, of a whole job with the GPUs and threads that the stage declares
    start: float = Field(60.0, ge=0)  # seconds before the first unit
    bytes: float = Field(0.0, ge=0)  # kept on disk per item
    origin: str  # measured (machine, date) or assumed (on what ground)


class StudyConfig(ConfigModel):
    """A study binds the names of the paper's runs to corpora, models, encoders, recipes and evaluation sets (experiments/studies)."""

    question: str  # what the study is there to answer
    seeds: Seeds = Field(min_length=1)  # training seeds: so many independent pre-trainings of each run
    corpora: dict[Name, Corpus]  # what each corpus of the paper stands for
    models: dict[Name, AnyModel]  # what each architecture stands for
    encoders: dict[Name, Encoder]  # for mining and for scores
    pretraining: dict[Name, TrainConfig]  # recipes of pre-training, by objective
    refinement: Refinement  # the recipe of every refinement, where a run says nothing else
    mining: Pairs  # how every pair set is mined, where a run says nothing else
    selection: Selection = Selection()  # how pairs are selected, where a run says nothing else
    evaluation: dict[Name, EvaluationSet]  # what each evaluation set stands for
    first: tuple[Name, ...] = ()  # pre-trainings that come first: `first/table1` has their rows and their refinements' alone
    runs: dict[Name, dict[str, Any]] = {}  # what this study sets differently in a run, or runs of its own
    contrasts: dict[Name, PrimaryContrast] = {}  # what the study is made to answer, fixed before its first run
    analogues: bool = False  # its sets stand for the paper's: only gains are comparable, no levels
    meaningless: bool = False  # its numbers mean nothing, and decide nothing
    published: dict[Name, PublishedCheckpoint] = {}  # runs whose model is fetched instead of trained
    resources: dict[Stage, Resources] = {}  # what each stage asks of the scheduler
    costs: dict[str, Cost] = {}  # by stage, or by stage.name: train.vit_b16, encode.dino_vits8

    @model_validator(mode="after")
    def _unions_have_members(self) -> Self:
        for name, corpus in self.corpora.items():
            match corpus:
                case UnionCorpus(of=members):
                    pass
                case MismatchedCorpus(of=base) | SubsetCorpus(of=base):
                    members = (base,)
                case _:
                    members = ()
            refused = UnionCorpus | MismatchedCorpus | SubsetCorpus if isinstance(corpus, SubsetCorpus) else UnionCorpus | MismatchedCorpus
            for member in members:
                if isinstance(self.corpora.get(member, corpus), refused):
                    raise ValueError(f"corpora -> {name}: of names '{member}', which is no corpus of this study with samples of its own")
        return self


class Column(ConfigModel):
    """A column of a table is one metric on one evaluation set."""

    key: Name  # its name in claims and averages
    label: str  # over the column
    set: Name  # the evaluation set
    metric: str  # task.metric, e.g. zeroshot.acc1, retrieval.text_recall_at_1, probe.acc1


class Row(ConfigModel):
    """A row of a table is one run, with the numbers that the paper prints for it."""

    corpus: str  # the group the paper prints the row in
    label: str  # of the method
    run: Name  # whose numbers stand in it
    published: dict[Name, float] = {}  # what the paper prints, by column
    ours: bool = False  # a row the paper does not have


class Contrast(ConfigModel):
    """A contrast sets two refinements of one start beside each other: what the second adds to the first."""

    label: str  # of its row
    run: Name  # of which something is said
    over: Name  # the run that it is compared with


MINING_MINUTES = "mine.minutes"  # the metric of a column of mining times
JUDGED = "judge"  # the task of a column that says how good pair sets are: judge.similarity


class Table(ConfigModel):
    """A table of the paper, and which runs and metrics stand in it (experiments/paper/tables.yaml)."""

    title: str  # over the table
    place: str  # where in the paper
    columns: tuple[Column, ...]  # one metric each
    average: bool | tuple[Name, ...] = False  # of all columns, or of those named
    pooled: bool = False  # also the mean over corpora of the rows of one label
    dropped: bool = False  # also the share of the pairs that each row leaves out as noise: its methods drop unlike shares
    rows: tuple[Row, ...]  # one run each
    contrasts: tuple[Contrast, ...] = ()  # of its rows
    note: str = ""  # under the table

    @model_validator(mode="after")
    def _averages_what_it_has(self) -> Self:
        keys = {column.key for column in self.columns}
        if unknown := [] if isinstance(self.average, bool) else [key for key in self.average if key not in keys]:
            raise ValueError(f"average names '{unknown[0]}', which is no column; they are {', '.join(sorted(keys))}")
        return self

    @property
    def averaged(self) -> tuple[Column, ...]:
        """Returns the columns that the average is of; none where the table has no average."""
        match self.average:
            case bool():
                return self.columns if self.average else ()
            case keys:
                return tuple(column for column in self.columns if column.key in keys)

    @property
    def is_of_times(self) -> bool:
        """Whether its cells are mining times, and not metrics of models."""
        return all(column.metric == MINING_MINUTES for column in self.columns)

    @property
    def is_of_pairs(self) -> bool:
        """Whether its cells say how good pair sets are, and not what models reach."""
        return all(column.metric.partition(".")[0] == JUDGED for column in self.columns)

    def printed_average(self, published: dict[Name, float]) -> float | None:
        """Returns the average of a row's published numbers: as the paper printed it, else of its cells where it has all of them."""
        cells = [published[column.key] for column in self.averaged if column.key in published]
        whole = bool(cells) and len(cells) == len(self.averaged)
        return published.get("average", round(statistics.fmean(cells), 2) if whole else None)

    def chosen(self, keys: tuple[Name, ...]) -> tuple[Column, ...]:
        """Returns the columns of those keys; without keys, those that the average is of, or all."""
        return tuple(c for c in self.columns if (c.key in keys if keys else c in (self.averaged or self.columns)))


class AccuracyBySize(ConfigModel):
    """A figure of accuracy by size of the corpus, ours beside what the paper printed."""

    kind: Literal["accuracy_by_size"]
    title: str  # over the figure
    note: str = ""  # under the figure
    table: Name  # of tables.yaml: the numbers plotted
    sizes: dict[str, float]  # corpus as the paper names it -> its pairs


class PairSheet(ConfigModel):
    """A figure of target pairs and their hard pairs, one row per mining method."""

    kind: Literal["pair_sheet"]
    title: str  # over the figure
    note: str = ""  # under the figure
    methods: tuple[Literal["hpm", "fast_hpm", "image", "text"], ...] = Field(min_length=2)  # of mining, one row of the sheet each
    targets: tuple[int, int]  # the first of the drawn targets shown, and the end


class MiningQuality(ConfigModel):
    """A figure of what was mined and what was dropped, against what the generator knows."""

    kind: Literal["mining_quality"]
    title: str  # over the figure
    note: str = ""  # under the figure


Figure = Annotated[AccuracyBySize | PairSheet | MiningQuality, Field(discriminator="kind")]


class Question(ConfigModel):
    """Where the report reads off whether refinement beats plain continued training."""

    table: Name  # every refinement beside its control; the report does not wait for it
    claim: Name  # the claim that asks the same of the paper's own tables
    asked_once: Name  # the run declared beforehand, whose p-value needs no correction


class ReportConfig(ConfigModel):
    """What a study's report asks and draws (experiments/paper/report.yaml)."""

    question: Question  # what the first screen answers
    figures: dict[Name, Figure]  # by name
