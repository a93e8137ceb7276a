"""Heat images of scenes: how warm every surface is, as an automatic-gain thermal camera shows it.

The temperature of a surface depends on what part of which thing it is and on the place, never on
its colour. Parts are told by their paint (which says what they are made of) and by where on the
object they lie: an engine is a warm spot that fades with distance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from .assembly import Assembly, Stream
from .categories import CATEGORY_OF
from .places import FAR, texture
from .render import OVERSAMPLING, Samples, Stage, light_direction, set_stage, trace
from .scene import Place, Scene, SceneObject
from .shapes import Floats, half_extents

BODY = 33.0  # °C, of the bare skin of a warm-blooded animal
MILD = 20.0  # °C; at this ambient temperature warm parts have the temperature that is given
HALF_FOLLOWING = 40.0  # °C colder than mild: a warm part is then twice as far above the air
LEAST_FOLLOWING = 0.4  # share of its excess over the air that a warm part keeps on a hot day
OVERHEAD = 0.5  # tangent above the horizon where the sky is as cold as it gets
HAZE = 0.25  # share of the sky's coldness that is left at the horizon
PATCHES = 6.0  # °C between the warmest and the coldest patch of ground, about
INERTIA = (-3.5, 4.5)  # °C that an unheated thing may be warmer than the air
ACTIVITY = (0.45, 1.1)  # share of its full warmth that a thing may have: engines idle, kettles cool
MIRRORED = 0.3  # of the sky's coldness that metal and glass throw back
DYNAMIC = 22.0  # °C from the air's temperature beyond which the camera compresses its range
LEAST_RANGE = 9.0  # °C that black and white are apart at least
PLATEAU = 0.02  # of all pixels: what one grey level counts as at most when levels are evened out
EVENED = (0.2, 0.6)  # share that the camera evens the histogram out, as thermal cameras do
BLUR = 0.005  # of the picture's side: radius of the lens's blur
SENSOR_NOISE = (1.5, 8.0)  # grey levels, standard deviation of a pixel
COLUMN_NOISE = (0.5, 3.0)  # grey levels, standard deviation of a column

Numbers = npt.NDArray[np.float32 | np.float64]


@dataclass(frozen=True, kw_only=True)
class Climate:
    """How warm a place is, °C."""

    air: float
    ground: float
    sky: float  # what is seen overhead; nearer to the air's temperature at the horizon
    skyline: float  # hills, houses and woods
    sun: float  # that a surface facing the light is warmer by


CLIMATES: Mapping[Place, Climate] = {
    Place.SNOW: Climate(air=-6, ground=-9, sky=-38, skyline=-8, sun=3),
    Place.BEACH: Climate(air=26, ground=34, sky=-12, skyline=22, sun=7),
    Place.MEADOW: Climate(air=18, ground=20, sky=-20, skyline=15, sun=5),
    Place.CITY: Climate(air=20, ground=26, sky=-15, skyline=23, sun=5),
    Place.FOREST: Climate(air=14, ground=12, sky=13, skyline=13, sun=2),
    Place.DESERT: Climate(air=33, ground=44, sky=-8, skyline=40, sun=8),
    Place.ROOM: Climate(air=21, ground=20, sky=21, skyline=20, sun=1),
    Place.MOON: Climate(air=-5, ground=6, sky=-60, skyline=2, sun=14),
}
SEA = 17.0  # °C, at the beach


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A warm region of an object."""

    at: tuple[float, float, float]  # share of its extents: back to front, right to left, bottom up
    reach: float  # of its largest extent: where a share of 1/e of the warmth is left
    degrees: float  # °C above the rest


@dataclass(frozen=True, kw_only=True)
class Heat:
    """What is warm about a category. Everything that is not said is as warm as the air."""

    paints: Mapping[str, float]  # °C of the parts of a paint, at MILD; "" for all other parts
    spots: tuple[Spot, ...] = ()


