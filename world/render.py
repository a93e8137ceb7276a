"""Scenes to pictures, with the depth and the object of every pixel.

Every solid is met by the rays of its own rectangle of the picture, at twice the resolution asked
for; a depth buffer keeps the nearest. Since rays are intersected and not splatted, there are no
holes at any size. Places are painted at the resolution itself, their edges being smooth already.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .assembly import Stream
from .places import Backdrop, Ground, View, paint_place
from .scene import Scene, scene
from .shapes import Floats, Shape, Solids, half_extents, local_normal, meet
from .workers import map_in_order

OVERSAMPLING = 2  # samples a pixel side where objects are
MIN_SIZE, MAX_SIZE = 16, 4096  # px

Box = tuple[int, int, int, int]  # left, top, right, bottom in px; the last two are exclusive


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """One scene, seen."""

    image: npt.NDArray[np.uint8]  # (S, S, 3) sRGB
    depth: Floats  # (S, S) m along the optical axis; places.FAR where there is only sky
    mask: npt.NDArray[np.uint8]  # (S, S) 1 for the first object, 2 for the second, else 0


def render(of: Scene, size: int = 256) -> Rendering:
    """Render a scene at ``size`` px a side.

    Raises:
        UsageError: ``size`` is not from 16 to 4096.
    """
    return show(set_stage(of, size), of.solids, Stream(of.id, "noise").generator)


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Where the camera stands, and the part of its image plane that becomes the picture."""

    eye: tuple[float, float, float]  # m
    axes: npt.NDArray[np.float64]  # (3, 3) right, up and forward as rows
    left: float  # edge of the picture in the plane 1 m before the eye
    top: float  # edge of the picture in that plane
    side: float  # of the picture in that plane


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What of a scene stays as it is while its solids move: the camera, and the place behind."""

    of: Scene
    size: int  # px a side
    framing: Framing
    backdrop: Backdrop


def set_stage(of: Scene, size: int) -> Stage:
    """Frame a scene as its solids stand at first, and paint its place at ``size`` px a side.

    Raises:
        UsageError: ``size`` is not from 16 to 4096.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"asked for {size} px a side; pictures have {MIN_SIZE} to {MAX_SIZE}")
    framing = frame(of)
    steps = (np.arange(size, dtype=np.float64) + 0.5) * (framing.side / size)
    view = View(
        eye=framing.eye,
        elevation=of.camera.elevation,
        u=(framing.left + steps).astype(np.float32),
        v=(framing.top - steps).astype(np.float32),
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        backdrop = paint_place(of.place, view, Stream(of.id, "backdrop"))
    return Stage(of=of, size=size, framing=framing, backdrop=backdrop)


def show(stage: Stage, solids: Solids, sensor: np.random.Generator) -> Rendering:
    """Render solids on a stage; ``sensor`` supplies the noise of the picture."""
    of, size, framing = stage.of, stage.size, stage.framing
    rgb, depth = stage.backdrop.rgb.copy(), stage.backdrop.depth.copy()
    mask = np.zeros((size, size), np.uint8)
    towards_light = light_direction(of)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        _cast_shadows(rgb, stage.backdrop.ground, solids, towards_light)
        samples = trace(solids, framing, size * OVERSAMPLING)
        if samples is not None:
            _composite(of, solids, framing.axes, samples, towards_light, rgb, depth, mask)
        warmth, exposure = of.light.warmth, of.light.exposure
        rgb *= np.array([1 + warmth, 1, 1 - warmth], np.float32) * np.float32(exposure * 255)
        rgb += sensor.standard_normal(rgb.shape, dtype=np.float32) * np.float32(of.camera.noise)
        image = np.clip(rgb + np.float32(0.5), 0, 255).astype(np.uint8)
    return Rendering(image=image, depth=depth, mask=mask)


def boxes(mask: npt.NDArray[np.uint8]) -> dict[int, Box]:
    """Return the box around each object of a mask, by the number it has there.

    A box is left, top, right and bottom in px; right and bottom are the first column and row
    beyond it. An object that is not seen has none.
    """
    found = {}
    for instance in range(1, int(mask.max(initial=0)) + 1):
        rows, columns = (np.flatnonzero((mask == instance).any(axis=axis)) for axis in (1, 0))
        if len(rows):
            box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
            found[instance] = box
    return found


def light_direction(of: Scene) -> tuple[float, float, float]:
    """Return the unit vector toward the light."""
    a, e = of.light.azimuth, of.light.elevation
    return (math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e))


