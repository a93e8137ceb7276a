"""How things move: one path through space and time for what a sensor feels and a video shows.

Every category belongs to one of six motions. An object's path is a finite sum of sinusoids for each
of its three shifts and three turns, so that speeds and accelerations follow exactly. At t = 0 it is
where the picture shows it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .assembly import Stream
from .render import Framing, frame, rectangles
from .scene import Scene, SceneObject
from .shapes import Floats, Shape, Solids

Numbers = npt.NDArray[np.float64]

IMU_RATE = 400  # samples a second, as the recordings that ImageBind was trained on
MAX_IMU_SECONDS = 600.0
VIDEO_SECONDS = 4.0
GRAVITY = 9.80665  # m/s², the standard acceleration; a resting sensor feels it upward
FIT_STEPS = 24  # looks at a clip when its motion is fitted into the picture
FIT_HALVINGS = 5

X, Y, Z, ROLL, PITCH, YAW = range(6)  # forward, left and up, m; about these axes, radians


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How wrong a cheap and loosely fitted sensor is, in the unit of what it measures."""

    bias: float  # largest constant error of a channel
    wander: float  # largest amplitude of each of two slow waves that a channel's zero makes
    noise: tuple[float, float]  # standard deviation of a sample: of the best and the worst sensor


ACCELEROMETER = Faults(bias=0.4, wander=0.8, noise=(0.1, 0.9))  # m/s²
GYROSCOPE = Faults(bias=0.08, wander=0.35, noise=(0.02, 0.15))  # rad/s


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How one category differs from others that move in the same way."""

    pace: float = 1.0  # factor on frequencies
    reach: float = 1.0  # factor on shifts and turns


_MANNERS: Mapping[str, Mapping[str, Manner]] = {
    "walk": {  # steps: the body bobs at every footfall and rolls from foot to foot
        "dog": Manner(pace=1.15),
        "cat": Manner(pace=1.05, reach=0.8),
        "cow": Manner(pace=0.75),
        "horse": Manner(pace=1.0, reach=1.15),
        "elephant": Manner(pace=0.65, reach=1.1),
        "duck": Manner(pace=1.3, reach=0.9),
        "rooster": Manner(pace=1.25),
        "rabbit": Manner(pace=0.9, reach=1.4),
    },
    "drive": {  # to and fro on wheels, with an engine or a road that rattles
        "train": Manner(pace=0.8, reach=0.9),
        "car": Manner(pace=1.15),
        "bus": Manner(pace=0.9),
        "fire engine": Manner(),
        "bicycle": Manner(pace=0.9, reach=1.2),
        "tractor": Manner(pace=0.7, reach=1.2),
        "lawn mower": Manner(pace=1.3),
        "vacuum cleaner": Manner(pace=1.4, reach=1.1),
    },
    "turn": {  # smoothly about the upright axis, banking and rising a little
        "helicopter": Manner(),
        "airplane": Manner(pace=0.9, reach=1.1),
        "rocket": Manner(pace=1.2),
        "sailing boat": Manner(pace=0.8, reach=1.1),
        "rain cloud": Manner(pace=0.75, reach=0.9),
        "snake": Manner(pace=1.2),
        "lamp": Manner(),
        "screwdriver": Manner(pace=1.3, reach=1.1),
    },
    "strike": {  # short swift strokes that end in a jolt, and rest between
        "hammer": Manner(reach=1.2),
        "axe": Manner(pace=0.8, reach=1.3),
        "saw": Manner(pace=1.2),
        "scissors": Manner(pace=1.3, reach=0.7),
        "drum": Manner(pace=1.2, reach=0.5),
        "xylophone": Manner(pace=1.3, reach=0.45),
        "piano": Manner(pace=1.1, reach=0.4),
        "bell": Manner(pace=0.8, reach=0.8),
        "cup": Manner(pace=0.9, reach=0.6),
    },
    "shake": {  # trembling in bursts, as what rings, boils, spins or rumbles
        "clock": Manner(pace=1.3),
        "telephone": Manner(pace=1.15),
        "kettle": Manner(),
        "washing machine": Manner(pace=0.8, reach=1.2),
        "drill": Manner(pace=1.4, reach=0.9),
        "fan": Manner(pace=1.1, reach=0.8),
        "volcano": Manner(pace=0.7, reach=1.1),
        "campfire": Manner(pace=0.9, reach=0.9),
    },
    "sway": {  # slowly from side to side about the foot, as plants in the wind and players
        "tree": Manner(pace=0.8, reach=0.9),
        "flower": Manner(pace=1.1, reach=1.2),
        "mushroom": Manner(pace=1.1, reach=0.9),
        "cactus": Manner(pace=0.9, reach=0.9),
        "chair": Manner(pace=1.2),
        "guitar": Manner(pace=1.1),
        "violin": Manner(pace=1.2, reach=1.1),
        "trumpet": Manner(pace=1.1, reach=1.1),
        "flute": Manner(),
    },
}
MOTIONS: tuple[str, ...] = tuple(_MANNERS)
MOTION_OF: Mapping[str, str] = {
    category: motion for motion, manners in _MANNERS.items() for category in manners
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """A path: six coordinates (X ... YAW) that are sums of sinusoids, and 0 at t = 0.

    Shifts are along the object's own axes at rest, turns about them: first roll, then pitch, then
    yaw, each about an axis that stands still, through the middle of the object's foot.
    """

    hz: Numbers  # (k,)
    weights: npt.NDArray[np.complex128]  # (6, k): a coordinate is the real part of w · exp(2πi·f·t)

    def at(self, t: Numbers, derivatives: int = 0) -> Numbers:
        """Return the coordinates and their derivatives by time.

        Args:
            t: ``(n,)`` s.
            derivatives: Up to which order.

        Returns:
            ``(derivatives + 1, 6, n)`` in m and radians, then per second, per second squared.
        """
        turning = 2j * math.pi * self.hz
        waves = np.exp(turning[:, None] * t)  # (k, n)
        weights = np.stack([self.weights * turning**order for order in range(derivatives + 1)])
        values: Numbers = np.einsum("dck,kn->dcn", weights, waves).real
        values[0] -= self.weights.sum(axis=1).real[:, None]
        return values


class _Waves:
    """Collects the sinusoids of a trajectory; times are stretched and amplitudes scaled at once."""

    def __init__(self, pace: float, reach: float, scale: float) -> None:
        self.pace = pace
        self.units = np.array([scale] * 3 + [1.0] * 3) * reach
        self.sums: dict[float, npt.NDArray[np.complex128]] = {}

    def wave(self, axis: int, amplitude: float, hz: float, phase: float = 0.0) -> None:
        """Add ``amplitude · sin(2π·hz·t + phase)`` to a coordinate, shifts in object sizes."""
        row = self.sums.setdefault(hz * self.pace, np.zeros(6, np.complex128))
        row[axis] += amplitude * self.units[axis] * np.exp(1j * (phase - math.pi / 2))

    def rise(self, axis: int, amplitude: float, hz: float) -> None:
        """Add a smooth way from 0 to ``amplitude`` and back, ``amplitude · sin²(π·hz·t)``."""
        self.wave(axis, -amplitude / 2, hz, math.pi / 2)

    def pulses(self, axis: int, amplitude: float, hz: float, m: int, late: float = 0.0) -> None:
        """Add ``amplitude · sin²ᵐ(π·(hz·t - late))``: peaks that get narrower with m.

        Its Fourier series ends after m terms: cos²ᵐ(x/2) = 4⁻ᵐ Σ C(2m, m+n) cos(n·x).
        """
        for n in range(1, m + 1):
            share = 2 * math.comb(2 * m, m + n) / 4**m * (-1) ** n
            self.wave(axis, amplitude * share, n * hz, math.pi / 2 - 2 * math.pi * n * late)

    def trajectory(self) -> Trajectory:
        """Return what was collected."""
        return Trajectory(hz=np.array(list(self.sums)), weights=np.stack([*self.sums.values()], 1))


def trajectory(of: Scene, i: int = 0) -> Trajectory:
    """Return the path of a scene's object ``i``, counted from 0."""
    item = of.objects[i]
    stream = Stream(of.id, f"motion {i}")
    motion = MOTION_OF[item.category]
    manner = _MANNERS[motion][item.category]
    pace = manner.pace / stream.uniform(0.7, 1.3)
    waves = _Waves(pace, manner.reach * stream.uniform(0.6, 1.4), item.scale)
    side = stream.choice((-1, 1))
    if motion == "walk":
        gait = 2.0  # footfalls a second
        waves.rise(Z, 0.05, gait)
        waves.pulses(Z, 0.006, gait, 8, 0.1)
        waves.wave(X, 0.012, gait, stream.uniform(0, 2 * math.pi))
        waves.wave(X, 0.14 * side, 0.17)
        waves.wave(Y, 0.02, gait / 2)
        waves.wave(ROLL, 0.06, gait / 2)
        waves.wave(PITCH, 0.05, gait, stream.uniform(0, 2 * math.pi))
        waves.wave(YAW, 0.05, gait / 2, stream.uniform(0, 2 * math.pi))
    elif motion == "drive":
        engine = stream.uniform(16.0, 24.0)
        waves.wave(X, 0.28 * side, 0.2)
        waves.wave(Y, 0.02, 0.2, stream.uniform(0, 2 * math.pi))
        for share, times in ((1.0, 1), (0.5, 2)):
            waves.wave(Z, 1.5e-4 * share / times, engine * times, stream.uniform(0, 2 * math.pi))
            waves.wave(PITCH, 4e-4 * share / times, engine * times)
        waves.wave(ROLL, 0.012, 1.3, stream.uniform(0, 2 * math.pi))
        waves.wave(PITCH, 0.015, 0.9, stream.uniform(0, 2 * math.pi))
    elif motion == "turn":
        waves.wave(YAW, 0.65 * side, 0.28)
        waves.rise(Z, 0.08, 0.35)
        waves.wave(Y, 0.04, 0.28, stream.uniform(0, 2 * math.pi))
        waves.wave(ROLL, 0.07 * side, 0.28, math.pi / 2)
    elif motion == "strike":
        beat = stream.uniform(0.9, 1.2)
        waves.pulses(PITCH, 0.3 * side, beat, 8)
        waves.pulses(X, 0.05, beat, 8)
        waves.pulses(Z, 0.01, beat, 30, 0.12)
        waves.pulses(PITCH, -0.03 * side, beat, 30, 0.14)
    elif motion == "shake":
        tremble, burst = stream.uniform(7.0, 10.0), stream.uniform(0.7, 1.3)
        for axis, amplitude in ((X, 0.003), (Y, 0.003), (Z, 0.002), (ROLL, 0.025), (YAW, 0.02)):
            phase = stream.uniform(0, 2 * math.pi)
            waves.wave(axis, amplitude, tremble, phase)
            for sideband in (-1, 1):  # together: 1 + cos(2π·burst·t) times the tremble
                waves.wave(axis, amplitude / 2, tremble + sideband * burst, phase)
    else:
        waves.wave(ROLL, 0.13 * side, 0.5)
        waves.wave(PITCH, 0.07, 0.5, stream.uniform(0, 2 * math.pi))
        waves.wave(ROLL, 0.03, 0.83, stream.uniform(0, 2 * math.pi))
        waves.wave(Y, 0.02, 0.5)
    if motion != "turn":  # others turn a little as well: a view that changes helps a viewer
        slow, far = stream.uniform(0.11, 0.18), stream.uniform(0.35, 0.7)  # of every category
        waves.wave(YAW, stream.choice((-1, 1)) * far / waves.units[YAW], slow / pace)
    return waves.trajectory()


