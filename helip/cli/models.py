"""Commands that make and measure models of a user's own: train, interpolate, evaluate, probe, import, export, push."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from helip.cli.command import ARGUMENT, MODEL, Command, KeepFile, Model, OptionsOf, Shown, Workers, done
from helip.cli.data import STUDY
from helip.config import Interpolation, Refinement
from helip.config.base import Seed
from helip.config.reading import read_yaml, validate_options
from helip.errors import HelipError
from helip.io import check_replaceable
from helip.models.layout import METADATA, ORIGIN, Format

START = "write --model MODEL, as in every other command"


def _listed(given: Any) -> Any:
    parts = [given] if isinstance(given, str) else given
    return tuple(word for part in parts for word in part.split(","))


Formats = Annotated[tuple[Format, ...], BeforeValidator(_listed), Shown("FORM,...")]
FORMATS = "open_clip, transformers (CLIPModel or SiglipModel, with its processor) and onnx (two towers), with commas between them"


class Train(Command):
    """Continued training with hard pairs (section 3.3). A killed refinement goes on from its last state when the same command is run again.

    What is not given has its default; a recipe file sets several at once, and the settings of an objective.
    """

    former = STUDY | {"--start": START}

    corpus: Path = Field(description="a corpus folder made by `helip corpus`")
    model: Model = Field(description=f"the checkpoint to refine: {MODEL}")
    out: Path = Field(description="the model folder to make")
    pairs: Path | None = Field(None, description="a pair set made by `helip mine`; the arm control needs none")
    keep: KeepFile | None = Field(None, description="keep.npy of `helip select`: the pairs to train on")
    seed: Seed = Field(0, description="random seed of batches, hard pairs and augmentation")
    recipe: Path | None = Field(None, description="a YAML file of the fields below; options override it")
    workers: Workers | None = Field(None, description="loader processes; by default none on a CPU and up to 8 beside a GPU")
    device: Literal["cpu", "cuda"] | None = Field(None, description="by default cuda where there is one")
    refinement: Annotated[dict[str, Any], OptionsOf(Refinement)] = {}

    def run(self) -> int:
        """Trains to the end, or until a signal; returns the exit code."""
        from helip.models.reference import parse
        from helip.training.launch import run

        recipe, start = self._refinement(), parse(self.model)
        check_replaceable(self.out, METADATA, self.corpus, self.pairs, self.keep, self.recipe, start.folder, start.file)

        def job(context: Any) -> Any:
            from helip.training.own_data import of_own_data

            return of_own_data(recipe, self.corpus, self.pairs, self.model, self.out, self.seed, self.keep)

        def retention_set(folder: str) -> Any:
            from helip.evaluation.sets import of_folder

            return of_folder(Path(folder))

        def report() -> None:
            what = f"{self.out}: refined by arm {recipe.arm}; open_clip loads it as local-dir:{self.out}"
            done(what, then=f"helip evaluate --model {self.out} --set FOLDER --out FILE; and compare with --arm control")

        return run(job, retention_set, self.device, self.workers, report)

    def _refinement(self) -> Refinement:
        """The recipe file, and over it the given options."""
        check_stopping(self.refinement)
        values = _merged(read_yaml(self.recipe, dict) if self.recipe else {}, self.refinement)
        objective = values.get("objective", {"name": "clip"})
        if isinstance(objective, dict) and objective.get("name") in ("clip", "slip", "cyclip"):  # the others have no softmax to mask
            values = {"duplicates": "mask"} | values
        return validate_options(Refinement, values, "steps", given=self.refinement, source=str(self.recipe or ""))


def check_stopping(options: dict[str, Any]) -> None:
    """Refuses a held-out share beside a corpus that is validated on in its place. options: those of a Refinement that were given."""
    if {"corpus", "held_out"} <= options.get("early_stopping", {}).keys():
        why = "has no effect beside --early-stopping-corpus, which is validated on in its place"
        raise HelipError(f"--early-stopping-held-out: {why}; leave it out")


def _merged(file: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Options over the file's fields; of a model within the model, field by field. Another objective keeps no settings of the file's."""
    deep = {
        name: file[name] | value
        for name, value in options.items()
        if name != "objective" and isinstance(value, dict) and isinstance(file.get(name), dict)
    }
    return file | options | deep


