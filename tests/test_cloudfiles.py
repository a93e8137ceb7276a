"""Files of clouds and meshes: each is written by hand here, read, and compared with the numbers."""

import struct
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from anybind.encoders.cloudfiles import MESH_POINTS, kind_of, surface_points
from anybind.encoders.clouds import PointsPreprocessor, load_cloud
from anybind.errors import MediaError

Rows = npt.NDArray[np.float64]

CORNERS = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0], [0, 0, 3]], np.float64)


def cloud(n_points: int = 40, columns: int = 3) -> Rows:
    """Numbers that float32 and six decimals both hold: multiples of 1/64."""
    rng = np.random.default_rng(0)
    return rng.integers(-640, 640, (n_points, columns)) / 64


def text(rows: Rows, separator: str = " ", before: str = "") -> bytes:
    """Lines of numbers."""
    return "".join(before + separator.join(map(repr, row)) + "\n" for row in rows.tolist()).encode()


def ply(rows: Rows, form: str, names: str = "x y z", faces: str = "") -> bytes:
    """A ply file of floats (and of what ``faces`` declares)."""
    properties = "".join(f"property float {name}\n" for name in names.split())
    header = f"ply\nformat {form} 1.0\ncomment TextureFile elsewhere.png\n"
    header += f"element vertex {len(rows)}\n{properties}{faces}end_header\n"
    kinds = {"ascii": "", "binary_little_endian": "<f4", "binary_big_endian": ">f4"}
    body = rows.astype(kinds[form]).tobytes() if kinds[form] else text(rows)
    return header.encode() + body


def stl(triangles: Rows) -> bytes:
    """A binary stl of triangles ``(n, 3, 3)``, its normals left at 0."""
    faces = [np.concatenate([np.zeros(3), t.ravel()]).astype("<f4").tobytes() for t in triangles]
    return b" " * 80 + struct.pack("<I", len(faces)) + b"".join(f + b"\0\0" for f in faces)


PCD = (
    "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
    "WIDTH 20\nHEIGHT 2\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 40\nDATA "
)
POINTS = cloud()
WIDE = cloud(columns=6)
TABLES = {
    "xyz": (POINTS, text(POINTS)),
    "xyz with colours": (WIDE, text(WIDE)),
    "xyz with comments": (POINTS, b"# from a scanner\n// x y z\n\n" + text(POINTS)),
    "csv": (POINTS, b"x,y,z\n" + text(POINTS, ",")),
    "txt with semicolons": (POINTS, text(POINTS, "; ")),
    "xyz of Windows": (POINTS, b"\xef\xbb\xbf" + text(POINTS).replace(b"\n", b"\r\n")),
    "xyz with labels": (POINTS, b"".join(line + b" tree\n" for line in text(POINTS).splitlines())),
    "pts": (WIDE, b"40\n" + text(WIDE)),
    "ply ascii": (POINTS, ply(POINTS, "ascii")),
    "ply little": (POINTS, ply(POINTS, "binary_little_endian")),
    "ply big": (POINTS, ply(POINTS, "binary_big_endian")),
    "ply with normals": (WIDE, ply(WIDE, "binary_little_endian", "x y z nx ny nz")),
    "ply of Latin-1": (POINTS, ply(POINTS, "ascii").replace(b"elsewhere", b"\xc5ngstr\xf6m")),
    "obj": (POINTS, b"# points alone\n" + text(POINTS, before="v ")),
    "obj with colours": (WIDE, text(WIDE, before="v ")),
    "off": (POINTS, b"OFF\n40 0 0\n" + text(POINTS)),
    "pcd ascii": (POINTS, f"{PCD}ascii\n".encode() + text(np.hstack([POINTS, POINTS[:, :1]]))),
    "pcd binary": (
        POINTS,
        f"{PCD}binary\n".encode() + np.hstack([POINTS, POINTS[:, :1]]).astype("<f4").tobytes(),
    ),
}


@pytest.mark.parametrize("form", TABLES)
def test_every_file_of_points_gives_its_points(form: str) -> None:
    """The first three columns of what was written, in their order, exactly."""
    rows, content = TABLES[form]
    np.testing.assert_array_equal(load_cloud(content), rows[:, :3])


