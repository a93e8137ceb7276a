"""Point clouds: samples of an object's surface, as a scanner delivers them.

Points are drawn uniformly by area, exactly: a patch of a unit shape is chosen by an upper bound of
its area, a point on it uniformly, and the point is kept in proportion to how much the placement
stretches the surface there, which is ``|cofactor(axes) @ normal|``. What lies inside another solid
of the same object is no surface and is dropped.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .assembly import TURN, Stream
from .scene import Scene
from .shapes import Floats, Shape, Solids, half_extents

N_POINTS = 8192  # what the point encoder was trained on
MAX_POINTS = 1_000_000
INSIDE = 1e-3  # of a solid's size: how deep below its surface a point counts as inside
FIRST_DRAW = 3.0  # points drawn a point wanted; further draws use the share that was kept
LEAST_SHARE = 0.01  # of drawn points expected to be kept: bounds the size of a further draw
HIDDEN_SHARE = np.float32(0.05)  # of the points of a hidden part that are still seen
STRAYING = 1.3  # sides of the box that stray points lie in, in the object's own
ROUND = np.float32(TURN)  # keeps arrays of float32 what they are

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """Which share of a surface's points is kept, by where they are and how they face."""

    shares: Callable[[Floats, Floats], Floats]  # points and unit normals (3, m) → 0..1, (m,)
    most: Callable[[Numbers, Numbers], Numbers]  # centres (n, 3), radii (n,) → bounds within (n,)


class _Patch(IntEnum):
    """The pieces that the surfaces of the unit shapes consist of."""

    SPHERE = 0
    FACES = 1  # two opposite faces of a box
    LID = 2  # of a frustum
    MANTLE = 3  # of a frustum
    TUBE = 4  # of a torus


@dataclass(frozen=True, kw_only=True)
class _Patches:
    """All patches of some solids, as arrays."""

    kind: npt.NDArray[np.int64]  # (p,) _Patch
    solid: npt.NDArray[np.int64]  # (p,) whose surface it is part of
    axis: npt.NDArray[np.int64]  # (p,) 0, 1 or 2: that FACES lie across; -1 or 1: which LID
    stretch: Numbers  # (p,) upper bound of |cofactor @ normal| on the patch
    area: Numbers  # (p,) m², upper bound


def cofactors(axes: Numbers) -> Numbers:
    """Return the cofactor matrices of ``(n, 3, 3)``: they map local normals to area vectors."""
    x, y, z = axes[:, :, 0], axes[:, :, 1], axes[:, :, 2]
    return np.stack([np.cross(y, z), np.cross(z, x), np.cross(x, y)], axis=2)


def _patches(solids: Solids, cofactor: Numbers) -> _Patches:
    """List the patches of solids, with upper bounds of their areas."""
    taper = solids.taper
    across = np.sqrt((cofactor**2).sum(axis=1))  # (n, 3) of planes across local x, y, z
    largest = np.linalg.norm(cofactor, 2, axis=(1, 2))  # over all directions
    slope = (1 - taper) / 2
    slant = np.sqrt(1 + slope**2)  # length of the mantle a unit of z
    mantle = (np.linalg.norm(cofactor[:, :, :2], 2, axis=(1, 2)) + slope * across[:, 2]) / slant
    ones = np.ones_like(taper)
    rows = [  # shape, patch, axis, stretch, local area or its bound
        (Shape.BALL, _Patch.SPHERE, 0, largest, 2 * TURN * ones),
        (Shape.BOX, _Patch.FACES, 0, across[:, 0], 8 * ones),
        (Shape.BOX, _Patch.FACES, 1, across[:, 1], 8 * ones),
        (Shape.BOX, _Patch.FACES, 2, across[:, 2], 8 * ones),
        (Shape.FRUSTUM, _Patch.LID, -1, across[:, 2], TURN / 2 * ones),
        (Shape.FRUSTUM, _Patch.LID, 1, across[:, 2], TURN / 2 * taper**2),
        (Shape.FRUSTUM, _Patch.MANTLE, 0, mantle, TURN * (1 + taper) * slant),
        (Shape.TORUS, _Patch.TUBE, 0, largest, TURN**2 * taper * (1 + taper)),
    ]
    members = [np.flatnonzero(solids.shape == shape) for shape, *_ in rows]
    counts = [len(own) for own in members]
    return _Patches(
        kind=np.repeat([int(patch) for _, patch, *_ in rows], counts),
        solid=np.concatenate(members),
        axis=np.repeat([axis for _, _, axis, *_ in rows], counts),
        stretch=np.concatenate([row[3][own] for row, own in zip(rows, members, strict=True)]),
        area=np.concatenate(
            [(row[3] * row[4])[own] for row, own in zip(rows, members, strict=True)]
        ),
    )


