"""The ten colours an object can have, and the fixed paints of its other parts.

A colour is an sRGB triple in 0..1. ``main`` is not a paint of its own: it is whatever colour the
object has, and ``main dark``, ``main light`` and ``contrast`` follow from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

RGB = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Colour:
    """A colour word and what it looks like."""

    name: str
    name_zh: str
    rgb: RGB  # sRGB, 0..1


COLOURS: tuple[Colour, ...] = (
    Colour(name="red", name_zh="红色", rgb=(0.86, 0.10, 0.11)),
    Colour(name="orange", name_zh="橙色", rgb=(0.98, 0.50, 0.06)),
    Colour(name="yellow", name_zh="黄色", rgb=(0.97, 0.86, 0.12)),
    Colour(name="green", name_zh="绿色", rgb=(0.14, 0.64, 0.22)),
    Colour(name="blue", name_zh="蓝色", rgb=(0.12, 0.30, 0.86)),
    Colour(name="purple", name_zh="紫色", rgb=(0.49, 0.17, 0.72)),
    Colour(name="pink", name_zh="粉色", rgb=(0.98, 0.55, 0.76)),
    Colour(name="brown", name_zh="棕色", rgb=(0.43, 0.25, 0.12)),
    Colour(name="white", name_zh="白色", rgb=(0.95, 0.95, 0.94)),
    Colour(name="black", name_zh="黑色", rgb=(0.10, 0.10, 0.11)),
)
COLOUR_NAMES: tuple[str, ...] = tuple(colour.name for colour in COLOURS)
COLOUR_OF: Mapping[str, Colour] = {colour.name: colour for colour in COLOURS}

PAINTS: Mapping[str, RGB] = {
    "dark": (0.15, 0.15, 0.17),  # tyres, eyes, rubber
    "grey": (0.47, 0.48, 0.50),
    "steel": (0.72, 0.74, 0.78),
    "light": (0.92, 0.92, 0.90),
    "cream": (0.93, 0.87, 0.72),
    "wood": (0.62, 0.43, 0.25),
    "glass": (0.62, 0.80, 0.90),
    "gold": (0.86, 0.68, 0.25),
    "beak": (0.97, 0.65, 0.12),
    "flesh": (0.93, 0.63, 0.62),
    "comb": (0.82, 0.13, 0.12),
    "leaf": (0.24, 0.52, 0.20),
    "flame": (1.00, 0.62, 0.10),
    "lava": (0.98, 0.33, 0.06),
    "lamp": (1.00, 0.94, 0.62),
    "beacon": (0.20, 0.45, 1.00),
    "mane": (0.20, 0.15, 0.13),  # hair and tail feathers
    "coffee": (0.28, 0.16, 0.09),
    "smoke": (0.66, 0.65, 0.65),
    "rain": (0.35, 0.60, 0.95),
}
GLOWING: frozenset[str] = frozenset({"flame", "lava", "lamp", "beacon"})


def paint_rgb(paint: str, main: RGB) -> RGB:
    """Return the colour of a paint on an object whose own colour is ``main``.

    Raises:
        KeyError: ``paint`` is neither a fixed paint nor derived from the main colour.
    """
    r, g, b = main
    brightness = 0.3 * r + 0.59 * g + 0.11 * b
    if paint == "main":
        return main
    if paint == "main dark":
        if brightness < 0.15:  # black has no darker shade: step up instead
            return (r + 0.16, g + 0.16, b + 0.16)
        return (0.68 * r, 0.68 * g, 0.68 * b)
    if paint == "main light":
        return (r + 0.30 * (1 - r), g + 0.30 * (1 - g), b + 0.30 * (1 - b))
    if paint == "contrast":  # spots and stripes that show on every colour
        return PAINTS["dark"] if brightness > 0.80 else PAINTS["light"]
    return PAINTS[paint]
