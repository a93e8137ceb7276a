"""The eight places: what stands behind and under the objects, and how far away it is.

Since the camera never rolls, the horizon is a row of the picture, and every point of a row of
ground lies at the same depth. Most of a place is therefore computed once a row.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from .assembly import Stream
from .colours import RGB
from .scene import Place
from .shapes import Floats

Numbers = npt.NDArray[np.float32 | np.float64]  # what is rounded to float32 on the way

FAR = 60.0  # m; the depth given to the sky
SKYLINE = 40.0  # m; the depth given to hills, houses and woods on the horizon
TEXTURE = 512  # texels a side of the noise that every place is textured with
TEXEL = 1 / 128  # m of ground a texel


@dataclass(frozen=True, kw_only=True)
class View:
    """A picture's rays: direction(row, column) = forward + u[column] * right + v[row] * up."""

    eye: tuple[float, float, float]  # m
    elevation: float  # radians that the camera looks down
    u: Floats  # (W,) tangents of the columns' angles, to the right
    v: Floats  # (H,) tangents of the rows' angles, upward; falling

    @property
    def pixel(self) -> float:
        """The side of a pixel in u and v."""
        return float(self.u[1] - self.u[0])

    @property
    def rise(self) -> Floats:
        """How much a ray of each row climbs per m of depth, ``(H,)``."""
        return (self.v * math.cos(self.elevation) - math.sin(self.elevation)).astype(np.float32)

    @property
    def onward(self) -> Floats:
        """How far along y a ray of each row gets per m of depth, ``(H,)``."""
        return (self.v * math.sin(self.elevation) + math.cos(self.elevation)).astype(np.float32)

    @property
    def above(self) -> Floats:
        """Tangent of each row's angle above the horizon, ``(H,)``."""
        return (self.v - math.tan(self.elevation)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The rows of a picture that show the ground; they are its last ones."""

    first: int  # row
    depth: Floats  # (rows,) m
    x: Floats  # (rows, W) m
    y: Floats  # (rows,) m


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """A picture of a place without objects."""

    rgb: Floats  # (H, W, 3), 0..1 before light and exposure
    depth: Floats  # (H, W) m
    ground: Ground


@cache
def noise_texture() -> Floats:
    """Return smooth periodic noise in 0..1, ``(TEXTURE, TEXTURE)``: six octaves of a lattice."""
    generator = np.random.Generator(np.random.PCG64(20260101))
    total = np.zeros((TEXTURE, TEXTURE))
    for octave in range(6):
        cells = 8 << octave
        lattice = generator.random((cells, cells))
        at = np.arange(TEXTURE) * cells / TEXTURE
        low = at.astype(np.int64)
        part = at - low
        part = part * part * (3 - 2 * part)
        high = (low + 1) % cells
        rows = lattice[low] * (1 - part[:, None]) + lattice[high] * part[:, None]
        total += (rows[:, low] * (1 - part) + rows[:, high] * part) / 1.6**octave
    total -= total.min()
    noise: Floats = (total / total.max()).astype(np.float32)
    return noise


def texture(x: Numbers, y: Numbers, grain: float, *, smooth: bool = False) -> Floats:
    """Look up the noise at points.

    Args:
        x: m; broadcasts with y, and both are positive: callers add an offset.
        y: m.
        grain: Texels are TEXEL * grain m wide.
        smooth: Whether to interpolate, for texels that would show as squares.
    """
    noise, last = noise_texture(), TEXTURE - 1
    scale = np.float32(1 / (TEXEL * grain))
    row, column = y * scale, x * scale
    i, j = row.astype(np.int32), column.astype(np.int32)
    if not smooth:
        nearest: Floats = noise[i & last, j & last]
        return nearest
    down, right = row - i.astype(np.float32), column - j.astype(np.float32)
    i, j, below, beside = i & last, j & last, (i + 1) & last, (j + 1) & last
    upper = noise[i, j] + (noise[i, beside] - noise[i, j]) * right
    lower = noise[below, j] + (noise[below, beside] - noise[below, j]) * right
    between: Floats = (upper + (lower - upper) * down).astype(np.float32, copy=False)
    return between


def find_ground(view: View, far: float = FAR) -> Ground:
    """Intersect the view with the plane z = 0, up to a depth of ``far`` m."""
    rise = view.rise
    depth = np.where(rise < 0, view.eye[2] / np.maximum(-rise, 1e-6), np.inf)
    first = int(np.searchsorted(-depth, -far))
    depth = depth[first:].astype(np.float32)
    return Ground(
        first=first,
        depth=depth,
        x=np.float32(view.eye[0]) + depth[:, None] * view.u[None, :],
        y=(np.float32(view.eye[1]) + depth * view.onward[first:]).astype(np.float32),
    )


def _shift(rgb: RGB, stream: Stream, amount: float = 0.06) -> RGB:
    """Vary a colour: its brightness, and each channel a little."""
    brightness, hue = stream.uniform(1 - 2 * amount, 1 + amount), amount / 2
    r, g, b = (channel * brightness * stream.uniform(1 - hue, 1 + hue) for channel in rgb)
    return (r, g, b)


def _mix(a: Numbers | RGB, b: Numbers | RGB, share: Numbers) -> Floats:
    """Blend two colours by a share of the second; the share gets a channel axis."""
    first, second = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return (first + (second - first) * share[..., None]).astype(np.float32, copy=False)


def _open_air(
    view: View, stream: Stream, floor: RGB, fog: RGB, zenith: RGB, clouds: float, grain: float,
    contrast: float,
) -> Backdrop:  # fmt: skip
    """Paint textured ground up to the horizon and a sky with clouds above it."""
    height, width = len(view.v), len(view.u)
    ground = find_ground(view)
    rgb = np.empty((height, width, 3), np.float32)
    depth = np.full((height, width), FAR, np.float32)
    top = ground.first
    if top:
        up = np.clip(view.above[:top] / 0.55, 0, 1).astype(np.float32)
        rgb[:top] = _mix(fog, zenith, up)[:, None]
        if clouds:
            offset = stream.uniform(0, 4)
            lie = np.float32(1) / (np.maximum(view.above[:top], 0) + np.float32(0.12))
            puffs = texture(
                view.u[None, :] * lie[:, None] * np.float32(0.5) + np.float32(offset + 50),
                lie[:, None] + np.float32(offset),
                1.6,
                smooth=True,
            )
            share = np.clip((puffs - (1 - clouds)) * 4, 0, 0.85)
            rgb[:top] = _mix(rgb[:top], (0.97, 0.97, 0.98), share)
    if top < height:
        dx, dy = stream.uniform(50, 54), stream.uniform(50, 54)
        fine = texture(ground.x + dx, ground.y[:, None] + dy, grain)
        broad = texture(ground.x + dy, ground.y[:, None] + dx, grain * 6, smooth=True)
        shade = 1 + contrast * (fine + broad - 1)
        far = 1 - np.exp(-ground.depth / 22)
        rgb[top:] = _mix(np.asarray(floor, np.float32) * shade[..., None], fog, far[:, None])
        depth[top:] = ground.depth[:, None]
    return Backdrop(rgb=rgb, depth=depth, ground=ground)


def _hills(view: View, stream: Stream, low: float, high: float, rough: float) -> Floats:
    """Return the heights of a hilly skyline over the columns, tangents above the horizon."""
    height = np.zeros(len(view.u))
    for i in range(4):
        wave, phase = rough * 2**i * stream.uniform(0.7, 1.3), stream.uniform(0, 6.28)
        height += np.sin(view.u * wave + phase) / 2**i
    return (low + (high - low) * np.clip(0.5 + height / 3, 0, 1)).astype(np.float32)


def _stand(on: Backdrop, view: View, height: Floats, rgb: Numbers | RGB) -> None:
    """Paint a skyline of the given heights over the sky; edges are smooth."""
    top = on.ground.first
    if not top:
        return
    cover = (height[None, :] - view.above[:top, None]) / np.float32(view.pixel) + 0.5
    cover = np.clip(cover, 0, 1)
    on.rgb[:top] = _mix(on.rgb[:top], rgb, cover)
    on.depth[:top] = np.where(cover > 0.5, np.float32(SKYLINE), on.depth[:top])


def _dots(rgb: Floats, stream: Stream, n: int, size: float, colour: RGB, rows: int) -> None:
    """Scatter round dots over the first rows; ``size`` is the largest radius / picture height."""
    height, width = rgb.shape[:2]
    if rows < 2:
        return
    for _ in range(n):
        r = size * height * stream.uniform(0.5, 1.0)
        row, column = stream.uniform(0, rows), stream.uniform(0, width)
        r0, r1 = max(0, int(row - r - 1)), min(rows, int(row + r + 2))
        c0, c1 = max(0, int(column - r - 1)), min(width, int(column + r + 2))
        dy = np.arange(r0, r1, dtype=np.float32) + 0.5 - np.float32(row)
        dx = np.arange(c0, c1, dtype=np.float32) + 0.5 - np.float32(column)
        cover = np.clip(r + 0.5 - np.sqrt(dy[:, None] ** 2 + dx[None, :] ** 2), 0, 1)
        cover *= min(1.0, 2 * r)
        rgb[r0:r1, c0:c1] = _mix(rgb[r0:r1, c0:c1], colour, cover.astype(np.float32))


def _snow(view: View, stream: Stream) -> Backdrop:
    """White ground, pale hills, falling flakes."""
    fog, zenith = _shift((0.86, 0.90, 0.95), stream, 0.03), _shift((0.60, 0.72, 0.86), stream)
    on = _open_air(view, stream, _shift((0.93, 0.95, 0.99), stream, 0.02), fog, zenith, 0.3, 3, 0.1)
    _stand(on, view, _hills(view, stream, 0.05, 0.32, 4.0), _shift((0.72, 0.79, 0.88), stream))
    _stand(on, view, _hills(view, stream, 0.0, 0.13, 9.0), _shift((0.85, 0.89, 0.95), stream, 0.02))
    _dots(on.rgb, stream, 14 + stream.integer(16), 0.008, (1.0, 1.0, 1.0), len(view.v))
    return on


def _beach(view: View, stream: Stream) -> Backdrop:
    """Sand, a wavy shore with foam, the sea up to the horizon."""
    sea, sand = _shift((0.10, 0.46, 0.62), stream), _shift((0.91, 0.81, 0.58), stream)
    zenith = _shift((0.30, 0.58, 0.90), stream)
    on = _open_air(view, stream, sand, (0.80, 0.90, 0.95), zenith, 0.35, 0.8, 0.16)
    ground = on.ground
    if len(ground.y):
        shore = stream.uniform(0.9, 2.2)
        wave = stream.uniform(0.5, 1.2)
        line = shore + 0.12 * np.sin(ground.x * wave * 3 + stream.uniform(0, 6.28))
        out = ground.y[:, None] - line  # m beyond the water's edge
        ripple = 0.5 + 0.5 * np.sin(out * 9 + 2 * np.sin(ground.x * 2))
        calm = 0.45 * np.exp(-ground.depth / 9)[:, None]  # far waves are too fine to see
        water = _mix(sea, (0.45, 0.74, 0.80), (0.12 + (ripple - 0.3) * calm).astype(np.float32))
        part = on.rgb[ground.first :]
        part[:] = _mix(part, water, np.clip(out * 8, 0, 1))
        foam = np.clip(1 - np.abs(out - 0.05) / 0.09, 0, 1)
        part[:] = _mix(part, (0.97, 0.98, 0.98), foam * 0.9)
    return on


def _meadow(view: View, stream: Stream) -> Backdrop:
    """Grass with flowers, green hills, clouds."""
    fog, zenith = (0.80, 0.90, 0.96), _shift((0.32, 0.58, 0.92), stream)
    on = _open_air(view, stream, _shift((0.36, 0.60, 0.20), stream), fog, zenith, 0.45, 0.7, 0.45)
    _stand(on, view, _hills(view, stream, 0.04, 0.2, 4.0), _shift((0.42, 0.60, 0.48), stream))
    _stand(on, view, _hills(view, stream, 0.0, 0.1, 7.0), _shift((0.30, 0.50, 0.22), stream))
    rows = on.ground.first
    colour = stream.choice(((1.0, 1.0, 0.95), (1.0, 0.95, 0.55), (0.95, 0.85, 0.95)))
    _dots(on.rgb[rows:], stream, 22, 0.007, colour, len(view.v) - rows)
    return on


def _city(view: View, stream: Stream) -> Backdrop:
    """A street with dashes, a paved square, houses with windows."""
    fog, zenith = _shift((0.78, 0.80, 0.83), stream), _shift((0.50, 0.62, 0.78), stream)
    on = _open_air(view, stream, _shift((0.40, 0.40, 0.42), stream), fog, zenith, 0.35, 0.6, 0.2)
    ground = on.ground
    if len(ground.y):
        kerb, part = stream.uniform(0.9, 1.6), on.rgb[ground.first :]
        row, column = np.floor(ground.y / 0.4), np.floor(ground.x / 0.4)
        slab = (row[:, None] * 0.618 + column * 0.382) % 1  # tone of each paving slab
        joint = ((ground.y / 0.4) % 1 < 0.08)[:, None] | ((ground.x / 0.4) % 1 < 0.06)
        stone = _mix(part, (0.72, 0.66, 0.58), np.full(slab.shape, 0.75, np.float32))
        stone *= (0.9 + 0.16 * slab - 0.2 * joint)[..., None].astype(np.float32)
        pavement = np.flatnonzero(ground.y > kerb)
        part[pavement] = stone[pavement]
        stripe = np.abs(ground.y + stream.uniform(0.9, 1.2)) < 0.05
        dash = (np.floor(ground.x / 0.5 + stream.uniform(0, 2)) % 2) < 1
        part[stripe[:, None] & dash] = (0.88, 0.88, 0.84)
        part[np.abs(ground.y - kerb) < 0.04] = (0.62, 0.62, 0.62)
    top = on.ground.first
    if top:
        edges = [float(view.u[0]) - 0.05]
        while edges[-1] < view.u[-1]:
            edges.append(edges[-1] + stream.uniform(0.07, 0.19))
        house = np.searchsorted(np.array(edges), view.u) - 1
        walls = ((0.62, 0.50, 0.43), (0.55, 0.57, 0.61), (0.72, 0.67, 0.58), (0.47, 0.45, 0.50))
        colours = np.array([_shift(stream.choice(walls), stream) for _ in edges], np.float32)
        heights = np.array([stream.uniform(0.1, 0.5) for _ in edges], np.float32)
        across = (view.u - np.array(edges)[house]) * 42
        up = view.above[:top] * 36
        lit = ((across % 1 > 0.35)[None, :] & (up % 1 > 0.45)[:, None])[..., None]
        facade = np.where(lit, np.float32(0.62), np.float32(1)) * colours[house][None]
        _stand(on, view, heights[house], facade.astype(np.float32))
    return on


def _forest(view: View, stream: Stream) -> Backdrop:
    """Dark ground before trunks and foliage."""
    fog, leaf = _shift((0.30, 0.40, 0.26), stream), _shift((0.16, 0.28, 0.13), stream)
    on = _open_air(
        view, stream, _shift((0.34, 0.30, 0.17), stream), fog, (0.10, 0.20, 0.10), 0.0, 0.9, 0.6
    )
    top = on.ground.first
    if top:
        leaves = texture(
            view.u[None, :] * 2 + 51, view.above[:top, None] * 2 + 52, 0.5, smooth=True
        )
        on.rgb[:top] *= (0.45 + 1.1 * leaves)[..., None]
        on.depth[:top] = SKYLINE
        for i in range(13):
            near = i / 13
            middle = stream.uniform(float(view.u[0]), float(view.u[-1]))
            thick = stream.uniform(0.008, 0.016) * (1 + 1.6 * near)
            cover = np.clip((thick - np.abs(view.u - middle)) / np.float32(view.pixel) + 0.5, 0, 1)
            bark = tuple(c * (0.55 + 0.5 * near) for c in (0.38, 0.29, 0.20))
            side = np.clip((view.u - middle) / thick, -1, 1)[None, :, None]
            on.rgb[:top] = _mix(
                on.rgb[:top],
                np.asarray(bark, np.float32) * (1 - 0.3 * side),
                np.broadcast_to(cover[None, :], (top, len(view.u))),
            )
        crown = 0.34 - _hills(view, stream, 0.0, 0.12, 14.0)
        cover = np.clip((view.above[:top, None] - crown[None, :]) * 14, 0, 1)
        on.rgb[:top] = _mix(on.rgb[:top], np.asarray(leaf) * (0.6 + leaves)[..., None], cover * 0.9)
    return on


def _desert(view: View, stream: Stream) -> Backdrop:
    """Rippled sand and dunes."""
    sand, fog = _shift((0.85, 0.60, 0.34), stream), _shift((0.96, 0.86, 0.66), stream, 0.03)
    on = _open_air(view, stream, sand, fog, _shift((0.58, 0.70, 0.82), stream), 0.0, 2.2, 0.15)
    ground = on.ground
    if len(ground.y):
        bend = texture(ground.x + 51, ground.y[:, None] + 51, 9, smooth=True)
        ripple = np.sin((ground.y[:, None] * 5 + bend * 9) * 3)
        near = np.exp(-ground.depth / 9)[:, None]
        on.rgb[ground.first :] *= (1 + 0.08 * ripple * near)[..., None]
    _stand(on, view, _hills(view, stream, 0.03, 0.26, 3.0), _shift((0.82, 0.58, 0.38), stream))
    _stand(on, view, _hills(view, stream, 0.0, 0.13, 4.0), _shift((0.74, 0.47, 0.26), stream))
    return on


def _room(view: View, stream: Stream) -> Backdrop:
    """A boarded floor, a striped wall, a window."""
    height, width = len(view.v), len(view.u)
    behind = stream.uniform(1.3, 2.6)  # m from the middle of the scene to the wall
    reach = np.float32(behind - view.eye[1]) / view.onward
    ground = find_ground(view, float("inf"))
    rows = int(np.count_nonzero(ground.y > behind))
    ground = Ground(
        first=ground.first + rows, depth=ground.depth[rows:], x=ground.x[rows:], y=ground.y[rows:]
    )
    top = ground.first
    rgb = np.empty((height, width, 3), np.float32)
    depth = np.empty((height, width), np.float32)
    papers = ((0.80, 0.76, 0.66), (0.66, 0.73, 0.76), (0.73, 0.78, 0.68), (0.80, 0.71, 0.69))
    paper = np.asarray(_shift(stream.choice(papers), stream), np.float32)
    x = reach[:top, None] * view.u[None, :]
    z = (np.float32(view.eye[2]) + reach[:top] * view.rise[:top])[:, None]
    stripes = np.float32(0.05) * (np.floor(x / stream.uniform(0.1, 0.3)) % 2)
    rgb[:top] = paper * (1 - stripes)[..., None]
    frame_x, frame_z = stream.uniform(-1.4, 1.4), stream.uniform(0.95, 1.3)
    wide, high = stream.uniform(0.3, 0.55), stream.uniform(0.3, 0.45)
    inside = np.maximum(np.abs(x - frame_x) - wide, np.abs(z - frame_z) - high)
    rgb[:top][inside < 0.05] = (0.93, 0.92, 0.88)
    pane = inside < 0
    rgb[:top][pane] = _shift((0.70, 0.84, 0.95), stream)
    rgb[:top][pane & ((np.abs(x - frame_x) < 0.02) | (np.abs(z - frame_z) < 0.02))] = 0.92
    rgb[:top][np.broadcast_to(z < 0.12, x.shape)] = (0.90, 0.88, 0.84)
    depth[:top] = np.minimum(reach[:top, None], FAR)
    woods = ((0.62, 0.44, 0.28), (0.50, 0.34, 0.22), (0.72, 0.56, 0.38))
    wood = np.asarray(_shift(stream.choice(woods), stream), np.float32)
    board = ground.x / np.float32(0.22)
    tone = np.float32(0.86) + 0.2 * ((np.floor(board) * 0.618) % 1)
    grain = texture(ground.x * 6 + 60, ground.y[:, None] + 51, 1.0)
    gap = (board % 1) < 0.05
    rgb[top:] = wood * (tone * (0.88 + 0.24 * grain) * np.where(gap, 0.7, 1.0))[..., None]
    depth[top:] = ground.depth[:, None]
    return Backdrop(rgb=rgb, depth=depth, ground=ground)


def _moon(view: View, stream: Stream) -> Backdrop:
    """Grey ground with craters under a black sky with stars."""
    grey = _shift((0.55, 0.55, 0.57), stream)
    on = _open_air(view, stream, grey, (0.40, 0.40, 0.42), (0.01, 0.01, 0.03), 0.0, 1.2, 0.45)
    ground, top = on.ground, on.ground.first
    on.rgb[:top] = (0.015, 0.015, 0.035)
    _dots(on.rgb, stream, 30, 0.005, (0.95, 0.95, 1.0), top)
    if stream.chance(0.6) and top > 4:
        _dots(on.rgb, stream, 1, 0.11, (0.35, 0.58, 0.85), max(3, int(top * 0.7)))
    _stand(on, view, _hills(view, stream, 0.0, 0.1, 5.0), _shift((0.32, 0.32, 0.34), stream))
    for _ in range(9 if len(ground.y) else 0):
        x, y = stream.uniform(-3.5, 3.5), stream.uniform(-1.0, 7.0)
        r = stream.uniform(0.15, 0.6)
        distance = np.sqrt((ground.x - x) ** 2 + ((ground.y - y) ** 2)[:, None]) / r
        floor = np.clip((1 - distance) * 5, 0, 1) * 0.28
        rim = np.clip(1 - np.abs(distance - 1.05) * 7, 0, 1) * 0.22
        on.rgb[top:] *= (1 - floor + rim)[..., None].astype(np.float32)
    return on


PAINTERS: Mapping[Place, Callable[[View, Stream], Backdrop]] = {
    Place.SNOW: _snow,
    Place.BEACH: _beach,
    Place.MEADOW: _meadow,
    Place.CITY: _city,
    Place.FOREST: _forest,
    Place.DESERT: _desert,
    Place.ROOM: _room,
    Place.MOON: _moon,
}


def paint_place(place: Place, view: View, stream: Stream) -> Backdrop:
    """Paint a place as a view shows it, without objects; ``stream`` varies its details."""
    return PAINTERS[place](view, stream)
