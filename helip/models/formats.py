"""A model in the forms in which it is used elsewhere: open_clip, transformers and ONNX."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from helip.io import atomic_folder, digest, provenance, read_json, write_json
from helip.models import hf_export, onnx_export
from helip.models.digests import weights_digest
from helip.models.export import write_model
from helip.models.frozen import FrozenClip, only_here
from helip.models.layout import CARD, ORIGIN, Format
from helip.models.loading import open_start


def write_formats(model: str, out: Path, formats: tuple[Format, ...], card: Callable[[Format], str] | None = None) -> tuple[Format, ...]:
    """Writes a model into `out`, a sub-folder for each form, which appears whole, and import.json. Returns the forms that were written: a
    form that holds the same model stays as it is, with its card, and so do forms that were not asked for.

    model: a checkpoint as every command names it (helip.models.reference). card: gives a form's model card, which is written as README.md.
    Raises HelipError where the model cannot be opened, or has no counterpart in one of the forms: then no form is written.
    """
    clip = open_start(model)
    if isinstance(clip.model, FrozenClip):
        raise only_here(model)
    clip.model.eval()
    weights = dict(clip.model.state_dict())
    inputs = {"model": model, "weights": digest([weights_digest(clip.model), clip.config, clip.preprocess])}
    written = tuple(form for form in dict.fromkeys(formats) if _holds(out / form) != inputs["weights"])
    with contextlib.ExitStack() as whole:  # all forms or none
        for form in written:
            folder = whole.enter_context(atomic_folder(out / form))
            match form:
                case "open_clip":
                    write_model(folder, clip, weights)
                case "transformers":
                    siglip = clip.config.get("init_logit_bias") is not None
                    (hf_export.write_siglip_model if siglip else hf_export.write_clip_model)(folder, clip, weights, model)
                case "onnx":
                    onnx_export.write_towers(folder, clip, model)
            if card is not None:
                (folder / CARD).write_text(card(form))
            write_json(folder / ORIGIN, provenance({"export": [form]}, inputs))
    write_json(out / ORIGIN, provenance({"export": list(formats)}, inputs))
    return written


def _holds(folder: Path) -> str | None:
    """Which model a form's folder holds; None where there is none, or one of an earlier version, which did not say so."""
    origin = folder / ORIGIN
    return read_json(origin).get("inputs", {}).get("weights") if origin.is_file() else None


def line_on(folder: Path, written: tuple[Format, ...], form: Format) -> str:
    """Returns the line on a form that was asked for."""
    if form in written:
        return f"{folder / form}: the model for {form}"
    return f"{folder / form}: holds the model for {form} already and stays as it is; delete it to have it written again"
