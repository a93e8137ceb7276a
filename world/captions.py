"""What can be said about a scene, in English and in Chinese.

A scene has one primary caption a language, and a list of others that say the same or a part of it
in other words. The caption that names category, colour and place of its objects is the rule;
captions never say what is not in the scene.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .assembly import Stream
from .categories import CATEGORY_OF
from .colours import COLOUR_OF
from .scene import Place, Relation, Scene, SceneObject

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

PLACES_EN: Mapping[Place, tuple[str, ...]] = {  # the first is the primary one
    Place.SNOW: ("on snow", "in the snow", "on snowy ground"),
    Place.BEACH: ("on the beach", "on a beach", "on the sand by the sea"),
    Place.MEADOW: ("in a meadow", "on the grass", "in a grassy field"),
    Place.CITY: ("in the city", "on a city street", "on the street"),
    Place.FOREST: ("in the forest", "in the woods", "in a forest"),
    Place.DESERT: ("in the desert", "in a desert", "on desert sand"),
    Place.ROOM: ("in a room", "indoors", "on a wooden floor"),
    Place.MOON: ("on the moon", "on the surface of the moon", "on moon dust"),
}
PLACES_ZH: Mapping[Place, tuple[str, ...]] = {
    Place.SNOW: ("雪地上", "雪中"),
    Place.BEACH: ("海滩上", "海边的沙滩上"),
    Place.MEADOW: ("草地上", "草原上"),
    Place.CITY: ("城市里", "城市的街道上"),
    Place.FOREST: ("森林里", "树林里"),
    Place.DESERT: ("沙漠里", "沙漠中"),
    Place.ROOM: ("房间里", "室内"),
    Place.MOON: ("月球上", "月球表面"),
}
RELATIONS_EN: Mapping[Relation, str] = {
    Relation.LEFT: "to the left of",
    Relation.RIGHT: "to the right of",
    Relation.FRONT: "in front of",
}
RELATIONS_ZH: Mapping[Relation, str] = {
    Relation.LEFT: "左边",
    Relation.RIGHT: "右边",
    Relation.FRONT: "前面",
}
OPPOSITE_EN: Mapping[Relation, str] = {
    Relation.LEFT: "to the right of",
    Relation.RIGHT: "to the left of",
    Relation.FRONT: "behind",
}
OPPOSITE_ZH: Mapping[Relation, str] = {
    Relation.LEFT: "右边",
    Relation.RIGHT: "左边",
    Relation.FRONT: "后面",
}


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A text about a scene."""

    text: str
    language: Language


def caption(of: Scene, language: Language = "en") -> str:
    """Return the primary caption: every object with its colour, their relation, the place.

    For example *"a red train on snow"*, *"a blue dog to the left of a white cup in a room"*.
    """
    if language == "zh":
        return _sentence_zh(of, PLACES_ZH[of.place][0])
    first = with_article(thing(of.objects[0]))
    if of.relation is None:
        return f"{first} {PLACES_EN[of.place][0]}"
    second = with_article(thing(of.objects[1]))
    return f"{first} {RELATIONS_EN[of.relation]} {second} {PLACES_EN[of.place][0]}"


def captions(of: Scene) -> list[Caption]:
    """Return captions from all templates, the primary one of each language first in its language.

    The words that vary (synonyms, ways to name a place) are drawn from the scene's own stream.
    """
    stream = Stream(of.id, "captions")
    english = _single_en(of, stream) if of.relation is None else _pair_en(of, stream)
    chinese = _single_zh(of, stream) if of.relation is None else _pair_zh(of, stream)
    english = list(dict.fromkeys([caption(of), *english]))
    chinese = list(dict.fromkeys([caption(of, "zh"), *chinese]))
    return [Caption(text=text, language="en") for text in english] + [
        Caption(text=text, language="zh") for text in chinese
    ]


def with_article(noun: str) -> str:
    """Put a or an before a noun."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def thing(item: SceneObject, name: str | None = None) -> str:
    """Name an object with its colour: red train."""
    return f"{item.colour} {name or item.category}"


def _name(item: SceneObject, stream: Stream) -> str:
    """Draw one of the names of an object's category; its proper one half of the time."""
    category = CATEGORY_OF[item.category]
    if not category.synonyms or stream.chance(0.5):
        return category.name
    return stream.choice(category.synonyms)