FACES = "element face 1\nproperty list uchar int vertex_indices\n"
TRIANGLE = "facet normal 0 0 0\nouter loop\n{}endloop\nendfacet\n"
OBJ = text(CORNERS, before="v ")
MESHES = {
    "obj": OBJ + b"f 1 2 3\nf 1 3 4\n",
    "obj of a quad": b"mtllib elsewhere.mtl\nusemtl red\n" + OBJ + b"f 1/1 2/2 3/3 4/4\n",
    "obj, counted back": OBJ + b"g left\nf -5 -4 -3\nusemtl blue\ng right\nf -5 -3 -2\n",
    "obj of Latin-1": b"# \xc5ngstr\xf6m\n" + OBJ + b"f 1 2 3\nf 1 3 4\n",
    "off": b"OFF\n5 1 0\n" + text(CORNERS) + b"4 0 1 2 3\n",
    "off of ModelNet": b"OFF5 2 0\n" + text(CORNERS) + b"3 0 1 2\n3 0 2 3\n",
    "off with colours": b"COFF\n5 1 0\n" + text(np.hstack([CORNERS] * 2)) + b"4 0 1 2 3 255 0 0\n",
    "stl": stl(CORNERS[[[0, 1, 2], [0, 2, 3]]]),
    "stl ascii": b"solid plate\n"
    + b"".join(
        TRIANGLE.format(text(CORNERS[place], before="vertex ").decode()).encode()
        for place in ([0, 1, 2], [0, 2, 3])
    )
    + b"endsolid plate\n",
    "ply ascii": ply(CORNERS, "ascii", faces=FACES) + b"4 0 1 2 3\n",
    "ply": ply(CORNERS, "binary_little_endian", faces=FACES) + struct.pack("<B4i", 4, 0, 1, 2, 3),
    "ply of triangles and quads": ply(
        CORNERS,
        "binary_big_endian",
        faces="element face 2\nproperty uchar red\nproperty list uchar uint vertex_index\n"
        "property list uchar float texcoord\n",
    )
    + struct.pack(">BB3IB", 9, 3, 0, 1, 2, 0)
    + struct.pack(">BB4IBf", 9, 4, 0, 2, 3, 3, 1, 0.5),
}


@pytest.mark.parametrize("form", MESHES)
def test_meshes_are_sampled_evenly_on_their_surface(form: str) -> None:
    """A plate of 2 x 1 in the plane z = 0; a vertex that no face has plays no part. The mean of
    8192 uniform numbers on (0, a) is a / 2 within four of its deviations a / sqrt(12 n)."""
    points = load_cloud(MESHES[form])
    assert points.shape == (MESH_POINTS, 3)
    np.testing.assert_array_equal(points[:, 2], 0)
    for axis, side in ((0, 2), (1, 1)):
        assert points[:, axis].min() >= 0
        assert points[:, axis].max() <= side
        tolerance = 4 * side / np.sqrt(12 * MESH_POINTS)
        np.testing.assert_allclose(points[:, axis].mean(), side / 2, atol=tolerance)
        quarter = np.mean(points[:, axis] < side / 4)
        np.testing.assert_allclose(quarter, 1 / 4, atol=4 * np.sqrt(3 / 16 / MESH_POINTS))
    np.testing.assert_array_equal(load_cloud(MESHES[form]), points)


def test_large_faces_get_more_points_and_flat_ones_none() -> None:
    """Shares of the points are shares of the area: 1 to 4, and a triangle without area."""
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [10, 0, 0], [12, 0, 0], [10, 2, 0]])
    faces = np.array([[0, 1, 2], [3, 4, 5], [0, 1, 3]])
    points = surface_points(vertices, faces, "mesh")
    np.testing.assert_allclose(np.mean(points[:, 0] >= 10), 4 / 5, atol=0.02)
    assert not ((points[:, 0] > 1) & (points[:, 0] < 10)).any()


def test_a_mesh_without_area_is_a_cloud_of_its_vertices() -> None:
    flat = b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n"
    np.testing.assert_array_equal(load_cloud(flat), [[0, 0, 0], [1, 0, 0], [2, 0, 0]])


def test_holes_in_a_file_are_dropped_from_a_cloud_and_from_a_mesh() -> None:
    """A scanner writes nan where it saw nothing; a face with such a corner is left out."""
    rows = cloud()
    rows[7] = np.nan
    prepare = PointsPreprocessor()
    for content in (text(rows), ply(rows, "ascii"), ply(rows, "binary_little_endian")):
        np.testing.assert_array_equal(prepare(content), prepare(np.delete(rows, 7, axis=0)))
    holed = ply(np.vstack([CORNERS[:4], [[np.nan] * 3]]), "binary_little_endian", faces=FACES)
    holed = holed.replace(b"element face 1", b"element face 2")
    points = load_cloud(holed + struct.pack("<B4iB3i", 4, 0, 1, 2, 3, 3, 0, 1, 4))
    assert points.max() <= 2


