"""Polygon files, ``.ply``: a text header that declares tables, then the tables as text or binary.

trimesh refuses binary files that mix triangles with quads, as Blender writes them, and takes text
files that end early for whole ones; so they are read here.

Source: https://paulbourke.net/dataformats/ply/.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_HEADER = 1_000_000  # bytes; writers put long comments there
NUMBERS = {  # names of types to numpy's, without the order of bytes
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
STRUCT = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("vertex_indices", "vertex_index")  # the list of a face's vertices

Coordinates = npt.NDArray[np.float64]  # (N, 3)
Triangles = npt.NDArray[np.int64]  # (M, 3), rows of Coordinates


@dataclass(frozen=True, kw_only=True)
class Column:
    """One property of an element."""

    name: str
    kind: str  # numpy's type, of the items if it is a list
    count: str | None  # numpy's type of a list's length; None: a single number


@dataclass(frozen=True, kw_only=True)
class Table:
    """One element: so many rows of the same columns."""

    name: str
    n_rows: int
    columns: tuple[Column, ...]

    def place(self, *names: str) -> int:
        """Which column has one of these names."""
        for i, column in enumerate(self.columns):
            if column.name in names:
                return i
        raise ValueError(f"its {self.name} has no {' or '.join(names)}")


def read_ply(content: bytes) -> tuple[Coordinates, Triangles]:
    """The vertices of a file, and its faces cut into triangles (none if it is a cloud).

    Raises:
        ValueError, IndexError, KeyError, struct.error, OverflowError: It is damaged.
    """
    form, tables, start = _header(content)
    body = memoryview(content)[start:]
    vertices: Coordinates = np.empty((0, 3))
    triangles: Triangles = np.empty((0, 3), np.int64)
    lines = _lines(body) if form == "ascii" else []
    place = 0
    for table in tables:
        if form == "ascii":
            rows = lines[place : place + table.n_rows]
            place += table.n_rows
            if len(rows) < table.n_rows:
                raise ValueError(f"it is truncated: {len(rows):,} of {table.n_rows:,} {table.name}")
            if table.name == "vertex":
                vertices = _text_vertices(rows, table)
            elif table.name == "face":
                triangles = _fans(_text_faces(rows, table))
        elif any(column.count for column in table.columns):
            faces, place = _binary_lists(body, place, table, ORDERS[form])
            if table.name == "face":
                triangles = _fans(faces)
        else:
            kinds = [(f"f{i}", ORDERS[form] + c.kind) for i, c in enumerate(table.columns)]
            row = np.dtype(kinds)
            end = place + table.n_rows * row.itemsize
            if end > len(body):
                n_found = (len(body) - place) // row.itemsize
                raise ValueError(f"it is truncated: {n_found:,} of {table.n_rows:,} {table.name}")
            if table.name == "vertex":
                array = np.frombuffer(body[place:end], row)
                axes = [array[f"f{table.place(axis)}"] for axis in "xyz"]
                vertices = np.column_stack(axes).astype(np.float64)
            place = end
    return vertices, triangles


def _header(content: bytes) -> tuple[str, list[Table], int]:
    """The form of the tables, their declarations, and where they begin."""
    form = ""
    tables: list[Table] = []
    place = 0
    while True:
        end = content.find(b"\n", place, MAX_HEADER)
        if end < 0:
            raise ValueError("its header does not end")
        words = content[place:end].decode("latin-1").split()
        place = end + 1
        match words:
            case ["format", form, *_]:
                pass
            case ["element", name, count]:
                tables.append(Table(name=name, n_rows=_natural(count), columns=()))
            case ["property", "list", count, kind, name]:
                column = Column(name=name, kind=NUMBERS[kind], count=NUMBERS[count])
                tables[-1] = _with(tables[-1], column)
            case ["property", kind, name]:
                column = Column(name=name, kind=NUMBERS[kind], count=None)
                tables[-1] = _with(tables[-1], column)
            case ["end_header"]:
                break
            case _:
                pass  # comments
    if form != "ascii" and form not in ORDERS:
        raise ValueError(f"its format is {form!r}")
    return form, tables, place


def _natural(word: str) -> int:
    if not word.isdecimal():
        raise ValueError(f"it announces {word} rows")
    return int(word)


def _with(table: Table, column: Column) -> Table:
    return Table(name=table.name, n_rows=table.n_rows, columns=(*table.columns, column))


def _lines(body: memoryview) -> list[bytes]:
    return [line for line in bytes(body).splitlines() if line.strip()]


def _text_vertices(rows: list[bytes], table: Table) -> Coordinates:
    """The columns x y z; lists may only stand behind them."""
    axes = [table.place(axis) for axis in "xyz"]
    if any(column.count for column in table.columns[: max(axes)]):
        raise ValueError("a list stands in front of its coordinates")
    if not rows:
        return np.empty((0, 3))
    return np.loadtxt(io.BytesIO(b"\n".join(rows)), usecols=axes, ndmin=2)


def _text_faces(rows: list[bytes], table: Table) -> list[tuple[int, ...]]:
    """The corners of each face; only single numbers may stand in front of them."""
    place = table.place(*CORNERS)
    if any(column.count for column in table.columns[:place]):
        raise ValueError("a list stands in front of the corners of its faces")
    faces: list[tuple[int, ...]] = []
    for row in rows:
        words = row.split()
        n_corners = _natural(words[place].decode())
        corners = tuple(map(int, words[place + 1 : place + 1 + n_corners]))
        if len(corners) < n_corners:
            raise ValueError("a face has fewer corners than it says")
        faces.append(corners)
    return faces


def _binary_lists(
    body: memoryview, start: int, table: Table, order: str
) -> tuple[Triangles | list[tuple[int, ...]], int]:
    """The corners of each face, from a table with lists, and where the next table begins.

    As an array where all lists are as long as those of the first row; that is fast.
    """
    if not table.n_rows:
        return [], start
    corners = table.place(*CORNERS) if table.name == "face" else -1
    rows, end = _equal_lists(body, start, table, order)
    if rows is not None:
        return rows[f"f{corners}"].astype(np.int64) if corners >= 0 else [], end
    faces: list[tuple[int, ...]] = []
    place = start
    for _ in range(table.n_rows):
        for i, column in enumerate(table.columns):
            n_items = 1
            if column.count:
                (n_items,) = struct.unpack_from(order + STRUCT[column.count], body, place)
                place += np.dtype(column.count).itemsize
            if i == corners:
                faces.append(
                    struct.unpack_from(f"{order}{n_items}{STRUCT[column.kind]}", body, place)
                )
            place += n_items * np.dtype(column.kind).itemsize
        if place > len(body):
            raise ValueError(f"it is truncated: {len(faces):,} of {table.n_rows:,} {table.name}")
    return faces, place


def _equal_lists(
    body: memoryview, start: int, table: Table, order: str
) -> tuple[npt.NDArray[np.void] | None, int]:
    """A table whose lists are all as long as those of its first row, or None; and its end."""
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    lengths: dict[str, int] = {}
    place = start
    for i, column in enumerate(table.columns):
        if column.count:
            (length,) = struct.unpack_from(order + STRUCT[column.count], body, place)
            if not 0 <= length <= len(body):
                raise ValueError(f"a {table.name} has a list of {length} numbers")
            lengths[f"n{i}"] = length
            fields += [(f"n{i}", order + column.count), (f"f{i}", order + column.kind, (length,))]
            place += np.dtype(column.count).itemsize + length * np.dtype(column.kind).itemsize
        else:
            fields.append((f"f{i}", order + column.kind))
            place += np.dtype(column.kind).itemsize
    row = np.dtype(fields)
    end = start + table.n_rows * row.itemsize
    if end > len(body):
        return None, start
    rows = np.frombuffer(body[start:end], row)
    equal = all((rows[name] == length).all() for name, length in lengths.items())
    return (rows, end) if equal else (None, start)


def _fans(faces: Triangles | list[tuple[int, ...]]) -> Triangles:
    """Polygons as triangles around their first corner; what has fewer than three is left out."""
    if isinstance(faces, list):
        by_size: dict[int, list[tuple[int, ...]]] = {}
        for face in faces:
            by_size.setdefault(len(face), []).append(face)
        groups = [np.array(group, np.int64) for size, group in by_size.items() if size >= 3]
    else:
        groups = [faces]
    parts = [np.empty((0, 3), np.int64)]
    for group in groups:
        parts += [group[:, [0, i, i + 1]] for i in range(1, group.shape[1] - 1)]
    return np.concatenate(parts)
