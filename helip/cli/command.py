"""A command is a pydantic model, and its options are read from the model's fields and from those of the config models it names.

The parser is argparse's, made here. tyro 1.0.17 was tried: its help page is good, but a union of models (`objective`, an optional
`early_stopping`) becomes sub-commands, an option that was given cannot be told from a default (which --preset and --recipe need), and its
errors are boxes round pydantic's text with no public way to one sentence. jsonargparse prints annotations as types and spells options
with underscores.
"""

import abc
import argparse
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Union, get_args, get_origin

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from helip.config.base import ConfigModel
from helip.config.reading import validate_options
from helip.errors import HelipError, nearest
from helip.models.reference import FORMS

METAVARS = {int: "INT", float: "FLOAT", Path: "PATH", str: "TEXT"}
SUITED = ("epochs", "steps", "batch_size", "learning_rate", "weight_decay", "warmup_steps", "precision", "clip_norm", "save_every")
BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


@dataclass(frozen=True)
class OptionsOf:
    """Marks a field of a command that holds the given options of a config model, as a dict without the defaults.

    omit: fields that are no options. spelled: field -> option, where the option has another name. title: over them on the help page; by
    default the model's name and its first sentence. suited: whether fields whose value depends on the start say so.
    """

    model: type[ConfigModel]
    omit: tuple[str, ...] = ()
    spelled: dict[str, str] = field(default_factory=dict)
    title: str = ""
    suited: bool = False


@dataclass(frozen=True)
class Shown:
    """Marks a field whose value the help page shows under this name."""

    metavar: str


class _Argument:
    """Marks a field that is given by its position instead of by an option."""


ARGUMENT = _Argument()


def _shard(text: Any) -> Any:
    match = re.fullmatch(r"(\d+)/(\d+)", text) if isinstance(text, str) else None
    if isinstance(text, str) and not match:
        raise ValueError(f"'{text}' is not of the form i/n, for example 0/4")
    return (int(match[1]), int(match[2])) if match else text


def _mask_in(given: Any) -> Any:
    folder = Path(given) if isinstance(given, str | Path) else None
    return folder / "keep.npy" if folder is not None and folder.is_dir() else given


KeepFile = Annotated[Path, BeforeValidator(_mask_in)]  # keep.npy of `helip select`, or the folder that it made
Shard = Annotated[tuple[int, int], BeforeValidator(_shard), Shown("I/N")]
Model = Annotated[str, Shown("MODEL")]  # helip.models.reference says how it is written
Threads = Annotated[int, Field(ge=1)]
Workers = Annotated[int, Field(ge=0)]
MODEL = FORMS
DEVICE = "cpu, cuda or cuda:1; by default cuda where there is one"
DECODERS = "processes that decode images; by default none on a CPU and up to 8 for a GPU"


class Command(ConfigModel):
    """The options of one command; `run` does what it says and returns its exit code, None for 0."""

    former: ClassVar[dict[str, str]] = {}  # options of earlier versions, and what to write instead

    @abc.abstractmethod
    def run(self) -> int | None:
        """Runs the command. Raises HelipError for input that it cannot work with."""


def done(*lines: str, then: str = "") -> None:
    """Prints what a command made and where, and what is usually done next."""
    print("\n".join([*lines, *([f"next: {then}"] if then else [])]))


# ---------------------------------------------------------------- options, from fields


@dataclass(frozen=True)
class Option:
    """One option: the path of its field in the command's values, its flag ("" for an argument by position) and its field's facts."""

    path: tuple[str, ...]
    flag: str
    kind: Any  # int, float, bool, str, Path or Literal
    description: str
    default: Any
    choices: tuple[str, ...] = ()
    metavar: str = ""
    count: int | str | None = None  # argparse's nargs
    optional: bool = False  # takes "none"
    discriminator: str = ""  # the value is a model's kind: {discriminator: value}
    negatable: bool = False  # a switch with a --no- form
    bounds: str = ""
    within: str = ""  # the option prefix of the model within a model that it belongs to

    @property
    def name(self) -> str:
        """The word that messages call the option by: its flag, or the name of a positional argument."""
        return self.flag or self.metavar

    @property
    def help(self) -> str:
        """The line of the help page: what the option says, its unit and its default."""
        default = self.default
        if default is PydanticUndefined:
            last = f"required with --{self.within}-..." if self.within else "required"
        elif isinstance(default, bool):
            last = f"default: {'on' if default else 'off'}" if self.negatable else ""
        elif default is None or (default in ((), "") and "by default" in self.description):
            last = "" if "by default" in self.description else "default: none"
        else:
            shown = getattr(default, self.discriminator) if self.discriminator else default
            mark = "/" if self.metavar == "I/N" else " "
            last = f"default: {(mark.join(map(str, shown)) or 'all') if isinstance(shown, tuple) else shown}"
        facts = "; ".join(part for part in (self.bounds, last) if part)
        return f"{self.description}{f' ({facts})' if facts else ''}".replace("%", "%%")