def _animal(fur: float, legs: float, *spots: Spot, **others: float) -> Heat:
    """Return a warm-blooded animal: its coat, its darker parts, which are limbs and ears."""
    bare = {"flesh": BODY, "comb": BODY - 1, "dark": BODY - 2, "contrast": fur}
    paints = {"": fur, "main dark": legs, "mane": fur - 5, "beak": legs, "cream": MILD + 3}
    return Heat(paints={**paints, **bare, **others}, spots=spots)


HEATS: Mapping[str, Heat] = {
    "dog": _animal(27, 24, Spot(at=(0.85, 0.5, 0.75), reach=0.16, degrees=5)),
    "cat": _animal(26, 24, Spot(at=(0.7, 0.5, 0.75), reach=0.18, degrees=5)),
    "cow": _animal(28, 26, Spot(at=(0.4, 0.5, 0.4), reach=0.2, degrees=4)),
    "horse": _animal(29, 27, Spot(at=(0.45, 0.5, 0.6), reach=0.25, degrees=4)),
    "elephant": _animal(30, 24),  # its ears cool it
    "duck": _animal(23, 21, Spot(at=(0.85, 0.5, 0.85), reach=0.15, degrees=7), beak=30),
    "rooster": _animal(24, 22, Spot(at=(0.75, 0.5, 0.85), reach=0.16, degrees=7), beak=28),
    "snake": Heat(paints={"": MILD + 1, "comb": MILD + 2}),  # as cold as the ground it lies on
    "rabbit": _animal(26, 25, Spot(at=(0.6, 0.5, 0.85), reach=0.22, degrees=5)),
    "train": Heat(
        paints={"lamp": 55},
        spots=(
            Spot(at=(0.85, 0.5, 0.5), reach=0.22, degrees=55),
            Spot(at=(0.88, 0.5, 1.0), reach=0.1, degrees=80),
        ),
    ),
    "car": Heat(
        paints={"lamp": 45, "dark": 27},
        spots=(Spot(at=(0.88, 0.5, 0.5), reach=0.17, degrees=22),),
    ),
    "bus": Heat(
        paints={"lamp": 45, "glass": 23, "dark": 27},
        spots=(Spot(at=(0.0, 0.5, 0.25), reach=0.16, degrees=26),),
    ),
    "fire engine": Heat(
        paints={"lamp": 45, "beacon": 50, "dark": 28},
        spots=(Spot(at=(0.9, 0.5, 0.3), reach=0.18, degrees=24),),
    ),
    "helicopter": Heat(
        paints={},
        spots=(
            Spot(at=(0.55, 0.5, 0.85), reach=0.13, degrees=45),
            Spot(at=(0.0, 0.5, 0.75), reach=0.07, degrees=15),
        ),
    ),
    "airplane": Heat(paints={"grey": 75}, spots=(Spot(at=(0.9, 0.5, 0.4), reach=0.15, degrees=4),)),
    "sailing boat": Heat(paints={"wood": 22}),
    "bicycle": Heat(paints={"dark": 22}),
    "rocket": Heat(
        paints={"flame": 600, "dark": 140},
        spots=(Spot(at=(0.5, 0.5, 0.05), reach=0.16, degrees=50),),
    ),
    "tractor": Heat(
        paints={"lamp": 40, "dark": 25},
        spots=(
            Spot(at=(0.8, 0.5, 0.5), reach=0.2, degrees=35),
            Spot(at=(0.7, 0.6, 0.95), reach=0.09, degrees=70),
        ),
    ),
    "guitar": Heat(paints={"": 22}),
    "violin": Heat(paints={"": 22, "dark": 25}),
    "drum": Heat(paints={"light": 24}),
    "piano": Heat(paints={"light": 25, "dark": 24}),
    "trumpet": Heat(paints={}, spots=(Spot(at=(0.05, 0.5, 0.7), reach=0.35, degrees=9),)),
    "bell": Heat(paints={"wood": 18}),
    "flute": Heat(paints={}, spots=(Spot(at=(0.85, 0.5, 0.9), reach=0.3, degrees=8),)),
    "xylophone": Heat(paints={"main": 21, "main light": 21}),
    "hammer": Heat(paints={}, spots=(Spot(at=(0.5, 0.5, 0.15), reach=0.3, degrees=7),)),
    "saw": Heat(paints={}, spots=(Spot(at=(0.6, 0.5, 0.2), reach=0.4, degrees=14),)),
    "drill": Heat(
        paints={"dark": 30},
        spots=(
            Spot(at=(0.35, 0.5, 0.85), reach=0.22, degrees=28),
            Spot(at=(0.95, 0.5, 0.85), reach=0.15, degrees=25),
        ),
    ),
    "axe": Heat(paints={}, spots=(Spot(at=(0.5, 0.5, 0.15), reach=0.3, degrees=7),)),
    "screwdriver": Heat(paints={}, spots=(Spot(at=(0.8, 0.5, 0.8), reach=0.3, degrees=8),)),
    "scissors": Heat(paints={}, spots=(Spot(at=(0.5, 0.5, 0.1), reach=0.25, degrees=8),)),
    "lawn mower": Heat(
        paints={"grey": 70},
        spots=(Spot(at=(0.7, 0.5, 0.5), reach=0.17, degrees=45),),
    ),
    "kettle": Heat(
        paints={"": 72, "dark": 36, "steel": 80},
        spots=(Spot(at=(0.4, 0.5, 0.0), reach=0.3, degrees=18),),
    ),
    "clock": Heat(paints={"light": 21.5}),
    "lamp": Heat(
        paints={"lamp": 110, "dark": 22},
        spots=(Spot(at=(0.5, 0.5, 0.75), reach=0.25, degrees=18),),
    ),
    "chair": Heat(paints={}),
    "telephone": Heat(paints={}, spots=(Spot(at=(0.5, 0.5, 1.0), reach=0.3, degrees=6),)),
    "vacuum cleaner": Heat(
        paints={}, spots=(Spot(at=(0.15, 0.5, 0.3), reach=0.25, degrees=22),)
    ),
    "washing machine": Heat(
        paints={"glass": 45, "dark": 38, "steel": 33},
        spots=(Spot(at=(0.5, 0.5, 0.1), reach=0.3, degrees=6),),
    ),
    "cup": Heat(paints={"coffee": 72, "main": 50, "main light": 55, "light": 48}),
    "fan": Heat(paints={}, spots=(Spot(at=(0.5, 0.6, 0.65), reach=0.13, degrees=24),)),
    "tree": Heat(paints={"coffee": 21, "main": 17, "main dark": 17}),
    "mushroom": Heat(paints={"": 16, "cream": 17}),
    "flower": Heat(paints={"leaf": 17, "gold": 23}),
    "cactus": Heat(paints={"main": 17, "main dark": 19}),
    "volcano": Heat(
        paints={"lava": 700, "flame": 900, "smoke": 34},
        spots=(Spot(at=(0.5, 0.5, 0.6), reach=0.25, degrees=30),),
    ),
    "campfire": Heat(
        paints={"main": 500, "main light": 800, "coffee": 150},
        spots=(Spot(at=(0.5, 0.5, 0.2), reach=0.4, degrees=40),),
    ),
    "rain cloud": Heat(paints={"": 6, "rain": 9, "lamp": 900}),
}  # fmt: skip
METAL = frozenset({"steel", "gold", "glass"})  # paints of what mirrors the heat of the sky


