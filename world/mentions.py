"""Finding what a text names: categories, colours, places, relations, numbers, yes and no.

English and Chinese are searched at once. Of words that overlap the longest counts: a *grass cutter*
names no meadow, and 树林 is a forest without a tree.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .categories import CATEGORIES
from .colours import COLOURS
from .phrases import plural
from .scene import Place

Kind = Literal["category", "colour", "place", "yes/no", "count", "relation"]

PLACE_WORDS: Mapping[Place, tuple[str, ...]] = {
    Place.SNOW: ("snow", "snowy", "雪"),
    Place.BEACH: ("beach", "seaside", "sea", "shore", "海滩", "沙滩", "海边"),
    Place.MEADOW: ("meadow", "grass", "grassy", "field", "草地", "草原"),
    Place.CITY: ("city", "street", "streets", "城市", "街道", "街上"),
    Place.FOREST: ("forest", "woods", "森林", "树林"),
    Place.DESERT: ("desert", "沙漠"),
    Place.ROOM: ("room", "indoors", "floor", "房间", "室内", "屋里"),
    Place.MOON: ("moon", "月球", "月亮"),
}
OTHER_WORDS: Mapping[Kind, Mapping[str, tuple[str, ...]]] = {
    "colour": {"pink": ("粉红色", "粉红"), "brown": ("褐色",)},  # beside the colours' own names
    "relation": {
        "left": ("left", "左"),
        "right": ("right", "右"),
        "front": ("front", "前"),
        "behind": ("behind", "后"),
    },
    "count": {
        "one": ("one", "1", "single", "一"),
        "two": ("two", "2", "both", "两", "二"),
    },
    "yes/no": {
        "yes": ("yes", "是", "有", "对"),
        "no": ("no", "not", "不", "没", "不是", "没有", "不对"),
    },
}


@dataclass(frozen=True, kw_only=True)
class Mention:
    """One thing that a text names."""

    kind: Kind
    value: str  # a category's, colour's or place's name, or a key of `OTHER_WORDS`
    start: int  # characters into the text
    end: int


def mentions(text: str) -> list[Mention]:
    """Return what a text names, in the order of the text; case does not matter."""
    pattern, meaning = _lexicon()
    found = []
    for match in pattern.finditer(text.lower()):
        kind, value = meaning[match.group()]
        found.append(Mention(kind=kind, value=value, start=match.start(), end=match.end()))
    return found


def named(text: str, kind: Kind) -> set[str]:
    """Return the values of one kind that a text names."""
    return {mention.value for mention in mentions(text) if mention.kind == kind}


def _words() -> Iterator[tuple[str, Kind, str]]:
    """List every word with its kind and value."""
    for category in CATEGORIES:
        for name in (category.name, *category.synonyms):
            yield name, "category", category.name
            yield plural(name), "category", category.name
        yield category.name_zh, "category", category.name
    for colour in COLOURS:
        yield colour.name, "colour", colour.name
        yield colour.name_zh, "colour", colour.name
        yield colour.name_zh.removesuffix("色"), "colour", colour.name
    for place, words in PLACE_WORDS.items():
        for word in words:
            yield word, "place", place.value
    for kind, values in OTHER_WORDS.items():
        for value, words in values.items():
            for word in words:
                yield word, kind, value


@cache
def _lexicon() -> tuple[re.Pattern[str], Mapping[str, tuple[Kind, str]]]:
    """Return the pattern of all words, longest first, and what each of them means."""
    meaning: dict[str, tuple[Kind, str]] = {word: (kind, value) for word, kind, value in _words()}
    words = [re.escape(word) for word in sorted(meaning, key=len, reverse=True)]
    latin = [word for word in words if word.isascii()]
    chinese = [word for word in words if not word.isascii()]
    pattern = rf"(?<![a-z0-9])(?:{'|'.join(latin)})(?![a-z0-9])|{'|'.join(chinese)}"
    return re.compile(pattern), meaning