def test_points_far_from_the_origin_keep_their_digits() -> None:
    """Map coordinates: a millionth of a unit shows at a distance of a million."""
    rows = cloud() / 1000
    prepared = PointsPreprocessor()(text(rows + 1e6))
    np.testing.assert_allclose(prepared, PointsPreprocessor()(rows), atol=1e-6)


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    """An obj that is called ply is read as what it is; so are bytes without a name."""
    path = tmp_path / "cloud.ply"
    path.write_bytes(TABLES["obj"][1])
    np.testing.assert_array_equal(load_cloud(path), POINTS)
    with path.open("rb") as file:
        np.testing.assert_array_equal(load_cloud(file), POINTS)
    assert kind_of(b"3\nwater\nO 0 0 0\nH 1 0 0\nH 0 1 0\n") == "pts"  # and refused below


def test_nothing_that_a_file_names_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A material library beside the file is left alone: to open it would fail, it is a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere.mtl").mkdir()
    (tmp_path / "elsewhere.png").mkdir()
    for name in ("obj of a quad", "ply"):
        path = tmp_path / "mesh"
        path.write_bytes(MESHES[name])
        assert len(load_cloud(path)) == MESH_POINTS


def test_a_million_points_in_a_file_take_three_seconds_at_most() -> None:
    """Binary ply, read, thinned and sampled to 8192; CPU time, as the machine may be busy."""
    points = np.random.default_rng(0).standard_normal((1_000_000, 3))
    content = ply(points, "binary_little_endian")
    start = time.process_time()
    assert PointsPreprocessor()(content).shape == (8192, 3)
    assert time.process_time() - start < 3


BAD = {
    "truncated ply": (TABLES["ply little"][1][:-9], "ply"),
    "truncated ascii ply": (TABLES["ply ascii"][1][:-90], "truncated: 3. of 40"),
    "truncated off": (TABLES["off"][1][:-90], "truncated: 3. of 40"),
    "truncated pts": (TABLES["pts"][1][:-90], "truncated|damaged"),
    "truncated stl": (MESHES["stl"][:-9], "no point cloud"),
    "truncated ascii stl": (MESHES["stl ascii"][:-60], "truncated|damaged"),
    "molecule": (b"3\nwater\nO 0 0 0\nH 1 0 0\nH 0 1 0\n", "damaged pts"),
    "two columns": (b"1 2\n3 4\n", "no point cloud"),
    "ragged": (b"1 2 3\n4 5\n", "damaged xyz"),
    "words": (b"1 2 3\n4 up 6\n", "damaged xyz"),
    "wrong faces": (OBJ + b"f 1 2 9\n", "obj|does not have"),
    "wrong faces of ply": (
        ply(CORNERS, "binary_little_endian", faces=FACES) + struct.pack("<B4i", 4, 0, 1, 2, 9),
        "does not have",
    ),
    "promises": (TABLES["ply little"][1].replace(b"vertex 40", b"vertex 999999999999"), "ply"),
    "header alone": (b"ply\n", "ply"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "no point cloud"),
    "zeros": (bytes(4096), "no point cloud"),
    "web page": (b"<!doctype html><html></html>", "no point cloud"),
    "nothing in it": (b"OFF\n0 0 0\n", "no point"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_give_one_line(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    """And print nothing, though trimesh would."""
    content, reason = BAD[what]
    with pytest.raises(MediaError, match=reason) as caught:
        PointsPreprocessor()(content)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", [*TABLES, *(f"mesh {name}" for name in MESHES)])
def test_damaged_files_never_end_in_a_traceback(form: str) -> None:
    """Each cut at ten places and with ten bytes changed: a cloud, or one line."""
    whole = MESHES[form[5:]] if form.startswith("mesh ") else TABLES[form][1]
    rng = np.random.default_rng(0)
    damaged = [whole[: rng.integers(1, len(whole))] for _ in range(10)]
    for _ in range(10):
        changed = bytearray(whole)
        changed[rng.integers(0, min(len(changed), 400))] = rng.integers(0, 256)
        damaged.append(bytes(changed))
    for content in damaged:
        try:
            assert load_cloud(content).shape[1] == 3
        except MediaError as error:
            assert "\n" not in str(error)
