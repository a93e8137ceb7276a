"""Recordings of an inertial sensor to the window that the IMU tower reads.

Six channels, accelerometer x y z in m/s² and gyroscope x y z in rad/s, at 400 samples a second for
five seconds. ImageBind published neither loader nor scaling, so values are handed over in these
units; ``reference`` changes nothing.
"""

import csv
import io
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
    is_source,
    label,
    load_array,
    open_bytes,
)

RATE = 400.0  # samples a second; of ImageBind's data, and assumed where nothing tells another
CHANNELS = ("ax", "ay", "az", "gx", "gy", "gz")  # columns of a csv
TIMES = ("t", "time", "timestamp")  # the column with seconds
MAX_NUMBERS = 60_000_000  # in a file: hours of all channels
MAX_CSV_BYTES = 512 * 2**20
ARRAY_MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"\x80")  # npy; npz and pt; pt of older torch


def load_motion(item: object) -> Motion:
    """Read a recording.

    Args:
        item: A path, bytes or a file object of csv, npy, npz (array ``imu``) or pt; an array or
            tensor ``(6, n)``; or a :class:`Motion`. Arrays are taken to be at 400 Hz unless they
            come as Motion. A csv has columns ax ay az gx gy gz in any order and, unless it is at
            400 Hz, ``t`` in seconds.

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
        is_array = file.read(6).startswith(ARRAY_MAGIC)
        file.seek(0)
        if is_array:
            array = load_array(file, name, member="imu", max_numbers=MAX_NUMBERS)
            return _checked(array, RATE, name)
        samples, rate = _read_csv(file, name)
    return _checked(samples, rate, name)


def _checked(array: Array | None, rate: float, name: str) -> Motion:
    """Refuse what has not six channels of finite numbers and a rate."""
    if array is None or array.ndim != 2 or array.shape[0] != 6 or array.dtype.kind not in "fiu":
        found = "no array" if array is None else f"{array.dtype} {array.shape}"
        hint = "; transpose it" if array is not None and array.shape[1:] == (6,) else ""
        raise MediaError(f"{name}: motion is {found}; expected numbers (6, n){hint}")
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
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig")), skipinitialspace=True)
        header = [column.strip().lower() for column in next(lines)]
        missing = [channel for channel in CHANNELS if channel not in header]
        if missing:
            raise MediaError(f"{name} is a csv without {', '.join(missing)} among its columns")
        table = np.array([line for line in lines if line], dtype=np.float64)
    except (UnicodeDecodeError, csv.Error, ValueError, StopIteration):
        raise MediaError(
            f"{name} is no recording: expected npy, npz, pt, or a csv of numbers under a header"
        ) from None
    if table.ndim != 2 or len(table) < 2:
        raise MediaError(f"{name} has fewer than 2 rows")
    samples = table[:, [header.index(channel) for channel in CHANNELS]].T
    clock = next((column for column in TIMES if column in header), None)
    if clock is None:
        return samples, RATE
    times = table[:, header.index(clock)]
    if not (np.diff(times) > 0).all():
        raise MediaError(f"{name}: the times in column {clock!r} do not rise")
    rate = (len(times) - 1) / (times[-1] - times[0])
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
