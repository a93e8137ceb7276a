"""Motion: six channels at 400 Hz for five seconds, from arrays and csv."""

import io
import pickle

import numpy as np
import numpy.typing as npt
import pytest

from anybind.encoders.imu import IMUPreprocessor, load_motion
from anybind.encoders.media import Floats, Motion
from anybind.errors import MediaError

CHANNELS = "ax,ay,az,gx,gy,gz"


def waves(rate: float, seconds: float) -> Floats:
    """Each channel a sine of its own frequency, 1 to 6 Hz."""
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([np.sin(2 * np.pi * hertz * time) for hertz in range(1, 7)]).astype(np.float32)


def csv_of(samples: Floats, rate: float | None = None, header: str = CHANNELS) -> bytes:
    """A recording as csv, with times if a rate is given."""
    rows: npt.NDArray[np.float64] = samples.T.astype(np.float64)
    if rate is not None:
        rows = np.column_stack([np.arange(len(rows)) / rate + 17, rows])
        header = f"t,{header}"
    buffer = io.StringIO()
    np.savetxt(buffer, rows, "%.9g", delimiter=",", header=header, comments="")
    return buffer.getvalue().encode()


def test_five_seconds_at_400_hz_are_left_alone() -> None:
    samples = waves(400, 5)
    np.testing.assert_array_equal(IMUPreprocessor()(samples), samples, strict=True)


def test_the_middle_of_a_longer_recording_is_taken() -> None:
    """Of eight seconds the samples 600 to 2599."""
    samples = waves(400, 8)
    np.testing.assert_array_equal(IMUPreprocessor()(samples), samples[:, 600:2600])


def test_a_shorter_recording_is_repeated() -> None:
    samples = waves(400, 1.5)
    found = IMUPreprocessor()(samples)
    np.testing.assert_array_equal(found, np.tile(samples, 4)[:, :2000])


@pytest.mark.parametrize("rate", [100, 200, 1000])
def test_other_rates_are_interpolated(rate: float) -> None:
    """The oracle is the same sines drawn at 400 Hz; a straight line between samples misses by
    (2 pi f / rate)² / 8."""
    found = IMUPreprocessor()(Motion(samples=waves(rate, 5), rate=rate))
    tolerance = (2 * np.pi * 6 / rate) ** 2 / 8 + 1e-4
    whole = slice(0, 1990)  # beyond the last sample nothing is known
    np.testing.assert_allclose(found[:, whole], waves(400, 5)[:, whole], atol=tolerance)


def test_every_form_of_a_recording_agrees() -> None:
    """npy, npz, csv with and without times and in any order of columns, arrays, tensors."""
    torch = pytest.importorskip("torch")
    samples = waves(400, 2)
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, samples)
    np.savez(npz, imu=samples, labels=np.zeros(3))
    swapped = csv_of(samples[[3, 4, 5, 0, 1, 2]], header="GX, GY, GZ, AX, AY, AZ")
    items = [samples, torch.from_numpy(samples), Motion(samples=samples, rate=400), npy, npz]
    items += [csv_of(samples), csv_of(samples, 400), b"\xef\xbb\xbf" + csv_of(samples), swapped]
    for item in items:
        motion = load_motion(item)
        np.testing.assert_allclose(motion.samples, samples, atol=1e-6)
        assert motion.rate == pytest.approx(400)


def test_arrays_may_lie_either_way() -> None:
    """Six rows, or six columns."""
    samples = waves(400, 1)
    np.testing.assert_array_equal(load_motion(samples.T).samples, samples)


ALIASES = [
    "acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z",
    "accX,accY,accZ,gyrX,gyrY,gyrZ",
    "accel.x,accel.y,accel.z,omega.x,omega.y,omega.z",
    "linear_acceleration.x,linear_acceleration.y,linear_acceleration.z,"
    "angular_velocity.x,angular_velocity.y,angular_velocity.z",
    "a_RS_S_x [m s^-2],a_RS_S_y [m s^-2],a_RS_S_z [m s^-2],"
    "w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],w_RS_S_z [rad s^-1]",
    '"ax (m/s^2)","ay (m/s²)","az",wx,wy,wz',
]


@pytest.mark.parametrize("header", ALIASES)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_have_many_names(header: str, separator: str) -> None:
    """Those of phones, ROS, EuRoC and short ones, with and without units."""
    content = csv_of(waves(400, 1), header=header).replace(b",", separator.encode())
    np.testing.assert_allclose(load_motion(content).samples, waves(400, 1), atol=1e-6)


