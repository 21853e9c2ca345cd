"""What the fields of the configuration are: name, type, default and one sentence, from the models and the comments beside them."""

import inspect
import io
import re
import tokenize
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import helip.config
from helip.cli.command import BOUNDS
from helip.config import ConfigModel

WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
CHOOSING = ("kind", "library", "name")  # fields by which a declaration says which of several forms it has


@dataclass(frozen=True)
class FieldFacts:
    """One row of a model's table."""

    name: str
    type: str  # in Markdown; models are links
    default: str
    sentence: str


def config_models() -> list[type[ConfigModel]]:
    """Returns every declaration that the configuration exports, the base class excepted."""
    exported = (getattr(helip.config, name) for name in helip.config.__all__)
    return [m for m in exported if isinstance(m, type) and issubclass(m, ConfigModel) and m is not ConfigModel]


def facts_of(model: type[ConfigModel]) -> list[FieldFacts]:
    """Returns the fields of a model in their order."""
    comments = {name: text for parent in reversed(model.__mro__) if parent in _ours(model) for name, text in _comments(parent).items()}
    return [
        FieldFacts(name, _type(one.annotation), _default(one), _sentence(name, one, comments)) for name, one in model.model_fields.items()
    ]


def _ours(model: type[ConfigModel]) -> list[type]:
    return [parent for parent in model.__mro__ if issubclass(parent, ConfigModel) and parent is not ConfigModel]


def _comments(model: type) -> dict[str, str]:
    """The comment at the end of each field's declaration."""
    source = inspect.getsource(model)
    beside: dict[int, str] = {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    comments, name = {}, ""
    for number, line in enumerate(source.splitlines(), 1):
        if match := re.match(r"    (\w+):", line):
            name = match[1]
        elif not line.startswith("    ") or re.match(r"    (@|def )", line):
            name = ""
        if name and number in beside:
            comments.setdefault(name, beside[number])
    return comments


def _sentence(name: str, one: FieldInfo, comments: dict[str, str]) -> str:
    text = one.description or comments.get(name, "")
    if not text and name in CHOOSING and get_origin(one.annotation) is Literal:
        text = "chooses this form"
    bounds = [f"{word} {value:g}" for m in one.metadata for key, word in BOUNDS.items() if (value := getattr(m, key, None)) is not None]
    return " ".join([text, *([f"({', '.join(bounds)})"] if bounds else [])]).strip()


def _default(one: FieldInfo) -> str:
    value = one.default
    if value is PydanticUndefined:
        return "required" if one.is_required() else "empty"
    if isinstance(value, ConfigModel):
        return "its own defaults"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "empty" if value in ("", {}, ()) else f"`{value}`"


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in inner if one is not type(None))
    if origin is tuple:
        parts = [one for one in inner if one is not Ellipsis]
        return f"list of {_type(parts[0])}" if len(parts) == 1 else f"{len(parts)} of {_type(parts[0])}"
    if origin is dict:
        return f"mapping of names to {_type(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))
