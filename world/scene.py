"""A scene: everything that an integer id decides, before any pixel or sample is made.

``scene(id)`` is a pure function and cheap. The image, the captions and every other modality follow
from the scene alone, each with random streams of its own, in any order and on any machine.
The camera looks along +y; x points to its right, z up, lengths are in metres.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from .assembly import Assembly, Stream
from .categories import CATEGORIES, CATEGORY_OF
from .colours import COLOUR_NAMES, COLOUR_OF, GLOWING, RGB, paint_rgb
from .shapes import Solid, Solids, half_extents
from .splits import HELD_OUT_COLOUR, split_of

PAIR_SHARE = 0.25  # of all scenes have two objects
GLOW = 0.85  # share of a glowing paint that needs no light


class Place(StrEnum):
    """Where a scene is."""

    SNOW = "snow"
    BEACH = "beach"
    MEADOW = "meadow"
    CITY = "city"
    FOREST = "forest"
    DESERT = "desert"
    ROOM = "room"
    MOON = "moon"


class Relation(StrEnum):
    """Where the first of two objects is, seen from the camera."""

    LEFT = "left of"
    RIGHT = "right of"
    FRONT = "in front of"


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One object of a scene."""

    category: str  # a name of categories.CATEGORIES
    colour: str  # a name of colours.COLOURS
    scale: float  # m, its largest extent along an axis of its own
    yaw: float  # radians about z; at 0 it faces +x, the camera's right
    position: tuple[float, float]  # m, x and y of its middle on the ground
    lift: float  # m, gap between the ground and its lowest point


@dataclass(frozen=True, kw_only=True)
class Light:
    """The one lamp or sun."""

    azimuth: float  # radians; 0 is behind the camera, positive to its right
    elevation: float  # radians above the horizon
    strength: float  # factor on the light that comes from it
    warmth: float  # added to red and taken from blue, as a share
    exposure: float  # factor on the whole image


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How the objects are looked at. Zoom and pan frame them: see `fill` and `pan`."""

    elevation: float  # radians above the horizontal
    distance: float  # of the camera, in extents of what it looks at
    fill: float  # share of the picture's side that the objects' larger extent takes
    pan: tuple[float, float]  # -1..1: where in the room that is left the objects are
    noise: float  # standard deviation of the sensor's noise, in steps of 8-bit values


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What one id stands for."""

    id: int
    split: str  # a name of splits.SPLITS
    objects: tuple[SceneObject, ...]  # one or two, of distinct categories
    relation: Relation | None  # of the first object to the second
    place: Place
    light: Light
    camera: Camera

    @cached_property
    def solids(self) -> Solids:
        """The objects and the clutter around them, placed in the world."""
        parts = [_place(self.id, i, item) for i, item in enumerate(self.objects)]
        parts.append(_clutter(self))
        return Solids(
            shape=np.concatenate([part.shape for part in parts]),
            centre=np.concatenate([part.centre for part in parts]),
            axes=np.concatenate([part.axes for part in parts]),
            taper=np.concatenate([part.taper for part in parts]),
            rgb=np.concatenate([part.rgb for part in parts]),
            glow=np.concatenate([part.glow for part in parts]),
            instance=np.concatenate([part.instance for part in parts]),
        )


def scene(scene_id: int) -> Scene:
    """Return the scene of an id; the same on every call, in every process.

    Raises:
        UsageError: No split has such an id.
    """
    split = split_of(scene_id)
    what = Stream(scene_id, "what")
    two = what.chance(PAIR_SHARE)
    categories = [what.choice(CATEGORIES).name]
    if two:
        others = [category.name for category in CATEGORIES if category.name != categories[0]]
        categories.append(what.choice(others))
    colours = []
    for i, name in enumerate(categories):
        if split == "compositional" and i == 0:
            colours.append(HELD_OUT_COLOUR[name])
        else:
            colours.append(what.choice([c for c in COLOUR_NAMES if c != HELD_OUT_COLOUR[name]]))
    relation = what.choice(tuple(Relation)) if two else None
    place = Stream(scene_id, "place").choice(tuple(Place))

    pose = Stream(scene_id, "pose")
    scales = [pose.uniform(0.8, 1.25) for _ in categories]
    objects = []
    for name, colour, scale, position in zip(
        categories, colours, scales, _positions(pose, scales, relation), strict=True
    ):
        category = CATEGORY_OF[name]
        turn = math.radians(category.turn)
        yaw = pose.uniform(-turn, turn)
        if turn < math.pi and pose.chance(0.5) and not _has_front(name):
            yaw += math.pi  # a flat thing looks as good from its other side
        objects.append(
            SceneObject(
                category=name,
                colour=colour,
                scale=scale,
                yaw=yaw,
                position=position,
                lift=pose.uniform(*category.lift) * scale,
            )
        )

    light = Stream(scene_id, "light")
    camera = Stream(scene_id, "camera")
    higher = 5.0 if relation is Relation.FRONT else 0.0
    return Scene(
        id=scene_id,
        split=split,
        objects=tuple(objects),
        relation=relation,
        place=place,
        light=Light(
            azimuth=math.radians(light.uniform(-80, 80)),
            elevation=math.radians(light.uniform(28, 68)),
            strength=light.uniform(0.75, 1.1),
            warmth=light.uniform(-0.06, 0.09),
            exposure=light.uniform(0.88, 1.12),
        ),
        camera=Camera(
            elevation=math.radians(4 + higher + 15 * camera.uniform() ** 1.5),
            distance=camera.uniform(2.4, 5.0),
            fill=camera.uniform(0.7, 0.92) if two else camera.uniform(0.42, 0.82),
            pan=(camera.uniform(-0.85, 0.85), camera.uniform(-0.85, 0.55)),
            noise=camera.uniform(0.5, 6.0),
        ),
    )


