"""Media in memory become files that loaders read back to the same numbers."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anybind.encoders.audio import load_sound
from anybind.encoders.clouds import load_cloud
from anybind.encoders.images import open_image
from anybind.encoders.imu import load_motion
from anybind.encoders.maps import load_depth
from anybind.encoders.media import Frames, Motion, Waveform
from anybind.encoders.modality import Modality
from anybind.encoders.pack import pack
from anybind.encoders.video import VideoPreprocessor, read_timeline
from anybind.errors import MediaError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (9, 12, 3), np.uint8)
FLOATS = RNG.standard_normal((40, 50)).astype(np.float32)


def millimetres(item: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return load_depth(item, depth_scale=0.001)


@pytest.mark.parametrize(
    ("modality", "item", "load"),
    [
        (Modality.IMAGE, PIXELS, open_image),
        (Modality.IMAGE, torch.from_numpy(PIXELS), open_image),
        (Modality.IMAGE, PIXELS / 255, open_image),
        (Modality.IMAGE, Image.fromarray(PIXELS).convert("P"), open_image),
        (Modality.IMAGE, Image.fromarray(PIXELS).convert("CMYK"), open_image),
        (Modality.THERMAL, PIXELS[..., 0], open_image),
        (Modality.DEPTH, np.abs(FLOATS), millimetres),
        (Modality.DEPTH, RNG.integers(0, 9000, (9, 12), np.uint16), millimetres),
        (Modality.DEPTH, Image.fromarray(np.abs(FLOATS)), millimetres),
        (Modality.POINTS, RNG.standard_normal((50, 3)), load_cloud),
        (Modality.POINTS, torch.from_numpy(FLOATS).bfloat16(), load_cloud),
    ],
)
def test_what_is_read_back_is_what_was_packed(
    modality: Modality, item: object, load: Callable[[object], object]
) -> None:
    """The reference is the loader on the item itself."""
    content = pack(modality, item)
    np.testing.assert_array_equal(np.asarray(load(content)), np.asarray(load(item)))


def test_sound_comes_back_to_the_bit() -> None:
    """Louder than full scale, in stereo, at a rate of its own."""
    sound = Waveform(samples=3 * FLOATS[:2], rate=11_025)
    back = load_sound(pack(Modality.AUDIO, sound))
    assert back.rate == 11_025
    np.testing.assert_array_equal(back.samples, sound.samples)


@pytest.mark.parametrize("rate", [100.0, 1 / 3, 1e-5])
def test_motion_comes_back_to_the_bit(rate: float) -> None:
    """With its rate; a bare array is at 400 Hz."""
    motion = Motion(samples=FLOATS[:6], rate=rate)
    back = load_motion(pack(Modality.IMU, motion))
    assert back.rate == rate
    np.testing.assert_array_equal(back.samples, motion.samples)
    plain = load_motion(pack(Modality.IMU, FLOATS[:6]))
    assert plain.rate == 400
    np.testing.assert_array_equal(plain.samples, FLOATS[:6])


@pytest.mark.parametrize("fps", [1.0, 12.5, 29.97, 30_000 / 1001])
def test_frames_come_back_with_their_times(fps: float) -> None:
    """The reference prepares the frames themselves: the same are chosen, to the pixel."""
    frames = Frames(frames=RNG.integers(0, 256, (70, 6, 7, 3), np.uint8), fps=fps)
    content = pack(Modality.VIDEO, frames)
    assert read_timeline(content).fps == pytest.approx(fps, rel=1e-6)
    prepare = VideoPreprocessor(size=4)
    np.testing.assert_array_equal(prepare(content), prepare(frames))


def test_files_are_sent_as_they_are(tmp_path: Path) -> None:
    """By path, as bytes and as a file object."""
    content = b"any bytes"
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    for item in (path, str(path), content, io.BytesIO(content)):
        assert pack(Modality.IMAGE, item) == content


@pytest.mark.parametrize(
    ("modality", "item", "message"),
    [
        (Modality.IMAGE, "missing.png", "missing.png does not exist"),
        (Modality.IMAGE, 3, "is no image"),
        (Modality.POINTS, object(), "<object> cannot be sent"),
        (Modality.POINTS, np.array(["a"]), "an array of <U1 cannot be sent"),
        (Modality.AUDIO, FLOATS, "does not tell its rate"),
        (Modality.VIDEO, PIXELS, "does not tell its rate"),
        (Modality.VIDEO, Frames(frames=PIXELS, fps=1), "expected uint8"),
        (Modality.VIDEO, Frames(frames=PIXELS[None], fps=0), "hold nothing"),
    ],
)
def test_what_is_no_such_medium_is_refused(modality: Modality, item: object, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        pack(modality, item)