class Interpolate(Command):
    """Between the two lies often a model that gained and forgot less (arXiv 2109.01903)."""

    former = STUDY | {"--model": "write --start MODEL, the checkpoint before refinement"}

    start: Model = Field(description=f"the checkpoint before refinement: {MODEL}")
    refined: Path = Field(description="the folder that `helip train` made of it")
    weight: float = Field(0.5, ge=0, le=1, description=Interpolation.model_fields["weight"].description)
    out: Path = Field(description="the model folder to make")

    def run(self) -> None:
        """Writes the model."""
        from helip.models import interpolation
        from helip.models.reference import parse

        start = parse(self.start)
        check_replaceable(self.out, METADATA, self.refined, start.folder, start.file)
        interpolation.write(self.start, self.refined, self.weight, self.out)
        done(
            f"{self.out}: {1 - self.weight:g} of the start and {self.weight:g} of the refined model",
            then=f"helip evaluate --model {self.out} --set FOLDER --out FILE",
        )


class Evaluate(Command):
    """The set says which of the two it is for. The metrics file holds each item's hit or miss, and digests of what it came from."""

    former = STUDY

    model: Model = Field(description=MODEL)
    set: Path = Field(description="a folder in CLIP benchmark's wds layout")
    out: Path = Field(description="the metrics file to write (JSON)")
    cache: Path | None = Field(None, description="a folder that keeps features for the next evaluation")
    workers: Workers = Field(0, description="processes that decode images")

    def run(self) -> None:
        """Writes the metrics file and prints the metrics."""
        self._measure("zeroshot")

    def _measure(self, task: str) -> None:
        from helip.models.network import offline_if_unreachable

        offline_if_unreachable()
        from helip.evaluation.extraction import Extractor
        from helip.evaluation.model import load
        from helip.evaluation.run import result_of, write_metrics
        from helip.evaluation.sets import of_folder

        data = of_folder(self.set)
        extractor = Extractor(load(self.model), self.cache, self.workers)
        task = "retrieval" if task == "zeroshot" and data.task == "retrieval" else task
        facts = {"model": self.model, "set": data.name, "task": task}
        result = result_of(extractor, data, task)
        write_metrics(self.out, facts, result, extractor, {"model": self.model, "set": str(self.set)})
        values = ", ".join(f"{name} {value:.2f}" for name, value in result.metrics.items())
        done(f"{self.out}: {values}", then="the same of the start, or of the arm control, to compare with")


class Probe(Evaluate):
    """Logistic regression by L-BFGS on frozen features, its strength chosen on validation data."""

    def run(self) -> None:
        """Writes the metrics file and prints the metrics."""
        self._measure("probe")


class Import(Command):
    """Layouts of SLIP and of DeCLIP are known. The file is read without running any code that it may hold."""

    file: Annotated[Path, ARGUMENT] = Field(description="the downloaded checkpoint (.pt, .pth.tar)")
    out: Path = Field(description="the folder to make")

    def run(self) -> None:
        """Writes the folder."""
        from helip.models.published import import_checkpoint

        published = import_checkpoint(self.file, self.out)
        done(
            f"{self.out}: a {published.layout} checkpoint; open_clip loads it as local-dir:{self.out}",
            then=f"helip refine --model {self.out} --data PAIRS --out DIR",
        )


class Export(Command):
    """Each form lies in a folder of its own within OUT, named as the form is. Features are the model's own; nothing is trained."""

    model: Annotated[Model, ARGUMENT] = Field(description=MODEL)
    out: Annotated[Path, ARGUMENT] = Field(description="the folder to make")
    format: Formats = Field(("open_clip",), description=FORMATS)

    def run(self) -> None:
        """Writes the folders."""
        from helip.models.reference import parse

        given = parse(self.model)
        check_replaceable(self.out, ORIGIN, given.folder, given.file)
        from helip.models.formats import line_on, write_formats

        written = write_formats(self.model, self.out, self.format)
        done(*(line_on(self.out, written, form) for form in self.format), then=f"helip push {self.out / self.format[0]} ORG/NAME")


class Push(Command):
    """The repository is made where it is not there yet. train.json and import.json, which name your machine and its paths, stay here."""

    folder: Annotated[Path, ARGUMENT] = Field(
        description="OUT/best_model or OUT/exports of `helip refine`, or the folder of `helip export`"
    )
    repository: Annotated[str, ARGUMENT] = Field(description="ORG/NAME on the Hugging Face hub, where you may write (`hf auth login`)")
    private: bool = Field(False, description="a new repository is seen by you and your organisation alone")

    def run(self) -> None:
        """Sends the folder."""
        from helip.models.hub import push

        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise HelipError(f"REPOSITORY: '{self.repository}' is not of the form ORG/NAME, as in my-name/my-clip")
        url = push(self.folder, self.repository, self.private)
        done(f"{url}: holds what is in {self.folder}", then=f"helip evaluate --model hf-hub:{self.repository} --set FOLDER --out FILE")
