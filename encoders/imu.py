"""Recordings of an inertial sensor to the window that the IMU tower reads.

Six channels, accelerometer x y z in m/s² and gyroscope x y z in rad/s, at 400 samples a second for
five seconds. ImageBind published neither loader nor scaling, so values are handed over in these
units; ``reference`` changes nothing.
"""

import io
import re
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import MediaError
from .media import (
    Array,
    Floats,
    Motion,
    as_array,
    check_finite,
    is_array_file,
    is_source,
    label,
    load_array,
    open_bytes,
)

RATE = 400.0  # samples a second; of ImageBind's data, and assumed where nothing tells another
MAX_NUMBERS = 60_000_000  # in a file: hours of all channels
MAX_CSV_BYTES = 256 * 2**20

CHANNELS = ("ax", "ay", "az", "gx", "gy", "gz")  # columns of a csv, under these names or others:
SENSORS = {
    **dict.fromkeys(("a", "acc", "accel", "accelerometer", "acceleration"), "a"),
    **dict.fromkeys(("linear_acceleration", "a_rs_s"), "a"),  # ROS, EuRoC
    **dict.fromkeys(("g", "gyr", "gyro", "gyroscope", "w", "omega", "rotation_rate"), "g"),
    **dict.fromkeys(("angular_velocity", "w_rs_s"), "g"),
}
GRAVITY = 9.80665  # m/s², the standard one
UNITS = {  # written behind a column's name: of how many m/s² or rad/s it is
    **dict.fromkeys(("", "m/s2", "m/s^2", "m/s²", "m s^-2", "rad/s", "rad s^-1"), 1.0),
    "g": GRAVITY,
    **dict.fromkeys(("deg/s", "°/s", "dps", "deg s^-1"), np.pi / 180),
}
TIMES = ("t", "time", "timestamp", "seconds", "seconds_elapsed", "elapsed")
SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}  # a unit
LONGEST_STEP = 0.5  # seconds between samples; a longer one shows that times are in a smaller unit
RATES = ("rate", "hz", "fs", "sampling_rate", "sample_rate", "frequency")  # a column or comment
NUMBER = r"(\d+(?:\.\d+)?)"
RATE_COMMENT = re.compile(rf"\b(?:{'|'.join(RATES)})\b\W*{NUMBER}|{NUMBER}\s*hz\b")
COLUMN = re.compile(r"(?P<name>.*?)\s*(?:[\[(](?P<unit>.*)[\])])?")


def load_motion(item: object) -> Motion:
    """Read a recording.

    Args:
        item: A path, bytes or a file object of csv, npy, npz (array ``imu``) or pt; an array or
            tensor ``(6, n)`` or ``(n, 6)``; or a :class:`Motion`. Arrays are taken to be at 400 Hz
            unless they come as Motion. A csv has columns ax ay az gx gy gz in any order, under one
            of the usual names, and a column of times; or a column ``rate``, or a comment
            ``# rate: 100`` in front; or it is at 400 Hz.

    Raises:
        MediaError: It cannot be read or is no such recording.
    """
    name = label(item)
    if isinstance(item, Motion):
        return _checked(as_array(item.samples), item.rate, name)
    array = as_array(item)
    if array is not None:
        return _checked(array, RATE, name)
    if not is_source(item):
        raise MediaError(f"{name} is no recording; give a path, bytes, a file, an array or Motion")
    with open_bytes(item) as file:
        if is_array_file(file):
            array = load_array(file, name, member="imu", max_numbers=MAX_NUMBERS)
            return _checked(array, RATE, name)
        samples, rate = _read_csv(file, name)
    return _checked(samples, rate, name)


def _checked(array: Array | None, rate: float, name: str) -> Motion:
    """Refuse what has not six channels of finite numbers and a rate."""
    if array is None or array.ndim != 2 or 6 not in array.shape or array.dtype.kind not in "fiu":
        found = "no array" if array is None else f"{array.dtype} {array.shape}"
        raise MediaError(f"{name}: motion is {found}; expected numbers (6, n)")
    if array.shape == (6, 6):
        raise MediaError(f"{name}: motion of shape (6, 6) may lie either way; give more samples")
    if array.shape[0] != 6:
        array = array.T
    if array.shape[1] < 2:
        raise MediaError(f"{name} has {array.shape[1]} samples; a motion takes at least 2")
    if not 0 < rate < np.inf:
        raise MediaError(f"{name}: a rate of {rate} samples a second; give the true rate")
    check_finite(array, name)
    return Motion(samples=array.astype(np.float32), rate=float(rate))


