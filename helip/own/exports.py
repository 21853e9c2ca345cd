"""The best model of `helip refine` in the forms that were asked for, each with a model card that is written from the answer."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from helip.config import FrozenModel, TrainConfig
from helip.errors import HelipError
from helip.io import read_json
from helip.models.card import CardFacts, Measured, model_card
from helip.models.formats import line_on, write_formats
from helip.models.layout import Format
from helip.models.onnx_export import NEEDED
from helip.models.reference import parse
from helip.own.study import Request
from helip.stages import Answer
from helip.study import Study

FOLDER = "exports"  # of OUT, with a sub-folder for each form
HELD_OUT = "held-out test pairs"


def check(study: Study, formats: tuple[Format, ...]) -> None:
    """Raises HelipError, before anything is trained, for forms in which no model of this study can be written."""
    if formats and isinstance(study.model("clip"), FrozenModel):
        raise HelipError("--export: heads on frozen trunks have no other form, and helip alone opens them; leave it out")
    if "onnx" in formats and find_spec("onnx") is None:
        raise HelipError(f"--export: {NEEDED}")


def export(out: Path, study: Study, request: Request, formats: tuple[Format, ...]) -> list[str]:
    """Writes the model that is best on validation into OUT/exports, a sub-folder with a card for each form, and returns a line on each.

    A form that holds that model stays as it is. Raises HelipError where the model has no counterpart in one of the forms; the answer is
    there all the same.
    """
    answer = read_json(Answer(study).folder / "answer.json")
    recipe, name = study.runs["control"].recipe, out.absolute().name

    def card(form: Format) -> str:
        return model_card(facts(name, answer, request, recipe, form))

    written = write_formats(f"local-dir:{study.root / answer['best']['model']}", out / FOLDER, formats, card)
    return [line_on(out / FOLDER, written, form) for form in formats]


def facts(name: str, answer: dict[str, Any], request: Request, recipe: TrainConfig, form: Format) -> CardFacts:
    """Returns what the card of a form says, from answer.json and the request. recipe: of the arm control; the others differ as arms do."""
    best, held_out = answer["best"], answer["held_out"]
    left_out = ", ".join(f"{count} {reason}" for reason, count in answer["left_out"].items())
    length = ("epochs", f"{recipe.epochs:g}") if recipe.epochs else ("steps", str(recipe.steps))
    return CardFacts(
        name=name,
        start=_public(request.model),
        arm=best["label"],
        answer="\n\n".join(answer["sentences"]),
        data=[
            ("pairs trained on", f"{answer['pairs']:,}"),
            *((f"pairs held out for {what}", f"{count:,}") for what, count in held_out.items()),
            *([("samples that could not be used", left_out)] if left_out else []),
        ],
        training=[
            ("trainings of each arm", str(answer["trainings"])),
            length,
            ("batch", f"{recipe.batch_size} pairs"),
            ("learning rate", f"{recipe.learning_rate:g}"),
        ],
        measured=[*_held_out(answer), *_sets(answer)],
        compared_with="the start",
        formats=(form,),
    )


def _public(model: str) -> str:
    """A checkpoint without the path of this machine where it lies, if it lies here."""
    named = parse(model)
    if named.folder is not None:
        return named.folder.name
    return f"{named.name}@{named.file.name}" if named.file is not None else model


def _held_out(answer: dict[str, Any]) -> list[Measured]:
    return [
        _measured(row["label"], HELD_OUT, "R@1, mean of both directions", (row["to_text"] + row["to_image"]) / 2, row["over_start"])
        for row in answer["rows"]
    ]


def _sets(answer: dict[str, Any]) -> list[Measured]:
    return [_measured(label, row["name"], row["metric"], value, moved) for row in answer["sets"] for label, value, moved in row["values"]]


def _measured(arm: str, name: str, metric: str, value: float, moved: dict[str, Any] | None) -> Measured:
    if moved is None or not moved["is_informative"]:
        return Measured(arm, name, metric, value)
    return Measured(arm, name, metric, value, moved["value"], moved["low"], moved["high"])
