"""Building an object out of solids, and the random streams that vary it.

Objects are built in their own coordinates: x points where the object faces, y to its left, z up.
The unit is free, since a finished object is scaled to the size the scene gives it.
"""

import math
import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from .shapes import Shape, Solid, Vector, rotation_matrices

WORLD_VERSION = 1  # enters every stream: raise it when scenes are meant to change

TURN = 2 * math.pi

T = TypeVar("T")


class Stream:
    """Random draws for one aspect of one scene.

    Every aspect (``"pose"``, ``"light"``, ...) has its own stream, so that a new aspect leaves
    all others as they were. Only uniform doubles are drawn, which numpy keeps stable.
    """

    def __init__(self, scene_id: int, aspect: str) -> None:
        """Seed from the scene's id, the aspect's name and `WORLD_VERSION`."""
        seed = np.random.SeedSequence((scene_id, zlib.crc32(aspect.encode()), WORLD_VERSION))
        self.generator = np.random.Generator(np.random.PCG64(seed))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draw from [low, high)."""
        return low + (high - low) * float(self.generator.random())

    def integer(self, n: int) -> int:
        """Draw one of 0 .. n - 1."""
        return int(self.generator.random() * n)

    def choice(self, values: Sequence[T]) -> T:
        """Draw one of the values."""
        return values[self.integer(len(values))]

    def chance(self, probability: float) -> bool:
        """Draw True with the given probability."""
        return float(self.generator.random()) < probability

    def rotation(self) -> npt.NDArray[np.float64]:
        """Draw the matrix ``(3, 3)`` of a rotation, every one of which is as likely.

        Source: Shoemake, Uniform random rotations, Graphics Gems III, 1992.
        """
        share, first, second = self.uniform(), self.uniform(0, TURN), self.uniform(0, TURN)
        near, far = math.sqrt(1 - share), math.sqrt(share)
        return rotation_matrices(
            np.array([
                near * math.sin(first),
                near * math.cos(first),
                far * math.sin(second),
                far * math.cos(second),
            ])
        )  # fmt: skip


class Assembly:
    """A list of solids that grows by the methods below; lengths in the object's own unit."""

    def __init__(self, stream: Stream) -> None:
        """Start empty; ``stream`` supplies the variation between objects of one category."""
        self.solids: list[Solid] = []
        self.stream = stream

    def vary(self, share: float = 0.15) -> float:
        """Draw a factor from 1 - share to 1 + share."""
        return self.stream.uniform(1 - share, 1 + share)

    def chance(self, probability: float) -> bool:
        """Draw True with the given probability: for optional parts."""
        return self.stream.chance(probability)

    def ball(
        self,
        at: Vector,
        radii: float | Vector,
        paint: str,
        turn: tuple[str, float] | None = None,
    ) -> None:
        """Add a ball, or with three radii an ellipsoid.

        Args:
            at: Its centre.
            radii: Along x, y, z before the turn.
            paint: Name of its paint.
            turn: Axis (x, y or z) and degrees, by the right-hand rule.
        """
        x, y, z = radii if isinstance(radii, tuple) else (radii, radii, radii)
        self.solids.append(Solid(Shape.BALL, at, _turned((x, y, z), turn), 1.0, paint))

    def box(
        self,
        at: Vector,
        size: Vector,
        paint: str,
        turn: tuple[str, float] | None = None,
    ) -> None:
        """Add a box by its centre and full side lengths; ``turn`` as in `ball`."""
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        self.solids.append(Solid(Shape.BOX, at, _turned(half, turn), 1.0, paint))

    def rod(
        self,
        start: Vector,
        end: Vector,
        radius: float,
        paint: str,
        end_radius: float | None = None,
    ) -> None:
        """Add a round rod between two points; with ``end_radius`` it tapers, 0 makes a cone."""
        if end_radius is not None and end_radius > radius:  # the wide end is local z = -1
            start, end, radius, end_radius = end, start, end_radius, radius
        half = tuple((b - a) / 2 for a, b in zip(start, end, strict=True))
        centre = tuple((b + a) / 2 for a, b in zip(start, end, strict=True))
        length = math.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
        w = (half[0] / length, half[1] / length, half[2] / length)
        helper = (1.0, 0.0, 0.0) if abs(w[0]) < 0.7 else (0.0, 1.0, 0.0)
        u = _cross(helper, w)
        norm = math.sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2)
        u = (u[0] / norm * radius, u[1] / norm * radius, u[2] / norm * radius)
        v = _cross(w, u)
        taper = 1.0 if end_radius is None else end_radius / radius
        self.solids.append(
            Solid(
                Shape.FRUSTUM,
                (centre[0], centre[1], centre[2]),
                (u, v, (half[0], half[1], half[2])),
                taper,
                paint,
            )
        )

    def tower(
        self,
        at: Vector,
        radii: tuple[float, float],
        height: float,
        paint: str,
        top: float = 1.0,
        turn: tuple[str, float] | None = None,
    ) -> None:
        """Add an upright frustum with an elliptical section.

        Args:
            at: The centre of its base before the turn, which is about the solid's middle.
            radii: Of the base, along x and y.
            height: From base to top.
            paint: Name of its paint.
            top: Radius at the top as a share of the base's; 0 makes a cone, over 1 a funnel.
            turn: As in `ball`.
        """
        centre = (at[0], at[1], at[2] + height / 2)
        wide, up = max(1.0, top), 1.0 if top <= 1 else -1.0  # the wide end is local z = -1
        axes = _turned((radii[0] * wide, radii[1] * wide, up * height / 2), turn)
        taper = top if top <= 1 else 1 / top
        self.solids.append(Solid(Shape.FRUSTUM, centre, axes, taper, paint))

    def ring(
        self,
        at: Vector,
        radius: float,
        tube: float,
        paint: str,
        turn: tuple[str, float] | None = None,
    ) -> None:
        """Add a torus; without a turn it lies flat, its axis along z."""
        axes = _turned((radius, radius, radius), turn)
        self.solids.append(Solid(Shape.TORUS, at, axes, tube / radius, paint))

    def wheel(
        self, at: Vector, radius: float, width: float, paint: str = "dark", hub: str = "steel"
    ) -> None:
        """Add a wheel that rolls along x: a tyre and a hub that shows on both sides."""
        x, y, z = at
        self.rod((x, y - width / 2, z), (x, y + width / 2, z), radius, paint)
        self.rod((x, y - width * 0.55, z), (x, y + width * 0.55, z), radius * 0.5, hub)

    def eyes(self, x: float, y: float, z: float, radius: float, paint: str = "dark") -> None:
        """Add two small balls on either side of the middle plane."""
        for side in (-1, 1):
            self.ball((x, side * y, z), radius, paint)

    def chain(self, points: Sequence[Vector], radii: Sequence[float], paint: str) -> None:
        """Add rods from point to point with a ball at every joint between them."""
        for i in range(len(points) - 1):
            self.rod(points[i], points[i + 1], radii[i], paint, radii[i + 1])
            if i:
                self.ball(points[i], radii[i], paint)


Builder = Callable[[Assembly], None]


def _cross(a: Vector, b: Vector) -> Vector:
    """Return the vector product."""
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def _turned(lengths: Vector, turn: tuple[str, float] | None) -> tuple[Vector, Vector, Vector]:
    """Return the three axes of the given lengths, turned about one of x, y, z by degrees."""
    x, y, z = lengths
    if turn is None:
        return ((x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z))
    axis, degrees = turn
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if axis == "x":
        return ((x, 0.0, 0.0), (0.0, c * y, s * y), (0.0, -s * z, c * z))
    if axis == "y":
        return ((c * x, 0.0, -s * x), (0.0, y, 0.0), (s * z, 0.0, c * z))
    return ((c * x, s * x, 0.0), (-s * y, c * y, 0.0), (0.0, 0.0, z))