def _read_csv(file: BinaryIO, name: str) -> tuple[npt.NDArray[np.float64], float]:
    """The channels of a csv, ``(6, n)``, evenly spaced in time, and their rate."""
    content = file.read(MAX_CSV_BYTES + 1)
    if len(content) > MAX_CSV_BYTES:
        raise MediaError(f"{name} has more than {MAX_CSV_BYTES:,} bytes; cut it")
    try:
        lines = io.StringIO(content.decode("utf-8-sig"))
        comments, header = _header(lines)
        delimiter = max(",;\t", key=header.count)
        columns = [_column(word) for word in header.split(delimiter)]
        names = [column for column, _ in columns]
        missing = [channel for channel in CHANNELS if channel not in names]
        if missing:
            raise MediaError(f"{name} is a csv without {', '.join(missing)} among its columns")
        double = [channel for channel in CHANNELS if names.count(channel) > 1]
        if double:
            raise MediaError(f"{name} has several columns that could be {', '.join(double)}")
        kept = [names.index(channel) for channel in CHANNELS]
        kept += [names.index(clock) for clock in ("time", "rate") if clock in names]
        start = lines.tell()
        if not lines.read(1):
            raise MediaError(f"{name} has fewer than 2 rows")
        lines.seek(start)
        table = np.loadtxt(lines, delimiter=delimiter, usecols=kept, ndmin=2).T
    except (UnicodeDecodeError, ValueError, IndexError):
        raise MediaError(
            f"{name} is no recording: expected npy, npz, pt, or a csv of numbers under a header"
        ) from None
    if table.shape[1] < 2:
        raise MediaError(f"{name} has fewer than 2 rows")
    samples = np.stack([_in_units(table[i], columns[kept[i]][1], name) for i in range(6)])
    if "time" in names:
        return _evenly(samples, table[6], columns[kept[6]][1], name)
    if "rate" in names:
        if np.ptp(table[6]):
            raise MediaError(f"{name}: the rate changes; give a column of times instead")
        return samples, float(table[6, 0])
    told = RATE_COMMENT.search(comments)
    return samples, float(told[1] or told[2]) if told else RATE


def _header(lines: io.StringIO) -> tuple[str, str]:
    """Comments in front of a table, and the line with the names of its columns, in lower case.

    The names may stand in a comment, as EuRoC's do.
    """
    comments: list[str] = []
    for line in lines:
        text = line.strip().lower()
        bare = text.lstrip("#").strip()
        if bare and (not text.startswith("#") or _names_channels(bare)):
            return " ".join(comments), bare
        comments.append(bare)
    raise ValueError("no header")


def _names_channels(line: str) -> bool:
    return {_column(word)[0] for word in re.split("[,;\t]", line)}.issuperset(CHANNELS)


def _column(word: str) -> tuple[str, str]:
    """What a column is (one of CHANNELS, ``time``, ``rate``, or itself), and its unit."""
    found = COLUMN.fullmatch(word.strip().strip('"'))
    assert found is not None  # it takes any text
    name = re.sub(r"[\s.\-]+", "_", found["name"].strip())
    unit = (found["unit"] or "").strip()
    if name in RATES:
        return "rate", unit
    stem, _, end = name.rpartition("_")
    if name in TIMES:
        return "time", unit
    if stem in TIMES and end in SECONDS:
        return "time", end
    sensor = SENSORS.get(name[:-1].rstrip("_"))
    return (sensor + name[-1], unit) if sensor and name[-1] in "xyz" else (name, unit)


def _in_units(channel: npt.NDArray[np.float64], unit: str, name: str) -> npt.NDArray[np.float64]:
    """A channel in m/s² or rad/s."""
    if unit not in UNITS:
        known = ", ".join(unit for unit in UNITS if unit)
        raise MediaError(f"{name} has a column in {unit}; known are {known}")
    return channel * UNITS[unit]


def _evenly(
    samples: npt.NDArray[np.float64], times: npt.NDArray[np.float64], unit: str, name: str
) -> tuple[npt.NDArray[np.float64], float]:
    """Samples at even steps of time, and their rate.

    Without a unit, times are in the largest of s, ms, µs and ns that makes the usual step shorter
    than half a second: a step of 0.01 is taken for seconds, one of 10 for milliseconds.
    """
    steps = np.diff(times)
    if not (steps > 0).all():
        raise MediaError(f"{name}: the times do not rise")
    if unit and unit not in SECONDS:
        raise MediaError(f"{name} has times in {unit}; known are {', '.join(SECONDS)}")
    scale = SECONDS[unit] if unit else 1.0
    while not unit and scale > 1e-9 and np.median(steps) * scale >= LONGEST_STEP:
        scale /= 1000
    rate = (len(times) - 1) / ((times[-1] - times[0]) * scale)
    even = np.linspace(times[0], times[-1], len(times))
    return np.stack([np.interp(even, times, channel) for channel in samples]), rate


@dataclass(frozen=True, kw_only=True)
class IMUPreprocessor:
    """A recording to ``(6, n_samples)`` float32 at 400 Hz.

    Other rates are interpolated linearly. Of a longer recording the middle is taken; a shorter one
    is repeated, which keeps its rhythm and its level.
    """

    n_samples: int = 2000  # five seconds
    reference: bool = False

    def __call__(self, item: object) -> Floats:
        """Prepare one recording that :func:`load_motion` takes."""
        motion = load_motion(item)
        samples = motion.samples
        if motion.rate != RATE:
            n_old = samples.shape[1]
            n_new = max(round(n_old * RATE / motion.rate), 1)
            if n_new > MAX_NUMBERS // 6:
                raise MediaError(f"{label(item)} lasts {n_old / motion.rate:.0f} s; cut it")
            at = np.arange(n_new) * (motion.rate / RATE)
            samples = np.stack([np.interp(at, np.arange(n_old), c) for c in samples])
        surplus = samples.shape[1] - self.n_samples
        if surplus >= 0:
            samples = samples[:, surplus // 2 : surplus // 2 + self.n_samples]
        else:
            samples = np.take(samples, np.arange(self.n_samples), axis=1, mode="wrap")
        return samples.astype(np.float32)
