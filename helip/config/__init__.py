"""Every typed declaration of the project: frozen, unknown keys refused. Light: imports pydantic only.

A *run* (experiments/paper/runs.yaml) says what the paper compares, in names free of scale. A *study* (experiments/studies/*.yaml)
binds those names to corpora, architectures, encoders, schedules and evaluation sets. `helip.study` joins the two.
"""

from helip.config.base import Cosine, Declaration, Name, Share
from helip.config.corpora import Corpus, DownloadedCorpus, GeneratedCorpus, ShardCorpus, TableCorpus, UnionCorpus
from helip.config.encoders import Encoder, OpenClipEncoder, SelfSupervisedEncoder, SentenceEncoder, TimmEncoder, TorchvisionEncoder
from helip.config.evaluation import BenchmarkSet, EvaluationSet, Expected, GeneratedSet, WdsSet
from helip.config.experiments import (
    Claim,
    Column,
    Comparison,
    Cost,
    Interpolation,
    PublishedCheckpoint,
    Resources,
    Row,
    Run,
    Stage,
    Study,
    Table,
)
from helip.config.mining import MiningSpec, Pairs, Selection
from helip.config.training import (
    Augmentation,
    ClipObjective,
    CloobObjective,
    CyclipObjective,
    DeclipObjective,
    EarlyStopping,
    HnNceObjective,
    Model,
    Objective,
    Recipe,
    Refinement,
    Retention,
    SlipObjective,
)

__all__ = [
    "Augmentation",
    "BenchmarkSet",
    "Claim",
    "ClipObjective",
    "CloobObjective",
    "Column",
    "Comparison",
    "Corpus",
    "Cosine",
    "Cost",
    "CyclipObjective",
    "Declaration",
    "DeclipObjective",
    "DownloadedCorpus",
    "EarlyStopping",
    "Encoder",
    "EvaluationSet",
    "Expected",
    "GeneratedCorpus",
    "GeneratedSet",
    "HnNceObjective",
    "Interpolation",
    "MiningSpec",
    "Model",
    "Name",
    "Objective",
    "OpenClipEncoder",
    "Pairs",
    "PublishedCheckpoint",
    "Recipe",
    "Refinement",
    "Resources",
    "Retention",
    "Row",
    "Run",
    "Selection",
    "SelfSupervisedEncoder",
    "SentenceEncoder",
    "ShardCorpus",
    "Share",
    "SlipObjective",
    "Stage",
    "Study",
    "Table",
    "TableCorpus",
    "TimmEncoder",
    "TorchvisionEncoder",
    "UnionCorpus",
    "WdsSet",
]
