"""What is wrong with a declaration, in one sentence for its writer: the entry, what could stand there, and the nearest of it."""

import re
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

from helip.config.base import Name
from helip.errors import nearest

NAME = FieldInfo.from_annotation(Name).metadata[0].pattern


def sentence(error: ValidationError, kind: Any) -> str:
    """Returns the entry that is wrong, if it is not all of it, and what is wrong; `kind` is the type that it should have been."""
    one = error.errors()[0]
    entry = " -> ".join(str(part) for part in _entry(one["loc"], kind))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{f'{entry}: ' if entry else ''}{what_is_wrong(one, kind)}{more}"


def _entry(loc: tuple[Any, ...], kind: Any) -> list[Any]:
    """The entry of a file that an error is of. pydantic adds the chosen member of a union, which stands in no file, and marks a
    mapping's own key."""
    entry, inside = [], [kind]
    for part in (part for part in loc if part != "[key]"):
        options = _options(inside)
        if part in options and not any(part in one.model_fields for one in inside if _is_model(one)):
            inside = [options[part]]
            continue
        inside = [deeper for one in inside for deeper in _within(one, part)]
        entry.append(part)
    return entry


def what_is_wrong(one: Any, kind: Any) -> str:
    """Returns what is wrong, of one of pydantic's errors, with what could stand there and the nearest of it."""
    given, context = one["input"], one.get("ctx", {})
    match one["type"]:
        case "missing" | "union_tag_not_found":
            missing = str(context.get("discriminator", "")).strip("'")
            return f"{missing} is missing: write one of {', '.join(_words(one['loc'], kind, missing))}" if missing else "is missing"
        case "extra_forbidden":
            known = dict.fromkeys(name for model in _models_at(kind, one["loc"][:-1]) for name in model.model_fields)
            choices = nearest(str(one["loc"][-1]), known) or (f"; known are {', '.join(known)}" if known else "")
            return f"unknown key: remove it or correct its spelling{choices}"
        case "literal_error" | "enum":
            return _none_of(given, _quoted(context.get("expected")) or [str(context.get("expected"))])
        case "union_tag_invalid":
            key = str(context.get("discriminator", "")).strip("'")
            return f"{key} {_none_of(context.get('tag'), _quoted(context.get('expected_tags')))}"
        case "string_pattern_mismatch" if context.get("pattern") == NAME:
            return f"'{given}' is no name: use small letters, digits and underscores, and begin with a letter or a digit"
    return str(one["msg"]).removeprefix("Value error, ")


def _quoted(text: object) -> list[str]:
    return re.findall(r"'([^']*)'", str(text))


def _none_of(given: Any, choices: list[str]) -> str:
    return f"'{given}' is none of {', '.join(choices)}{nearest(str(given), choices)}"


def _words(loc: tuple[Any, ...], kind: Any, name: str) -> list[str]:
    """The words that choose among the models at a place, which stand in their field of that name."""
    models = _models_at(kind, loc)
    return [str(word) for model in models if name in model.model_fields for word in get_args(model.model_fields[name].annotation)]


# ---------------------------------------------------------------- the types of a declaration, along an error's path


def _models_at(kind: Any, loc: tuple[Any, ...]) -> list[Any]:
    """The models that could stand at a place."""
    inside = [kind]
    for part in (part for part in loc if part != "[key]"):
        options = _options(inside)
        inside = [options[part]] if part in options else [deeper for one in inside for deeper in _within(one, part)]
    return [one for union in inside for one in _members(union) if _is_model(one)]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _members(kind: Any) -> list[Any]:
    """The members of a union, without the marks around them; a type that is none, alone."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [member for one in get_args(kind) for member in _members(one)]
    return [kind]


def _tags(kind: Any) -> dict[str, Any]:
    """The models of a union that pydantic's Tag marks, by their tags."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return {mark.tag: inner for mark in marks if isinstance(mark, Tag)} or _tags(inner)
    return {tag: model for one in get_args(kind) for tag, model in _tags(one).items()} if get_origin(kind) in (Union, UnionType) else {}


def _options(inside: list[Any]) -> dict[str, Any]:
    """The models that a word chooses among, by their words: {simclr: SelfSupervisedEncoder, ...}; by their names where none does."""
    models = [model for one in inside for model in _members(one) if _is_model(model)]
    tags = {tag: model for one in inside for tag, model in _tags(one).items()}
    words = {
        str(word): model
        for model in models
        for field in model.model_fields.values()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
        for word in get_args(field.annotation)
    }
    return (tags | words | {model.__name__: model for model in models}) if len(models) > 1 else {}


def _within(kind: Any, part: Any) -> list[Any]:
    """The types of what stands under a key or at a place of a type."""
    deeper = []
    for member in _members(kind):
        if _is_model(member) and part in member.model_fields:
            deeper.append(member.model_fields[part].annotation)
        elif get_origin(member) is dict:
            deeper.append(get_args(member)[1])
        elif get_origin(member) in (list, tuple) and isinstance(part, int):
            arguments = [one for one in get_args(member) if one is not Ellipsis]
            deeper.append(arguments[part] if part < len(arguments) else arguments[0])
    return deeper
