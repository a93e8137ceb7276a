"""How things move: against numeric differentiation, geometry, and the difficulty asked for."""

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from anybind.errors import UsageError
from anybind.world.categories import CATEGORY_NAMES
from anybind.world.motion import (
    GRAVITY,
    IMU_RATE,
    MOTION_OF,
    MOTIONS,
    VIDEO_SECONDS,
    felt,
    imu,
    moved,
    rotations,
    trajectory,
)
from anybind.world.render import frame, rectangles
from anybind.world.scene import Scene, scene
from anybind.world.shapes import Shape, Solids

Numbers = npt.NDArray[np.float64]

RECORDED = {
    0: (5.3378, 0.2036),
    20_000_000: (-3.6657, 0.2429),
}  # mean along the third axis m/s², deviation of all turning rad/s


def first_of_each_motion() -> list[Scene]:
    """One scene a motion, by its first object."""
    found: dict[str, Scene] = {}
    for i in range(200):
        of = scene(i)
        found.setdefault(MOTION_OF[of.objects[0].category], of)
    assert set(found) == set(MOTIONS)
    return list(found.values())


def surface(solids: Solids) -> Numbers:
    """Points on each solid by its parametric equation, ``(solids, 600, 3)`` in the world."""
    generator = np.random.default_rng(5)
    points = []
    for shape, taper, axes, centre in zip(
        solids.shape, solids.taper, solids.axes, solids.centre, strict=True
    ):
        p = generator.normal(size=(600, 3))
        around = np.stack([np.cos(a := 2 * np.pi * generator.random(600)), np.sin(a)], axis=1)
        if shape == Shape.BALL:
            p /= np.linalg.norm(p, axis=1, keepdims=True)
        elif shape == Shape.BOX:
            p = np.sign(p)
        elif shape == Shape.FRUSTUM:
            z = np.sign(p[:, 2:])
            p = np.concatenate([around * np.where(z < 0, 1, taper), z], axis=1)
        else:
            b = 2 * np.pi * generator.random((600, 1))
            p = np.concatenate([around * (1 + taper * np.cos(b)), taper * np.sin(b)], axis=1)
        points.append(centre + p @ axes.T)
    return np.array(points)


def test_every_category_has_one_of_six_motions_of_about_equal_share() -> None:
    """The shares asked for: within a fifth of each other."""
    assert set(MOTION_OF) == set(CATEGORY_NAMES)
    counts = Counter(MOTION_OF.values())
    assert len(counts) == len(MOTIONS) == 6
    assert max(counts.values()) / min(counts.values()) < 1.2


def test_a_perfect_sensor_feels_the_derivatives_of_the_path() -> None:
    """Central differences of positions and of rotation matrices, over 0.1 ms, are the oracle."""
    t, h = np.linspace(0, 5, 301), 1e-4
    for of in first_of_each_motion():
        path = trajectory(of)
        before, now, after = (path.at(t + dt)[0] for dt in (-h, 0.0, h))
        r = rotations(now[3:])
        spin = r.transpose(0, 2, 1) @ (rotations(after[3:]) - rotations(before[3:])) / (2 * h)
        numeric_rate = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]])
        change = (before[:3] - 2 * now[:3] + after[:3]) / h**2
        change[2] += GRAVITY
        numeric_force = np.stack([row @ matrix for row, matrix in zip(change.T, r, strict=True)], 1)
        force, rate = felt(path, t)
        np.testing.assert_allclose(rate, numeric_rate, atol=2e-3 * np.abs(rate).max())
        np.testing.assert_allclose(force, numeric_force, atol=2e-3 * np.abs(force).max())


def test_rotations_are_roll_then_pitch_then_yaw() -> None:
    """Three elementary matrices multiplied, the last turn leftmost."""
    roll, pitch, yaw = 0.3, -0.5, 1.1
    c, s = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, c[0], -s[0]], [0, s[0], c[0]]])
    about_y = np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
    about_z = np.array([[c[2], -s[2], 0], [s[2], c[2], 0], [0, 0, 1]])
    found = rotations(np.array([[roll], [pitch], [yaw]]))[0]
    np.testing.assert_allclose(found, about_z @ about_y @ about_x, atol=1e-12)