def _has_front(name: str) -> bool:
    """Return whether a thing that turns less than the full circle has a face to show."""
    return CATEGORY_OF[name].group == "household" or name in ("guitar", "violin", "piano", "cat")


def _positions(
    pose: Stream, scales: list[float], relation: Relation | None
) -> list[tuple[float, float]]:
    """Choose the objects' places on the ground: apart enough that both can be seen, m."""
    if relation is None:
        return [(0.0, 0.0)]
    span = sum(scales) / 2
    if relation is Relation.FRONT:
        dx = span * pose.uniform(0.5, 0.75) * pose.choice((-1, 1))
        dy = -span * pose.uniform(0.85, 1.1)
    else:
        dx = span * pose.uniform(0.95, 1.2) * (-1 if relation is Relation.LEFT else 1)
        dy = span * pose.uniform(-0.25, 0.25)
    return [(dx / 2, dy / 2), (-dx / 2, -dy / 2)]


def _arrays(solids: list[Solid], main: RGB, instance: int) -> Solids:
    """Return a list of solids as arrays, its paints mixed."""
    n = len(solids)
    return Solids(
        shape=np.array([solid.shape for solid in solids], dtype=np.int64),
        centre=np.array([solid.centre for solid in solids]).reshape(n, 3),
        axes=np.array([solid.axes for solid in solids]).reshape(n, 3, 3).transpose(0, 2, 1),
        taper=np.array([solid.taper for solid in solids], dtype=np.float64),
        rgb=np.array([paint_rgb(solid.paint, main) for solid in solids], dtype=np.float32).reshape(
            n, 3
        ),
        glow=np.array(
            [GLOW if solid.paint in GLOWING else 0.0 for solid in solids], dtype=np.float32
        ),
        instance=np.full(n, instance, dtype=np.int64),
    )


def _place(scene_id: int, i: int, item: SceneObject) -> Solids:
    """Build one object, scale it to its size, turn it and set it on its spot."""
    assembly = Assembly(Stream(scene_id, f"shape {i}"))
    CATEGORY_OF[item.category].build(assembly)
    tint = Stream(scene_id, f"tint {i}")
    brightness = tint.uniform(0.9, 1.08)
    r, g, b = (
        min(1.0, max(0.0, channel * brightness * tint.uniform(0.95, 1.05)))
        for channel in COLOUR_OF[item.colour].rgb
    )
    own = _arrays(assembly.solids, (r, g, b), i + 1)
    half = half_extents(own.shape, own.axes, own.taper)
    low, high = (own.centre - half).min(axis=0), (own.centre + half).max(axis=0)
    size = item.scale / float((high - low).max())
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    c, s = math.cos(item.yaw), math.sin(item.yaw)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Solids(
        shape=own.shape,
        centre=(own.centre - middle) @ rotation.T * size + np.array([*item.position, item.lift]),
        axes=rotation @ own.axes * size,
        taper=own.taper,
        rgb=own.rgb,
        glow=own.glow,
        instance=own.instance,
    )


CLUTTER_GREYS: tuple[RGB, ...] = (
    (0.45, 0.43, 0.41),
    (0.56, 0.54, 0.50),
    (0.36, 0.35, 0.36),
    (0.52, 0.46, 0.38),
    (0.36, 0.42, 0.33),
)


def _clutter(of: Scene) -> Solids:
    """Build stones, crates, posts and bushes beside and behind the objects, none of a category."""
    stream = Stream(of.id, "clutter")
    solids: list[Solid] = []
    rgb: list[RGB] = []
    for _ in range(stream.integer(6)):
        assembly = Assembly(stream)
        x, y = stream.uniform(-2.4, 2.4), stream.uniform(-0.5, 3.2)
        size = stream.uniform(0.06, 0.2)
        form, grey = stream.integer(4), stream.choice(CLUTTER_GREYS)
        turn = ("z", stream.uniform(0, 90))
        if form == 0:
            flat = stream.uniform(0.5, 0.8)
            assembly.ball((x, y, size * flat * 0.6), (size, size * 0.8, size * flat), "main", turn)
            assembly.ball((x + size, y, size * 0.2), (size * 0.6, size * 0.5, size * 0.4), "main")
        elif form == 1:
            assembly.box((x, y, size * 0.8), (size * 1.6, size * 1.6, size * 1.6), "main", turn)
        elif form == 2:
            assembly.tower((x, y, 0.0), (size * 0.5, size * 0.5), size * 2.5, "main")
        else:
            for dx, dz in ((-0.5, 0.5), (0.5, 0.5), (0.0, 0.9)):
                assembly.ball((x + dx * size, y, dz * size), size * 0.6, "main")
        beside = all(
            math.hypot(x - ox, y - oy) > 0.7 * item.scale + 2 * size
            and (y > oy or abs(x - ox) > 0.6 * item.scale + 2 * size)
            for item in of.objects
            for ox, oy in (item.position,)
        )
        if beside:
            solids += assembly.solids
            rgb += [grey] * len(assembly.solids)
    arrays = _arrays(solids, (0.5, 0.5, 0.5), 0)
    if rgb:
        arrays.rgb[:] = np.array(rgb, dtype=np.float32)
    return arrays
