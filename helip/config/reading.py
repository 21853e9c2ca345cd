"""YAML files as typed declarations, and bad ones as one sentence that names file, entry and key.

What is the same for many names is written once. In a mapping, `matrix` holds blocks whose entries stand where it stood; in a list, an
item `matrix` is replaced by its rows. A block's `entries` are taken once for every item of `over`, whose values stand where it says {key},
or once as they are where it has no `over`, which keeps their place between other blocks. Blocks may stand within blocks. The word is
`entries` and not `runs`, since lists of rows and contrasts have blocks too:

    matrix:
      - over: [{start: cc3m_clip}, {start: cc12m_clip}]
        entries: {"{start}_gamma2": {base: "{start}_helip", refine: {gamma: 2.0}}}
"""

import re
from collections.abc import Container
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from helip.config import ConfigModel
from helip.config.explaining import sentence, what_is_wrong
from helip.errors import HelipError

Kind = TypeVar("Kind")


class Matrix(ConfigModel):
    """A block of a YAML file whose `entries` are written out once for every item of `over`."""

    over: tuple[dict[str, str], ...] = ({},)
    entries: dict[str, Any] | list[Any]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # yaml has no types
    """YAML that refuses a key given twice instead of keeping the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Returns the mapping of a node. Raises yaml's ConstructorError for a key given twice."""
        keys = [self.construct_object(k, deep=True) for k, _ in node.value if k.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, kind: type[Kind]) -> Kind:
    """Returns a YAML file as `kind`, its `matrix` written out; HelipError for a file that cannot be read or does not fit."""
    try:
        content = yaml.load(path.read_text(), _Loader)
    except FileNotFoundError:
        raise HelipError(f"{path}: not found") from None
    except OSError as error:
        raise HelipError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HelipError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    return validate(kind, {} if content is None else _written_out(content, str(path)), str(path))


def validate(kind: type[Kind], value: Any, where: str) -> Kind:
    """Returns `value` as `kind`; a HelipError begins with `where`."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise HelipError(f"{where}: {sentence(error, kind)}") from None


def validate_options(
    kind: Any,
    values: dict[str, Any],
    nameless: str,
    spelled: dict[str, str] | None = None,
    given: Any = None,
    source: str = "",
    by_position: Container[str] = (),
) -> Any:
    """Returns `values`, as a command line gave them, as `kind`. HelipError names the option that is wrong: `nameless` where the
    error names none of the fields that were given, and `spelled` where a field is given by an option of another name (field -> option).

    source: a file that the fields not among `given` come from; the sentence then names the file and its entry. by_position: fields that
    are given without an option.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        one = error.errors()[0]
        if source and one["loc"] and one["loc"][0] not in given:
            raise HelipError(f"{source}: {sentence(error, kind)}") from None
        field = "_".join(str(part) for part in one["loc"] if not isinstance(part, int)) or _first_named(str(one["msg"]), values) or nameless
        option = (spelled or {}).get(field, field).rstrip("_").replace("_", "-")
        name = field.upper() if field in by_position else f"--{option}"
        raise HelipError(f"{name}: {what_is_wrong(one, kind)}") from None


def _first_named(message: str, values: dict[str, Any]) -> str:
    """The first of the given fields that a sentence about several names."""
    return next((word for word in re.findall(r"[a-z]\w*", message.removeprefix("Value error, ")) if word in values), "")


def _written_out(value: Any, where: str) -> Any:
    if isinstance(value, list):
        parts = [_rows(item, where) if isinstance(item, dict) and "matrix" in item else [_written_out(item, where)] for item in value]
        return [row for part in parts for row in part]
    if not isinstance(value, dict):
        return value
    if "for_each" in value:
        raise HelipError(f"{where}: for_each is now called matrix: write matrix, over and entries for for_each, of and have")
    entries: dict[Any, Any] = {}
    for key, entry in value.items():
        for more in _blocks(entry, where) if key == "matrix" else [{key: _written_out(entry, f"{where}: {key}")}]:
            if twice := entries.keys() & more.keys():
                raise HelipError(f"{where}: '{min(twice)}' is given twice, once by matrix")
            entries |= more
    return entries


def _blocks(matrix: Any, where: str) -> list[Any]:
    blocks = validate(list[Matrix], matrix, f"{where}: matrix")
    if any(isinstance(block.entries, list) for block in blocks):
        raise HelipError(f"{where}: matrix: entries is a list here; in a mapping it is a mapping")
    return [_whole(_written_out(_filled_in(block.entries, names), where), where) for block in blocks for names in block.over]


def _rows(item: dict[str, Any], where: str) -> list[Any]:
    block = validate(Matrix, item["matrix"], f"{where}: matrix")
    if len(item) > 1 or not isinstance(block.entries, list):
        raise HelipError(f"{where}: matrix: stands alone in a list, and its entries are a list")
    return [row for names in block.over for row in _whole(_written_out(_filled_in(block.entries, names), where), where)]


def _filled_in(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, list):
        return [_filled_in(item, names) for item in value]
    if isinstance(value, dict):
        return {_filled_in(key, names): _filled_in(item, names) for key, item in value.items()}
    return value


def _whole(value: Any, where: str) -> Any:
    """The value, in which nothing may be left to fill in."""
    if isinstance(value, str) and (left := re.search(r"\{\w+\}", value)):
        raise HelipError(f"{where}: matrix: no item of `over` says what {left[0]} is")
    for part in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []:
        _whole(part, where)
    return value
