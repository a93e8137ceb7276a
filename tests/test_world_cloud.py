"""Clouds: exact areas, points on the surfaces, and how they vary."""

import math
import subprocess
import sys
import zlib

import numpy as np
import numpy.typing as npt
import pytest

from anybind.errors import UsageError
from anybind.world.assembly import Stream
from anybind.world.cloud import Visibility, cloud, solids_of, surface_points
from anybind.world.scene import Scene, scene
from anybind.world.shapes import Floats, Shape, Solids

Numbers = npt.NDArray[np.float64]
CHI_SQUARE_999 = {1: 10.8, 2: 13.8, 4: 18.5, 5: 20.5, 15: 37.7}  # 99.9 % by degrees of freedom

RECORDED = {  # spread along x, y, z and height of the median point
    0: (0.2420, 0.2437, 0.3282, 0.0882),
    1: (0.1192, 0.2728, 0.2050, 0.0482),
    20_000_000: (0.2300, 0.1890, 0.2801, -0.0126),
}


def placed(*parts: tuple[Shape, float, tuple[float, float, float], Numbers]) -> Solids:
    """Solids of one object from shape, taper, centre and axes."""
    n = len(parts)
    return Solids(
        shape=np.array([shape for shape, *_ in parts], np.int64),
        centre=np.array([centre for _, _, centre, _ in parts]),
        axes=np.array([axes for *_, axes in parts]),
        taper=np.array([taper for _, taper, *_ in parts]),
        rgb=np.zeros((n, 3), np.float32),
        glow=np.zeros(n, np.float32),
        instance=np.ones(n, np.int64),
    )


def rotation(seed: int) -> Numbers:
    """A rotation, the same for a seed."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turn: Numbers = q * np.sign(np.diag(r)) * np.sign(np.linalg.det(q * np.sign(np.diag(r))))
    return turn


def chi_square(counts: Numbers, expected: Numbers) -> float:
    """Pearson's statistic, for expected numbers of any common factor."""
    expected = expected * (counts.sum() / expected.sum())
    return float(((counts - expected) ** 2 / expected).sum())


def test_solids_get_points_in_proportion_to_their_areas() -> None:
    """Areas by formula: ball, box, cone frustum, torus, prolate spheroid; they do not touch."""
    slant = math.hypot(1 - 0.4, 2 * 0.5)
    oval = math.sqrt(1 - 0.5**2)
    areas = np.array(
        [
            4 * math.pi * 0.7**2,
            8 * (0.5 * 0.2 + 0.2 * 0.9 + 0.9 * 0.5),
            math.pi * ((1 + 0.4) * slant + 1 + 0.4**2),
            4 * math.pi**2 * 0.8 * (0.25 * 0.8),
            2 * math.pi * 0.5**2 * (1 + math.asin(oval) / (0.5 * oval)),
        ]
    )
    parts = [
        (Shape.BALL, 1.0, (0.0, 0.0, 0.0), rotation(1) * 0.7),
        (Shape.BOX, 1.0, (5.0, 0.0, 0.0), rotation(2) * [0.5, 0.2, 0.9]),
        (Shape.FRUSTUM, 0.4, (10.0, 0.0, 0.0), rotation(3) * [1, 1, 0.5]),
        (Shape.TORUS, 0.25, (15.0, 0.0, 0.0), rotation(4) * 0.8),
        (Shape.BALL, 1.0, (20.0, 0.0, 0.0), rotation(5) * [0.5, 1.0, 0.5]),
    ]
    points, _ = surface_points(placed(*parts), 40_000, np.random.default_rng(0))
    counts = np.bincount(np.rint(points[:, 0] / 5).astype(int), minlength=5)
    assert chi_square(counts.astype(np.float64), areas) < CHI_SQUARE_999[4]


@pytest.mark.parametrize(
    ("shape", "taper", "scale"),
    [
        (Shape.BALL, 1.0, (1.0, 0.3, 0.1)),
        (Shape.FRUSTUM, 0.0, (1.0, 0.4, 0.8)),
        (Shape.FRUSTUM, 0.6, (0.2, 0.2, 1.0)),
        (Shape.TORUS, 0.3, (1.0, 0.5, 0.7)),
    ],
)
def test_points_are_uniform_by_area_all_over_a_surface(
    shape: Shape, taper: float, scale: tuple[float, float, float]
) -> None:
    """The area of each of 16 pieces is that of a fine mesh of triangles over it."""
    axes = rotation(6) * np.array(scale)
    points, _ = surface_points(placed((shape, taper, (0, 0, 0), axes)), 30_000,
                               np.random.default_rng(1))  # fmt: skip
    local = points @ np.linalg.inv(axes).T
    if shape is Shape.FRUSTUM:  # lids aside
        local = local[np.abs(local[:, 2]) < 1 - 1e-5]
    around = np.floor((np.arctan2(local[:, 1], local[:, 0]) / (2 * math.pi) % 1) * 4)
    if shape is Shape.TORUS:
        ring = np.hypot(local[:, 0], local[:, 1]) - 1
        along = np.floor((np.arctan2(local[:, 2], ring) / (2 * math.pi) % 1) * 4)
    else:
        along = np.floor((local[:, 2] + 1) * 2)
    counts = np.bincount((around * 4 + np.clip(along, 0, 3)).astype(int), minlength=16)

    t = np.linspace(0, 1, 401)
    angle, height = np.meshgrid(2 * math.pi * t, t, indexing="ij")
    if shape is Shape.TORUS:
        tube = 1 + taper * np.cos(2 * math.pi * height)
        third = taper * np.sin(2 * math.pi * height)
    else:
        third = 2 * height - 1
        tube = np.sqrt(np.maximum(1 - third**2, 0))
        if shape is Shape.FRUSTUM:
            tube = (1 + taper) / 2 - (1 - taper) / 2 * third
    mesh = np.stack([tube * np.cos(angle), tube * np.sin(angle), third], axis=2) @ axes.T
    a, b, c, d = mesh[:-1, :-1], mesh[1:, :-1], mesh[:-1, 1:], mesh[1:, 1:]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=2) / 2
    area += np.linalg.norm(np.cross(b - d, c - d), axis=2) / 2
    expected = area.reshape(4, 100, 4, 100).sum(axis=(1, 3)).ravel()
    assert chi_square(counts.astype(np.float64), expected) < CHI_SQUARE_999[15]


