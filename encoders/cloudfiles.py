"""Files of clouds and meshes to coordinates: ply, obj, off, stl, pcd, pts, xyz.

A file is told by its content, never by its name. Of a mesh, points are drawn evenly on its surface;
of a cloud, all points are taken as they are. Nothing outside the file is opened: materials and
textures that it names are left alone.
"""

import io
import logging
import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..errors import MediaError
from .media import Array, one_line
from .pcd import read_pcd
from .ply import read_ply

MAX_BYTES = 256 * 2**20  # of a file; a million points with normals and colours have 60 MB
MAX_POINTS = 10_000_000
MESH_POINTS = 8192  # drawn on a mesh: as many as the clouds that Point-Bind was trained on
SEED = 0  # of those points: the same mesh gives the same cloud
HEAD_BYTES = 65_536  # of a file, in which its first line that is no comment must start
STL_HEADER, STL_FACE = 84, 50  # bytes; a binary stl has nothing else to be told by
OBJ_WORDS = frozenset("v vt vn vp f l p o g s mtllib usemtl".split())
NAMES = "ply, obj, off, stl, pcd, pts, xyz, npy, npz or pt"

Coordinates = npt.NDArray[np.float64]  # (N, 3)


def read_cloud_file(content: bytes, name: str) -> Coordinates:
    """The points of a file, ``(N, 3)``, rows with NaN included.

    Args:
        content: The whole file.
        name: For messages.

    Raises:
        MediaError: It is none of these files, damaged, or too large.
    """
    if len(content) > MAX_BYTES:
        raise MediaError(f"{name} has {len(content):,} bytes; at most {MAX_BYTES:,}, thin it")
    kind = kind_of(content)
    if kind is None:
        raise MediaError(f"{name} is no point cloud; give {NAMES}")
    try:
        points = _READERS[kind](content, name)
    except MediaError:
        raise
    except Exception as error:  # damaged files make these libraries raise almost anything
        raise MediaError(f"{name} is a damaged {kind} file: {one_line(error)}") from None
    if len(points) > MAX_POINTS:
        raise MediaError(f"{name} has {len(points):,} points; at most {MAX_POINTS:,}, thin it")
    return points


def kind_of(content: bytes) -> str | None:
    """The format of a file, by its first bytes, or None if it is none of those known here."""
    if content[:3] == b"ply":
        return "ply"
    if _is_binary_stl(content):
        return "stl"
    head = content[:HEAD_BYTES].decode("utf-8-sig", "replace")
    if "\0" in head.partition("DATA")[0]:  # of a pcd, only what follows the header is binary
        return None
    words = _first_words(head)
    if not words:
        return None
    if words[0] == "solid":
        return "stl"
    if words[0].upper() in ("VERSION", "FIELDS", "COLUMNS"):
        return "pcd"
    if words[0].lstrip("STCN").startswith("OFF"):  # colours and normals may stand in front
        return "off"
    if words[0] in OBJ_WORDS:
        return "obj"
    if len(words) == 1 and words[0].isdecimal():
        return "pts"
    if len(words) >= 3 and (_are_numbers(words[:3]) or _names_axes(words)):
        return "xyz"
    return None


def _is_binary_stl(content: bytes) -> bool:
    n_faces = int.from_bytes(content[STL_HEADER - 4 : STL_HEADER], "little")
    return n_faces > 0 and len(content) == STL_HEADER + STL_FACE * n_faces


def _first_words(text: str) -> list[str]:
    """The words of the first line that is neither empty nor a comment."""
    for line in text.splitlines():
        words = _spaced(line).split()
        if words and not words[0].startswith(("#", "//")):
            return words
    return []


def _spaced(text: str) -> str:
    """``text`` with spaces for the other signs that stand between numbers."""
    return text.replace(",", " ").replace(";", " ")


def _are_numbers(words: list[str]) -> bool:
    try:
        np.array(words, np.float64)
    except ValueError:
        return False
    return True


def _names_axes(words: list[str]) -> bool:
    """Whether a line is the head of a table whose first columns are x y z."""
    return [word.strip('"').lower() for word in words[:3]] == ["x", "y", "z"]


def _read_table(content: bytes, n_skipped: int) -> Coordinates:
    """The first three columns of lines of numbers, whatever separates them."""
    plain = content.removeprefix(b"\xef\xbb\xbf").translate(bytes.maketrans(b",;", b"  "))
    lines = io.BytesIO(plain)
    while n_skipped:
        words = lines.readline().split()
        n_skipped -= bool(words) and not words[0].startswith((b"#", b"//"))
    table = np.loadtxt(lines, usecols=(0, 1, 2), comments=("#", "//"), ndmin=2)
    return np.asarray(table, np.float64)