def groups_of(command: type[Command]) -> dict[str, list[Option]]:
    """Returns the options of a command under the titles of its help page: its own, then those of each config model."""
    groups: dict[str, list[Option]] = {"options": []}
    for name, one in command.model_fields.items():
        marker = next((m for m in one.metadata if isinstance(m, OptionsOf)), None)
        if marker is None:
            groups["options"].append(_option((name,), one, negatable=False))
            continue
        sentence = " ".join((marker.model.__doc__ or "").split()).partition(". ")[0].rstrip(".")
        title = marker.title or f"{marker.model.__name__}: {sentence[0].lower()}{sentence[1:]}"
        groups[title] = list(_options(marker, marker.model, (name,), ()))
    return groups


def _options(marker: OptionsOf, model: type[ConfigModel], path: tuple[str, ...], prefix: tuple[str, ...]) -> Iterator[Option]:
    """An option for each field; the fields of a model within the model have its field's name before theirs."""
    for name, one in model.model_fields.items():
        inner, _, _ = _unwrapped(one.annotation)
        if name in marker.omit and not prefix:
            continue
        if isinstance(inner, type) and issubclass(inner, ConfigModel):
            yield from _options(marker, inner, (*path, name), (*prefix, name))
        else:
            spelled = marker.spelled.get(name, name) if not prefix else name
            option = _option((*path, name), one, negatable=True, flag="-".join((*prefix, spelled)), within="-".join(prefix))
            if marker.suited and not prefix and name in SUITED:
                option = replace(option, default=None, description=f"{option.description}; by default what suits the start")
            yield option


def _option(path: tuple[str, ...], one: FieldInfo, negatable: bool, flag: str = "", within: str = "") -> Option:
    kind, metadata, optional = _unwrapped(one.annotation)
    metadata = [*one.metadata, *metadata]
    shown = next((m.metavar for m in metadata if isinstance(m, Shown)), "")
    choices: tuple[str, ...] = ()
    count: int | str | None = None
    discriminator = one.discriminator if isinstance(one.discriminator, str) else ""
    if get_origin(kind) is Literal:
        choices = tuple(map(str, get_args(kind)))
    elif discriminator:
        choices = tuple(get_args(member.model_fields[discriminator].annotation)[0] for member in get_args(kind))
    elif get_origin(kind) is tuple and (not shown or Ellipsis in get_args(kind)):
        parts = get_args(kind)
        count = "*" if Ellipsis in parts else len(parts)
        kind = _unwrapped(parts[0])[0]
    by_position = any(isinstance(m, _Argument) for m in metadata)
    metavar = shown or (path[-1].upper() if by_position else "" if choices else METAVARS.get(kind, "TEXT"))
    if count == "*" and one.is_required():
        count = "+"
    flag = "" if by_position else f"--{(flag or path[-1]).rstrip('_').replace('_', '-')}"  # a field for_ is --for
    return Option(
        path, flag, kind, one.description or "", one.get_default(), choices, metavar, count, optional and kind not in (str, Path),
        discriminator, negatable, _bounds(metadata), within.replace("_", "-"),
    )  # fmt: skip


def _unwrapped(annotation: Any) -> tuple[Any, list[Any], bool]:
    """(the type without Annotated and None, what Annotated said, whether None is allowed)."""
    metadata: list[Any] = []
    optional = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata += [fact for m in more for fact in (m.metadata if isinstance(m, FieldInfo) else [m])]
        elif get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
            rest = tuple(a for a in get_args(annotation) if a is not NoneType)
            annotation, optional = Union[rest], True  # noqa: UP007  (of a tuple)
        else:
            return annotation, metadata, optional


def _bounds(metadata: list[Any]) -> str:
    """'above 0, at most 1'."""
    return ", ".join(
        f"{word} {value:g}" for m in metadata for name, word in BOUNDS.items() if (value := getattr(m, name, None)) is not None
    )


