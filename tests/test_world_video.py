"""Videos of scenes: against single pictures, and read back from mp4."""

from pathlib import Path

import numpy as np
import pytest

from anybind.encoders.audio import load_sound
from anybind.encoders.video import VideoPreprocessor, read_frames, read_timeline
from anybind.errors import UsageError
from anybind.world.motion import VIDEO_SECONDS
from anybind.world.render import render
from anybind.world.scene import scene
from anybind.world.sound import sound
from anybind.world.synthesis import SOUND_RATE
from anybind.world.video import VIDEO_FPS, frames, write_video

SIZE = 96
TIMES = [i / VIDEO_FPS for i in range(round(VIDEO_SECONDS * VIDEO_FPS))]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video of scene 3."""
    path = tmp_path_factory.mktemp("video") / "3.mp4"
    write_video(scene(3), path, SIZE)
    return path


def test_a_video_begins_with_the_picture_but_for_its_noise() -> None:
    """Two pictures of the same with independent noise differ by √2 of its deviation, or less."""
    for i in range(8):
        of = scene(i)
        difference = frames(of, SIZE, [0.0])[0].astype(np.float64) - render(of, SIZE).image
        assert 0 < np.sqrt(np.mean(difference**2)) < 1.05 * np.sqrt(2) * of.camera.noise + 0.5


def test_frames_repeat_themselves_and_show_motion_where_the_object_is() -> None:
    """Noise apart, pixels far from the object stay and those around it change."""
    of = scene(3)
    shown = frames(of, SIZE, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(shown, frames(of, SIZE, [0.0, 1.0, 2.0]))
    mask = render(of, SIZE).mask > 0
    change = np.abs(shown[2].astype(np.float64) - shown[0]).mean(axis=2)
    assert change[mask].mean() > 5 * of.camera.noise
    assert np.median(change[:, :20]) < 2 * of.camera.noise + 1


def test_an_mp4_holds_the_frames(video: Path) -> None:
    """The rendered frames are the reference; H.264 at this quality keeps 28 dB or more."""
    timeline = read_timeline(video)
    assert len(timeline.stamps) == len(TIMES)
    assert timeline.fps == pytest.approx(VIDEO_FPS)
    found = read_frames(video, timeline, range(len(TIMES)), lambda pixels: pixels, upright=True)
    error = np.stack(found).astype(np.float64) - frames(scene(3), SIZE, TIMES)
    assert 10 * np.log10(255**2 / np.mean(error**2, axis=(1, 2, 3))).min() > 28
    assert VideoPreprocessor(size=64)(video).shape == (2, 3, 2, 64, 64)


def test_an_mp4_holds_the_sound(video: Path) -> None:
    """Correlation with the scene's own sound at the lag that the codec adds, a frame or two."""
    heard = load_sound(video, mono=True)
    assert heard.rate == SOUND_RATE
    played = sound(scene(3), VIDEO_SECONDS).astype(np.float64)
    n = len(played)
    assert abs(heard.samples.shape[1] - n) <= 3072
    found = np.zeros(2 * n)
    found[: min(heard.samples.shape[1], 2 * n)] = heard.samples[0, : 2 * n]
    lags = np.fft.irfft(np.fft.rfft(found) * np.conj(np.fft.rfft(played, 2 * n)))[:4096]
    lag = int(lags.argmax())
    part = found[lag : lag + n]
    assert np.corrcoef(part, played)[0, 1] > 0.9


def test_a_video_is_the_same_whenever_it_is_written(video: Path, tmp_path: Path) -> None:
    """Byte for byte on one machine."""
    write_video(scene(3), tmp_path / "again.mp4", SIZE)
    assert (tmp_path / "again.mp4").read_bytes() == video.read_bytes()


def test_what_no_video_can_be_is_refused(tmp_path: Path) -> None:
    """The documented ranges; nothing is written."""
    with pytest.raises(UsageError, match="even"):
        write_video(scene(0), tmp_path / "a.mp4", 97)
    with pytest.raises(UsageError, match="16 to 4096"):
        write_video(scene(0), tmp_path / "a.mp4", 8)
    with pytest.raises(UsageError, match="1 to 60"):
        write_video(scene(0), tmp_path / "a.mp4", SIZE, fps=0)
    with pytest.raises(UsageError, match="lasts"):
        frames(scene(0), SIZE, [5.0])
    assert not list(tmp_path.iterdir())
