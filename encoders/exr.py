"""One channel of an OpenEXR picture, as renderers save depth.

Scan lines, plain or packed with ZIP, ZIPS or RLE: the lossless ways that Blender, OpenCV and
imageio write. FFmpeg, which knows more of them, reads no channel called Z; the OpenEXR package ends
the process on some damaged files.

Source: https://openexr.com/en/latest/OpenEXRFileLayout.html.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import MediaError
from .media import Array

MAGIC = b"v/1\x01"
ODD_FLAGS = {0x200: "tiles", 0x800: "deep pixels", 0x1000: "several parts"}  # of the version
PIXELS = {0: "<u4", 1: "<f2", 2: "<f4"}
LINES = {0: 1, 1: 1, 2: 1, 3: 16}  # of a chunk, by compression: none, RLE, ZIPS, ZIP
PACKED_OTHERWISE = {4: "PIZ", 5: "PXR24", 6: "B44", 7: "B44A", 8: "DWAA", 9: "DWAB"}
DEPTHS = ("Z", "DEPTH", "Y", "V")  # what the depth is called, behind the name of its layer


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a file says about itself."""

    channels: Mapping[str, str]  # name to numpy's type, in the order of the file
    compression: int
    first: int  # number of the first line
    height: int  # lines
    width: int  # pixels of a line
    n_bytes: int  # before the table of chunks


def read_exr(content: bytes, name: str, *, max_pixels: int) -> Array:
    """The depth in a picture, ``(H, W)``: its only channel, or the one called Z, depth, Y or V;
    of a grey picture in R, G and B, one of these.

    Args:
        content: The whole file.
        name: For messages.
        max_pixels: More than this is refused before memory is taken for it.

    Raises:
        MediaError: It is damaged, too large, saved in another way, or has no such channel.
    """
    try:
        layout = _layout(content, name)
        if layout.width * layout.height > max_pixels:
            raise MediaError(
                f"{name} has {layout.width}x{layout.height} pixels; at most {max_pixels:,}"
            )
        wanted = _depth_channels(layout, name)
        first, *others = _planes(content, layout, wanted)
    except (ValueError, IndexError, KeyError, struct.error, zlib.error) as error:
        raise MediaError(f"{name} is a damaged exr file: {error}") from None
    if not all(np.array_equal(first, other, equal_nan=first.dtype.kind == "f") for other in others):
        raise MediaError(f"{name} holds colours; save the depth in a channel called Z")
    return first


def _layout(content: bytes, name: str) -> Layout:
    """Everything before the pixels."""
    if content[:4] != MAGIC:
        raise ValueError("it does not begin as one")
    (version,) = struct.unpack_from("<I", content, 4)
    for flag, what in ODD_FLAGS.items():
        if version & flag:
            raise MediaError(f"{name} is an exr file of {what}; save it in scan lines, in one part")
    attributes: dict[str, bytes] = {}
    place = 8
    while content[place]:
        key, place = _text(content, place)
        _, place = _text(content, place)  # the type, which the key tells as well
        (size,) = struct.unpack_from("<i", content, place)
        if not 0 <= size <= len(content) - place - 4:
            raise ValueError(f"its attribute {key} ends behind the file")
        attributes[key] = content[place + 4 : place + 4 + size]
        place += 4 + size
    if missing := {"channels", "compression", "dataWindow"} - attributes.keys():
        raise ValueError(f"it has no {min(missing)}")
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    compression = attributes["compression"][0]
    if compression not in LINES:
        how = PACKED_OTHERWISE.get(compression, compression)
        raise MediaError(f"{name} is packed with {how}, which is not read here; save it with ZIP")
    if right < left or bottom < top:
        raise ValueError("its window is empty")
    return Layout(
        channels=_channels(attributes["channels"], name),
        compression=compression,
        first=top,
        height=bottom - top + 1,
        width=right - left + 1,
        n_bytes=place + 1,
    )


def _text(content: bytes, start: int) -> tuple[str, int]:
    """A word that ends with a zero, and where the next begins."""
    end = content.index(b"\0", start, start + 256)
    word = content[start:end].decode("latin-1")
    if not word.isprintable():  # it would break the line of a message
        raise ValueError("a name in it is none")
    return word, end + 1