def test_faces_and_lids_are_where_they_belong() -> None:
    """A box of 1 x 2 x 3 m and a cylinder: shares of faces and lids, by their areas."""
    box = placed((Shape.BOX, 1.0, (0, 0, 0), np.diag([0.5, 1.0, 1.5])))
    points, normals = surface_points(box, 20_000, np.random.default_rng(2))
    side = np.abs(normals).argmax(axis=1) * 2 + (normals.max(axis=1) > 0.5)
    areas = np.repeat([6.0, 3.0, 2.0], 2)
    assert chi_square(np.bincount(side, minlength=6).astype(np.float64), areas) < CHI_SQUARE_999[5]
    np.testing.assert_allclose((np.abs(points) / [0.5, 1.0, 1.5]).max(axis=1), 1, atol=1e-6)
    cylinder = placed((Shape.FRUSTUM, 1.0, (0, 0, 0), np.diag([0.5, 0.5, 1.0])))
    points, normals = surface_points(cylinder, 20_000, np.random.default_rng(3))
    on_lid = np.abs(normals[:, 2]) > 0.5
    np.testing.assert_allclose(np.abs(points[on_lid, 2]), 1, atol=1e-6)
    np.testing.assert_allclose(np.hypot(*points[~on_lid, :2].T), 0.5, atol=1e-6)
    counts = np.array([on_lid.sum(), (~on_lid).sum()], np.float64)
    assert chi_square(counts, np.array([0.5, 2.0])) < CHI_SQUARE_999[1]  # in pi m²


def test_normals_are_unit_and_stand_on_the_surface() -> None:
    """The gradient of the equation of an ellipsoid, x'x = 1 in local coordinates."""
    axes = rotation(7) * np.array([1.0, 0.5, 0.2])
    points, normals = surface_points(placed((Shape.BALL, 1.0, (0, 0, 0), axes)), 500,
                                     np.random.default_rng(4))  # fmt: skip
    inverse = np.linalg.inv(axes)
    gradient = points @ inverse.T @ inverse
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    np.testing.assert_allclose(normals, gradient, atol=1e-4)


def test_what_lies_inside_another_solid_is_no_surface() -> None:
    """Two unit balls 1 m apart: each shows its sphere without a cap of height 1/2, 3 pi m²."""
    balls = placed(
        (Shape.BALL, 1.0, (0, 0, 0), np.eye(3)),
        (Shape.BALL, 1.0, (1, 0, 0), np.eye(3)),
        (Shape.BOX, 1.0, (5, 0, 0), np.eye(3) * 0.5),  # 6 m²
    )
    points, _ = surface_points(balls, 20_000, np.random.default_rng(5))
    first = np.abs(np.linalg.norm(points, axis=1) - 1) < 1e-5
    second = np.abs(np.linalg.norm(points - [1, 0, 0], axis=1) - 1) < 1e-5
    assert points[first, 0].max() < 0.502  # the balls meet at 1/2; the tolerance is 1/1000
    assert points[second, 0].min() > 0.498
    counts = np.array([first.sum(), second.sum(), (points[:, 0] > 4).sum()], np.float64)
    assert chi_square(counts, np.array([3 * math.pi, 3 * math.pi, 6])) < CHI_SQUARE_999[2]


def surface_distance(solids: Solids, points: Numbers) -> Numbers:
    """How far each point is from the nearest solid's surface, in sizes of the solid, at most."""
    nearest = np.full(len(points), np.inf)
    for i in range(len(solids.shape)):
        x, y, z = (np.linalg.inv(solids.axes[i]) @ (points - solids.centre[i]).T).astype(float)
        flat, taper = np.hypot(x, y), solids.taper[i]
        if solids.shape[i] == Shape.BALL:
            error = np.sqrt(flat**2 + z**2) - 1
        elif solids.shape[i] == Shape.BOX:
            error = np.maximum(np.maximum(np.abs(x), np.abs(y)), np.abs(z)) - 1
        elif solids.shape[i] == Shape.FRUSTUM:
            radius = (1 + taper) / 2 - (1 - taper) / 2 * z
            error = np.maximum(flat - radius, np.abs(z) - 1)
        else:
            error = np.hypot(flat - 1, z) - taper
        nearest = np.minimum(nearest, np.abs(error))
    return nearest


