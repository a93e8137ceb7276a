"""Images: the published pixels, bit for bit; better ones by default; bad files named."""

import io
import json
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anybind.encoders.images import ImagePreprocessor, normalise_images, open_image
from anybind.errors import MediaError

from .parity import hold

FREE = [
    "rgba_60x300.png",
    "gray_300x201.png",
    "palette_251x180.png",
    "exif6_320x200.jpg",
    "small_50x37.png",
    "exact_224.png",
]
NOT_FREE = ["dog_image.jpg", "car_image.jpg"]


def check_parity(path: Path, data: Path) -> None:
    """Compare every stage of one file with the published code's."""
    golden = np.load(data / "parity" / "preprocess.npz")
    facts = json.loads((data / "parity" / "preprocess.json").read_text())["images"][path.name]
    decoded = open_image(path, reference=True)
    assert zlib.crc32(decoded.tobytes()) == facts["decoded_crc"]
    crop = ImagePreprocessor(size=224, reference=True)(path)
    np.testing.assert_array_equal(crop, golden[f"image/{path.name}/crop"])
    pixels = normalise_images(crop[None])
    difference = np.abs(pixels.reshape(-1)[::7] - golden[f"image/{path.name}/values"]).max()
    hold("preprocess: images, values", float(difference), 0.0)
    assert zlib.crc32(pixels.tobytes()) == facts["crc"]


@pytest.mark.parametrize("name", FREE)
def test_reference_pixels_are_the_published_ones(name: str, data: Path) -> None:
    """Real torchvision 0.29 on Pillow 13; see parity/preprocess.json."""
    check_parity(data / "samples" / name, data)


@pytest.mark.parametrize("name", NOT_FREE)
def test_reference_pixels_of_the_published_photos(name: str, data: Path, shared: Path) -> None:
    """As above, on photos that may not be copied here."""
    check_parity(shared / "samples" / name, data)