def _on_patches(
    kind: npt.NDArray[np.int64], axis: npt.NDArray[np.int64], taper: Floats, u: Floats
) -> tuple[Floats, Floats, Floats]:
    """Draw a point uniformly on each of ``n`` patches of unit shapes.

    Args:
        kind: ``(n,)`` _Patch.
        axis: ``(n,)`` as in `_Patches`.
        taper: ``(n,)`` of the solids.
        u: ``(3, n)`` uniform in [0, 1).

    Returns:
        Points and unit normals, ``(3, n)``, local; and the share of the points to keep, ``(n,)``.
    """
    p, normal, share = np.empty_like(u), np.zeros_like(u), np.ones_like(u[0])

    at = np.flatnonzero(kind == _Patch.SPHERE)
    z, angle = 2 * u[0, at] - 1, ROUND * u[1, at]
    flat = np.sqrt(1 - z * z)
    p[0, at], p[1, at], p[2, at] = flat * np.cos(angle), flat * np.sin(angle), z
    normal[:, at] = p[:, at]

    at = np.flatnonzero(kind == _Patch.FACES)
    side = np.where(u[2, at] < 0.5, np.float32(-1), np.float32(1))
    j = axis[at]
    p[j, at], p[(j + 1) % 3, at], p[(j + 2) % 3, at] = side, 2 * u[0, at] - 1, 2 * u[1, at] - 1
    normal[j, at] = side

    at = np.flatnonzero(kind == _Patch.LID)
    radius = np.sqrt(u[0, at]) * np.where(axis[at] > 0, taper[at], np.float32(1))
    angle = ROUND * u[1, at]
    p[0, at], p[1, at], p[2, at] = radius * np.cos(angle), radius * np.sin(angle), axis[at]
    normal[2, at] = axis[at]

    at = np.flatnonzero(kind == _Patch.MANTLE)
    top, angle = taper[at], ROUND * u[1, at]
    radius = np.sqrt(1 - u[0, at] * (1 - top * top))  # the wide end has more area
    cosine, sine = np.cos(angle), np.sin(angle)
    p[0, at], p[1, at] = radius * cosine, radius * sine
    p[2, at] = 2 * u[0, at] * (1 + top) / (1 + radius) - 1
    slope = (1 - top) / 2
    slant = np.sqrt(1 + slope * slope)
    normal[0, at], normal[1, at], normal[2, at] = cosine / slant, sine / slant, slope / slant

    at = np.flatnonzero(kind == _Patch.TUBE)
    tube, angle, around = taper[at], ROUND * u[0, at], ROUND * u[1, at]
    outward = np.cos(around)
    ring = 1 + tube * outward
    cosine, sine = np.cos(angle), np.sin(angle)
    p[0, at], p[1, at], p[2, at] = ring * cosine, ring * sine, tube * np.sin(around)
    normal[0, at], normal[1, at] = outward * cosine, outward * sine
    normal[2, at] = np.sin(around)
    share[at] = ring / (1 + tube)  # the outer side has more area
    return p, normal, share


