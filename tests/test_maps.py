"""Depth and thermal: the formulas written out, every form of file, and bad input."""

import io
import pickle

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from anybind.encoders.maps import DepthPreprocessor, ThermalPreprocessor, load_depth
from anybind.errors import MediaError


def as_file(array: npt.NDArray[np.generic], format: str) -> bytes:
    """An array as an image."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format)
    return buffer.getvalue()


def npy(array: npt.NDArray[np.generic]) -> bytes:
    """An array as an npy."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def slope(height: int = 60, width: int = 80) -> npt.NDArray[np.uint16]:
    """Millimetres, from 0.6 m to 6 m."""
    return np.linspace(600, 6000, height * width).reshape(height, width).astype(np.uint16)


def standardised(metres: float) -> float:
    """The formula: disparity of a Kinect in shares of 75 pixels, less the mean, over the std."""
    return (min(0.075 * 518.86 / metres / 75, 1) - 0.0418) / 0.0295


@pytest.mark.parametrize("metres", [0.3, 0.6, 2.0, 10.0, 50.0])
def test_a_flat_wall_has_the_disparity_of_the_formula(metres: float) -> None:
    found = DepthPreprocessor(size=32)(np.full((40, 50), metres))
    assert found.shape == (1, 32, 32)
    np.testing.assert_allclose(found, standardised(metres), rtol=1e-5)


def test_near_saturates_far_is_clipped_and_holes_are_infinitely_far() -> None:
    depth = DepthPreprocessor(size=2)
    near, far = np.full((2, 2), 0.001), np.full((2, 2), 1000.0)
    np.testing.assert_allclose(depth(near), standardised(0.01), rtol=1e-5)
    np.testing.assert_allclose(depth(far), standardised(50), rtol=1e-5)
    holes = np.array([[0, np.nan], [np.inf, 2.0]])
    expected = [[-0.0418 / 0.0295] * 2, [-0.0418 / 0.0295, standardised(2)]]
    np.testing.assert_allclose(depth(holes)[0], expected, rtol=1e-5)


def test_every_form_of_a_depth_map_gives_the_same_metres() -> None:
    """16-bit PNG and TIFF, npy and arrays of millimetres; floats in metres; PIL; torch."""
    torch = pytest.importorskip("torch")
    millimetres = slope()
    metres = millimetres.astype(np.float32) / 1000
    items = [millimetres, metres, metres[None], torch.from_numpy(metres), npy(millimetres)]
    items += [npy(metres), as_file(millimetres, "PNG"), as_file(millimetres, "TIFF")]
    items += [as_file(metres, "TIFF"), Image.fromarray(millimetres), Image.fromarray(metres)]
    items += [io.BytesIO(npy(metres)), millimetres.astype(np.int32)]
    for item in items:
        np.testing.assert_allclose(load_depth(item, depth_scale=0.001), metres, rtol=1e-6)


def test_the_depth_scale_says_what_a_unit_is() -> None:
    """5,000 units a metre, as TUM's RGB-D files have it; floats stay metres."""
    metres = load_depth(slope(), depth_scale=1 / 5000)
    np.testing.assert_allclose(metres, slope() / 5000, rtol=1e-6)
    np.testing.assert_array_equal(load_depth(metres, depth_scale=1 / 5000), metres)


def test_a_depth_map_is_cut_to_the_square_in_its_middle() -> None:
    """A map of the right height: columns 10 to 49 of 60, untouched."""
    metres = np.random.default_rng(0).uniform(1, 5, (40, 60)).astype(np.float32)
    found = DepthPreprocessor(size=40)(metres)[0]
    expected = (np.float32(0.075 * 518.86 / 75) / metres[:, 10:50] - 0.0418) / 0.0295
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_thermal_levels_are_shares_of_255() -> None:
    """Grey levels as they are, cut to the middle; no mean and deviation."""
    grey = np.random.default_rng(0).integers(0, 256, (32, 48), dtype=np.uint8)
    expected = grey[None, :, 8:40] / np.float32(255)
    thermal = ThermalPreprocessor(size=32)
    for item in (grey, as_file(grey, "PNG"), Image.fromarray(grey), np.stack([grey] * 3, axis=2)):
        np.testing.assert_allclose(thermal(item), expected, atol=1e-7)
    np.testing.assert_allclose(thermal(grey / 255.0), expected, atol=1e-7)


BAD_DEPTHS = {
    "8 bits": (as_file(np.zeros((9, 9), np.uint8), "PNG"), "16-bit"),
    "8-bit array": (np.ones((9, 9), np.uint8), "8-bit"),
    "colours": (as_file(np.zeros((9, 9, 3), np.uint8), "PNG"), "16-bit"),
    "colour array": (np.zeros((9, 9, 3)), "expected"),
    "negative": (np.full((9, 9), -1.0), "negative"),
    "no reading": (np.zeros((9, 9), np.uint16), "no depth reading"),
    "narrow": (np.ones((1, 900)), "too narrow"),
    "truncated": (as_file(slope(300, 400), "PNG")[:900], "damaged"),
    "text": (b"far away", "no depth map"),
    "empty": (b"", "empty"),
    "nothing": (None, "no depth map"),
}


@pytest.mark.parametrize("what", BAD_DEPTHS)
def test_bad_depth_maps_give_one_line(what: str) -> None:
    item, reason = BAD_DEPTHS[what]
    with pytest.raises(MediaError, match=reason) as caught:
        DepthPreprocessor(size=32)(item)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("item", [b"warm", np.zeros((3, 9, 8), np.uint8), np.full((9, 9), 37.5)])
def test_bad_thermal_images_are_refused(item: object) -> None:
    with pytest.raises(MediaError):
        ThermalPreprocessor(size=32)(item)


def test_preprocessors_travel_between_processes() -> None:
    for prepare in (DepthPreprocessor(size=32, depth_scale=0.0002), ThermalPreprocessor(size=32)):
        assert pickle.loads(pickle.dumps(prepare)) == prepare
