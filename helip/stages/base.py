"""What every stage of the graph says of itself, and what follows from it: paths, inputs, digest, resources."""

import abc
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from helip.config import ConfigModel, Resources
from helip.errors import HelipError
from helip.io import digest, file_digest, read_json
from helip.study import Study

WORDS = ("label", "question")


@dataclass(frozen=True)
class Work:
    """How much work an artefact is, for the plan; None where nobody has said how large its data are."""

    units: float | None  # how long it takes: what a unit is, each stage says in `work`
    items: float | None  # how much it leaves on disk
    costs: tuple[str, ...]  # keys of the study's `costs`, the most particular first


@dataclass(frozen=True)
class How:
    """How an artefact is made, which changes nothing in what is made. None: the stage's own choice."""

    workers: int | None = None  # processes or threads
    device: str | None = None  # cpu, cuda, cuda:1


@dataclass(frozen=True)
class Stage(abc.ABC):
    """One artefact of a study. A subclass is a stage of the graph; its fields beside `study` are the key: the wildcards of its rule.

    The folder, the rule's input, output, params and resources, `helip run`, the plan and the sentence for what is missing all come from
    here. To add a stage, write one such class, list it in helip/stages/__init__.py, and give it a rule.
    """

    study: Study = field(repr=False)

    name: ClassVar[str]  # of the rule, of its entry in the study's `resources` and `costs`, and of `helip run STUDY NAME`
    revision: ClassVar[int] = 1  # raised when the code changes what the stage makes: everything downstream is then made again
    path: ClassVar[str]  # of the folder under results/<study>/, with the key's fields in braces
    takes_gpu: ClassVar[bool] = False  # whether a study may give it GPUs
    heeds: ClassVar[tuple[str, ...]] = ()  # the fields of How that its work looks at; others are refused
    record: ClassVar[tuple[str, ...]] = ()  # where its files keep the digest that they were made with: a JSON file, then the entries to it

    @property
    @abc.abstractmethod
    def files(self) -> tuple[str, ...]:
        """The files in that folder, with the key's fields in braces; the first stands for the artefact where another stage needs it.
        A stage whose files are always the same gives them as a class attribute."""

    @classmethod
    def key_fields(cls) -> tuple[str, ...]:
        """Returns the names of the key's parts, in the order of `helip run`."""
        return tuple(one.name for one in fields(cls) if one.name != "study")

    @property
    def key(self) -> dict[str, str]:
        """The name and value of each part of the key."""
        return {name: getattr(self, name) for name in self.key_fields()}

    @property
    def title(self) -> str:
        """What the plan and the messages call this artefact."""
        return " ".join(self.key.values()) or "all"

    @property
    def label(self) -> str:
        """The line of the plan that counts this artefact."""
        return self.name

    @property
    def folder(self) -> Path:
        """The folder that it makes its files in."""
        return self.study.root / self.path.format(**self.key)

    @property
    def outputs(self) -> list[Path]:
        """The files that its job makes."""
        return [self.folder / file.format(**self.key) for file in self.files]

    @property
    def output(self) -> Path:
        """The file that stands for the artefact."""
        return self.outputs[0]

    @property
    def is_done(self) -> bool:
        """Whether the artefact is there, of whatever settings."""
        return self.output.exists()

    @property
    def recorded(self) -> str | None:
        """The digest that its files were made with; None where they are not there, or keep none."""
        if not self.record or not (file := self.folder / self.record[0]).exists():
            return None
        entry: Any = read_json(file)
        for name in self.record[1:]:
            entry = entry.get(name) if isinstance(entry, dict) else None
        return entry if isinstance(entry, str) else None

    @property
    def is_outdated(self) -> bool:
        """Whether it is there, and its files keep the digest of other settings than those that are declared."""
        return (recorded := self.recorded) is not None and recorded != self.digest

    @abc.abstractmethod
    def config(self) -> object:
        """Returns the resolved declaration that the digest stands for. HelipError for a key that the study does not know."""

    def needs(self) -> Sequence["Stage"]:
        """Returns the artefacts that this one is made from. Their digests are part of its own."""
        return ()

    def awaits(self) -> Sequence["Stage"]:
        """Artefacts that must be there first and change nothing in what is made, such as the shards of a pair set."""
        return ()

    def inputs(self) -> list[Path]:
        """Returns the files that must be there before this artefact is made."""
        return list(dict.fromkeys(artefact.output for artefact in (*self.needs(), *self.awaits())))

    @property
    def digest(self) -> str:
        """What the artefact stands for: its stage and revision, its declaration, and the digests of everything it is made from."""
        return _digest_of(self)

    def looks_at(self) -> Iterable[Path]:
        """Returns files that it shows where they are there, and does not wait for."""
        return ()

    @property
    def shown(self) -> list[tuple[str, str]]:
        """(file, digest) of what it shows and does not wait for. Not part of its own digest: such a file may come at any moment."""
        return [(str(path), file_digest(path)) for path in self.looks_at() if path.exists()]

    def resources(self) -> Resources:
        """Returns what its job asks of the scheduler."""
        return self.study.resources(self.name)

    def work(self) -> Work:
        """Returns how much work it is, for the plan."""
        return Work(0, 0, ())

    @abc.abstractmethod
    def make(self, how: How) -> str | int:
        """Makes the artefact, whole or not at all; returns one sentence on what was made, or the exit code of a training that was
        told to stop and asks to be started again. Heavy imports stand in here."""

    def refuse_unheeded(self, how: How) -> None:
        """Raises HelipError for an option that the stage would ignore."""
        for option, value in vars(how).items():
            if value is not None and option not in self.heeds:
                raise HelipError(f"--{option} {value}: the stage {self.name} does not look at it; leave it out")

    def require_inputs(self) -> None:
        """Raises HelipError, which names the first input that is missing and how to make it."""
        for file in self.inputs():
            if not file.exists():
                raise HelipError(f"{file}: is not there, and {self.name} {self.title} needs it; make it with `snakemake {file}`")


def words(declared: object) -> list[str]:
    """Returns the labels and questions in declarations, in their order. Digests leave them out, except those of what prints them."""
    match declared:
        case ConfigModel():
            named = ((name, getattr(declared, name)) for name in type(declared).model_fields)
            return [word for name, value in named for word in ([value] if name in WORDS and isinstance(value, str) else words(value))]
        case dict():
            return words([*declared.values()])
        case list() | tuple():
            return [word for value in declared for word in words(value)]
    return []


def behind(roots: Iterable[Stage]) -> list[Stage]:
    """Returns artefacts and all that they are made from or wait for, each once; none comes before what it is made from."""
    ordered: dict[Stage, None] = {}

    def visit(one: Stage) -> None:
        """Adds an artefact behind its needs."""
        if one not in ordered:
            for need in (*one.needs(), *one.awaits()):
                visit(need)
            ordered[one] = None

    for root in roots:
        visit(root)
    return list(ordered)


def left_of(artefacts: Iterable[Stage]) -> set[Stage]:
    """Returns what is yet to be made of artefacts and all behind them: what is not there, and what is there of other settings.

    Files of mined pairs, features, selections and metrics keep no digest: of other settings they are where something behind them is.
    """
    left, outdated = set(), set()
    for one in behind(artefacts):
        if one.is_outdated or any(need in outdated for need in one.needs()):
            outdated.add(one)
        if one in outdated or not one.is_done:
            left.add(one)
    return left


@functools.cache
def _digest_of(artefact: Stage) -> str:
    return digest([artefact.name, artefact.revision, artefact.config(), *(need.digest for need in artefact.needs())])