def frame(of: Scene) -> Framing:
    """Place the camera, and choose the part of its image plane that becomes the picture."""
    solids = of.solids
    own = solids.instance > 0
    half = half_extents(solids.shape, solids.axes, solids.taper)[own]
    low = (solids.centre[own] - half).min(axis=0)
    high = (solids.centre[own] + half).max(axis=0)
    target = (low + high) / 2
    c, s = math.cos(of.camera.elevation), math.sin(of.camera.elevation)
    axes = np.array([[1.0, 0.0, 0.0], [0.0, s, c], [0.0, c, -s]])
    away = of.camera.distance * float((high - low).max())
    eye = target - away * axes[2]
    eye[2] = max(eye[2], 0.15)
    left, right, bottom, top = rectangles(solids, eye, axes)
    left, right = left[own].min(), right[own].max()
    bottom, top = bottom[own].min(), top[own].max()
    side = max(right - left, top - bottom) / of.camera.fill
    margin_x, margin_y = (side - (right - left)) / 2, (side - (top - bottom)) / 2
    u0 = left - margin_x * (1 + of.camera.pan[0])
    v0 = top + margin_y * (1 - of.camera.pan[1])
    return Framing(
        eye=(float(eye[0]), float(eye[1]), float(eye[2])),
        axes=axes,
        left=float(u0),
        top=float(v0),
        side=float(side),
    )


