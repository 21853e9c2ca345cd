"""A selection from arrays alone: features in, a mask out, in anyone's training code."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from helip.config import Selection
from helip.errors import HelipError
from helip.mining.features import checked, shaped
from helip.selection.keep import keep_top
from helip.selection.mixture import mixture

OF_A_MODEL = ("clip_score", "s_clip_loss")


def select(
    image_features: Any,
    text_features: Any,
    score: str | Mapping[str, float] = "s_clip_loss",
    keep: float = 0.9,
    *,
    model_features: tuple[Any, Any] | None = None,
    **settings: Any,
) -> np.ndarray:
    """Returns the pairs that are worth training on, bool [N]: the share `keep` of the highest scores.

    image_features, text_features: [N, D] and [N, E], arrays or torch tensors of any float type, norm and device. score: clip_score,
    s_clip_loss, agreement or ridge, or several with weights, {"clip_score": 1, "agreement": 1}, whose ranks are mixed. The first two
    compare images with captions, so they need features of one CLIP model: `model_features`, where the others are of encoders of a single
    modality. settings: of that score (helip.selection); s_clip_loss wants `temperature`, 1 / logit scale of the model.

    HelipError is raised for an unknown score, a setting that it does not have or out of its range, `model_features` that no score looks
    at, and features that are not of the same pairs, not finite or zero.
    """
    from helip.selection import agreement, ridge, scores

    if not isinstance(score, str | Mapping):
        raise HelipError(f"score: {score!r} is no name and no mapping of names to weights, as in {{'clip_score': 1, 'agreement': 1}}")
    weights = {score: 1.0} if isinstance(score, str) else dict(score)
    known: dict[str, Callable[..., np.ndarray]]
    known = {"clip_score": scores.clip_score, "s_clip_loss": scores.s_clip_loss, "agreement": agreement.agreement, "ridge": ridge.ridge}
    if unknown := [name for name in weights if name not in known]:
        raise HelipError(f"score '{unknown[0]}': is none of {', '.join(known)}; give one of them, or several with weights")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float | np.number) or not 0 < weight < np.inf:
            raise HelipError(f"score '{name}': weight {weight!r}: give a number above 0, or leave the score out")
    if model_features is not None and (not isinstance(model_features, tuple | list) or len(model_features) != 2):
        raise HelipError("model_features: expected two, of the images and of the captions by one CLIP model")
    if len(weights) > 1 and settings:
        raise HelipError(f"{min(settings)}: settings are of one score, and a mixture has several; score them apart, and mix their ranks")
    if model_features is not None and not set(weights) & set(OF_A_MODEL):
        raise HelipError(f"model_features: score {', '.join(weights)} looks at none, only {' and '.join(OF_A_MODEL)} do; leave it out")
    _check_ranges(next(iter(weights), ""), settings)
    own = shaped("image", image_features), shaped("text", text_features)
    joint = own if model_features is None else (shaped("image", model_features[0]), shaped("text", model_features[1]))
    if len({len(one) for one in (*own, *joint)}) > 1:
        raise HelipError(f"features: {[len(one) for one in (*own, *joint)]} rows: not of the same pairs; extract all from the same corpus")
    result = {}
    for name in weights:
        arrays = (_unit("image", joint[0]), _unit("text", joint[1])) if name in OF_A_MODEL else own
        try:
            result[name] = known[name](*arrays, **settings)
        except TypeError as error:
            if "unexpected keyword" not in str(error):
                raise
            raise HelipError(
                f"score {name}: {str(error).partition(') ')[2] or error}; helip.selection says which settings it has"
            ) from None
    return keep_top(next(iter(result.values())) if len(result) == 1 else mixture(result, weights), keep)


def _check_ranges(score: str, settings: Mapping[str, Any]) -> None:
    """The ranges are those that a declared selection has."""
    for name, value in settings.items():
        if (one := Selection.model_fields.get(name)) is None:
            continue
        try:
            TypeAdapter(Annotated[one.annotation, *one.metadata]).validate_python(value, strict=True)  # type: ignore[arg-type]  # a form
        except ValidationError as error:
            raise HelipError(f"score {score}: {name} = {value!r}: {error.errors()[0]['msg']}") from None
        if value is None or value != value:
            raise HelipError(f"score {score}: {name} = {value!r}: give a number, or leave it out")


def _unit(name: str, features_ND: np.ndarray) -> np.ndarray:
    unit: np.ndarray = features_ND.astype(np.float32) * checked(name, features_ND).scale.numpy()[:, None]
    return unit
