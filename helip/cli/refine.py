"""`helip refine`: any CLIP, any pairs, one command, an answer; and `helip demo`, the same on a generated world."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from helip.cli.command import MODEL, Command, Model, OptionsOf, Shown, Threads
from helip.cli.models import FORMATS, Formats, check_stopping
from helip.config import OF_HARD_PAIRS, Refinement, Selection, TableCorpus
from helip.errors import HelipError

GONE = "`helip train` trains once on a corpus folder, with the options that `helip refine` had"
ENCODERS = ("image_encoder", "text_encoder")  # that hard pairs are mined by, and agreement and ridge score by
OF_A_RECIPE = ("arm", "retention")


class Refine(Command):
    """Indexes the pairs, holds some out, mines hard pairs, selects, trains every arm, evaluates before and after, and writes the answer
    into OUT/report.html. The same command again goes on where it was; OUT/experiments/studies/own.yaml is the study, yours to edit.

    What is not given suits the start and the number of pairs: learning rate, batch size, epochs, warm-up, precision.
    """

    former = dict.fromkeys(("--corpus", "--pairs", "--keep", "--recipe"), GONE)

    model: Model = Field(description=f"the checkpoint to refine: {MODEL}")
    data: Annotated[tuple[str, ...], Field(min_length=1), Shown("PATH")] = Field(
        description="the pairs: WebDataset .tar files, a folder of images with captions beside them, or a table of any kind"
    )
    out: Path = Field(description="the folder to make, with everything in it")
    arms: tuple[str, ...] = Field(("control", "selected", "helip"), description="what is tried; also cleaned, selected_helip")
    evaluate: tuple[str, ...] = Field((), description="other sets: folders in CLIP benchmark's wds layout, or NAME=ROOT; by default none")
    retention: str | None = Field(None, description="a set that must not be forgotten, as for --evaluate; by default held-out pairs alone")
    select: Literal["s_clip_loss", "clip_score", "agreement", "ridge"] = Field("s_clip_loss", description="what pairs are selected by")
    image_encoder: Annotated[str | None, Shown("LIBRARY:NAME")] = Field(
        None, description="of images, for mining and for agreement and ridge; by default the start's own tower"
    )
    text_encoder: Annotated[str | None, Shown("LIBRARY:NAME")] = Field(None, description="of captions; by default the start's own tower")
    freeze: str | None = Field(
        None, description="image,text trains heads on cached features of both towers: cheap, and little is forgotten; by default none"
    )
    held_out: float = Field(0.1, gt=0, lt=0.5, description="share of the images held out for validation, and again for test, 1000 at most")
    seeds: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="trainings of each arm; 3 let the intervals hold the luck of a training"
    )
    minutes: float | None = Field(None, gt=0, description="shorten or lengthen the trainings so that all ends in this time; none: epochs")
    dry_run: bool = Field(False, description="say what will happen, how long it will take and how much disk it needs; write nothing")
    cores: Threads | None = Field(None, description="CPU cores to use; by default all of this process")
    gpus: int | None = Field(None, ge=0, description="GPUs of a training; by default 1 where there is one")
    profile: str | None = Field(None, description="a Snakemake profile, such as slurm: jobs go to the cluster; by default they run here")
    memory_mb: Threads = Field(8000, description="memory that a job may use, in MB")
    keep: float = Field(Selection.model_fields["keep"].default, gt=0, le=1, description="share of the pairs that selection keeps")
    export: Formats = Field((), description=f"forms of the best model for OUT/exports, each with a card: {FORMATS}; by default none")
    captions: str | None = Field(
        None, description="of shards or a folder: txt, lines (of the .txt) or json.NAME (in the .json); by default as the first ones show"
    )
    refinement: Annotated[dict[str, Any], OptionsOf(Refinement, omit=OF_A_RECIPE, suited=True)] = {}
    table: Annotated[dict[str, Any], OptionsOf(TableCorpus, omit=("kind", "label", "path"), title="of a table of pairs")] = {}

    def run(self) -> int:
        """Builds the answer and prints it, or says what would be done; returns 130 where it was stopped."""
        from helip.data.locations import BETWEEN
        from helip.own.refine import Way, dry_run, refine
        from helip.own.sources import absolute, absolute_set
        from helip.own.study import Machine, Request

        self._refuse_unused()
        gpus = self._gpus()
        cores = self.cores or len(os.sched_getaffinity(0))
        way = Way(self.out, Machine(cores, gpus, self.memory_mb), self.profile, self.minutes, self.export)
        request = Request(
            model=_absolute(self.model, "--model"), data=BETWEEN.join(map(absolute, self.data)), corpus=self._data(), arms=self.arms,
            seeds=self.seeds, select={"score": self.select, "keep": self.keep, **self._by_encoders()},
            refinement=_checked(self.refinement), image_encoder=_encoder(self.image_encoder, "--image-encoder"),
            text_encoder=_encoder(self.text_encoder, "--text-encoder"), held_out=self.held_out, freeze=self._frozen(),
            evaluate=tuple(map(absolute_set, self.evaluate)), retention=self.retention and absolute_set(self.retention),
        )  # fmt: skip
        if self.dry_run:
            print(dry_run(request, way))
            return 0
        return _until_stopped("refine", self.out, lambda: refine(request, way))

    def _refuse_unused(self) -> None:
        """Refuses an option that none of the arms looks at."""
        selected = {"keep", "select", *(ENCODERS if self._by_encoders() else ())}
        mined = {*OF_HARD_PAIRS, *ENCODERS}
        by_arm = {"selected": selected, "helip": mined, "cleaned": {*ENCODERS}, "selected_helip": selected | mined}
        given = {*self.model_fields_set, *self.refinement}
        for name in ("keep", "select", *OF_HARD_PAIRS, *ENCODERS):
            arms = [arm for arm, uses in by_arm.items() if name in uses]
            if name in given and not {*arms} & {*self.arms}:
                raise HelipError(
                    f"--{name.replace('_', '-')}: has an effect on arms {', '.join(arms)} alone; add one to --arms, or leave it out"
                )
        if self.minutes is not None and (length := next((name for name in ("epochs", "steps") if name in self.refinement), None)):
            raise HelipError(f"--{length}: beside --minutes, which says how long a training is; give one")

    def _gpus(self) -> int:
        """GPUs of a training. HelipError where they would be this machine's, or must be measured here, and it has none."""
        if self.gpus == 0:
            return 0
        import torch

        here = torch.cuda.is_available()
        gpus = int(here or self.profile is not None) if self.gpus is None else self.gpus
        if gpus and not here and self.profile is None:
            raise HelipError(
                f"--gpus {gpus}: this machine has no GPU that torch can use; leave it out, or give a --profile whose jobs have one"
            )
        if gpus and not here and self.minutes is not None:
            raise HelipError("--minutes: the first steps are measured on this machine, which has no GPU; give --epochs or --steps")
        return gpus

    def _data(self) -> dict[str, Any]:
        from helip.own.sources import absolute

        root = {"image_root": absolute(self.table["image_root"])} if self.table.get("image_root") else {}
        return self.table | root | ({"captions": self.captions} if self.captions else {})

    def _frozen(self) -> tuple[str, ...]:
        parts = tuple(sorted(part.strip() for part in (self.freeze or "").split(",") if part.strip()))
        if parts not in ((), ("image", "text")):
            raise HelipError(f"--freeze {self.freeze}: write image,text: features are cached where both towers stay as they are")
        return parts

    def _by_encoders(self) -> dict[str, str]:
        of_encoders = self.select in ("agreement", "ridge")
        return {"image_encoder": "mining_image", "text_encoder": "mining_text"} if of_encoders else {}