def _outside(points: Floats, solids: Solids) -> npt.NDArray[np.bool_]:
    """Return which of ``(3, m)`` points lie inside of no solid, ``(m,)``."""
    inverse = np.linalg.inv(solids.axes)
    shift = np.einsum("nij,nj->ni", inverse, solids.centre)
    local = inverse.reshape(-1, 3).astype(np.float32) @ points
    local -= shift.reshape(-1, 1).astype(np.float32)
    outside = np.ones(points.shape[1], np.bool_)
    limit = np.float32(1 - INSIDE)
    for i, shape in enumerate(solids.shape):
        x, y, z = local[3 * i : 3 * i + 3]
        if shape == Shape.BALL:
            outside &= x * x + y * y + z * z > limit * limit
        elif shape == Shape.BOX:
            outside &= np.maximum(np.maximum(np.abs(x), np.abs(y)), np.abs(z)) > limit
        elif shape == Shape.FRUSTUM:
            taper = np.float32(solids.taper[i])
            radius = (1 + taper) / 2 - (1 - taper) / 2 * z - np.float32(INSIDE)
            outside &= (np.abs(z) > limit) | (radius < 0) | (x * x + y * y > radius * radius)
        else:
            tube = np.float32(solids.taper[i])
            ring = np.sqrt(x * x + y * y) - 1
            outside &= ring * ring + z * z > tube * tube * limit * limit
    return outside


def surface_points(
    solids: Solids,
    n: int,
    generator: np.random.Generator,
    visibility: Visibility | None = None,
) -> tuple[Floats, Floats]:
    """Draw points of the outer surface of some solids, all of which form one body.

    Args:
        solids: The body's parts; they may overlap.
        n: How many points.
        generator: Supplies uniform numbers.
        visibility: How dense the points are where; without it they are uniform by area.

    Returns:
        Points in m and outward unit normals, both ``(n, 3)``.
    """
    cofactor = cofactors(solids.axes)
    patches = _patches(solids, cofactor)
    most = np.ones(len(solids.shape))
    if visibility is not None:
        half = half_extents(solids.shape, solids.axes, solids.taper)
        most = visibility.most(solids.centre, np.sqrt((half * half).sum(axis=1)))
    edges = np.cumsum(patches.area * most[patches.solid])
    most = most.astype(np.float32)
    stretch, taper = patches.stretch.astype(np.float32), solids.taper.astype(np.float32)
    outward, axes = cofactor.astype(np.float32), solids.axes.astype(np.float32)
    centre = solids.centre.T.astype(np.float32)
    points, normals = np.empty((3, n), np.float32), np.empty((3, n), np.float32)
    done, drawn = 0, 0
    wanted = int(FIRST_DRAW * n)
    while done < n:
        drawn += wanted
        patch = np.searchsorted(edges[:-1], generator.random(wanted) * edges[-1], side="right")
        u = generator.random((4, wanted), dtype=np.float32)
        solid = patches.solid[patch]
        p, normal, share = _on_patches(
            patches.kind[patch], patches.axis[patch], taper[solid], u[:3]
        )
        normal = _map(outward, solid, normal)
        length = np.sqrt((normal * normal).sum(axis=0))
        keep = np.flatnonzero(u[3] * stretch[patch] < share * length)
        solid = solid[keep]
        normal = normal[:, keep] / length[keep]
        p = _map(axes, solid, p[:, keep]) + centre[:, solid]
        if visibility is not None:
            chance = generator.random(len(keep), dtype=np.float32) * most[solid]
            seen = chance < visibility.shares(p, normal)
            p, normal = p[:, seen], normal[:, seen]
        keep = np.flatnonzero(_outside(p, solids))[: n - done]
        points[:, done : done + len(keep)] = p[:, keep]
        normals[:, done : done + len(keep)] = normal[:, keep]
        done += len(keep)
        wanted = int(1.1 * (n - done) / max(done / drawn, LEAST_SHARE)) + 64
    return points.T, normals.T


def _map(matrices: Floats, which: npt.NDArray[np.int64], vectors: Floats) -> Floats:
    """Apply to each of ``(3, m)`` vectors the matrix, of ``(n, 3, 3)``, that ``which`` names."""
    rows = matrices.reshape(-1, 9).T  # (9, n)
    x, y, z = vectors
    return np.stack(
        [
            rows[3 * i][which] * x + rows[3 * i + 1][which] * y + rows[3 * i + 2][which] * z
            for i in range(3)
        ]
    )