# ---------------------------------------------------------------- the parser


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors are HelipErrors. described: what each argument by position is, by its name on the help page."""

    described: dict[str, str] = {}

    def error(self, message: str) -> NoReturn:
        """Raises HelipError for options that cannot be parsed, where argparse would print its usage and exit."""
        if missing := re.match(r"the following arguments are required: (\w+)", message):
            raise HelipError(f"{missing[1]} is missing: {self.described[missing[1]]}; see `{self.prog} --help`")
        raise HelipError(message.removeprefix("argument "))


def parser_of(name: str, line: str, command: type[Command]) -> Parser:
    """Returns the parser of a command; absent options leave no trace in what it parses."""
    width = max(80, min(shutil.get_terminal_size().columns, 120))
    parser = Parser(
        prog=f"helip {name}", usage=_usage(name, command), description=f"{line[0].upper()}{line[1:]}.\n\n{command.__doc__ or ''}",
        add_help=False, allow_abbrev=False, formatter_class=lambda prog: _Formatter(prog, max_help_position=28, width=width),
    )  # fmt: skip
    fill(parser, command)
    parser.described = {o.metavar: o.description for options in groups_of(command).values() for o in options if not o.flag}
    return parser


class _Formatter(argparse.HelpFormatter):
    """Paragraphs of a description stay paragraphs."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(_Formatter, self)._fill_text(part, width, indent) for part in text.strip().split("\n\n"))


def fill(parser: argparse.ArgumentParser, command: type[Command], complete: dict[str, Any] | None = None) -> None:
    """Adds the options of a command to a parser. complete: shtab's word for files, where the parser is made for completion."""
    for title, options in groups_of(command).items():
        group = parser.add_argument_group(title)
        for option in options:
            _add(group, option, complete)
        if title == "options":
            group.add_argument("-h", "--help", action="store_true", help="show this page")


def _add(group: Any, option: Option, complete: Any) -> None:
    how: dict[str, Any] = {"help": option.help, "default": argparse.SUPPRESS}
    if option.flag:
        how["dest"] = ".".join(option.path)
    if option.kind is bool:
        group.add_argument(option.flag, action=argparse.BooleanOptionalAction if option.negatable else "store_true", **how)
        return
    metavar = f"{{{','.join(option.choices)}}}" if option.choices and option.flag else option.metavar
    action = group.add_argument(option.flag or option.path[-1], metavar=metavar, nargs=option.count, **how)
    if complete is not None:  # values are checked by the model, choices too
        action.choices = option.choices or None
        if option.kind is Path:
            action.complete = complete


def _usage(name: str, command: type[Command]) -> str:
    options = [option for group in groups_of(command).values() for option in group]
    by_position = [f"{o.metavar}{' ...' if o.count else ''}" if o.count != "*" else f"[{o.metavar} ...]" for o in options if not o.flag]
    required = [
        f"{o.flag} {o.metavar or '|'.join(o.choices)}" for o in options if o.flag and o.default is PydanticUndefined and not o.within
    ]
    return " ".join([f"helip {name}", *by_position, *required, "[options]"])


def parse(name: str, line: str, command: type[Command], arguments: list[str]) -> Command:
    """Returns the command that the arguments ask for. Raises HelipError, one sentence, for what is unknown, missing or wrong."""
    parser = parser_of(name, line, command)
    options = [option for group in groups_of(command).values() for option in group]
    _refuse_unknown(parser, command, arguments)
    namespace, more = parser.parse_known_args(arguments)
    if more:
        raise HelipError(f"'{more[0]}' is one argument too many; see `helip {name} --help`")
    values: dict[str, Any] = {}
    for option in options:
        key = ".".join(option.path) if option.flag else option.path[-1]
        if key in namespace:
            given = getattr(namespace, key)
            if given == "" or (isinstance(given, list) and "" in given):
                raise HelipError(f"{option.name}: is empty; leave it out, or set the variable that it comes from")
            _put(values, option.path, _value(option, given))
        elif option.default is PydanticUndefined and len(option.path) == 1:
            raise HelipError(f"{option.name} is missing: {option.description}; see `helip {name} --help`")
    return validate_options(command, values, nameless="help", by_position=[o.path[-1] for o in options if not o.flag])


def _refuse_unknown(parser: argparse.ArgumentParser, command: type[Command], arguments: list[str]) -> None:
    known = {flag: action for action in parser._actions for flag in action.option_strings}
    seen: dict[argparse.Action, str] = {}
    for word in arguments:
        flag = word.partition("=")[0]
        if not word.startswith("-") or word == "-" or re.match(r"-[.\d]", word):
            continue
        if action := known.get(flag):
            if former := seen.get(action):
                several = ", with all its values behind it" if action.nargs in ("+", "*") else ""
                raise HelipError(f"{flag}: is given twice{f', once as {former}' if former != flag else ''}; give it once{several}")
            seen[action] = flag
            continue
        if instead := command.former.get(flag):
            raise HelipError(f"{flag} is no longer an option; {instead}")
        raise HelipError(f"{flag}: no such option{nearest(flag, known) or f'; see `{parser.prog} --help`'}")


def _value(option: Option, given: Any) -> Any:
    if option.optional and given == "none":
        return None
    return {option.discriminator: given} if option.discriminator else given


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value
