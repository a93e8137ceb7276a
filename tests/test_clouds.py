"""Point clouds: as they are for reference; by default finite, resampled, in the unit ball."""

import io
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from anybind.encoders.clouds import PointsPreprocessor, farthest_points, load_cloud
from anybind.encoders.media import load_array
from anybind.errors import MediaError

Cloud = npt.NDArray[np.float32]


def cloud(n_points: int, seed: int = 0) -> Cloud:
    """Points of a normal distribution, off the origin."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n_points, 3)) * 3 + 5).astype(np.float32)


def test_farthest_points_are_those_of_the_definition() -> None:
    """The definition, written out: the point with the largest distance to the chosen set."""
    points = cloud(200).astype(np.float64)
    chosen = [0]
    for _ in range(49):
        distances = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    np.testing.assert_array_equal(farthest_points(points, 50), chosen)


def test_farthest_points_of_a_line_are_its_ends_then_its_middle() -> None:
    line = np.zeros((101, 3))
    line[:, 0] = np.arange(101)
    assert farthest_points(line, 3).tolist() == [0, 100, 50]


@pytest.mark.parametrize(("n_points", "n_kept"), [(10, 32), (32, 32), (300, 300), (5000, 1024)])
def test_clouds_fill_the_unit_ball(n_points: int, n_kept: int) -> None:
    """The centroid is the origin and the largest radius is 1, as in Point-Bind's examples."""
    prepared = PointsPreprocessor(n_points=1024)(cloud(n_points))
    assert prepared.shape == (n_kept, 3)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared.astype(np.float64).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(prepared, axis=1).max(), 1, rtol=1e-6)


def test_a_cloud_of_the_right_size_keeps_its_points_and_their_order() -> None:
    """Only moved and scaled: written out here."""
    points = cloud(256).astype(np.float64)
    centred = points - points.mean(axis=0)
    expected = centred / np.linalg.norm(centred, axis=1).max()
    found = PointsPreprocessor(n_points=256)(points)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_larger_cloud_is_sampled_and_a_tiny_one_repeated() -> None:
    """Sampled: the farthest points; repeated: the same points again in the same order."""
    points = cloud(300).astype(np.float64)
    exact = PointsPreprocessor(n_points=100)
    np.testing.assert_array_equal(exact(points), exact(points[farthest_points(points, 100)]))
    repeated = PointsPreprocessor(min_points=700)(points)
    np.testing.assert_array_equal(repeated[:300], repeated[300:600])
    np.testing.assert_array_equal(repeated[600:], repeated[:100])


def test_scale_place_colours_and_holes_do_not_matter() -> None:
    """A cloud a million units away, with colours and with NaN rows, gives the same points."""
    points = cloud(500).astype(np.float64)
    prepare = PointsPreprocessor(n_points=64)
    expected = prepare(points)
    colours = np.random.default_rng(1).random((500, 3))
    holes = np.full((50, 6), np.nan)
    far = np.concatenate([np.hstack([points * 40 + 1e6, colours]), holes])
    np.testing.assert_allclose(prepare(far), expected, atol=1e-6)


def test_reference_hands_over_what_the_file_holds(data: Path) -> None:
    points = cloud(123)
    np.testing.assert_array_equal(PointsPreprocessor(reference=True)(points), points, strict=True)


def test_point_binds_examples_are_already_prepared(shared: Path) -> None:
    """The airplane of ImageBind-LLM, as npy and as pt, has mean 0 and largest norm 1."""
    pytest.importorskip("torch")
    npy = shared / "samples" / "airplane.npy"
    np.testing.assert_allclose(PointsPreprocessor()(npy), np.load(npy), atol=1e-6)
    pt = shared / "samples" / "airplane.pt"
    np.testing.assert_array_equal(load_cloud(pt), load_cloud(npy))