def solids_of(of: Scene, instance: int) -> Solids:
    """Return the solids of one object of a scene: 1 for the first, 2 for the second."""
    return of.solids.chosen(of.solids.instance == instance)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """How an object is scanned: from where, how completely, how precisely, and how it lies."""

    towards: tuple[float, float, float]  # unit vector from the object to the scanner
    distance: float  # of the scanner from the object's middle, in radii of the object
    back: float  # share of the points that a surface facing away keeps
    hole: float  # radius of the part that something hides, in radii of the object
    jitter: float  # standard deviation of a point along each axis, in radii of the object
    stray: float  # share of the points that belong to no surface
    turn: Numbers  # (3, 3) rotation of the cloud: a scanned thing lies anyhow


def scan(of: Scene, instance: int = 1) -> Scan:
    """Return how an object of a scene is scanned."""
    stream = Stream(of.id, f"scan {instance}")
    azimuth, elevation = stream.uniform(0, TURN), stream.uniform(-0.2, 0.9)
    flat = math.cos(elevation)
    return Scan(
        towards=(flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)),
        distance=stream.uniform(1.5, 3.0),
        back=stream.uniform(0.15, 0.8),
        hole=stream.uniform(0.0, 0.7),
        jitter=stream.uniform(0.002, 0.01),
        stray=stream.uniform(0.0, 0.003),
        turn=stream.rotation(),
    )


def cloud(of: Scene, n_points: int = N_POINTS, instance: int = 1) -> Floats:
    """Scan one object of a scene.

    Args:
        of: The scene.
        n_points: How many points, 2 to 1,000,000.
        instance: 1 for the first object, 2 for the second.

    Returns:
        ``(n_points, 3)``: turned anyhow, moved to the mean and scaled so that the farthest point
        is at distance 1.

    Raises:
        UsageError: The scene has no such object, or no cloud has so many points.
    """
    if not 1 <= instance <= len(of.objects):
        raise UsageError(
            f"asked for object {instance} of scene {of.id}, which has {len(of.objects)}"
        )
    if not 2 <= n_points <= MAX_POINTS:
        raise UsageError(f"asked for {n_points} points; a cloud has 2 to {MAX_POINTS:,}")
    how = scan(of, instance)
    generator = Stream(of.id, f"cloud {instance}").generator
    body = solids_of(of, instance)
    half = half_extents(body.shape, body.axes, body.taper)
    low, high = (body.centre - half).min(axis=0), (body.centre + half).max(axis=0)
    middle, extent = (low + high) / 2, high - low
    radius = math.sqrt(float((extent * extent).sum())) / 2
    hidden = middle + extent * (generator.random(3) - 0.5)

    towards, place = np.array(how.towards, np.float32), hidden[:, None].astype(np.float32)
    scanner = middle + how.distance * radius * np.array(how.towards)
    origin = scanner[:, None].astype(np.float32)
    nearest, reach = (how.distance - 1) * radius, how.hole * radius

    def shares(points: Floats, normals: Floats) -> Floats:
        facing = np.clip(np.float32(0.25) + np.float32(1.5) * (towards @ normals), 0, 1)
        share: Floats = np.float32(how.back) + np.float32(1 - how.back) * facing
        share *= np.float32(nearest**2) / ((points - origin) ** 2).sum(axis=0)
        share[((points - place) ** 2).sum(axis=0) < np.float32(reach**2)] *= HIDDEN_SHARE
        return share

    def most(centres: Numbers, radii: Numbers) -> Numbers:
        away = np.sqrt(((centres - scanner) ** 2).sum(axis=1)) - radii
        share: Numbers = (nearest / np.maximum(away, nearest)) ** 2
        hidden_whole = np.sqrt(((centres - hidden) ** 2).sum(axis=1)) + radii < reach
        share[hidden_whole] *= HIDDEN_SHARE
        return share

    visibility = Visibility(shares=shares, most=most)
    points = surface_points(body, n_points, generator, visibility)[0].astype(np.float64)
    points += generator.standard_normal(points.shape) * (how.jitter * radius)
    stray = np.flatnonzero(generator.random(n_points) < how.stray)
    points[stray] = middle + STRAYING * extent * (generator.random((len(stray), 3)) - 0.5)
    points = points @ how.turn.T
    points -= points.mean(axis=0)
    farthest = math.sqrt(float((points * points).sum(axis=1).max()))
    return (points / farthest).astype(np.float32)