@pytest.mark.parametrize("scene_id", range(20_000_000, 20_000_012))
def test_points_of_scenes_lie_on_their_solids(scene_id: int) -> None:
    """By the equations of the shapes; the tolerance is single precision in local coordinates."""
    solids = solids_of(scene(scene_id), 1)
    points, _ = surface_points(solids, 600, np.random.default_rng(6))
    assert surface_distance(solids, points.astype(np.float64)).max() < 2e-3


def test_clouds_are_normalised_and_repeat_themselves_elsewhere() -> None:
    """Mean at the origin, farthest point at 1; compared with a new interpreter, other order."""
    code = (
        "import zlib; from anybind.world.cloud import cloud; from anybind.world.scene import "
        "scene\nfor i in (5, 4, 3): print(zlib.crc32(cloud(scene(i), 500).round(4).tobytes()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = []
    for i in (3, 4, 5):
        points = cloud(scene(i), 500)
        assert points.dtype == np.float32
        np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-6)
        assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-6)
        here.append(zlib.crc32(points.round(4).tobytes()))
    assert [int(line) for line in run.stdout.split()] == here[::-1]


def test_clouds_stay_what_they_were_when_the_shipped_weights_were_trained() -> None:
    """Recorded values; digits that differ between machines are far smaller than the tolerance."""
    for i, expected in RECORDED.items():
        points = cloud(scene(i), 4000)
        found = (*points.std(axis=0), np.median(points[:, 2]))
        assert found == pytest.approx(expected, abs=2e-3)


def test_scans_and_sensors_lie_anyhow() -> None:
    """Every direction is as likely for each axis: its coordinates are uniform (Archimedes), and
    the rotations are proper."""
    turns = np.stack([Stream(i, "anyhow").rotation() for i in range(2000)])
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-12)
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1) - np.eye(3), 0, atol=1e-12)
    for entry in turns.reshape(-1, 9).T:
        counts = np.histogram(entry, bins=6, range=(-1, 1))[0]
        expected = len(turns) / 6
        assert ((counts - expected) ** 2 / expected).sum() < CHI_SQUARE_999[5]


def two_objects() -> Scene:
    """The first scene with two objects."""
    return next(of for of in map(scene, range(100)) if len(of.objects) == 2)


def test_each_object_of_a_scene_has_a_cloud() -> None:
    """Each has solids of its own, which points lie on, and clouds that differ."""
    of = two_objects()
    for instance in (1, 2):
        solids = solids_of(of, instance)
        assert set(solids.instance.tolist()) == {instance}
        clean, _ = surface_points(solids, 2000, np.random.default_rng(7))
        assert surface_distance(solids, clean.astype(np.float64)).max() < 2e-3
    assert np.abs(cloud(of, 100, 1) - cloud(of, 100, 2)).max() > 0.1


def test_points_are_kept_in_proportion_to_their_visibility() -> None:
    """On the unit sphere a share of (1 + z) / 2 gives z the mean 1/3; its bound changes nothing.

    Two balls of which one is half as visible: a third of the points are on that one.
    """

    def shares(points: Floats, normals: Floats) -> Floats:
        half = np.where(points[0] > 4, 0.5, 1)
        out: Floats = ((1 + normals[2]) / 2 * half).astype(np.float32)
        return out

    def most(centres: Numbers, radii: Numbers) -> Numbers:
        return np.where(centres[:, 0] - radii > 4 - 1e-9, 0.5, 1.0)

    balls = placed((Shape.BALL, 1.0, (0, 0, 0), np.eye(3)), (Shape.BALL, 1.0, (5, 0, 0), np.eye(3)))
    for bound in (most, lambda centres, radii: np.ones(len(centres))):
        view = Visibility(shares=shares, most=bound)
        points, _ = surface_points(balls, 20_000, np.random.default_rng(8), view)
        second = points[:, 0] > 3
        counts = np.array([second.sum(), (~second).sum()], np.float64)
        assert chi_square(counts, np.array([1.0, 2.0])) < CHI_SQUARE_999[1]
        for part in (points[second], points[~second]):
            assert part[:, 2].mean() == pytest.approx(1 / 3, abs=0.025)


@pytest.mark.parametrize("n_points", [0, 1, 1_000_001])
def test_sizes_out_of_range_are_refused(n_points: int) -> None:
    """The documented range is 2 to 1,000,000."""
    with pytest.raises(UsageError, match="2 to 1,000,000"):
        cloud(scene(0), n_points)


def test_objects_that_are_not_there_are_refused() -> None:
    """The message says how many there are."""
    of = two_objects()
    with pytest.raises(UsageError, match="object 3"):
        cloud(of, 100, 3)
