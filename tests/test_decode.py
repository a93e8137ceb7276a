"""Decoding in worker processes: order, what is known of a picture, and workers that die."""

import hashlib
import importlib
import io
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from PIL import Image

from anybind.encoders.audio import AudioPreprocessor
from anybind.encoders.clouds import PointsPreprocessor
from anybind.encoders.images import ImagePreprocessor
from anybind.encoders.imu import IMUPreprocessor
from anybind.encoders.maps import DepthPreprocessor, ThermalPreprocessor
from anybind.encoders.modality import Modality
from anybind.encoders.preprocess import Preprocessor
from anybind.encoders.video import VideoPreprocessor
from anybind.errors import AnyBindError
from anybind.index.decode import MAX_MEDIA_BYTES, Decoded, Decoders, Facts, Recipe, decode
from anybind.index.sources.base import Media, Place, Sample

PREPARE = ImagePreprocessor(size=32)
WITH = Recipe(modality=Modality.IMAGE, prepare=PREPARE, thumbnails=True)
WITHOUT = replace(WITH, thumbnails=False)
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
    outcome = decode(content, WITH)
    assert isinstance(outcome, Decoded) and outcome.thumbnail is not None
    np.testing.assert_array_equal(outcome.prepared, PREPARE(content))
    assert (outcome.facts.width, outcome.facts.height) == (1200, 900)
    assert outcome.sha256 == hashlib.sha256(content).hexdigest()
    shown = Image.open(io.BytesIO(outcome.thumbnail))
    assert shown.format == "WEBP" and shown.width / shown.height == pytest.approx(4 / 3, abs=0.02)


def test_a_turned_picture_is_described_and_shown_upright() -> None:
    """EXIF orientation 6 says: turn by 90 degrees. The published pixels stay as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = picture(80, 40, exif=exif)
    upright = decode(content, WITH)
    published = decode(content, replace(WITH, prepare=ImagePreprocessor(size=32, reference=True)))
    assert isinstance(upright, Decoded) and isinstance(published, Decoded)
    assert (upright.facts.width, upright.facts.height) == (40, 80)
    assert (published.facts.width, published.facts.height) == (80, 40)
    for outcome in (upright, published):
        assert Image.open(io.BytesIO(outcome.thumbnail or b"")).size == (40, 80)


def test_a_place_in_a_file_is_read_and_nothing_around_it(tmp_path: Path) -> None:
    """The file is a PNG between other bytes."""
    content = picture(40, 30, "PNG")
    (tmp_path / "archive").write_bytes(b"before" + content + b"after")
    place = Place(file=str(tmp_path / "archive"), offset=6, size=len(content))
    outcome = decode(place, WITHOUT)
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
        outcome = decode(media, WITH)
        assert isinstance(outcome, str) and outcome.startswith(reason) and "\n" not in outcome


def test_samples_come_out_in_order_with_their_problems() -> None:
    """Forty chunks through three workers; every seventh sample is known to be bad before."""
    contents = [picture(20 + i, 20) for i in range(120)]
    given = [
        Sample(key=s.key, path=s.path, problem="lost") if i % 7 == 0 else s
        for i, s in enumerate(samples(contents))
    ]
    with Decoders(WITHOUT, n_workers=3) as decoders:
        found = [pair for chunk in decoders.run(in_threes(given)) for pair in chunk]
    assert [sample for sample, _ in found] == given
    for i, (_, outcome) in enumerate(found):
        if i % 7 == 0:
            assert outcome == "lost"
        else:
            assert isinstance(outcome, Decoded) and outcome.facts.width == 20 + i


def test_a_picture_that_kills_its_worker_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preprocessor that ends the process at pictures of 13 x 13 px."""
    (tmp_path / "deadly_preprocessor.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    prepare = importlib.import_module("deadly_preprocessor").Deadly(size=32)
    contents = [picture(13 if i in (4, 5) else 20, 13) for i in range(9)]
    with Decoders(replace(WITHOUT, prepare=prepare), n_workers=2) as decoders:
        found = [pair for chunk in decoders.run(in_threes(samples(contents))) for pair in chunk]
    outcomes = [outcome for _, outcome in found]
    assert outcomes[4] == outcomes[5] == "decoding it ends the process that tries"
    assert all(isinstance(outcomes[i], Decoded) for i in (0, 1, 2, 3, 6, 7, 8))


def test_workers_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that ends at once; otherwise every picture would be called bad."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Decoders(WITHOUT, n_workers=1) as decoders:
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


def film() -> bytes:
    """A second of 12 frames that brighten."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * i, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def png(pixels: npt.NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def sound() -> bytes:
    """A tone of 2.5 s in two channels, at a rate that has to be changed."""
    time = np.arange(20_000)[:, None] / 8000
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(2 * np.pi * time * [440, 450]) / 2, 8000, format="WAV")
    return buffer.getvalue()


def cloud() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).standard_normal((300, 3)))
    return buffer.getvalue()


def motion() -> bytes:
    rows = np.random.default_rng(0).standard_normal((50, 6)).astype(str)
    return "\n".join(["ax,ay,az,gx,gy,gz", *map(",".join, rows)]).encode()


RAMP = np.add.outer(np.arange(40), np.arange(60))


@pytest.mark.parametrize(
    ("modality", "prepare", "content", "facts"),
    [
        ("audio", AudioPreprocessor(), sound(), Facts(duration=2.5)),
        ("audio", AudioPreprocessor(reference=True), sound(), Facts(duration=2.5)),
        ("video", VideoPreprocessor(size=32), film(), Facts(duration=1.0)),
        ("points", PointsPreprocessor(n_points=64), cloud(), Facts(n_points=300)),
        ("depth", DepthPreprocessor(size=32), png((RAMP * 40).astype(np.uint16)), Facts()),
        ("thermal", ThermalPreprocessor(size=32), png(RAMP.astype(np.uint8)), Facts()),
        ("imu", IMUPreprocessor(n_samples=80), motion(), Facts()),
    ],
    ids=("audio", "published audio", "video", "points", "depth", "thermal", "imu"),
)
def test_every_modality_is_prepared_described_and_drawn(
    modality: str, prepare: Preprocessor, content: bytes, facts: Facts
) -> None:
    """The preprocessor itself is the reference; lengths and counts are those it was made with."""
    recipe = Recipe(modality=Modality(modality), prepare=prepare, thumbnails=True)
    outcome = decode(content, recipe)
    assert isinstance(outcome, Decoded) and outcome.thumbnail is not None
    np.testing.assert_array_equal(outcome.prepared, prepare(content))
    assert outcome.facts == facts
    assert outcome.sha256 == hashlib.sha256(content).hexdigest()
    with Image.open(io.BytesIO(outcome.thumbnail)) as shown:
        assert (shown.format, max(shown.size)) == ("WEBP", 256)
    assert isinstance(decode(content[:60], recipe), str)


def test_reasons_of_any_modality_can_be_counted() -> None:
    """No name of bytes or arrays stands in front of them."""
    recipe = Recipe(modality=Modality.POINTS, prepare=PointsPreprocessor(), thumbnails=False)
    flat = io.BytesIO()
    np.save(flat, np.zeros((20, 3)))
    assert decode(flat.getvalue(), recipe) == "all points coincide; it has no shape"
    listed = io.BytesIO()
    np.save(listed, np.zeros(20))
    reason = decode(listed.getvalue(), recipe)
    assert isinstance(reason, str) and reason.startswith("points of shape (20,)")
