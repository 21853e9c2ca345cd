"""What a world is made of, and its words: the attributes of a scene, and the words of the first world.

A value is an index into its tuple; the first word is the one class names use.
"""

from dataclasses import dataclass

ATTRIBUTES = (
    "family", "part", "texture", "colour", "accent", "background", "count",
    "second_family", "second_part", "second_colour", "relation",
)  # fmt: skip
FAMILY, PART, TEXTURE, COLOUR, ACCENT, BACKGROUND, COUNT, SECOND_FAMILY, SECOND_PART, SECOND_COLOUR, RELATION = range(len(ATTRIBUTES))
ABSENT = -1  # of the second object's attributes when there is none
SIZES = (12, 6, 8, 10, 10, 8, 3, 12, 6, 10, 4)  # values of each attribute, in every world
COUNTS = (("a", "one", "a single"), ("two", "a pair of"), ("three", "a trio of"))  # value c is c + 1 objects
RELATIONS = (("above", "over"), ("below", "under", "beneath"), ("left of", "to the left of"), ("right of", "to the right of"))


@dataclass(frozen=True, eq=False)
class Words:
    """The words of one world, and the colours that its colour words stand for. A species is a family (its silhouette) with a part (drawn
    in the accent colour): column p of every family has part p.
    """

    parts: tuple[str, ...]
    families: dict[str, tuple[str, ...]]
    textures: tuple[tuple[str, ...], ...]
    colours: tuple[tuple[str, ...], ...]
    rgb: tuple[tuple[int, int, int], ...]
    backgrounds: tuple[tuple[str, ...], ...]
    openings: tuple[str, ...]
    details: tuple[str, ...]
    templates: tuple[str, ...]  # of class names
    kinds: dict[str, str]  # evaluation set -> the family that it is about

    @property
    def family_names(self) -> tuple[str, ...]:
        """The names of the families, in the order of their values."""
        return tuple(self.families)

    @property
    def species(self) -> tuple[str, ...]:
        """The names of all species: species id = family * 6 + part."""
        return tuple(name for names in self.families.values() for name in names)


FIRST = Words(
    parts=("ears", "hat", "tail", "feet", "core", "wings"),
    families={
        "bird": ("sparrow", "robin", "eagle", "owl", "parrot", "duck"),
        "fish": ("salmon", "trout", "tuna", "carp", "shark", "goldfish"),
        "dog": ("poodle", "beagle", "husky", "collie", "terrier", "spaniel"),
        "cat": ("tiger", "lion", "leopard", "panther", "lynx", "cheetah"),
        "flower": ("rose", "tulip", "daisy", "lily", "orchid", "sunflower"),
        "tree": ("oak", "pine", "maple", "willow", "birch", "palm"),
        "fruit": ("apple", "pear", "banana", "lemon", "mango", "plum"),
        "car": ("taxi", "truck", "bus", "van", "jeep", "limousine"),
        "aircraft": ("airplane", "helicopter", "glider", "jet", "blimp", "biplane"),
        "boat": ("canoe", "yacht", "ferry", "raft", "kayak", "gondola"),
        "instrument": ("guitar", "violin", "drum", "trumpet", "piano", "flute"),
        "insect": ("beetle", "butterfly", "ant", "bee", "moth", "dragonfly"),
    },
    textures=(
        ("plain", "solid", "unpatterned"),
        ("striped", "stripy"),
        ("barred", "vertically striped"),
        ("spotted", "dotted", "speckled"),
        ("checked", "chequered"),
        ("two-tone", "half and half"),
        ("shaded", "gradient"),
        ("bordered", "rimmed"),
    ),
    colours=(
        ("red", "crimson", "scarlet"),
        ("orange", "tangerine"),
        ("yellow", "golden"),
        ("green", "emerald"),
        ("blue", "azure"),
        ("purple", "violet"),
        ("pink", "rosy"),
        ("brown", "chestnut"),
        ("black", "jet black"),
        ("white", "snow white"),
    ),
    rgb=(
        (220, 30, 35),
        (250, 135, 15),
        (245, 225, 40),
        (30, 160, 50),
        (35, 80, 225),
        (140, 45, 180),
        (250, 140, 190),
        (125, 72, 30),
        (22, 22, 24),
        (248, 248, 248),
    ),
    backgrounds=(
        ("on grass", "in a meadow", "on a lawn"),
        ("on sand", "on a beach", "in the desert"),
        ("in snow", "on a snowy field"),
        ("in water", "in the sea", "by the lake"),
        ("at night", "after dark"),
        ("in front of bricks", "against a brick wall"),
        ("on wood", "on a wooden floor"),
        ("in fog", "on a misty day"),
    ),
    openings=("", "", "", "", "a photo of ", "a picture of ", "an image of ", "there is ", "here we see "),
    details=("markings", "details", "accents", "trimmings"),
    templates=("a photo of a {c}", "a picture of a {c}", "an image of a {c}", "{c}"),
    kinds={"food101": "fruit", "flowers102": "flower", "cub": "bird", "cars": "car", "aircraft": "aircraft"},
)


def plural(noun: str) -> str:
    """Returns the plural of a noun; salmon, aircraft and their like stay as they are."""
    match noun:
        case "fish" | "aircraft" | "salmon" | "trout" | "tuna" | "carp" | "goldfish":
            return noun
        case _ if noun.endswith(("s", "x", "sh", "ch")):
            return noun + "es"
        case _ if noun.endswith("y") and noun[-2] not in "aeiou":
            return noun[:-1] + "ies"
        case _:
            return noun + "s"