def thermal(of: Scene, size: int = 256) -> npt.NDArray[np.uint8]:
    """Photograph a scene's heat at ``size`` px a side: ``(size, size)``, warm is bright.

    Range and level follow the scene, as in any camera with automatic gain: grey levels compare
    within a picture only.

    Raises:
        UsageError: ``size`` is not from 16 to 4096.
    """
    return _expose(warmth(of, size), Stream(of.id, "heat camera"))


def warmth(of: Scene, size: int = 256) -> Floats:
    """Return how much warmer than the air everything in a picture is, °C, ``(size, size)``.

    Raises:
        UsageError: ``size`` is not from 16 to 4096.
    """
    stage = set_stage(of, size)
    weather = Stream(of.id, "heat")
    excess = _place_warmth(stage, weather)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        samples = trace(of.solids, stage.framing, size * OVERSAMPLING)
    if samples is not None:
        _lay_over(excess, samples, _surface_warmth(stage, samples, weather))
    return excess


def part_warmth(category: str, paint: str, air: float) -> float:
    """Return how much warmer than the air, °C, a part is while in full use, spots left out.

    Args:
        category: A name of categories.CATEGORIES.
        paint: Of the part, as the category's builder names it.
        air: °C.
    """
    paints = HEATS[category].paints
    at_mild = paints.get(paint, paints.get("", MILD)) - MILD
    return at_mild * max(LEAST_FOLLOWING, 1 + (MILD - air) / HALF_FOLLOWING)