def test_units_in_the_header_are_heeded() -> None:
    """1 g is 9.80665 m/s², 180 degrees are pi."""
    content = b"ax (g),ay (g),az (g),gx (deg/s),gy [dps],gz (rad/s)\n" + b"1,2,0,180,-90,3\n" * 2
    expected = [9.80665, 19.6133, 0, np.pi, -np.pi / 2, 3]
    np.testing.assert_allclose(load_motion(content).samples[:, 0], expected, rtol=1e-6)


CLOCKS = {
    "t": 1.0,
    "time": 1000.0,
    "timestamp": 1e6,
    "timestamp [ns]": 1e9,
    "time_ms": 1e3,
    "timestamp_us": 1e6,
    "#timestamp": 1e9,
    "seconds_elapsed": 1.0,
}


@pytest.mark.parametrize("rate", [50, 400])
@pytest.mark.parametrize("clock", CLOCKS)
def test_times_are_in_the_unit_of_their_column_or_of_their_size(clock: str, rate: int) -> None:
    """s, ms, µs or ns after the year 2023; the rate is the one they were written with."""
    unit = CLOCKS[clock]
    times = ((1.7e9 if unit > 1 else 0) + np.arange(rate) / rate) * unit
    lines = [f"{clock},{CHANNELS}"]
    lines += [f"{time:.4f},1,2,3,4,5,6" for time in times.tolist()]
    assert load_motion("\n".join(lines).encode()).rate == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize(
    "content",
    [
        f"# from a phone\n# rate: 100 Hz\n{CHANNELS}\n",
        f"# sampling_rate=100.0\n{CHANNELS}\n",
        f"# recorded at 100 Hz, indoors, twice\n{CHANNELS}\n",
        f"{CHANNELS},rate\n",
    ],
)
def test_a_rate_may_stand_in_a_comment_or_a_column(content: str) -> None:
    row = "1,2,3,4,5,6" + (",100" if content.endswith(",rate\n") else "")
    motion = load_motion((content + f"{row}\n" * 3).encode())
    assert motion.rate == 100
    np.testing.assert_array_equal(motion.samples, np.tile([[1], [2], [3], [4], [5], [6]], 3))


def test_uneven_times_are_made_even() -> None:
    """A ramp in time stays a ramp, whenever it was sampled."""
    times = np.sort(np.random.default_rng(0).uniform(0, 4, 300))
    rows = np.column_stack([times, *[times] * 6])
    buffer = io.StringIO()
    np.savetxt(buffer, rows, "%.9g", delimiter=",", header=f"time,{CHANNELS}", comments="")
    motion = load_motion(buffer.getvalue().encode())
    np.testing.assert_allclose(np.diff(motion.samples), 1 / motion.rate, rtol=1e-3)


GOOD = csv_of(waves(400, 1), 400)
BAD = {
    "either way": (waves(400, 1)[:, :6], "either way"),
    "channels": (waves(400, 1)[:3], "expected"),
    "one sample": (waves(400, 1)[:, :1], "at least 2"),
    "NaN": (np.full((6, 99), np.nan), "NaN"),
    "rate": (Motion(samples=waves(400, 1), rate=0), "rate"),
    "columns": (b"ax,ay,az\n1,2,3\n4,5,6\n", "gx, gy, gz"),
    "ragged": (GOOD + b"1,2\n", "no recording"),
    "words": (GOOD + b"9,a,b,c,d,e,f\n", "no recording"),
    "backwards": (GOOD + b"0,1,2,3,4,5,6\n", "do not rise"),
    "unit": (b"ax (mph),ay,az,gx,gy,gz\n1,2,3,4,5,6\n1,2,3,4,5,6\n", "mph"),
    "clock": (b"t [days],ax,ay,az,gx,gy,gz\n1,1,2,3,4,5,6\n2,1,2,3,4,5,6\n", "days"),
    "twice": (b"ax,acc_x,ay,az,gx,gy,gz\n1,1,2,3,4,5,6\n2,1,2,3,4,5,6\n", "several columns"),
    "changing": (b"rate,ax,ay,az,gx,gy,gz\n1,1,2,3,4,5,6\n2,1,2,3,4,5,6\n", "changes"),
    "gaps": (b"ax,ay,az,gx,gy,gz\n1,2,3,4,5,6\n1,,3,4,5,6\n", "no recording"),
    "no rows": (f"t,{CHANNELS}\n".encode(), "fewer than 2"),
    "bytes": (bytes(range(256)), "no recording"),
    "empty": (b"", "empty"),
    "nothing": (None, "no recording"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_recordings_give_one_line(what: str) -> None:
    item, reason = BAD[what]
    with pytest.raises(MediaError, match=reason) as caught:
        IMUPreprocessor()(item)
    assert "\n" not in str(caught.value)


def test_preprocessors_travel_between_processes() -> None:
    prepare = IMUPreprocessor(n_samples=800)
    assert pickle.loads(pickle.dumps(prepare)) == prepare
