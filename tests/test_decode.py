"""Decoding in worker processes: order, what is known of a picture, and workers that die."""

import hashlib
import importlib
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anybind.encoders.images import ImagePreprocessor
from anybind.errors import AnyBindError
from anybind.index.decode import MAX_MEDIA_BYTES, Decoded, Decoders, decode
from anybind.index.sources.base import Media, Place, Sample

PREPARE = ImagePreprocessor(size=32)
DEADLY = """
import os
from anybind.encoders.images import ImagePreprocessor

class Deadly(ImagePreprocessor):
    def crop(self, image):
        if image.size == (13, 13):
            os._exit(9)
        return super().crop(image)
"""


def picture(width: int, height: int, kind: str = "JPEG", **options: object) -> bytes:
    """A picture with some structure."""
    ramp = np.add.outer(np.arange(height) * 7, np.arange(width) * 3)
    pixels = np.stack([ramp, ramp * 5, ramp * 11], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def samples(contents: Sequence[bytes]) -> list[Sample]:
    return [Sample(key=str(i), path=str(i), media=media) for i, media in enumerate(contents)]


def in_threes(items: list[Sample]) -> list[list[Sample]]:
    return [items[i : i + 3] for i in range(0, len(items), 3)]


def test_one_decoding_gives_pixels_size_hash_and_thumbnail() -> None:
    """Pixels are the preprocessor's own, the hash is hashlib's; the JPEG is decoded small."""
    content = picture(1200, 900)
    outcome = decode(content, PREPARE, thumbnail=True)
    assert isinstance(outcome, Decoded) and outcome.thumbnail is not None
    np.testing.assert_array_equal(outcome.pixels, PREPARE(content))
    assert (outcome.width, outcome.height) == (1200, 900)
    assert outcome.sha256 == hashlib.sha256(content).hexdigest()
    shown = Image.open(io.BytesIO(outcome.thumbnail))
    assert shown.format == "WEBP" and shown.width / shown.height == pytest.approx(4 / 3, abs=0.02)


def test_a_turned_picture_is_described_and_shown_upright() -> None:
    """EXIF orientation 6 says: turn by 90 degrees. The published pixels stay as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = picture(80, 40, exif=exif)
    upright = decode(content, PREPARE, thumbnail=True)
    published = decode(content, ImagePreprocessor(size=32, reference=True), thumbnail=True)
    assert isinstance(upright, Decoded) and isinstance(published, Decoded)
    assert (upright.width, upright.height) == (40, 80)
    assert (published.width, published.height) == (80, 40)
    for outcome in (upright, published):
        assert Image.open(io.BytesIO(outcome.thumbnail or b"")).size == (40, 80)


def test_a_place_in_a_file_is_read_and_nothing_around_it(tmp_path: Path) -> None:
    """The file is a PNG between other bytes."""
    content = picture(40, 30, "PNG")
    (tmp_path / "archive").write_bytes(b"before" + content + b"after")
    place = Place(file=str(tmp_path / "archive"), offset=6, size=len(content))
    outcome = decode(place, PREPARE, thumbnail=False)
    assert isinstance(outcome, Decoded) and outcome.thumbnail is None
    assert outcome.sha256 == hashlib.sha256(content).hexdigest()


def test_what_cannot_be_decoded_says_why_in_one_line(tmp_path: Path) -> None:
    """Reasons do not repeat the item's name or size, so that equal ones can be counted."""
    (tmp_path / "short").write_bytes(b"abc")
    huge = Place(file=str(tmp_path / "short"), size=MAX_MEDIA_BYTES + 1)
    bomb = picture(30, 20, "BMP")
    bomb = bomb[:18] + (30_000).to_bytes(4, "little") * 2 + bomb[26:]
    bad: dict[Media, str] = {
        b"": "is empty",
        b"a text": "is not an image",
        picture(300, 200)[:2000]: "is a damaged image",
        bomb: "has more than 100,000,000 pixels",
        Place(file=str(tmp_path / "none")): "cannot be read: No such file",
        Place(file=str(tmp_path / "short"), size=99): "ends early",
        huge: "has 536,870,913 bytes",
    }
    for media, reason in bad.items():
        outcome = decode(media, PREPARE, thumbnail=True)
        assert isinstance(outcome, str) and outcome.startswith(reason) and "\n" not in outcome


def test_samples_come_out_in_order_with_their_problems() -> None:
    """Forty chunks through three workers; every seventh sample is known to be bad before."""
    contents = [picture(20 + i, 20) for i in range(120)]
    given = [
        Sample(key=s.key, path=s.path, problem="lost") if i % 7 == 0 else s
        for i, s in enumerate(samples(contents))
    ]
    with Decoders(PREPARE, n_workers=3, thumbnails=False) as decoders:
        found = [pair for chunk in decoders.run(in_threes(given)) for pair in chunk]
    assert [sample for sample, _ in found] == given
    for i, (_, outcome) in enumerate(found):
        if i % 7 == 0:
            assert outcome == "lost"
        else:
            assert isinstance(outcome, Decoded) and outcome.width == 20 + i


def test_a_picture_that_kills_its_worker_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preprocessor that ends the process at pictures of 13 x 13 px."""
    (tmp_path / "deadly_preprocessor.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    prepare = importlib.import_module("deadly_preprocessor").Deadly(size=32)
    contents = [picture(13 if i in (4, 5) else 20, 13) for i in range(9)]
    with Decoders(prepare, n_workers=2, thumbnails=False) as decoders:
        found = [pair for chunk in decoders.run(in_threes(samples(contents))) for pair in chunk]
    outcomes = [outcome for _, outcome in found]
    assert outcomes[4] == outcomes[5] == "decoding it ends the process that tries"
    assert all(isinstance(outcomes[i], Decoded) for i in (0, 1, 2, 3, 6, 7, 8))


def test_workers_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that ends at once; otherwise every picture would be called bad."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Decoders(PREPARE, n_workers=1, thumbnails=False) as decoders:
        with pytest.raises(AnyBindError, match="could not start"):
            list(decoders.run([samples([picture(20, 20)])]))


def test_a_worker_starts_without_heavy_libraries() -> None:
    """What the worker's program imports, asked of a new Python."""
    program = (
        "import sys, anybind.index.decode; "
        "print(*{'torch', 'faiss', 'pyarrow', 'sqlalchemy', 'av'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("\n", "")
