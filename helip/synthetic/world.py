"""A world: which words and drawings it has, how its concepts grow and how often they are seen, and what its captions say."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from helip.config.base import WorldKind
from helip.synthetic.second_words import SECOND
from helip.synthetic.vocabulary import FIRST, Words


class Declared(Protocol):
    """This protocol is what corpora and evaluation sets say of their world."""

    @property
    def world(self) -> WorldKind:
        """The kind of world."""

    @property
    def world_seed(self) -> int:
        """The seed that its concepts are drawn from."""

    @property
    def concepts(self) -> int:
        """The number of its concepts."""


@dataclass(frozen=True, eq=False)
class Habits:
    """The constants of one kind of world, beside its words."""

    words: Words
    count_shares: tuple[float, float, float]  # one, two, three objects
    second_share: float  # of the concepts have a second object
    second_change: float  # of the changes ask whether it has one
    zipf_offset: float  # frequency ~ (rank + offset)^-power
    zipf_power: float
    named: np.ndarray  # [11] how often a caption names an attribute that is there


# A caption names the part by saying the species instead of the family: nearly always, and the rest less often, or colours and backgrounds
# alone would tell a batch apart and no model would learn a shape.
HABITS = {
    "first": Habits(FIRST, (0.75, 0.20, 0.05), 0.4, 0.125, 8, 0.6, np.array([1.0, 0.95, 0.5, 0.7, 0.3, 0.4, 0.5, 0.6, 0.8, 0.5, 0.8])),
    "second": Habits(SECOND, (0.55, 0.30, 0.15), 0.55, 0.2, 3, 0.8, np.array([1.0, 0.8, 0.6, 0.6, 0.4, 0.6, 0.7, 0.7, 0.7, 0.4, 0.6])),
}


@dataclass(frozen=True)
class World:
    """This stands for one world. Corpora and evaluation sets of a study that are meant for each other have the same one."""

    seed: int = 0  # its concepts are drawn from it
    kind: WorldKind = "first"  # its words, drawings and habits
    concepts: int = 2500  # that there are

    @property
    def habits(self) -> Habits:
        """The constants of its kind."""
        return HABITS[self.kind]

    @property
    def words(self) -> Words:
        """The words of its kind."""
        return self.habits.words


def world_of(declaration: Declared) -> World:
    """Returns the world that a corpus or an evaluation set is declared in."""
    return World(declaration.world_seed, declaration.world, declaration.concepts)