def _absolute(model: str, option: str) -> str:
    """The same checkpoint, however it is named, from any folder."""
    from helip.models.reference import parse

    named = parse(model)
    if named.folder is not None:
        if not named.folder.is_dir():
            what = "is a file, whose architecture is not known" if named.folder.is_file() else "is not there"
            raise HelipError(f"{option} {model}: {what}; write {MODEL}")
        return f"local-dir:{named.folder.resolve()}"
    return f"{named.name}@{named.file.resolve()}" if named.file else model


def _encoder(text: str | None, option: str) -> str | None:
    """The same encoder, from any folder."""
    library, _, name = (text or "").partition(":")
    if library.startswith("open_clip-") and name:
        return f"{library}:{_absolute(name, option)}"
    if library == "sentence_transformers" and Path(name).is_dir():
        return f"{library}:{Path(name).resolve()}"
    return text


def _until_stopped(command: str, out: Path, work: Callable[[], None]) -> int:
    """The exit code of work that may be stopped and gone on with."""
    try:
        work()
    except KeyboardInterrupt:
        print(f"helip {command}: stopped; what is done in {out} is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    return 0


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a recipe, as values and not as they were typed. Each must be right whatever the others are."""
    from helip.config.reading import validate_options

    check_stopping(options)
    length = {} if {"epochs", "steps"} & options.keys() else {"epochs": 1.0}
    recipe = validate_options(Refinement, {"batch_size": 2, "learning_rate": 1.0, **length, **options}, nameless="steps")
    values = recipe.model_dump(mode="json", exclude_unset=True)
    return {name: values[name] for name in options}


class Demo(Command):
    """Renders 1,500 pairs of a small world, trains a small CLIP on others, refines it with `helip refine`, and prints the answer. Nothing
    is downloaded and no browser is opened; it takes under two minutes on two cores.
    """

    out: Path = Field(Path("demo"), description="the folder to make")
    cores: Threads | None = Field(None, description="CPU cores to use; by default all of this process")

    def run(self) -> int:
        """Makes the world, the start and the answer; returns 130 where it was stopped."""
        from helip.own.demo import demo

        return _until_stopped("demo", self.out, lambda: demo(self.out, self.cores or len(os.sched_getaffinity(0))))
