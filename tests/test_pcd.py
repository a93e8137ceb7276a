"""PCD: the three forms of the same points, LZF by its definition, and damaged files."""

import struct

import numpy as np
import pytest

from anybind.encoders.clouds import load_cloud
from anybind.encoders.pcd import read_pcd, unpack_lzf
from anybind.errors import MediaError

POINTS = np.random.default_rng(0).integers(-640, 640, (30, 3)) / 64  # float32 holds them
HEADER = (
    "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS normal x _ y z label\n"
    "SIZE 4 4 1 8 4 2\nTYPE F F U F F U\nCOUNT 3 1 4 1 1 1\nWIDTH 30\nHEIGHT 1\n"
    "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 30\nDATA "
)
ROW = np.dtype(
    [("n", "<f4", 3), ("x", "<f4"), ("_", "u1", 4), ("y", "<f8"), ("z", "<f4"), ("l", "<u2")]
)


def rows() -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """The points among fields of other types, with numbers that must not be taken for them."""
    table = np.zeros(len(POINTS), ROW)
    table["n"], table["_"], table["l"] = 7, 8, np.arange(len(POINTS))
    table["x"], table["y"], table["z"] = POINTS.T
    return table


def literal(plain: bytes) -> bytes:
    """LZF that packs nothing: runs of up to 32 bytes as they are."""
    runs = [plain[i : i + 32] for i in range(0, len(plain), 32)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def compressed(packed: bytes, n_plain: int) -> bytes:
    return (
        f"{HEADER}binary_compressed\n".encode() + struct.pack("<II", len(packed), n_plain) + packed
    )


COLUMNS = b"".join(np.ascontiguousarray(rows()[name]).tobytes() for name in ROW.names or ())
ASCII = "".join(
    f"7 7 7 {x!r} 8 8 8 8 {y!r} {z!r} {i}\n" for i, (x, y, z) in enumerate(POINTS.tolist())
)
FORMS = {
    "ascii": f"{HEADER}ascii\n{ASCII}".encode(),
    "binary": f"{HEADER}binary\n".encode() + rows().tobytes(),
    "binary_compressed": compressed(literal(COLUMNS), len(COLUMNS)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_points(form: str) -> None:
    """x y z are found by their names, among fields of several numbers each."""
    np.testing.assert_array_equal(load_cloud(FORMS[form]), POINTS)


def test_lzf_follows_its_definition() -> None:
    """Written out: three bytes as they are; seven from three back, which overlap themselves; a
    longer run, 9 and 20 more, from one back; one byte as it is."""
    packed = bytes([2, *b"abc", (7 - 2) << 5, 3 - 1, 7 << 5, 20, 1 - 1, 0, *b"!"])
    expected = b"abc" + b"abcabca" + b"a" * (2 + 7 + 20) + b"!"
    assert unpack_lzf(packed, len(expected)) == expected


def test_lzf_reaches_back_by_thirteen_bits() -> None:
    """8192 bytes back is as far as it goes: five bits in the control byte, eight behind it."""
    plain = np.random.default_rng(0).integers(0, 256, 8192, dtype=np.uint8).tobytes()
    packed = literal(plain) + bytes([(1 << 5) | 31, 255])
    assert unpack_lzf(packed, 8195) == plain + plain[:3]


BAD = {
    "truncated": (FORMS["binary"][:-5], "truncated: 29 of 30"),
    "truncated text": (FORMS["ascii"][:-60], "damaged"),
    "truncated pack": (FORMS["binary_compressed"][:-5], "truncated"),
    "no data": (HEADER[:-5].encode(), "no DATA"),
    "no z": (FORMS["binary"].replace(b"y z l", b"y q l"), "has no z"),
    "odd type": (FORMS["binary"].replace(b"TYPE F", b"TYPE Q"), "damaged"),
    "many": (FORMS["binary"].replace(b"POINTS 30", b"POINTS 99"), "99 points; at most 50"),
    "negative": (FORMS["binary"].replace(b"POINTS 30", b"POINTS -3"), "do not fit"),
    "odd form": (FORMS["binary"].replace(b"DATA binary", b"DATA zip"), "its DATA is zip"),
    "bomb": (compressed(bytes([0, 0, 0xE0, 255, 0] * 9), len(COLUMNS)), "damaged"),
    "too long": (compressed(literal(COLUMNS + bytes(99)), len(COLUMNS)), "more than"),
    "points back": (compressed(bytes([0x20, 9]), len(COLUMNS)), "not there"),
    "other size": (compressed(literal(COLUMNS[:-1]), len(COLUMNS) - 1), "promises"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_give_one_line(what: str) -> None:
    content, reason = BAD[what]
    with pytest.raises(MediaError, match=reason) as caught:
        read_pcd(content, "cloud.pcd", max_points=50)
    assert "\n" not in str(caught.value)
