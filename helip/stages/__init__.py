"""The stages of the graph: each joins a study's declarations with the library that does the work.

A stage is one class in one file, which says everything about it: its key (the wildcards of its rule), the declaration and the artefacts
that it depends on, its files, its resources, its work for the plan, and how it is made. The library never imports it. Light: what is
heavy is imported where an artefact is made.
"""

from collections.abc import Sequence
from pathlib import Path

from helip.errors import HelipError, nearest
from helip.stages.answer import Answer
from helip.stages.base import How, Stage, Work, behind, left_of
from helip.stages.check_data import CheckData
from helip.stages.contamination import CheckContamination, Fingerprint, contamination_of
from helip.stages.contrasts import DecideContrasts, contrasts_of
from helip.stages.corpus import BuildCorpus
from helip.stages.encode import Encode
from helip.stages.encode_views import EncodeViews
from helip.stages.evaluate import Evaluate, Probe, metrics_file
from helip.stages.evaluation_set import BuildEvaluationSet
from helip.stages.figure import DrawFigure
from helip.stages.filter import Filter, drawn_pairs
from helip.stages.judge import JudgePairs
from helip.stages.mine import Mine, MineShard, pairs_of
from helip.stages.report import DecideClaims, Track, WriteReport
from helip.stages.select import Select, selection_of
from helip.stages.sweep import Sweep
from helip.stages.table import MakeTable, tables_of
from helip.stages.train import Interpolate, Train, model_of
from helip.stages.train_encoder import TrainEncoder
from helip.study import Study

# In the order of the work, which is that of the plan.
STAGES: tuple[type[Stage], ...] = (
    BuildCorpus, Fingerprint, BuildEvaluationSet, CheckContamination, CheckData, TrainEncoder, Encode, MineShard, Mine, JudgePairs, Select,
    Filter, EncodeViews, Train, Sweep, Interpolate, Evaluate, Probe, MakeTable, DrawFigure, DecideContrasts, DecideClaims,
    WriteReport, Answer, Track,
)  # fmt: skip
BY_NAME = {stage.name: stage for stage in STAGES}

__all__ = [
    "BY_NAME", "STAGES", "Answer", "BuildCorpus", "BuildEvaluationSet", "CheckContamination", "CheckData", "DecideClaims",
    "DecideContrasts", "DrawFigure", "Encode", "EncodeViews", "Evaluate", "Filter", "Fingerprint", "How", "Interpolate", "JudgePairs",
    "MakeTable", "Mine", "MineShard", "Probe", "Select", "Stage", "Sweep", "Track", "Train", "TrainEncoder", "Work", "WriteReport",
    "artefact", "behind", "contamination_of", "contrasts_of", "data_check", "drawn_pairs", "left_of", "make", "metrics_file", "model_of",
    "pairs_of", "selection_of", "tables_of",
]  # fmt: skip


def artefact(study: Study, stage: str, key: Sequence[str]) -> Stage:
    """Returns the artefact that `helip run STUDY STAGE KEY...` names. HelipError for an unknown stage or key."""
    if stage not in BY_NAME:
        raise HelipError(f"there is no stage '{stage}'{nearest(stage, BY_NAME)}; the stages are {', '.join(BY_NAME)}")
    kind = BY_NAME[stage]
    if len(key) != len(kind.key_fields()):
        usage = " ".join(["helip run", study.name, stage, *(name.upper() for name in kind.key_fields())])
        raise HelipError(f"{stage}: got {len(key)} names where it takes {len(kind.key_fields())}: {usage}")
    one = kind(study, *key)
    one.digest  # noqa: B018  refuses names that the study does not know
    return one


def make(one: Stage, how: How) -> int:
    """Makes an artefact, prints what it made, and returns the exit code. HelipError names a missing input or an option without effect."""
    one.refuse_unheeded(how)
    one.require_inputs()
    made = one.make(how)
    if isinstance(made, int):
        return made
    print(f"{one.output}: {made}")
    return 0


def data_check(one: Stage) -> list[Path]:
    """Returns the check of all data, which a job that asks for a GPU waits for."""
    return [CheckData(one.study).output] if one.takes_gpu and one.resources().gpu else []
