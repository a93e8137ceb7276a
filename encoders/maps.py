"""Depth maps and thermal images to the one-channel squares that their towers read.

ImageBind published no loader for either. What is done here follows its authors' answers and its
users' measurements, and every assumption is a field with its source; ``reference`` changes nothing.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import MediaError
from .exr import MAGIC as EXR_MAGIC
from .exr import read_exr
from .images import MAX_ASPECT, MAX_IMAGE_PIXELS, open_image, resize_and_crop
from .media import (
    Array,
    Floats,
    as_array,
    is_array_file,
    is_source,
    label,
    load_array,
    one_line,
    open_bytes,
)

MILLIMETRES = 0.001  # metres per unit, of integer maps
NEAREST_METRES = 0.01
FARTHEST_METRES = 50.0
MAX_DISPARITY = 75.0  # pixels; what is nearer saturates
MAX_EXR_BYTES = 512 * 2**20  # of a file, all its channels included
MAP_FORMATS = ("PNG", "TIFF")  # those of Pillow's that hold 16 bits or floats


def load_depth(item: object, *, depth_scale: float) -> Floats:
    """Read a depth map in metres, ``(H, W)``; pixels without a reading are 0.

    Args:
        item: A path, bytes or a file object of a 16-bit PNG or TIFF, OpenEXR, npy, npz (array
            ``depth``) or pt, or a PIL image, array or tensor ``(H, W)``. Floats are metres.
        depth_scale: Metres per unit of integers.

    Raises:
        MediaError: It cannot be read or is no depth map.
    """
    name = label(item)
    array = as_array(item)
    if array is None and isinstance(item, Image.Image):
        array = _pixels(item, name)
    if array is None:
        if not is_source(item):
            raise MediaError(f"{name} is no depth map; give a path, bytes, a file or an array")
        with open_bytes(item) as file:
            magic = file.read(len(EXR_MAGIC))
            file.seek(0)
            if is_array_file(file):
                array = load_array(file, name, member="depth", max_numbers=MAX_IMAGE_PIXELS)
            elif magic == EXR_MAGIC:
                array = read_exr(file.read(MAX_EXR_BYTES), name, max_pixels=MAX_IMAGE_PIXELS)
            else:
                try:
                    array = _pixels(Image.open(file, formats=MAP_FORMATS), name)
                except MediaError:
                    raise
                except UnidentifiedImageError:
                    raise MediaError(
                        f"{name} is no depth map; give a 16-bit PNG or TIFF, exr, npy, npz or pt"
                    ) from None
                except Exception as error:  # damaged files make decoders raise almost anything
                    raise MediaError(f"{name} is a damaged image: {one_line(error)}") from None
    return _metres(array, depth_scale, name)


def _pixels(image: Image.Image, name: str) -> Array:
    """The numbers of a one-channel image."""
    _check_size(*image.size, name)
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        raise MediaError(
            f"{name} has pixels of type {image.mode}: expected 16-bit greys, or floats in metres"
        )
    return np.asarray(image)


def _metres(array: Array, depth_scale: float, name: str) -> Floats:
    """Integers times their scale, floats as they are; missing readings are 0."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[:, :, 0]
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
        raise MediaError(
            f"{name}: a depth map of shape {array.shape} and type {array.dtype}: expected (H, W)"
        )
    if array.dtype.kind != "f" and array.dtype.itemsize == 1:
        raise MediaError(f"{name} has 8-bit depths; save 16-bit integers, or floats in metres")
    _check_size(array.shape[1], array.shape[0], name)
    scale = 1.0 if array.dtype.kind == "f" else depth_scale
    metres = np.where(np.isfinite(array), array, 0).astype(np.float32) * np.float32(scale)
    if metres.min() < 0:
        raise MediaError(f"{name} has negative depths, down to {metres.min():g} m")
    if not metres.any():
        raise MediaError(f"{name} has no depth reading: all pixels are 0 or not finite")
    return metres


def _check_size(width: int, height: int, name: str) -> None:
    """Refuse maps that are too large or too narrow."""
    if width * height > MAX_IMAGE_PIXELS:
        raise MediaError(
            f"{name} has {width}x{height} pixels; at most {MAX_IMAGE_PIXELS:,}, shrink it"
        )
    if min(width, height) < 1 or max(width, height) > MAX_ASPECT * min(width, height):
        raise MediaError(f"{name} has {width}x{height} pixels, which is too narrow; crop it")


@dataclass(frozen=True, kw_only=True)
class DepthPreprocessor:
    """A depth map to ``(1, size, size)`` float32: standardised disparity.

    Near is large: disparity = baseline * focal / metres, as a share of 75 pixels. A pixel without
    a reading counts as infinitely far.

    Source: facebookresearch/omnivore issue 12 (disparity, baseline, 75), ImageBind issues 14 and
    107 (mean and deviation); the focal length is that of the Kinect v1 which took NYU Depth v2.
    """

    size: int  # pixels a side
    depth_scale: float = MILLIMETRES  # metres per unit of integer maps
    baseline: float = 0.075  # metres between the Kinect's eyes; 0.095 for RealSense and Xtion
    focal: float = 518.86  # pixels
    mean: float = 0.0418  # of the share, over Omnivore's RGB-D images
    std: float = 0.0295
    reference: bool = False

    def __call__(self, item: object) -> Floats:
        """Prepare one map that :func:`load_depth` takes."""
        metres = load_depth(item, depth_scale=self.depth_scale)
        seen = metres > 0
        metres = metres.clip(NEAREST_METRES, FARTHEST_METRES)
        disparity = np.where(seen, self.baseline * self.focal / metres, 0).astype(np.float32)
        share = Image.fromarray((disparity / MAX_DISPARITY).clip(0, 1))
        square = np.asarray(resize_and_crop(share, self.size), np.float32)
        out: Floats = (square[None] - np.float32(self.mean)) / np.float32(self.std)
        return out


@dataclass(frozen=True, kw_only=True)
class ThermalPreprocessor:
    """A thermal image to ``(1, size, size)`` float32 from 0 to 1; bright is warm.

    Its grey levels are taken as they are: no mean and deviation, which measured better on LLVIP
    (ImageBind pull request 73: 62.4 against 55.2).
    """

    size: int  # pixels a side
    reference: bool = False

    def __call__(self, item: object) -> Floats:
        """Prepare an 8-bit grey image, by path, bytes, file or PIL image, or an array ``(H, W)`` of
        uint8 or of floats from 0 to 1; colours are turned to grey.

        Raises:
            MediaError: It cannot be read.
        """
        grey = ImageOps.grayscale(open_image(item))
        square = np.asarray(resize_and_crop(grey, self.size), np.float32)
        out: Floats = square[None] / np.float32(255)
        return out