def _place_warmth(stage: Stage, weather: Stream) -> Floats:
    """Return the warmth of a place without objects, ``(S, S)``."""
    of, framing, ground = stage.of, stage.framing, stage.backdrop.ground
    climate = CLIMATES[of.place]
    v = framing.top - (np.arange(stage.size) + 0.5) * (framing.side / stage.size)
    above = np.clip((v - math.tan(of.camera.elevation)) / OVERHEAD, 0, 1)
    sky = (climate.sky - climate.air) * (HAZE + (1 - HAZE) * np.sqrt(above))  # (S,)
    standing = climate.skyline - climate.air + weather.uniform(-2, 2)
    excess = np.where(stage.backdrop.depth < FAR, standing, sky[:, None]).astype(np.float32)
    if len(ground.y):
        x, y = weather.uniform(50, 54), weather.uniform(50, 54)
        patches = texture(ground.x + x, ground.y[:, None] + y, 4.0, smooth=True) - np.float32(0.5)
        floor = np.float32(climate.ground - climate.air) + np.float32(PATCHES) * patches
        if of.place is Place.BEACH:
            out = np.clip((ground.y[:, None] - weather.uniform(0.9, 2.2)) * 4, 0, 1)
            floor += (SEA - climate.ground) * out
        excess[ground.first :] = floor
    return excess


def _surface_warmth(stage: Stage, samples: Samples, weather: Stream) -> Floats:
    """Return the warmth of every sample that shows a solid, in their order, ``(n,)``."""
    of, solids, climate = stage.of, stage.of.solids, CLIMATES[stage.of.place]
    hit = np.isfinite(samples.depth)
    which, normal = samples.solid[hit], samples.normal[:, hit]
    normal *= 1 / np.sqrt(np.maximum((normal * normal).sum(axis=0), np.float32(1e-20)))
    points = _points(stage, samples, hit)
    base = np.full(len(solids.shape), weather.uniform(*INERTIA), np.float32)
    mirror = np.zeros_like(base)
    spots = np.zeros(len(which), np.float32)
    for i, item in enumerate(of.objects):
        assembly = Assembly(Stream(of.id, f"shape {i}"))
        CATEGORY_OF[item.category].build(assembly)
        own = solids.instance == i + 1
        activity, inertia = weather.uniform(*ACTIVITY), weather.uniform(*INERTIA)
        parts = [solid.paint for solid in assembly.solids]
        warm = [part_warmth(item.category, paint, climate.air) for paint in parts]
        base[own] = inertia + activity * np.array(warm)
        mirror[own] = [MIRRORED if paint in METAL else 0.0 for paint in parts]
        at = own[which]
        spots[at] = activity * _spot_warmth(item, assembly, points[at])
    lit = np.maximum(np.array(light_direction(of), np.float32) @ normal, 0)
    warm_side = np.float32(climate.sun * of.light.strength) * lit
    cold_sky = np.float32(climate.sky - climate.air) * (0.5 + 0.5 * normal[2])
    total: Floats = (base[which] + spots + warm_side + mirror[which] * cold_sky).astype(np.float32)
    return total