def rectangles(
    solids: Solids, eye: npt.NDArray[np.float64], axes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return left, right, bottom and top of each solid on the image plane, each ``(n,)``.

    Solids that reach behind the eye get an empty rectangle.
    """
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    reach = np.ones((len(solids.shape), 1, 3))
    torus = solids.shape == Shape.TORUS
    reach[torus, 0, :2] += solids.taper[torus, None]
    reach[torus, 0, 2] = solids.taper[torus]
    corners = solids.centre[:, None] + (reach * signs) @ solids.axes.transpose(0, 2, 1)  # (n, 8, 3)
    seen = (corners - eye) @ axes.T
    behind = seen[:, :, 2].min(axis=1) < 0.05
    plane = seen[:, :, :2] / np.maximum(seen[:, :, 2:], 0.05)
    low, high = plane.min(axis=1), plane.max(axis=1)
    high[behind] = low[behind]
    return low[:, 0], high[:, 0], low[:, 1], high[:, 1]


def _cast_shadows(
    rgb: Floats, ground: Ground, solids: Solids, light: tuple[float, float, float]
) -> None:
    """Darken the ground where solids stand between it and the light: soft ellipses."""
    if not len(ground.y):
        return
    half = half_extents(solids.shape, solids.axes, solids.taper)
    height = np.maximum(solids.centre[:, 2], 0)
    along = height / light[2]
    x = solids.centre[:, 0] - along * light[0]
    y = solids.centre[:, 1] - along * light[1]
    stretch = half[:, 2] / light[2]
    wide = half[:, 0] * 0.9 + 0.5 * stretch * abs(light[0]) + 0.03
    deep = half[:, 1] * 0.9 + 0.5 * stretch * abs(light[1]) + 0.03
    dark = 0.5 / (1 + 0.9 * height)
    shade = np.zeros(ground.x.shape, np.float32)
    fall = -ground.y  # rising, so that rows can be searched
    starts = np.searchsorted(fall, -(y + 1.25 * deep))
    ends = np.searchsorted(fall, -(y - 1.25 * deep))
    for i in range(len(x)):
        rows = slice(int(starts[i]), int(ends[i]))
        if rows.stop <= rows.start:
            continue
        across = (ground.x[rows] - np.float32(x[i])) * np.float32(1 / wide[i])
        onward = (ground.y[rows] - np.float32(y[i])) * np.float32(1 / deep[i])
        inside = np.float32(1.3) - (across * across + (onward * onward)[:, None])
        inside *= np.float32(1.6 * dark[i])
        np.minimum(inside, np.float32(dark[i]), out=inside)
        np.maximum(shade[rows], inside, out=shade[rows])
    rgb[ground.first :] *= (1 - shade)[..., None]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The depth buffer, over the rectangle that solids touch, aligned to whole pixels."""

    row: int  # of the whole grid of samples
    column: int
    depth: Floats  # (h, w) m, inf where nothing is
    solid: npt.NDArray[np.int16]  # (h, w) index of the nearest solid
    normal: Floats  # (3, h, w) in world coordinates, any length
    rise: Floats  # (h, 1) climb of a row's rays per m of depth
    eye_height: float  # m


def trace(solids: Solids, framing: Framing, n: int) -> Samples | None:
    """Find the nearest solid along the rays of an n x n grid; None if no solid is in sight."""
    origin, axes = np.array(framing.eye), framing.axes
    u0, v0, step = framing.left, framing.top, framing.side / n
    left, right, bottom, top = rectangles(solids, origin, axes)
    c0 = np.clip(np.floor((left - u0) / step), 0, n).astype(int)
    c1 = np.clip(np.ceil((right - u0) / step) + 1, 0, n).astype(int)
    r0 = np.clip(np.floor((v0 - top) / step), 0, n).astype(int)
    r1 = np.clip(np.ceil((v0 - bottom) / step) + 1, 0, n).astype(int)
    shown = (c1 - c0 > 1) & (r1 - r0 > 1) & (right > left)
    if not shown.any():
        return None
    align = OVERSAMPLING
    row, column = int(r0[shown].min()) // align * align, int(c0[shown].min()) // align * align
    height = -(-(int(r1[shown].max()) - row) // align) * align
    width = -(-(int(c1[shown].max()) - column) // align) * align
    depth = np.full((height, width), np.inf, np.float32)
    solid = np.zeros((height, width), np.int16)
    normal = np.zeros((3, height, width), np.float32)
    u = (u0 + (np.arange(column, column + width) + 0.5) * step).astype(np.float32)[None, :]
    v = (v0 - (np.arange(row, row + height) + 0.5) * step).astype(np.float32)[:, None]

    inverse = np.linalg.inv(solids.axes)  # (n, 3, 3) world to local
    start = np.einsum("nij,nj->ni", inverse, origin - solids.centre)
    turned = inverse @ axes.T  # (n, 3, 3) local images of right, up, forward
    outward = inverse.transpose(0, 2, 1).astype(np.float32)  # local normal to world normal
    directions = turned.astype(np.float32)
    for i in np.flatnonzero(shown):
        rows = slice(int(r0[i]) - row, int(r1[i]) - row)
        columns = slice(int(c0[i]) - column, int(c1[i]) - column)
        across, up = u[:, columns], v[rows]
        m = directions[i]
        d = (
            (m[0, 2] + up * m[0, 1]) + across * m[0, 0],
            (m[1, 2] + up * m[1, 1]) + across * m[1, 0],
            (m[2, 2] + up * m[2, 1]) + across * m[2, 0],
        )
        shape, taper = int(solids.shape[i]), float(solids.taper[i])
        o = (float(start[i, 0]), float(start[i, 1]), float(start[i, 2]))
        t = meet(shape, o, d, taper)
        nearer = t < depth[rows, columns]
        found = t[nearer]
        if not len(found):
            continue
        depth[rows, columns][nearer] = found
        solid[rows, columns][nearer] = i
        p = (
            np.float32(o[0]) + found * d[0][nearer],
            np.float32(o[1]) + found * d[1][nearer],
            np.float32(o[2]) + found * d[2][nearer],
        )
        normals = outward[i] @ np.stack(local_normal(shape, p, taper))
        normal[:, rows, columns][:, nearer] = normals
    rise = np.float32(axes[1, 2]) * v + np.float32(axes[2, 2])
    return Samples(
        row=row, column=column, depth=depth, solid=solid, normal=normal, rise=rise,
        eye_height=framing.eye[2],
    )  # fmt: skip


def _composite(
    of: Scene,
    solids: Solids,
    axes: npt.NDArray[np.float64],
    samples: Samples,
    light: tuple[float, float, float],
    rgb: Floats,
    depth: Floats,
    mask: npt.NDArray[np.uint8],
) -> None:
    """Shade the samples and lay them over the backdrop, its depth and the mask, in place."""
    height, width = samples.depth.shape
    hit = np.isfinite(samples.depth)
    which = samples.solid[hit]
    n = samples.normal[:, hit]
    n *= 1 / np.sqrt(np.maximum(np.einsum("ij,ij->j", n, n), np.float32(1e-20)))
    facing = np.asarray(light, np.float32) @ n
    middle = np.asarray(light) - axes[2]
    half_way = (middle / np.linalg.norm(middle)).astype(np.float32)
    shine = np.maximum(half_way @ n, 0)
    for _ in range(5):
        shine *= shine  # to the power 32
    z = samples.eye_height + (np.broadcast_to(samples.rise, hit.shape)[hit]) * samples.depth[hit]
    contact = np.float32(0.78) + np.float32(0.22) * np.clip(z * 5, 0, 1)
    diffuse = np.maximum((facing + np.float32(0.2)) * np.float32(1 / 1.2), 0)
    lit = (0.52 + 0.14 * n[2]) * contact + np.float32(0.56 * of.light.strength) * diffuse
    lit = np.maximum(lit, solids.glow[which])
    colours = solids.rgb[which] * lit[:, None] + (np.float32(0.22) * shine)[:, None]

    k = OVERSAMPLING
    layer = np.zeros((height, width, 4), np.float32)
    layer[hit, :3] = np.minimum(colours, np.float32(1.15))
    layer[hit, 3] = 1
    total: Floats = layer[0::k, 0::k] + layer[0::k, 1::k] + layer[1::k, 0::k] + layer[1::k, 1::k]
    layer = total * np.float32(1 / k**2)
    rows = slice(samples.row // k, (samples.row + height) // k)
    columns = slice(samples.column // k, (samples.column + width) // k)
    rgb[rows, columns] *= 1 - layer[..., 3:]
    rgb[rows, columns] += layer[..., :3]

    # The nearest of a pixel's samples decides its depth and its object.
    blocks = samples.depth.reshape(height // k, k, width // k, k).transpose(0, 2, 1, 3)
    flat = blocks.reshape(height // k, width // k, k * k)
    nearest = flat.argmin(axis=2)[..., None]
    near = np.take_along_axis(flat, nearest, axis=2)[..., 0]
    instance = solids.instance.astype(np.uint8)[samples.solid]
    instance = instance.reshape(height // k, k, width // k, k).transpose(0, 2, 1, 3)
    owner = np.take_along_axis(instance.reshape(flat.shape), nearest, axis=2)[..., 0]
    covered = np.isfinite(near)
    depth[rows, columns][covered] = near[covered]
    mask[rows, columns][covered] = owner[covered]


def _render_chunk(ids: Sequence[int], size: int) -> npt.NDArray[np.uint8]:
    """Render some scenes into one array."""
    return np.stack([render(scene(i), size).image for i in ids])


def iter_images(
    ids: Sequence[int], size: int, *, workers: int = 0, chunk: int = 64
) -> Iterator[npt.NDArray[np.uint8]]:
    """Render scenes in order, ``chunk`` at a time.

    Args:
        ids: Scene ids.
        size: px a side.
        workers: Processes to render in; 0 renders in this one.
        chunk: Scenes a step; also how finely the work is split.

    Yields:
        ``(up to chunk, size, size, 3)`` uint8.
    """
    chunks = (ids[start : start + chunk] for start in range(0, len(ids), chunk))
    yield from map_in_order(partial(_render_chunk, size=size), chunks, workers)


def render_batch(ids: Sequence[int], size: int, workers: int = 0) -> npt.NDArray[np.uint8]:
    """Render scenes into one array, ``(n, size, size, 3)`` uint8, in the order of ``ids``."""
    images = np.empty((len(ids), size, size, 3), np.uint8)
    done = 0
    for part in iter_images(ids, size, workers=workers):
        images[done : done + len(part)] = part
        done += len(part)
    return images