def test_recordings_repeat_themselves_and_shorter_ones_begin_longer_ones() -> None:
    """Recorded means and deviations; and slices of the same recording."""
    for i, (mean, turning) in RECORDED.items():
        samples = imu(scene(i))
        assert samples.dtype == np.float32
        assert samples.shape == (6, 5 * IMU_RATE)
        assert samples[2].mean() == pytest.approx(mean, abs=1e-3)
        assert samples[3:].std() == pytest.approx(turning, abs=1e-3)
        np.testing.assert_array_equal(imu(scene(i), 0.5), samples[:, :200])
    assert imu(scene(3), 12.5).shape == (6, 5000)


def test_a_resting_sensor_would_feel_gravity_upward() -> None:
    """Over many recordings the mean length of the mean acceleration is near 9.8 m/s²."""
    lengths = [np.linalg.norm(imu(scene(i))[:3].mean(axis=1)) for i in range(60)]
    assert np.mean(lengths) == pytest.approx(GRAVITY, abs=0.3)


def test_nearest_recordings_tell_little_and_their_spectra_much() -> None:
    """The difficulty asked for: raw neighbours below 0.6; loudness by octave shows it is there."""
    samples = np.stack([imu(scene(i)) for i in range(440)])
    motion = np.array([MOTION_OF[scene(i).objects[0].category] for i in range(440)])

    def share_right(x: npt.NDArray[np.floating]) -> float:
        x = x.reshape(len(x), -1).astype(np.float64)
        near = (x[:360] ** 2).sum(axis=1) - 2 * x[360:] @ x[:360].T
        return float(np.mean(motion[near.argmin(axis=1)] == motion[360:]))

    power = np.abs(np.fft.rfft(samples - samples.mean(axis=2, keepdims=True))) ** 2
    octaves = np.add.reduceat(power, [1, 2, 4, 8, 16, 32, 64, 128, 256], axis=2)
    assert share_right(samples) < 0.6
    assert share_right(np.log(octaves)) > 0.85


def test_a_video_begins_where_the_picture_is() -> None:
    """The scene's own solids are the reference."""
    for i in range(12):
        start, solids = moved(scene(i), 0.0), scene(i).solids
        np.testing.assert_allclose(start.centre, solids.centre, atol=1e-12)
        np.testing.assert_allclose(start.axes, solids.axes, atol=1e-12)


def test_objects_stay_whole_in_the_picture_and_above_the_ground() -> None:
    """Points on every surface, and the corners that framing goes by; clutter does not move."""
    for i in range(24):
        of = scene(i)
        framing, solids = frame(of), of.solids
        own = solids.instance > 0
        for t in (0.35, 1.1, 2.6, 3.9):
            at = moved(of, t)
            np.testing.assert_array_equal(at.centre[~own], solids.centre[~own])
            shown = Solids(**{name: part[own] for name, part in vars(at).items()})
            assert surface(shown)[..., 2].min() > -1e-9
            left, right, bottom, top = rectangles(shown, np.array(framing.eye), framing.axes)
            slack = 0.02 * framing.side  # between the moments that were looked at
            assert left.min() > framing.left - slack
            assert right.max() < framing.left + framing.side + slack
            assert top.max() < framing.top + slack
            assert bottom.min() > framing.top - framing.side - slack
            for k in range(1, len(of.objects) + 1):
                one = solids.instance == k
                rest, now = solids.centre[one], at.centre[one]
                np.testing.assert_allclose(
                    np.linalg.norm(now - now[0], axis=1),
                    np.linalg.norm(rest - rest[0], axis=1),
                    atol=1e-9,
                )


def test_the_video_shows_the_path_that_the_sensor_feels() -> None:
    """In a scene with room for all of it, the turn between two moments is the path's."""
    of = next(o for o in map(scene, range(400)) if o.objects[0].category == "sailing boat")
    roomy = replace(of, camera=replace(of.camera, fill=0.2, pan=(0.0, 0.0)))
    a, b = moved(roomy, 1.0).axes[0], moved(roomy, 2.0).axes[0]
    poses = trajectory(of).at(np.array([1.0, 2.0]))[0]
    home = rotations(np.array([[0.0], [0.0], [of.objects[0].yaw]]))[0]
    first, second = home @ rotations(poses[3:]) @ home.T
    np.testing.assert_allclose(b @ np.linalg.inv(a), second @ first.T, atol=1e-9)


def test_what_cannot_be_recorded_or_shown_is_refused() -> None:
    """The documented ranges."""
    for seconds in (0.0, -1.0, 601.0, float("nan")):
        with pytest.raises(UsageError, match="600"):
            imu(scene(0), seconds)
    for t in (-0.1, VIDEO_SECONDS + 0.1):
        with pytest.raises(UsageError, match="lasts"):
            moved(scene(0), t)
