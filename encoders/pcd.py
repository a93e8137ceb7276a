"""Clouds of the Point Cloud Library, ``.pcd``: a text header, then rows, columns or both packed.

Source: https://pointclouds.org/documentation/tutorials/pcd_file_format.html, version 0.7; the
packed form is LZF (https://github.com/nemequ/liblzf), field after field.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import MediaError
from .media import Array

MAX_HEADER = 65_536  # bytes; a header has ten short lines
TYPES = {  # (TYPE, SIZE) of the header to numpy; multi-byte numbers are little-endian
    **{("F", size): f"<f{size}" for size in (4, 8)},
    **{("I", size): f"<i{size}" for size in (1, 2, 4, 8)},
    **{("U", size): f"<u{size}" for size in (1, 2, 4, 8)},
}
AXES = ("x", "y", "z")


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says about itself."""

    fields: tuple[str, ...]
    types: tuple[str, ...]  # numpy's, one a field
    counts: tuple[int, ...]  # numbers of a field in each point
    n_points: int
    form: str  # ascii, binary or binary_compressed
    n_bytes: int  # of the header itself

    @property
    def row(self) -> np.dtype[np.void]:
        """One point; fields are named by their places, as files repeat ``_`` for padding."""
        columns = zip(self.types, self.counts, strict=True)
        return np.dtype([(f"f{i}", kind, (n,)) for i, (kind, n) in enumerate(columns)])


def read_pcd(content: bytes, name: str, *, max_points: int) -> npt.NDArray[np.float64]:
    """The coordinates in a file, ``(N, 3)``.

    Args:
        content: The whole file.
        name: For messages.
        max_points: More than this is refused before memory is taken for it.

    Raises:
        MediaError: It is damaged, has no x y z, or too many points.
    """
    try:
        header = _header(content, name)
        if header.n_points > max_points:
            raise MediaError(f"{name} has {header.n_points:,} points; at most {max_points:,}")
        body = memoryview(content)[header.n_bytes :]
        if header.form == "ascii":
            return _ascii(header, body)
        if header.form == "binary":
            return _binary(header, body)
        return _compressed(header, body)
    except MediaError:
        raise
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        reason = " ".join(str(error).split())
        raise MediaError(f"{name} is a damaged pcd file: {reason}") from None


def _header(content: bytes, name: str) -> Header:
    """Everything before the points."""
    entries: dict[str, list[str]] = {}
    end = 0
    while "DATA" not in entries:
        start, end = end, content.find(b"\n", end, MAX_HEADER) + 1
        if not end:
            raise ValueError("its header has no DATA line")
        words = content[start:end].decode("ascii", "replace").split()
        if words and not words[0].startswith("#"):
            entries[words[0].upper()] = words[1:]
    fields = tuple(entries.get("FIELDS", entries.get("COLUMNS", ())))
    sizes = [int(size) for size in entries["SIZE"]]
    types = tuple(TYPES[kind, size] for kind, size in zip(entries["TYPE"], sizes, strict=True))
    counts = tuple(int(n) for n in entries.get("COUNT", ["1"] * len(fields)))
    form = entries["DATA"][0].lower()
    if form not in ("ascii", "binary", "binary_compressed"):
        raise ValueError(f"its DATA is {form}")
    if "POINTS" in entries:
        n_points = int(entries["POINTS"][0])
    else:
        n_points = int(entries["WIDTH"][0]) * int(entries["HEIGHT"][0])
    if not len(fields) == len(types) == len(counts) or min(counts, default=0) < 1 or n_points < 0:
        raise ValueError("FIELDS, SIZE, TYPE, COUNT and POINTS do not fit each other")
    if missing := [axis for axis in AXES if axis not in fields]:
        raise MediaError(f"{name} has no {', '.join(missing)} among its fields {', '.join(fields)}")
    return Header(
        fields=fields, types=types, counts=counts, n_points=n_points, form=form, n_bytes=end
    )


def _ascii(header: Header, body: memoryview) -> npt.NDArray[np.float64]:
    """Rows of words."""
    ends = np.cumsum(header.counts)
    columns = [int(ends[i] - header.counts[i]) for i in map(header.fields.index, AXES)]
    if not header.n_points:
        return np.empty((0, 3))
    table = np.loadtxt(io.BytesIO(body), usecols=columns, ndmin=2, max_rows=header.n_points)
    if len(table) < header.n_points:
        raise ValueError(f"it is truncated: {len(table):,} of {header.n_points:,} points")
    return np.asarray(table, np.float64)


def _binary(header: Header, body: memoryview) -> npt.NDArray[np.float64]:
    """Point after point."""
    if len(body) < header.n_points * header.row.itemsize:
        n_found = len(body) // header.row.itemsize
        raise ValueError(f"it is truncated: {n_found:,} of {header.n_points:,} points")
    rows = np.frombuffer(body, header.row, header.n_points)
    return _stacked([rows[f"f{header.fields.index(axis)}"][:, 0] for axis in AXES])


def _compressed(header: Header, body: memoryview) -> npt.NDArray[np.float64]:
    """Field after field, packed."""
    n_packed, n_plain = struct.unpack_from("<II", body)
    if n_plain != header.n_points * header.row.itemsize:
        raise ValueError(f"it promises {n_plain:,} bytes for {header.n_points:,} points")
    if len(body) - 8 < n_packed:
        raise ValueError(f"it is truncated: {len(body) - 8:,} of {n_packed:,} bytes")
    plain = unpack_lzf(bytes(body[8 : 8 + n_packed]), n_plain)
    widths = [
        np.dtype(kind).itemsize * n for kind, n in zip(header.types, header.counts, strict=True)
    ]
    columns: list[Array] = []
    for axis in AXES:
        place = header.fields.index(axis)
        n_numbers = header.n_points * header.counts[place]
        start = header.n_points * sum(widths[:place])
        column = np.frombuffer(plain, header.types[place], n_numbers, start)
        columns.append(column[:: header.counts[place]])
    return _stacked(columns)


def _stacked(columns: list[Array]) -> npt.NDArray[np.float64]:
    """Three columns side by side."""
    return np.column_stack(columns).astype(np.float64)


def unpack_lzf(packed: bytes, n_plain: int) -> bytes:
    """Undo LZF compression.

    A control byte below 32 is followed by that many bytes and one more, as they are. Of any other
    the upper three bits are a length less 2 (7: the next byte adds to it), the lower five and the
    next byte are how far back, less 1, the same bytes have stood already.

    Args:
        packed: What was compressed.
        n_plain: How many bytes it must give.

    Raises:
        ValueError: It gives another number of bytes, or refers to what is not there.
    """
    plain = bytearray()
    place, n_packed = 0, len(packed)
    while place < n_packed:
        control = packed[place]
        place += 1
        if control < 32:
            plain += packed[place : place + control + 1]
            place += control + 1
        else:
            length = control >> 5
            if length == 7:
                length += packed[place]
                place += 1
            length += 2
            start = len(plain) - ((control & 31) << 8) - packed[place] - 1
            place += 1
            if start < 0:
                raise ValueError("packed bytes refer to what is not there")
            part = plain[start : start + length]
            while len(part) < length:  # the copy overlaps itself: a pattern is repeated
                part += part[: length - len(part)]
            plain += part
        if len(plain) > n_plain:
            raise ValueError(f"it unpacks to more than {n_plain:,} bytes")
    if len(plain) != n_plain:
        raise ValueError(f"it unpacks to {len(plain):,} of {n_plain:,} bytes")
    return bytes(plain)