def _single_en(of: Scene, stream: Stream) -> list[str]:
    """Fill the English templates for one object."""
    item = of.objects[0]
    place = stream.choice(PLACES_EN[of.place])
    name = _name(item, stream)
    full, other = thing(item, name), thing(item)
    return [
        f"{with_article(full)} {place}",
        f"{with_article(full)}",
        f"a photo of {with_article(other)}",
        f"a picture of {with_article(full)} {place}",
        f"{with_article(name)} {place}",
        f"there is {with_article(name)}, it is {item.colour}",
        f"the {name} is {item.colour}",
        f"{place}, there is {with_article(other)}",
        f"There is {with_article(full)} {place}. The {name} is {item.colour}.",
        f"This picture shows {with_article(name)}. It is {item.colour}, and it is {place}.",
        f"The picture was taken {place}. {capital(with_article(full))} can be seen in it.",
    ]


def _pair_en(of: Scene, stream: Stream) -> list[str]:
    """Fill the English templates for two objects."""
    assert of.relation is not None
    a, b = of.objects
    place = stream.choice(PLACES_EN[of.place])
    name_a, name_b = _name(a, stream), _name(b, stream)
    first, second = with_article(thing(a, name_a)), with_article(thing(b, name_b))
    relation, opposite = RELATIONS_EN[of.relation], OPPOSITE_EN[of.relation]
    return [
        f"{first} {relation} {second} {place}",
        f"{first} {relation} {second}",
        f"{second} {opposite} {first}",
        f"{first} and {second} {place}",
        f"{second} and {first}",
        f"a photo of {first} and {second}",
        f"{with_article(a.category)} {relation} {with_article(b.category)}",
        f"There are {first} and {second} {place}. The {name_a} is {relation} the {name_b}.",
        f"This picture shows {first}. {capital(opposite)} it is {second}. They are {place}.",
    ]


def capital(text: str) -> str:
    """Begin a sentence."""
    return text[0].upper() + text[1:]


def thing_zh(item: SceneObject) -> str:
    """Name an object with its measure word and colour: 一列红色的火车."""
    category = CATEGORY_OF[item.category]
    return f"{category.measure_zh}{COLOUR_OF[item.colour].name_zh}的{category.name_zh}"


def _sentence_zh(of: Scene, place: str) -> str:
    """Say in Chinese what is where."""
    if of.relation is None:
        return f"{place}有{thing_zh(of.objects[0])}"
    a, b = of.objects
    return f"{place}，{thing_zh(a)}在{thing_zh(b)}的{RELATIONS_ZH[of.relation]}"


def _single_zh(of: Scene, stream: Stream) -> list[str]:
    """Fill the Chinese templates for one object."""
    item = of.objects[0]
    place = stream.choice(PLACES_ZH[of.place])
    name, colour = CATEGORY_OF[item.category].name_zh, COLOUR_OF[item.colour].name_zh
    measure = CATEGORY_OF[item.category].measure_zh
    return [
        _sentence_zh(of, place),
        thing_zh(item),
        f"一张{colour}{name}的照片",
        f"{place}的{thing_zh(item)}",
        f"{measure}{name}在{place}",
        f"这里有{measure}{name}，它是{colour}的",
        f"这张图片里有{thing_zh(item)}。它在{place}。",
        f"图中是{measure}{name}。{name}的颜色是{colour}，背景在{place}。",
    ]


def _pair_zh(of: Scene, stream: Stream) -> list[str]:
    """Fill the Chinese templates for two objects."""
    assert of.relation is not None
    a, b = of.objects
    place = stream.choice(PLACES_ZH[of.place])
    first, second = thing_zh(a), thing_zh(b)
    name_a, name_b = CATEGORY_OF[a.category].name_zh, CATEGORY_OF[b.category].name_zh
    relation, opposite = RELATIONS_ZH[of.relation], OPPOSITE_ZH[of.relation]
    return [
        _sentence_zh(of, place),
        f"{first}在{second}的{relation}",
        f"{second}在{first}的{opposite}",
        f"{place}有{first}和{second}",
        f"一张{first}和{second}的照片",
        f"这张图片里有{first}和{second}。{name_a}在{name_b}的{relation}。",
        f"{place}有{first}，它的{opposite}是{second}。",
    ]
