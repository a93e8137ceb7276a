"""Solids that everything in the world is made of, and where a ray meets them.

A solid is one of four unit shapes under an affine placement: world = centre + axes @ local.
Rays are ``origin + t * direction`` with a direction that advances 1 m along the optical axis, so
``t`` is at once the ray parameter and the depth in metres.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Vector = tuple[float, float, float]

TORUS_STEPS = 32  # of sphere tracing; fewer than 1 in 1000 rays that graze the tube take more
TORUS_TOLERANCE = 0.02  # of the ring's radius: how near to the tube counts as touching it


class Shape(IntEnum):
    """The unit shapes, in local coordinates."""

    BALL = 0  # |p| <= 1
    BOX = 1  # |x|, |y|, |z| <= 1
    FRUSTUM = 2  # |z| <= 1, radius 1 at z = -1 and ``taper`` <= 1 at z = 1
    TORUS = 3  # ring of radius 1 in the xy plane, tube of radius ``taper``; axes are orthogonal


@dataclass(frozen=True, slots=True)
class Solid:
    """One placed shape. Positional: a scene makes dozens of them."""

    shape: Shape
    centre: Vector  # m
    axes: tuple[Vector, Vector, Vector]  # images of the local x, y, z unit vectors, m
    taper: float  # see Shape; 1 where it has no meaning
    paint: str  # a name of colours.PAINTS, or main, main dark, main light, contrast


@dataclass(frozen=True, kw_only=True)
class Solids:
    """Many solids as arrays, in world coordinates."""

    shape: npt.NDArray[np.int64]  # (n,) Shape
    centre: npt.NDArray[np.float64]  # (n, 3) m
    axes: npt.NDArray[np.float64]  # (n, 3, 3) m; column j is the image of local axis j
    taper: npt.NDArray[np.float64]  # (n,)
    rgb: Floats  # (n, 3) sRGB 0..1
    glow: Floats  # (n,) share of the colour that needs no light
    instance: npt.NDArray[np.int64]  # (n,) 1 for the first object, 2 for the second, 0 for clutter

    def chosen(self, which: npt.NDArray[np.bool_]) -> "Solids":
        """Return some of the solids; ``which`` is ``(n,)``."""
        return Solids(**{name: part[which] for name, part in vars(self).items()})


def rotation_matrices(quaternions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rotations ``(..., 3, 3)`` of unit quaternions ``(..., 4)``, scalar last."""
    x, y, z, w = np.moveaxis(quaternions, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def half_extents(
    shape: npt.NDArray[np.int64],
    axes: npt.NDArray[np.float64],
    taper: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return half the size of each solid's axis-aligned bounding box, ``(n, 3)``, in m.

    Exact for boxes and balls; frustums and tori get the box around their local bounding box.
    """
    reach = np.ones(axes.shape[:1] + (3,))
    torus = shape == Shape.TORUS
    reach[torus] = 1 + taper[torus, None]
    reach[torus, 2] = taper[torus]
    scaled = axes * reach[:, None, :]
    around_box = np.abs(scaled).sum(axis=2)
    around_ball = np.sqrt((scaled**2).sum(axis=2))
    half: npt.NDArray[np.float64] = np.where(
        (shape == Shape.BALL)[:, None], around_ball, around_box
    )
    return half


def meet_ball(o: Vector, d: tuple[Floats, Floats, Floats]) -> Floats:
    """Return where rays enter the unit ball; inf where they miss.

    Args:
        o: The rays' common origin, in local coordinates, outside of the ball.
        d: Their directions in local coordinates, three arrays of one shape.
    """
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = np.float32(o[0]) * d[0] + np.float32(o[1]) * d[1] + np.float32(o[2]) * d[2]
    c = np.float32(o[0] ** 2 + o[1] ** 2 + o[2] ** 2 - 1)
    discriminant = b * b - a * c
    t: Floats = np.divide(-b - np.sqrt(np.maximum(discriminant, 0)), a, dtype=np.float32)
    t[discriminant < 0] = np.inf
    return t


def meet_box(o: Vector, d: tuple[Floats, Floats, Floats]) -> Floats:
    """Return where rays enter the cube of half side 1; inf where they miss. See `meet_ball`."""
    tiny = np.float32(1e-12)  # keeps a ray that runs inside a face from dividing by zero
    enter: Floats = np.full(d[0].shape, -np.inf, np.float32)
    leave: Floats = np.full(d[0].shape, np.inf, np.float32)
    for along, direction in zip(o, d, strict=True):
        inverse = 1 / (direction + tiny)
        middle = np.float32(-along) * inverse
        half = np.abs(inverse)
        np.maximum(enter, middle - half, out=enter)
        np.minimum(leave, middle + half, out=leave)
    enter[enter > leave] = np.inf
    return enter


def meet_frustum(o: Vector, d: tuple[Floats, Floats, Floats], taper: float) -> Floats:
    """Return where rays enter the frustum; inf where they miss. See `meet_ball`."""
    x, y, z = (np.float32(value) for value in o)
    dx, dy, dz = d
    slope = np.float32((taper - 1) / 2)  # the radius is middle + slope * z
    middle = np.float32((taper + 1) / 2)
    radius = middle + slope * z
    a = dx * dx + dy * dy - (slope * slope) * (dz * dz)
    a = np.where(np.abs(a) < 1e-9, np.float32(1e-9), a)
    b = x * dx + y * dy - (slope * radius) * dz
    c = x * x + y * y - radius * radius
    discriminant = b * b - a * c
    missed = discriminant < 0
    root = np.sqrt(np.maximum(discriminant, 0))
    t: Floats = np.divide(-b - root, a, dtype=np.float32)
    t[missed | (np.abs(z + t * dz) > 1)] = np.inf
    if slope != 0:  # seen from within the angle of the cone, the other root is the near one
        other = (-b + root) / a
        other[missed | (np.abs(z + other * dz) > 1) | (other < 0)] = np.inf
        t[t < 0] = np.inf
        t = np.minimum(t, other)
    if abs(z) > 1:  # one of the two lids faces the origin
        lid = math.copysign(1.0, z)
        lid_radius = 1.0 if lid < 0 else taper
        cap = (np.float32(lid) - z) / dz
        cx = x + cap * dx
        cy = y + cap * dy
        on_lid = (cx * cx + cy * cy <= lid_radius * lid_radius) & (cap > 0)
        t = np.where(on_lid, np.minimum(t, cap), t)
    return t


def meet_torus(o: Vector, d: tuple[Floats, Floats, Floats], tube: float) -> Floats:
    """Return where rays enter the torus; inf where they miss. See `meet_ball`.

    Sphere tracing from the entry into the flat cylinder around the torus.
    """
    height = tube + TORUS_TOLERANCE
    outer = 1 + height
    wide = (d[0] / np.float32(outer), d[1] / np.float32(outer), d[2] / np.float32(height))
    start = meet_frustum((o[0] / outer, o[1] / outer, o[2] / height), wide, 1.0)
    found: Floats = np.full(start.shape, np.inf, np.float32)
    candidates = np.flatnonzero(np.isfinite(start.ravel()))
    if not len(candidates):
        return found
    t = start.ravel()[candidates]
    dx, dy, dz = (np.broadcast_to(part, start.shape).ravel()[candidates] for part in d)
    pace = 1 / np.sqrt(dx * dx + dy * dy + dz * dz)
    x, y, z = (np.float32(value) for value in o)
    distance = np.zeros_like(t)
    for _ in range(TORUS_STEPS):
        px, py, pz = x + t * dx, y + t * dy, z + t * dz
        ring = np.sqrt(px * px + py * py) - 1
        distance = np.sqrt(ring * ring + pz * pz) - np.float32(tube)
        t += distance * pace
    found.ravel()[candidates[distance < TORUS_TOLERANCE]] = t[distance < TORUS_TOLERANCE]
    return found


def meet(shape: int, o: Vector, d: tuple[Floats, Floats, Floats], taper: float) -> Floats:
    """Return where rays enter a shape, as depth in m; inf where they miss. See `meet_ball`."""
    if shape == Shape.BALL:
        return meet_ball(o, d)
    if shape == Shape.BOX:
        return meet_box(o, d)
    if shape == Shape.FRUSTUM:
        return meet_frustum(o, d, taper)
    return meet_torus(o, d, taper)


def local_normal(
    shape: int, p: tuple[Floats, Floats, Floats], taper: float
) -> tuple[Floats, Floats, Floats]:
    """Return the outward normals, of any length, at surface points; all in local coordinates."""
    x, y, z = p
    if shape == Shape.BALL:
        return p
    if shape == Shape.BOX:
        ax, ay, az = np.abs(x), np.abs(y), np.abs(z)
        on_x = (ax >= ay) & (ax >= az)
        on_y = ~on_x & (ay >= az)
        return (x * on_x, y * on_y, z * ~(on_x | on_y))
    if shape == Shape.FRUSTUM:
        slope = np.float32((taper - 1) / 2)
        radius = np.float32((taper + 1) / 2) + slope * z
        # A point on a lid lies inside of the mantle, unless it is on the rim.
        lid = (np.abs(z) > 0.9995) & (x * x + y * y < 0.998 * radius * radius)
        upward: Floats = np.where(lid, z, -slope * radius)
        return (x * ~lid, y * ~lid, upward)
    from_axis: Floats = np.sqrt(x * x + y * y)
    inward: Floats = np.subtract(1, 1 / from_axis, dtype=np.float32)
    return x * inward, y * inward, z