def as_file(image: Image.Image, format: str, **options: object) -> bytes:
    """An image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def photo(width: int, height: int) -> Image.Image:
    """Smooth waves of colour, with an upper left corner that no other corner looks like."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 31 + i) + np.cos(y / 17 * (i + 1)) for i in range(3)]
    pixels = (np.stack(waves, axis=2) * 50 + 128).astype(np.uint8)
    pixels[: height // 8, : width // 8] = (250, 10, 10)
    return Image.fromarray(pixels)


def test_exif_orientation_is_applied_by_default_only(data: Path) -> None:
    """Orientation 6 says: turn a quarter clockwise to view; PIL's transpose is the oracle."""
    path = data / "samples" / "exif6_320x200.jpg"
    lying = open_image(path, reference=True)
    assert lying.size == (320, 200)
    upright = np.asarray(lying.transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(np.asarray(open_image(path)), upright)
    np.testing.assert_array_equal(np.asarray(open_image(Image.open(path))), upright)


def test_transparency_lies_over_white_by_default_only() -> None:
    """Half of black over white is grey 127 or 128; without alpha it is black."""
    half = Image.new("RGBA", (30, 20), (0, 0, 0, 128))
    assert open_image(half).getpixel((3, 3)) == (127, 127, 127)
    assert open_image(half, reference=True).getpixel((3, 3)) == (0, 0, 0)
    opaque = photo(30, 20)
    np.testing.assert_array_equal(np.asarray(open_image(opaque.convert("RGBA"))), opaque)


@pytest.mark.parametrize(
    ("mode", "format"),
    [("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "GIF"), ("RGB", "BMP"), ("RGB", "WEBP")]
    + [("RGB", "TIFF"), ("RGB", "PNG"), ("RGB", "PPM")],
)
def test_every_mode_and_format_shows_its_colours(mode: str, format: str) -> None:
    """The oracle is PIL's own conversion of the image before it was written."""
    image = photo(64, 48).convert(mode)
    options = {"lossless": True} if format == "WEBP" else {}
    read = open_image(as_file(image, format, **options))
    np.testing.assert_array_equal(np.asarray(read), np.asarray(image.convert("RGB")))


def test_cmyk_jpegs_keep_their_colour() -> None:
    """JPEG moves a flat colour by a level or two."""
    red = Image.new("RGB", (64, 64), (200, 30, 90)).convert("CMYK")
    found = np.array(open_image(as_file(red, "JPEG")).getpixel((32, 32)))
    assert np.abs(found - (200, 30, 90)).max() <= 2


def test_16_bit_greys_are_scaled_to_8() -> None:
    """The high byte, as Pillow does for 16-bit colours."""
    grey = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    for format in ("PNG", "TIFF"):
        read = np.asarray(open_image(as_file(Image.fromarray(grey), format)))
        np.testing.assert_array_equal(read[:, :, 0], grey >> 8)
        np.testing.assert_array_equal(read[:, :, 2], grey >> 8)


def test_animations_give_their_first_frame() -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if format == "WEBP" else {}
        moving = as_file(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert open_image(moving).getpixel((5, 5)) == (255, 0, 0), format


def test_all_ways_to_hand_over_an_image_agree(tmp_path: Path) -> None:
    """Path, text of a path, bytes, file, stream that cannot seek, PIL, numpy, torch."""
    torch = pytest.importorskip("torch")
    image = photo(70, 50)
    pixels = np.asarray(image)
    content = as_file(image, "PNG")
    path = tmp_path / "a photo.png"
    path.write_bytes(content)

    class Stream(io.RawIOBase):
        """Bytes that can be read once, like a socket's."""

        def __init__(self) -> None:
            self.inner = io.BytesIO(content)

        def read(self, size: int = -1) -> bytes:
            return self.inner.read(size)

    prepare = ImagePreprocessor(size=32)
    expected = prepare(image)
    with path.open("rb") as file:
        items = [path, str(path), content, file, io.BytesIO(content), Stream(), pixels]
        items += [pixels.astype(np.float64) / 255, torch.from_numpy(pixels.copy())]
        items += [torch.from_numpy(pixels.astype(np.float32) / 255), pixels[::-1][::-1]]
        for item in items:
            np.testing.assert_array_equal(prepare(item), expected)
        np.testing.assert_array_equal(prepare(file), expected)  # read twice


@pytest.mark.parametrize("size", [64, 96, 224])
def test_reduced_decoding_moves_pixels_by_less_than_a_level(size: int) -> None:
    """The oracle is the JPEG decoded whole; measured on photos: 0.2 to 0.7 levels on average."""
    content = as_file(photo(1400, 1000), "JPEG", quality=90)
    fast, whole = ImagePreprocessor(size=size), ImagePreprocessor(size=size, reference=True)
    assert open_image(content, min_side=fast.min_side).size < (1400, 1000)
    difference = np.abs(fast(content).astype(int) - whole(content).astype(int))
    assert difference.mean() < 1
    assert min(open_image(content, min_side=fast.min_side).size) >= 2 * size


def test_reduced_decoding_leaves_small_jpegs_alone() -> None:
    content = as_file(photo(256, 256), "JPEG")
    assert open_image(content, min_side=192).size == (256, 256)
    assert open_image(content, min_side=128).size == (128, 128)


def test_preprocessors_travel_between_processes() -> None:
    prepare = ImagePreprocessor(size=96)
    assert pickle.loads(pickle.dumps(prepare)) == prepare


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG whose header promises a size; its pixels are a few zeros."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    extra = b"".join(chunk(part[:4], part[4:]) for part in chunks)
    pixels = chunk(b"IDAT", zlib.compress(bytes(9000)))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + chunk(b"IEND", b"")


JPEG = as_file(photo(320, 200), "JPEG")
ZEROS = zlib.compress(bytes(100_000_000))
BAD_FILES = {
    "truncated": (JPEG[: len(JPEG) // 2], "truncated"),
    "nearly whole": (JPEG[:-400], "truncated"),
    "only a head": (JPEG[:200], "damaged"),
    "text": (b"This is no JPEG, whatever its name says.", "not an image"),
    "empty": (b"", "empty"),
    "bomb": (png(30_000, 30_000), "pixels"),
    "small bomb": (png(10_001, 10_000), "10001x10000"),
    "text bomb": (png(8, 8, b"zTXta\0\0" + ZEROS), "large"),
    "profile bomb": (png(8, 8, b"iCCPa\0\0" + ZEROS), "damaged"),
    "missing pixels": (png(500, 500), "truncated"),
    "thread": (png(9000, 3), "too narrow"),
    "script": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "float": (as_file(Image.new("F", (9, 9)), "TIFF"), "floating-point"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_files_give_one_line_that_names_them(what: str, tmp_path: Path) -> None:
    content, reason = BAD_FILES[what]
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    for reference in (False, True):
        if what == "float" and reference:
            continue  # the published code clips floats
        with pytest.raises(MediaError, match=reason) as caught:
            ImagePreprocessor(size=64, reference=reference)(path)
        assert "holiday.jpg" in str(caught.value)
        assert "\n" not in str(caught.value)


BAD_ARRAYS = {
    "planes first": (np.zeros((3, 224, 224), np.uint8), "transpose"),
    "no pixel": (np.zeros((0, 5, 3), np.uint8), "expected"),
    "a batch": (np.zeros((2, 5, 5, 3), np.uint8), "expected"),
    "integers": (np.zeros((5, 5, 3), np.int64), "uint8"),
    "NaN": (np.full((5, 5, 3), np.nan), "NaN"),
    "0 to 255 in floats": (np.full((5, 5, 3), 255.0), "divide by 255"),
    "nothing": (None, "no image"),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_bad_arrays_are_told_what_was_expected(what: str) -> None:
    item, reason = BAD_ARRAYS[what]
    with pytest.raises(MediaError, match=reason):
        ImagePreprocessor(size=64)(item)


@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_never_raise_anything_else(data: Path) -> None:
    """Random bytes of good files are overwritten; each either still decodes or is a MediaError."""
    rng = np.random.default_rng(0)
    files = [JPEG, (data / "samples" / "palette_251x180.png").read_bytes()]
    files += [as_file(photo(60, 40), format) for format in ("GIF", "WEBP", "BMP", "TIFF")]
    n_refused = 0
    for _ in range(100):
        for content in files:
            damaged = bytearray(content)
            for place in rng.integers(0, min(len(content), 600), 8):
                damaged[place] = rng.integers(256)
            try:
                ImagePreprocessor(size=32)(bytes(damaged))
            except MediaError:
                n_refused += 1
    assert n_refused > 100


def test_normalising_checks_what_it_is_given() -> None:
    with pytest.raises(ValueError, match="uint8"):
        normalise_images(np.zeros((2, 5, 5, 3), np.float32))