def _read_pts(content: bytes, name: str) -> Coordinates:
    """A line with their number, then points with intensity, with colours, or alone."""
    n_promised = int(_first_words(content[:HEAD_BYTES].decode("utf-8-sig", "replace"))[0])
    points = _read_table(content, 1)
    if len(points) != n_promised:
        raise MediaError(f"{name} is truncated: {len(points):,} of {n_promised:,} points")
    return points


def _read_xyz(content: bytes, name: str) -> Coordinates:
    """Lines of x y z, and of more, which is left out."""
    head = _first_words(content[:HEAD_BYTES].decode("utf-8-sig", "replace"))
    return _read_table(content, int(_names_axes(head)))


def _read_pcd(content: bytes, name: str) -> Coordinates:
    return read_pcd(content, name, max_points=MAX_POINTS)


def _read_ply(content: bytes, name: str) -> Coordinates:
    return surface_points(*read_ply(content), name)


def _with_trimesh(kind: str) -> Callable[[bytes, str], Coordinates]:
    """The reader of a format that trimesh reads."""

    def read(content: bytes, name: str) -> Coordinates:
        import trimesh

        logger = logging.getLogger("trimesh")
        if logger.level == logging.NOTSET:  # it prints tracebacks; what is wrong, we say ourselves
            logger.setLevel(logging.CRITICAL)
        content = _readable(kind, content)
        if kind == "off":
            _check_lines(content, name)
        shape = trimesh.load(
            io.BytesIO(content),
            file_type=kind,
            process=False,  # no merging: a cloud keeps its points
            skip_materials=True,
        )
        if not isinstance(shape, trimesh.Trimesh | trimesh.PointCloud):
            raise MediaError(f"{name} is a {kind} file without points and faces, or truncated")
        vertices = np.asarray(shape.vertices, np.float64)
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise ValueError(f"its vertices have the shape {vertices.shape}")
        if isinstance(shape, trimesh.PointCloud):
            return vertices
        return surface_points(vertices, shape.faces, name)

    return read


def _readable(kind: str, content: bytes) -> bytes:
    """A file as trimesh reads it whole: its text in UTF-8, whatever the comments hold, and an obj
    without its materials, which would cut the mesh into parts."""
    if _is_binary_stl(content):
        return content
    if kind == "obj":
        content = re.sub(rb"(?m)^\s*(usemtl|mtllib).*$", b"", content)
    return content.decode("utf-8", "replace").encode()


def _check_lines(content: bytes, name: str) -> None:
    """Refuse an off file that ends before its header says; trimesh takes what is there."""
    lines = [line for line in content.splitlines() if line.partition(b"#")[0].strip()]
    n_promised = sum(map(int, re.findall(rb"\d+", b" ".join(lines[:2]))[:2]))
    if len(lines) < n_promised:
        raise MediaError(f"{name} is truncated: {len(lines):,} of {n_promised:,} lines")


def surface_points(vertices: Coordinates, faces: Array, name: str) -> Coordinates:
    """Points drawn on triangles, evenly by area, ``(MESH_POINTS, 3)``; the vertices if there are no
    triangles, or only flat ones.

    Args:
        vertices: ``(n, 3)``.
        faces: Places of three vertices each, ``(m, 3)``.
        name: For messages.
    """
    faces = np.asarray(faces, np.int64)
    if faces.size and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise MediaError(f"{name} has faces of vertices that it does not have")
    corners = vertices[faces].reshape(-1, 3, 3)
    corners = corners[np.isfinite(corners).all(axis=(1, 2))]
    origin, a, b = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    reach = np.cumsum(np.linalg.norm(np.cross(a, b), axis=1))
    if not len(reach) or not 0 < reach[-1] < np.inf:
        return vertices
    generator = np.random.default_rng(SEED)
    face = np.searchsorted(reach, generator.random(MESH_POINTS) * reach[-1], side="right")
    u, v = generator.random((2, MESH_POINTS, 1))
    beyond = u + v > 1  # in the other half of the parallelogram: turned back into the triangle
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    points: Coordinates = origin[face] + u * a[face] + v * b[face]
    return points


_READERS: dict[str, Callable[[bytes, str], Coordinates]] = {
    "ply": _read_ply,
    "pcd": _read_pcd,
    "pts": _read_pts,
    "xyz": _read_xyz,
    **{kind: _with_trimesh(kind) for kind in ("obj", "off", "stl")},
}
