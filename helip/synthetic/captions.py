"""Captions of scenes: omissions, synonyms, hypernyms and varying order. A caption and the set of attributes that it names."""

import numpy as np

from helip.synthetic import vocabulary as v
from helip.synthetic.vocabulary import Words
from helip.synthetic.world import World

LEAST = 3  # attributes any caption names


def choose_named(world: World, rng: np.random.Generator, row: np.ndarray, least: int = LEAST) -> np.ndarray:
    """Returns [11] bool: the attributes that a caption of this scene will name, at least `least` of them."""
    there = row != v.ABSENT
    named = (rng.random(len(v.ATTRIBUTES)) < world.habits.named) & there
    if not named[v.SECOND_FAMILY]:
        named[v.SECOND_FAMILY :] = False
    silent = [a for a in (v.COLOUR, v.TEXTURE, v.BACKGROUND, v.PART, v.ACCENT, v.COUNT) if not named[a]]
    for attribute in silent[: max(0, least - int(named.sum()))]:
        named[attribute] = True
    return named


def describe(world: World, row: np.ndarray, named: np.ndarray, rng: np.random.Generator | None = None) -> str:
    """Returns words for the named attributes of a scene; without a generator the plainest ones, as class names use them."""
    say = _Speaker(world.words, rng)
    phrase = _main(row, named, say)
    if named[v.SECOND_FAMILY]:
        phrase = f"{phrase} {_link(row, named, say)} {_second(row, named, say)}"
    if named[v.BACKGROUND]:
        where = say.one_of(say.words.backgrounds[row[v.BACKGROUND]])
        if say.chance(0.2):
            return f"{where}, {phrase}"
        phrase = f"{phrase} {where}"
    return say.opening() + phrase


class _Speaker:
    """Chooses among ways of saying a thing."""

    def __init__(self, words: Words, rng: np.random.Generator | None):
        self.words = words
        self._draws = None if rng is None else iter(rng.random(24).tolist())

    def chance(self, p: float) -> bool:
        return self._draws is not None and next(self._draws) < p

    def one_of(self, words: tuple[str, ...]) -> str:
        """Returns the first word about half of the time when it has synonyms."""
        if self._draws is None or len(words) == 1:
            return words[0]
        u = next(self._draws)
        return words[max(0, int((2 * u - 1) * len(words)))]

    def opening(self) -> str:
        return "" if self._draws is None else self.words.openings[int(next(self._draws) * len(self.words.openings))]


def _noun(words: Words, family: int, part: int, with_part: bool) -> str:
    name = words.family_names[family]
    return words.families[name][part] if with_part else name


def _main(row: np.ndarray, named: np.ndarray, say: _Speaker) -> str:
    words = [say.one_of(say.words.textures[row[v.TEXTURE]])] if named[v.TEXTURE] else []
    if named[v.COLOUR]:
        words.insert(0 if say.chance(0.4) else len(words), say.one_of(say.words.colours[row[v.COLOUR]]))
    noun = _noun(say.words, row[v.FAMILY], row[v.PART], named[v.PART])
    words.append(v.plural(noun) if row[v.COUNT] > 0 else noun)
    if named[v.COUNT]:
        words.insert(0, _article(say.one_of(v.COUNTS[row[v.COUNT]]), words[0]))
    if named[v.ACCENT]:
        words += ["with", say.one_of(say.words.colours[row[v.ACCENT]]), say.one_of(say.words.details)]
    return " ".join(words)


def _article(count: str, following: str) -> str:
    return "an" if count == "a" and following[0] in "aeiou" else count


def _second(row: np.ndarray, named: np.ndarray, say: _Speaker) -> str:
    words = [say.one_of(say.words.colours[row[v.SECOND_COLOUR]])] if named[v.SECOND_COLOUR] else []
    words.append(_noun(say.words, row[v.SECOND_FAMILY], row[v.SECOND_PART], named[v.SECOND_PART]))
    return f"{_article('a', words[0])} {' '.join(words)}"


def _link(row: np.ndarray, named: np.ndarray, say: _Speaker) -> str:
    return say.one_of(v.RELATIONS[row[v.RELATION]]) if named[v.RELATION] else ("next to" if say.chance(0.5) else "and")


def true_of(caption_row: np.ndarray, named: np.ndarray, image_row: np.ndarray) -> np.ndarray:
    """Returns whether everything that a caption says holds of an image; [..., 11] each, gives [...] bool."""
    return (~named | (caption_row == image_row)).all(-1)
