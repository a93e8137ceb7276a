"""Point clouds to the points that the point encoder reads.

A cloud is a set of x y z coordinates in any unit. By default rows with NaN are dropped, a cloud of
more points than the encoder was trained on is brought to that count by farthest-point sampling, and
it is moved and scaled into the unit ball, as Point-Bind's training data were. A smaller cloud keeps
its points, as in the published code: repeated, they would fill each other's neighbourhoods.
``reference=True`` hands over what the file holds, as Point-Bind's inference code does.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import MediaError
from .cloudfiles import MAX_BYTES, Coordinates, read_cloud_file
from .media import (
    Array,
    Floats,
    as_array,
    check_finite,
    is_array_file,
    is_source,
    label,
    load_array,
    open_bytes,
)

THINNED = 65_536  # points that farthest-point sampling looks at; larger clouds are thinned first
FARTHEST = 1e100  # of a coordinate, in any unit; its square must be a number
CLOSEST = 1e-14  # radius over the distance from the origin: below, it is rounding of doubles
MAX_NUMBERS = 30_000_000  # in a file: ten million points, or half as many with colours


def load_cloud(item: object) -> Coordinates:
    """Read the coordinates of a cloud, ``(N, 3)``.

    Args:
        item: A path, bytes or a file object of npy, npz (array ``points``) or pt, of ply, obj, off
            or stl (of which meshes are sampled on their surface), of pcd, pts or xyz; or an array
            or tensor ``(N, 3)`` or wider. Columns after the third (colours, normals) are left out.

    Raises:
        MediaError: It cannot be read or is no cloud.
    """
    name = label(item)
    array = as_array(item)
    if array is None:
        if not is_source(item):
            raise MediaError(f"{name} is no point cloud; give a path, bytes, a file or an array")
        with open_bytes(item) as file:
            if not is_array_file(file):
                return read_cloud_file(file.read(MAX_BYTES + 1), name)
            array = load_array(file, name, member="points", max_numbers=MAX_NUMBERS)
    return _coordinates(array, name)


def _coordinates(array: Array, name: str) -> Coordinates:
    """The first three columns."""
    if array.ndim == 2 and array.shape[0] == 3 and array.shape[1] > 3:
        raise MediaError(f"{name}: points of shape {array.shape}: expected (N, 3); transpose")
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "fiu":
        raise MediaError(
            f"{name}: points of shape {array.shape} and type {array.dtype}: expected (N, 3) numbers"
        )
    return array[:, :3].astype(np.float64)


def farthest_points(points: Coordinates, n_points: int) -> npt.NDArray[np.int64]:
    """Choose ``n_points`` of ``(N, 3)`` that cover the cloud; their places, ``(n_points,)``.

    Starts with point 0; each next point is the one farthest from all chosen ones.
    """
    offsets = points - points.mean(axis=0)
    _, exponent = np.frexp(np.abs(offsets).max())  # so that no square leaves float32's range
    columns = np.ascontiguousarray(np.ldexp(offsets, -exponent).T.astype(np.float32))
    chosen = np.zeros(n_points, np.int64)
    nearest = np.full(columns.shape[1], np.inf, np.float32)  # squared, to the chosen ones
    distance = np.empty_like(nearest)
    offset = np.empty_like(nearest)
    for i in range(1, n_points):
        last = columns[:, chosen[i - 1]]
        np.subtract(columns[0], last[0], out=distance)
        np.square(distance, out=distance)
        for axis in (1, 2):
            np.subtract(columns[axis], last[axis], out=offset)
            np.square(offset, out=offset)
            np.add(distance, offset, out=distance)
        np.minimum(nearest, distance, out=nearest)
        chosen[i] = nearest.argmax()
    return chosen


def resample_cloud(points: Coordinates, n_points: int, min_points: int) -> Coordinates:
    """At most ``n_points`` of a cloud, by farthest-point sampling; repeated if it has too few.

    A cloud of more than 65,536 points is first thinned to evenly spaced rows of the file.

    Args:
        points: ``(N, 3)``, at least one.
        n_points: What a larger cloud is brought to.
        min_points: What a smaller cloud is brought to, by repeating its points in order.
    """
    if len(points) > THINNED:
        points = points[np.linspace(0, len(points) - 1, THINNED).astype(np.int64)]
    if len(points) > n_points:
        return points[farthest_points(points, n_points)]
    return points[np.arange(max(len(points), min_points)) % len(points)]


@dataclass(frozen=True, kw_only=True)
class PointsPreprocessor:
    """A cloud to ``(N, 3)`` float32 in the unit ball; ``reference`` leaves it as it is."""

    n_points: int = 8192  # at most: what the point encoder was trained on
    min_points: int = 32  # at least: what one group of the point encoder takes
    reference: bool = False

    def __call__(self, item: object) -> Floats:
        """Prepare one cloud that :func:`load_cloud` takes.

        Raises:
            MediaError: It cannot be read, has no finite point, or all its points coincide.
        """
        name = label(item)
        points = load_cloud(item)
        if self.reference:
            check_finite(points, name)
            return points.astype(np.float32)
        points = points[np.isfinite(points).all(axis=1)]
        if not len(points):
            raise MediaError(f"{name} has no point whose coordinates are finite")
        if np.abs(points).max() > FARTHEST:
            raise MediaError(f"{name} has coordinates above {FARTHEST:g}; its units are wrong")
        sampled = resample_cloud(points, self.n_points, self.min_points)
        sampled -= sampled.mean(axis=0)
        radius = float(np.linalg.norm(sampled, axis=1).max())
        if radius <= CLOSEST * np.abs(points).max():
            raise MediaError(f"{name}: all points coincide; it has no shape")
        return (sampled / radius).astype(np.float32)