def _channels(attribute: bytes, name: str) -> dict[str, str]:
    """Names and types of the channels."""
    channels: dict[str, str] = {}
    place = 0
    while attribute[place]:
        channel, place = _text(attribute, place)
        kind, _, across, down = struct.unpack_from("<4i", attribute, place)
        if (across, down) != (1, 1):
            raise MediaError(f"{name} has a channel {channel} of another size; save it whole")
        channels[channel] = PIXELS[kind]
        place += 16
    return channels


def _depth_channels(layout: Layout, name: str) -> list[str]:
    """The channels that hold the depth: one, or R, G and B of a grey picture."""
    names = list(layout.channels)
    if len(names) == 1:
        return names
    for word in DEPTHS:
        if found := [channel for channel in names if channel.rpartition(".")[2].upper() == word]:
            return found[:1]
    if {"R", "G", "B"} <= set(names):
        return ["R", "G", "B"]
    raise MediaError(
        f"{name} has the channels {', '.join(names)}; save the depth in one that is called Z"
    )


def _planes(content: bytes, layout: Layout, wanted: list[str]) -> list[Array]:
    """Channels as arrays ``(H, W)``."""
    row = np.dtype([(channel, kind, layout.width) for channel, kind in layout.channels.items()])
    n_lines = LINES[layout.compression]
    n_chunks = -(-layout.height // n_lines)
    n_table = layout.n_bytes + 8 * n_chunks
    if len(content) < n_table:
        raise ValueError("it is truncated")
    planes = [
        np.empty((layout.height, layout.width), layout.channels[channel]) for channel in wanted
    ]
    starts: set[int] = set()
    for offset in struct.unpack_from(f"<{n_chunks}Q", content, layout.n_bytes):
        if not n_table <= offset <= len(content) - 8:
            raise ValueError("it is truncated, or its table of chunks is wrong")
        line, size = struct.unpack_from("<2i", content, offset)
        start = line - layout.first
        if start not in range(0, layout.height, n_lines) or start in starts:
            raise ValueError(f"its line {line} does not exist, or exists twice")
        starts.add(start)
        packed = content[offset + 8 : offset + 8 + max(size, 0)]
        if len(packed) < size:
            raise ValueError("it is truncated")
        n_rows = min(n_lines, layout.height - start)
        plain = _unpacked(packed, n_rows * row.itemsize, layout.compression)
        rows = np.frombuffer(plain, row, n_rows)
        for plane, channel in zip(planes, wanted, strict=True):
            plane[start : start + n_rows] = rows[channel]
    return list(planes)


def _unpacked(packed: bytes, n_plain: int, compression: int) -> bytes:
    """The bytes of a chunk."""
    if compression == 0 or len(packed) == n_plain:  # what packing would lengthen is stored
        return packed
    if compression == 1:
        plain = _unpack_runs(packed, n_plain)
    else:
        plain = zlib.decompressobj().decompress(packed, n_plain + 1)
    if len(plain) != n_plain:
        raise ValueError(f"a chunk unpacks to {len(plain):,} of {n_plain:,} bytes")
    steps = np.frombuffer(plain, np.uint8).copy()
    steps[1:] -= np.uint8(128)  # each byte is the step from the one before, plus 128
    levels: npt.NDArray[np.uint8] = np.cumsum(steps, dtype=np.uint8)
    out = np.empty_like(levels)
    half = -(-n_plain // 2)
    out[::2], out[1::2] = levels[:half], levels[half:]  # even bytes, then odd ones
    return out.tobytes()


def _unpack_runs(packed: bytes, n_plain: int) -> bytes:
    """Undo run lengths: a count below zero is that many bytes as they are, any other one byte so
    often and once more."""
    plain = bytearray()
    place = 0
    while place < len(packed) and len(plain) <= n_plain:
        count = packed[place]
        if count > 127:
            plain += packed[place + 1 : place + 257 - count]
            place += 257 - count
        else:
            plain += packed[place + 1 : place + 2] * (count + 1)
            place += 2
    return bytes(plain)