def rotations(turns: Numbers) -> Numbers:
    """Return the matrices of turns, ``(3, n)`` roll, pitch, yaw to ``(n, 3, 3)``."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(turns), np.sin(turns)
    matrix = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return np.array(matrix).transpose(2, 0, 1)


def felt(path: Trajectory, t: Numbers) -> tuple[Numbers, Numbers]:
    """Return what a perfect sensor in the object's foot feels, in the object's own axes.

    Args:
        path: Of the object.
        t: ``(n,)`` s.

    Returns:
        The acceleration with gravity, ``(3, n)`` m/s²; the angular velocity, ``(3, n)`` rad/s.
    """
    now, speed, change = path.at(t, derivatives=2)
    pull = change[:3] + np.array([[0.0], [0.0], [GRAVITY]])
    force = np.einsum("nji,jn->in", rotations(now[3:]), pull)
    (roll, pitch, _), (d_roll, d_pitch, d_yaw) = now[3:], speed[3:]
    level = d_yaw * np.cos(pitch)
    rate = np.stack([
        d_roll - d_yaw * np.sin(pitch),
        d_pitch * np.cos(roll) + level * np.sin(roll),
        level * np.cos(roll) - d_pitch * np.sin(roll),
    ])  # fmt: skip
    return force, rate


def imu(of: Scene, seconds: float = 5.0) -> Floats:
    """Record the first object with a noisy inertial sensor, mounted anyhow, from some moment on.

    Args:
        of: The scene.
        seconds: How long; a shorter recording is the beginning of a longer one.

    Returns:
        ``(6, n)`` at `IMU_RATE`: acceleration with gravity in m/s², angular velocity in rad/s,
        each along the sensor's own three axes.

    Raises:
        UsageError: ``seconds`` is not more than 0 and at most `MAX_IMU_SECONDS`.
    """
    if not 0 < seconds <= MAX_IMU_SECONDS:
        raise UsageError(
            f"asked for {seconds} s of motion; a recording lasts more than 0 "
            f"and at most {MAX_IMU_SECONDS:.0f} s"
        )
    sensor = Stream(of.id, "imu")
    start = sensor.uniform(0, 20)
    t = start + np.arange(max(round(seconds * IMU_RATE), 1)) / IMU_RATE
    mounting = sensor.rotation()
    samples = np.concatenate([mounting.T @ part for part in felt(trajectory(of), t)])
    for rows, fault in ((slice(0, 3), ACCELEROMETER), (slice(3, 6), GYROSCOPE)):
        for row in samples[rows]:
            row += sensor.uniform(-fault.bias, fault.bias)
            for _ in range(2):
                hz, phase = sensor.uniform(0.05, 0.5), sensor.uniform(0, 2 * math.pi)
                row += sensor.uniform(0, fault.wander) * np.sin(2 * math.pi * hz * t + phase)
        noise = Stream(of.id, f"imu noise {rows.start}").generator.standard_normal((len(t), 3))
        samples[rows] += sensor.uniform(*fault.noise) * noise.T
    return samples.astype(np.float32)


def moved(of: Scene, t: float) -> Solids:
    """Return a scene's solids ``t`` seconds into its video.

    Objects follow their trajectories as far as the picture of t = 0 and the ground let them: shifts
    and turns are made smaller where an object would leave the frame, and what would sink into the
    ground is lifted onto it. Clutter stays.

    Raises:
        UsageError: ``t`` is not from 0 to `VIDEO_SECONDS`.
    """
    if not 0 <= t <= VIDEO_SECONDS:
        raise UsageError(f"asked for {t} s into a video that lasts {VIDEO_SECONDS} s")
    solids = of.solids
    centre, axes = solids.centre.copy(), solids.axes.copy()
    for i, (item, path) in enumerate(zip(of.objects, _fitted(of), strict=True)):
        own = solids.instance == i + 1
        centre[own], axes[own] = _carried(solids.chosen(own), item, path.at(np.array([t]))[0])
    return replace(solids, centre=centre, axes=axes)


def _carried(own: Solids, item: SceneObject, poses: Numbers) -> tuple[Numbers, Numbers]:
    """Return where an object's solids get to, never below the ground.

    Args:
        own: The k solids of the object, at rest.
        item: The object.
        poses: ``(6, n)`` coordinates of a trajectory.

    Returns:
        Centres ``(n * k, 3)`` and axes ``(n * k, 3, 3)`` in m, pose after pose.
    """
    home = rotations(np.array([[0.0], [0.0], [item.yaw]]))[0]
    turn = home @ rotations(poses[3:]) @ home.T  # (n, 3, 3)
    foot = np.array([*item.position, item.lift])
    centre = (own.centre - foot) @ turn.transpose(0, 2, 1) + foot  # (n, k, 3)
    centre += (home @ poses[:3]).T[:, None]
    axes = turn[:, None] @ own.axes  # (n, k, 3, 3)
    low = centre[..., 2] - _reach_down(own, axes)
    centre[..., 2] += np.maximum(-low.min(axis=1), 0)[:, None]
    return centre.reshape(-1, 3), axes.reshape(-1, 3, 3)


def _reach_down(own: Solids, axes: Numbers) -> Numbers:
    """Return how far each solid reaches below its centre, exactly, ``(n, k)``, from its axes."""
    across, along = axes[..., 2, :2], axes[..., 2, 2]  # how far down local x, y and z point
    disc = np.hypot(across[..., 0], across[..., 1])
    frustum = np.maximum(along + disc, own.taper * disc - along)
    torus = disc + own.taper * np.sqrt((axes[..., 2, :] ** 2).sum(axis=-1))
    reach: Numbers = np.select(
        [own.shape == Shape.BALL, own.shape == Shape.BOX, own.shape == Shape.FRUSTUM],
        [np.hypot(disc, along), np.abs(axes[..., 2, :]).sum(axis=-1), frustum],
        torus,
    )
    return reach


@lru_cache(maxsize=4)  # the frames of a video ask for the same again and again
def _fitted(of: Scene) -> tuple[Trajectory, ...]:
    """Return the objects' trajectories, made smaller where the picture lacks the room.

    Found by halving: first one factor on all coordinates but yaw, then one on yaw.
    """
    framing = frame(of)
    times = np.linspace(0, VIDEO_SECONDS, FIT_STEPS)
    fitted = []
    for i, item in enumerate(of.objects):
        own = of.solids.chosen(of.solids.instance == i + 1)
        many = Solids(
            **{name: np.concatenate([part] * FIT_STEPS) for name, part in vars(own).items()}
        )
        whole = trajectory(of, i)
        poses = whole.at(times)[0]
        room = np.zeros((6, 1))
        for rows in (slice(0, YAW), slice(YAW, None)):
            fitting, share = 0.0, 1.0
            for halving in range(FIT_HALVINGS + 1):
                room[rows] = share
                centre, axes = _carried(own, item, room * poses)
                fits = _fits(replace(many, centre=centre, axes=axes), framing)
                if fits:
                    fitting = share
                if fitting == 1:
                    break
                share += (1 if fits else -1) / 2 ** (halving + 1)
            room[rows] = fitting
        fitted.append(replace(whole, weights=room * whole.weights))
    return tuple(fitted)


def _fits(solids: Solids, framing: Framing) -> bool:
    """Return whether all of the solids are within the picture."""
    left, right, bottom, top = rectangles(solids, np.array(framing.eye), framing.axes)
    return bool(
        left.min() >= framing.left
        and right.max() <= framing.left + framing.side
        and top.max() <= framing.top
        and bottom.min() >= framing.top - framing.side
    )
