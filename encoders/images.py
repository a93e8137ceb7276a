"""Images to the square of pixels that the vision tower reads.

Decoding and cropping end in uint8, which is what travels between processes; the mean and the
deviation are applied to whole batches at the end. ``reference=True`` gives the published pixels
bit for bit. The default differs where the published way loses something: EXIF orientation is
applied, transparency is laid over white, 16-bit greys are scaled instead of clipped, and large
JPEGs are decoded at a reduced size, which is faster and changes pixels by about one level.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import MediaError
from .media import (
    Array,
    Floats,
    Pixels,
    as_array,
    check_finite,
    is_source,
    label,
    one_line,
    open_bytes,
)

MAX_IMAGE_PIXELS = 100_000_000  # 300 MB decoded; refused from the header, before decoding
MAX_ASPECT = 200  # longer side over shorter: resizing blows the longer one up
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # no EPS: it runs a program
MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's, of RGB in 0 to 1
STD = (0.26862954, 0.26130258, 0.27577711)


def open_image(
    item: object,
    *,
    reference: bool = False,
    max_pixels: int = MAX_IMAGE_PIXELS,
    min_side: int | None = None,
) -> Image.Image:
    """Decode an image to RGB, upright; of an animation the first frame.

    Args:
        item: A path, bytes, a file object, a PIL image, or an array or tensor ``(H, W, 3)``,
            ``(H, W, 4)`` or ``(H, W)`` of uint8, or of floats from 0 to 1.
        reference: Leave EXIF orientation and transparency unheeded, as the published code does.
        max_pixels: Larger images are refused before they are decoded.
        min_side: JPEGs may be decoded to 1/2, 1/4 or 1/8 of their size as long as the shorter
            side keeps this many pixels; without it, or with ``reference``, they come whole.

    Raises:
        MediaError: It cannot be read, is damaged, or too large.
    """
    name = label(item)
    if isinstance(item, Image.Image):
        return _upright_rgb(item, name, reference, max_pixels, None)
    array = as_array(item)
    if array is not None:
        return _upright_rgb(_from_array(array), name, reference, max_pixels, None)
    if not is_source(item):
        raise MediaError(f"{name} is no image; give a path, bytes, a file, a PIL image or an array")
    with open_bytes(item) as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise MediaError(f"{name} is not an image (known: {', '.join(FORMATS)})") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise MediaError(f"{name} has more than {max_pixels:,} pixels; shrink it") from None
        except Exception as error:  # damaged headers make decoders raise almost anything
            raise MediaError(f"{name} is a damaged image: {one_line(error)}") from None
        return _upright_rgb(image, name, reference, max_pixels, None if reference else min_side)


def _upright_rgb(
    image: Image.Image, name: str, reference: bool, max_pixels: int, min_side: int | None
) -> Image.Image:
    """Check the size, decode, rotate, and convert to RGB."""
    width, height = image.size
    if width * height > max_pixels:
        raise MediaError(f"{name} has {width}x{height} pixels; at most {max_pixels:,}, shrink it")
    if min(width, height) < 1 or max(width, height) > MAX_ASPECT * min(width, height):
        raise MediaError(f"{name} has {width}x{height} pixels, which is too narrow; crop it")
    try:
        if min_side is not None:
            image.draft(None, (min_side, min_side))  # JPEG alone heeds it
        image.load()
        if reference:
            return image.convert("RGB")
        return _rgb(ImageOps.exif_transpose(image), name)
    except MediaError:
        raise
    except Exception as error:  # damaged files make decoders raise almost anything
        raise MediaError(f"{name} is a damaged image: {one_line(error)}") from None


def _rgb(image: Image.Image, name: str) -> Image.Image:
    """Convert any mode to RGB, losing nothing that shows."""
    if image.mode == "RGB":
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise MediaError(f"{name} has 32-bit greys; save it with 8 or 16 bits")
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise MediaError(f"{name} has floating-point pixels; save it with 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _from_array(array: Array) -> Image.Image:
    """An array or tensor as a PIL image; its axes and range are checked, never guessed."""
    name = f"image array of shape {array.shape}"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        raise MediaError(f"{name}: expected (H, W, 3); transpose it")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or array.ndim == 3 and array.shape[2] in (3, 4)) or not array.size:
        raise MediaError(f"{name}: expected (H, W, 3), (H, W, 4) or (H, W)")
    return Image.fromarray(_to_uint8(array, name))


def _to_uint8(array: Array, name: str) -> Pixels:
    """Pixels as bytes, from bytes or from floats between 0 and 1."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array.astype(np.uint8, copy=False))
    if array.dtype.kind != "f":
        raise MediaError(f"{name} and type {array.dtype}: expected uint8, or floats from 0 to 1")
    check_finite(array, name)
    floats = array.astype(np.float32)
    if floats.min() < 0 or floats.max() > 1:
        raise MediaError(
            f"{name} has values from {floats.min():g} to {floats.max():g}: "
            "floats lie between 0 and 1; divide by 255, or give uint8"
        )
    return np.rint(floats * 255).astype(np.uint8)


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Bring the shorter side to ``size`` (bicubic, antialiased) and keep the square in the middle.

    The roundings are torchvision's ``Resize`` and ``CenterCrop``, in any mode of PIL.
    """
    width, height = image.size
    short, long = min(width, height), max(width, height)
    if short != size:
        long = int(size * long / short)
        width, height = (size, long) if width <= height else (long, size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)  # halves go to even
    return image.crop((left, top, left + size, top + size))


@dataclass(frozen=True, kw_only=True)
class ImagePreprocessor:
    """An image to ``(size, size, 3)`` uint8; :func:`normalise_images` finishes a batch of them."""

    size: int  # pixels a side
    reference: bool = False  # the published pixels, bit for bit

    @property
    def min_side(self) -> int:
        """The shorter side a JPEG must keep when decoded small: twice what is cut out of it."""
        return 2 * self.size

    def __call__(self, item: object) -> Pixels:
        """Prepare one item that :func:`open_image` takes."""
        return self.crop(open_image(item, reference=self.reference, min_side=self.min_side))

    def crop(self, image: Image.Image) -> Pixels:
        """Prepare what :func:`open_image` returned."""
        return np.array(resize_and_crop(image, self.size))


def normalise_images(images: Array) -> Floats:
    """``(B, S, S, 3)`` uint8 to ``(B, 3, S, S)`` float32 with CLIP's mean and deviation removed."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"expected uint8 (B, S, S, 3), got {images.dtype} {images.shape}")
    out = images.transpose(0, 3, 1, 2).astype(np.float32, order="C")
    out /= np.float32(255)
    out -= np.array(MEAN, np.float32)[:, None, None]
    out /= np.array(STD, np.float32)[:, None, None]
    return out
