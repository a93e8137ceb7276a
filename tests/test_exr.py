"""EXR: FFmpeg's own files in every packing, channels by their names, and damaged files."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest

from anybind.encoders.exr import read_exr
from anybind.encoders.maps import load_depth
from anybind.errors import MediaError

Plane = npt.NDArray[np.generic]


def slope(height: int = 37, width: int = 50) -> npt.NDArray[np.float32]:
    """Metres that half floats hold: multiples of 1/128 below 8, with a flat part that packs."""
    metres = np.random.default_rng(0).integers(64, 1024, (height, width)) / 128
    metres[5:30, 10:40] = 2.5
    return metres.astype(np.float32)


def by_ffmpeg(metres: npt.NDArray[np.float32], compression: str, format: str) -> bytes:
    """A picture with the one channel Y."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as output:
        options = {"compression": compression, "format": format}
        stream = output.add_stream("exr", rate=Fraction(1), options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = metres.shape
        stream.pix_fmt = "grayf32le"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(metres, format="grayf32le")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def by_hand(
    planes: dict[str, Plane], *, top: int = 0, compression: int = 0, version: int = 2
) -> bytes:
    """A picture without packing, from the description of the format."""
    kinds = {"uint32": 0, "float16": 1, "float32": 2}
    height, width = next(iter(planes.values())).shape
    channels = b"".join(
        name.encode() + struct.pack("<x4i", kinds[str(planes[name].dtype)], 0, 1, 1)
        for name in sorted(planes)
    )
    window = struct.pack("<4i", 0, top, width - 1, top + height - 1)
    attributes = {
        "channels": ("chlist", channels + b"\0"),
        "compression": ("compression", bytes([compression])),
        "dataWindow": ("box2i", window),
    }
    head = b"v/1\x01" + struct.pack("<I", version)
    for name, (kind, value) in attributes.items():
        head += f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
    head += b"\0"
    lines = [b"".join(planes[name][y].tobytes() for name in sorted(planes)) for y in range(height)]
    size = 8 + len(lines[0])
    start = len(head) + 8 * height
    table = struct.pack(f"<{height}Q", *(start + size * y for y in range(height)))
    chunks = [struct.pack("<2i", top + y, len(line)) + line for y, line in enumerate(lines)]
    return head + table + b"".join(chunks)


@pytest.mark.parametrize("format", ["half", "float"])
@pytest.mark.parametrize("compression", ["none", "rle", "zip1", "zip16"])
def test_files_of_ffmpeg_give_the_metres_written(compression: str, format: str) -> None:
    """37 lines, which 16 do not divide; half floats hold these numbers exactly."""
    content = by_ffmpeg(slope(), compression, format)
    np.testing.assert_array_equal(load_depth(content, depth_scale=1), slope())


@pytest.mark.parametrize("channel", ["Z", "depth", "V", "View Layer.Depth.Z", "anything"])
def test_the_depth_is_found_by_its_name(channel: str) -> None:
    """Alone under any name; among others as Z, depth or V, behind the name of a layer or not."""
    planes: dict[str, Plane] = {channel: slope()}
    if channel != "anything":
        planes |= {"A": np.ones((37, 50), np.float16), "mask": np.ones((37, 50), np.uint32)}
    np.testing.assert_array_equal(
        read_exr(by_hand(planes, top=-9), "z.exr", max_pixels=9999), slope()
    )


def test_grey_in_three_colours_is_depth_and_colour_is_not() -> None:
    """OpenCV writes one channel as three that are equal."""
    grey: dict[str, Plane] = dict.fromkeys("BGR", slope())
    np.testing.assert_array_equal(load_depth(by_hand(grey), depth_scale=1), slope())
    with pytest.raises(MediaError, match="colours"):
        load_depth(by_hand(grey | {"G": slope() + 1}), depth_scale=1)


def test_whole_numbers_are_scaled_and_what_was_not_seen_is_zero() -> None:
    """uint32 millimetres; infinity is no reading."""
    millimetres = (slope() * 1000).astype(np.uint32)
    metres = load_depth(by_hand({"Z": millimetres}), depth_scale=0.001)
    np.testing.assert_allclose(metres, millimetres / 1000, rtol=1e-6)
    holes = slope()
    holes[3] = np.inf
    assert not load_depth(by_hand({"Z": holes}), depth_scale=1)[3].any()


GOOD = by_hand({"Z": slope()})
BAD = {
    "truncated": (GOOD[:-9], "truncated"),
    "header alone": (GOOD[:9], "damaged"),
    "no channel": (GOOD.replace(b"channels\0", b"chanells\0"), "has no channels"),
    "PIZ": (by_hand({"Z": slope()}, compression=4), "PIZ.*save it with ZIP"),
    "tiles": (by_hand({"Z": slope()}, version=0x202), "tiles"),
    "parts": (by_hand({"Z": slope()}, version=0x1002), "several parts"),
    "no depth": (by_hand({"A": slope(), "U": slope()}), "channels A, U"),
    "not packed": (by_hand({"Z": slope()[:, :9]}, compression=3), "damaged"),
    "name of two lines": (GOOD.replace(b"channels\0", b"chan\nels\0"), "a name in it is none"),
    "large": (by_hand({"Z": np.zeros((101, 100), np.float32)}), "100x101 pixels"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_give_one_line(what: str) -> None:
    content, reason = BAD[what]
    with pytest.raises(MediaError, match=reason) as caught:
        read_exr(content, "z.exr", max_pixels=10_000)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", ["none", "rle", "zip16"])
def test_damaged_files_never_end_in_a_traceback(compression: str) -> None:
    """Cut, and with bytes changed: a map, or one line."""
    whole = by_ffmpeg(slope(), compression, "half")
    rng = np.random.default_rng(0)
    for i in range(40):
        content = bytearray(whole)
        content[rng.integers(4, 400 if i % 2 else len(whole))] = rng.integers(0, 256)
        for damaged in (bytes(content), whole[: rng.integers(4, len(whole))]):
            try:
                assert load_depth(damaged, depth_scale=1).ndim == 2
            except MediaError as error:
                assert "\n" not in str(error)
