"""A model in the forms in which it is used elsewhere: open_clip, transformers and ONNX."""

from collections.abc import Callable
from pathlib import Path

from helip.errors import HelipError
from helip.io import atomic_folder, provenance, write_json
from helip.models import hf_export, onnx_export
from helip.models.export import write_model
from helip.models.frozen import FrozenClip
from helip.models.layout import CARD, ORIGIN, Format
from helip.models.loading import open_start


def write_formats(model: str, out: Path, formats: tuple[Format, ...], card: Callable[[Format], str] | None = None) -> None:
    """Writes a model into `out`, a sub-folder for each form, and import.json; the folder appears whole.

    model: a checkpoint as every command names it (helip.models.reference). card: gives a form's model card, which is written as README.md.
    Raises HelipError where the model cannot be opened, or has no counterpart in one of the forms: then nothing is written.
    """
    clip = open_start(model)
    if isinstance(clip.model, FrozenClip):
        raise HelipError(f"{model}: its trunks are frozen encoders of other libraries, and only helip opens it; use its folder as it is")
    clip.model.eval()
    weights = dict(clip.model.state_dict())
    with atomic_folder(out) as temporary:
        for form in dict.fromkeys(formats):
            folder = temporary / form
            folder.mkdir()
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
        write_json(temporary / ORIGIN, provenance({"export": list(formats)}, {"model": model}))