def saved(**arrays: npt.NDArray[np.generic]) -> bytes:
    """Arrays as an npz, which is a zip of npy."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))
    return buffer.getvalue()


def npy(array: npt.NDArray[np.generic]) -> bytes:
    """An array as an npy."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_every_form_gives_the_same_cloud(tmp_path: Path) -> None:
    """npy in C and Fortran order, npz, pt old and new, arrays, tensors, bytes, files."""
    torch = pytest.importorskip("torch")
    points = cloud(90)
    path = tmp_path / "cloud.npy"
    np.save(path, points)
    new, old = io.BytesIO(), io.BytesIO()
    torch.save(torch.from_numpy(points), new)
    torch.save(torch.from_numpy(points), old, _use_new_zipfile_serialization=False)
    items = [path, str(path), path.read_bytes(), npy(np.asfortranarray(points)), new, old]
    items += [saved(a=points), saved(points=points, colours=points), torch.from_numpy(points)]
    items += [points, points.astype(np.float64), path.open("rb")]
    for item in items:
        np.testing.assert_array_equal(load_cloud(item), points)


def test_a_million_points_take_three_seconds_at_most() -> None:
    """They are thinned to 65,536 before sampling; CPU time, as the machine may be busy."""
    points = cloud(1_000_000)
    start = time.process_time()
    assert PointsPreprocessor(n_points=8192)(points).shape == (8192, 3)
    assert time.process_time() - start < 3


def promise(shape: tuple[int, ...]) -> bytes:
    """The header of an npy, without what it announces."""
    buffer = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": "<f4"}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def zipped(content: bytes, member: str = "points.npy") -> bytes:
    """An npz with one member, or what a packed tensor would be."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


BAD = {
    "text": (b"up and away\n", "is no point cloud; give ply"),
    "bytes": (bytes(range(1, 256)), "is no point cloud; give ply"),
    "empty": (b"", "empty"),
    "truncated": (npy(cloud(50))[:300], "truncated"),
    "bomb": (promise((10**12, 3)), "3,000,000,000,000"),
    "zipped bomb": (zipped(promise((10**12, 3))), "3,000,000,000,000"),
    "negative": (promise((-1, 3)), "cannot be"),
    "objects": (saved(a=np.array([{}], dtype=object)), "object"),
    "pickle": (pickle.dumps([1, 2, 3]), "Python objects|readable"),
    "broken zip": (saved(a=cloud(50))[:300], "readable"),
    "several": (saved(a=cloud(5), b=cloud(5)), "several arrays"),
    "turned": (cloud(50).T, "transpose"),
    "flat": (np.zeros((50, 2)), "expected"),
    "no point": (np.zeros((0, 3)), "no point"),
    "all NaN": (np.full((5, 3), np.nan), "finite"),
    "one place": (np.ones((40, 3)), "coincide"),
    "one place, rounded": (np.full((7, 3), 0.1), "coincide"),
    "out of reach": (np.array([[0, 0, 0], [1e200, 0, 0]]), "units are wrong"),
    "nothing": (None, "no point cloud"),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("what", BAD)
def test_bad_clouds_give_one_line(what: str) -> None:
    item, reason = BAD[what]
    with pytest.raises(MediaError, match=reason) as caught:
        PointsPreprocessor(n_points=64)(item)
    assert "\n" not in str(caught.value)


def test_a_packed_tensor_is_refused_before_it_is_unpacked() -> None:
    """torch stores tensors as they are; a packed one may be a thousand times its file."""
    bomb = io.BytesIO(zipped(bytes(10_000), "data/0"))
    with pytest.raises(MediaError, match="unpacks to 10,000 bytes"):
        load_array(bomb, "bomb.pt", member="points", max_numbers=1000)


class Evil:
    """What would run a command if it were unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_in_a_file_is_executed() -> None:
    torch = pytest.importorskip("torch")
    saved_by_torch = io.BytesIO()
    torch.save(Evil(), saved_by_torch)
    for content in (pickle.dumps(Evil()), saved_by_torch.getvalue()):
        with pytest.raises(MediaError):
            load_cloud(content)


def test_reference_refuses_nan() -> None:
    points = cloud(9)
    points[3] = np.nan
    with pytest.raises(MediaError, match="3 of 27"):
        PointsPreprocessor(reference=True)(points)