def _points(stage: Stage, samples: Samples, hit: npt.NDArray[np.bool_]) -> Numbers:
    """Return where in the world the samples that hit a solid lie, m, ``(n, 3)``."""
    framing = stage.framing
    step = framing.side / (stage.size * OVERSAMPLING)
    row, column = np.nonzero(hit)
    u = framing.left + (samples.column + column + 0.5) * step
    v = framing.top - (samples.row + row + 0.5) * step
    plane = np.stack([u, v, np.ones_like(u)], axis=1)  # in the plane 1 m before the eye
    return np.array(framing.eye) + samples.depth[hit][:, None] * (plane @ framing.axes)


def _spot_warmth(item: SceneObject, assembly: Assembly, points: Numbers) -> Floats:
    """Return what an object's warm spots add at points on it, °C, ``(n,)``."""
    centre = np.array([solid.centre for solid in assembly.solids])
    axes = np.array([solid.axes for solid in assembly.solids]).transpose(0, 2, 1)
    shape = np.array([solid.shape for solid in assembly.solids])
    half = half_extents(shape, axes, np.array([solid.taper for solid in assembly.solids]))
    low, high = (centre - half).min(axis=0), (centre + half).max(axis=0)
    extent = (high - low) / (high - low).max()
    c, s = math.cos(item.yaw), math.sin(item.yaw)
    turned = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    own = (points - np.array([*item.position, item.lift])) @ turned / item.scale
    own += extent * np.array([0.5, 0.5, 0.0])  # from the corner of the object's box
    added = np.zeros(len(points), np.float32)
    for spot in HEATS[item.category].spots:
        away = ((own - extent * np.array(spot.at)) ** 2).sum(axis=1)
        added += (spot.degrees * np.exp(-away / spot.reach**2)).astype(np.float32)
    return added


def _lay_over(excess: Floats, samples: Samples, warm: Floats) -> None:
    """Average the samples of each pixel over what lies behind them, in place."""
    k = OVERSAMPLING
    hit = np.isfinite(samples.depth)
    layer = np.zeros((*hit.shape, 2), np.float32)
    layer[hit, 0], layer[hit, 1] = warm, 1
    height, width = hit.shape[0] // k, hit.shape[1] // k
    layer = layer.reshape(height, k, width, k, 2).mean(axis=(1, 3))
    row, column = samples.row // k, samples.column // k
    part = excess[row : row + height, column : column + width]
    part *= 1 - layer[..., 1]
    part += layer[..., 0]


def _expose(excess: Floats, camera: Stream) -> npt.NDArray[np.uint8]:
    """Return what the camera makes of a picture of temperatures."""
    beyond = np.maximum(np.abs(excess) - DYNAMIC, 0)
    level = np.clip(excess, -DYNAMIC, DYNAMIC) + np.sign(excess) * 4 * np.log1p(beyond / 4)
    black, white = np.percentile(level, [1, 99.7])
    spare = max(LEAST_RANGE - (white - black), 0) / 2
    span = white - black + 2 * spare
    black -= spare + span * camera.uniform(0, 0.25)
    white += spare + span * camera.uniform(0, 0.2)
    grey = np.clip((level - black) * (255 / (white - black)), 0, 255).astype(np.uint8)
    size = len(grey)
    counts = np.minimum(np.bincount(grey.ravel(), minlength=256), PLATEAU * grey.size)
    evened = np.cumsum(counts) * (255 / counts.sum())
    share = camera.uniform(*EVENED)
    grey = ((1 - share) * np.arange(256) + share * evened).astype(np.uint8)[grey]
    sharp = Image.fromarray(grey).filter(ImageFilter.GaussianBlur(BLUR * size))
    sensor = camera.generator
    noise = sensor.standard_normal((size, size)) * camera.uniform(*SENSOR_NOISE)
    noise += sensor.standard_normal(size) * camera.uniform(*COLUMN_NOISE)
    return np.clip(np.asarray(sharp) + noise + 0.5, 0, 255).astype(np.uint8)
