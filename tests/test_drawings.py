"""Drawings of media: what is where in the picture."""

import io
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from anybind.drawings import (
    AXES,
    FRONT_TO_BACK,
    GRAVITY,
    HEAT,
    NEAR_TO_FAR,
    UNKNOWN,
    VIEW_AZIMUTH,
    VIEW_ELEVATION,
    WAVE,
    colours,
    draw,
    project,
)
from anybind.encoders.media import Frames, Motion, Waveform
from anybind.encoders.modality import Modality
from anybind.errors import MediaError
from anybind.sheet import PAPER

RATE = 16_000


def tone(hz: float, seconds: float = 1.0, *, rate: int = RATE) -> Waveform:
    """A sine of half the full scale."""
    t = np.arange(round(seconds * rate)) / rate
    return Waveform(samples=(0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None], rate=rate)


def where(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[npt.NDArray[np.intp], ...]:
    """Rows and columns of the pixels of exactly one colour."""
    return np.nonzero(np.all(np.asarray(picture) == colour, axis=2))


def test_a_scale_of_colours_runs_through_its_anchors() -> None:
    """At 0, 1 and in the middle the anchors themselves; lightness never turns round."""
    chosen = colours(HEAT, np.array([0.0, 0.5, 1.0])).astype(int)
    np.testing.assert_allclose(chosen, np.array([HEAT[0], HEAT[3], HEAT[6]]), atol=1)
    for anchors, direction in ((HEAT, 1), (NEAR_TO_FAR, -1)):
        light = colours(anchors, np.linspace(0, 1, 256)) @ np.array([0.299, 0.587, 0.114])
        assert (direction * np.diff(light) > -1.0).all()


@pytest.mark.parametrize("size", [64, 256])
def test_every_modality_is_drawn_on_a_square(size: int) -> None:
    """Pictures of all kinds are RGB and have the size asked for; something is drawn on each."""
    rng = np.random.default_rng(0)
    items: dict[Modality, object] = {
        Modality.IMAGE: rng.integers(0, 255, (40, 40, 3), np.uint8),
        Modality.TEXT: "a red train on snow",
        Modality.AUDIO: tone(440),
        Modality.VIDEO: Frames(frames=rng.integers(0, 255, (9, 30, 40, 3), np.uint8), fps=10),
        Modality.POINTS: rng.standard_normal((500, 3)),
        Modality.DEPTH: rng.uniform(1, 9, (30, 40)),
        Modality.THERMAL: rng.integers(0, 255, (30, 40), np.uint8),
        Modality.IMU: rng.standard_normal((6, 900)),
    }
    assert set(items) == set(Modality)
    for modality, item in items.items():
        picture = draw(modality, item, size)
        assert (picture.mode, picture.size) == ("RGB", (size, size)), modality
        assert len(where(picture, PAPER)[0]) < size * size


def test_an_image_keeps_its_proportions() -> None:
    """Bytes of a picture twice as wide as high."""
    buffer = io.BytesIO()
    Image.new("RGB", (80, 40), (9, 120, 200)).save(buffer, "PNG")
    picture = draw(Modality.IMAGE, buffer.getvalue(), 64)
    assert picture.size == (64, 32)
    assert picture.getpixel((5, 5)) == (9, 120, 200)


def test_the_bright_row_of_a_sine_lies_at_its_frequency() -> None:
    """The place of a frequency on the mel axis from 20 Hz to 8 kHz: mel = 1127 ln(1 + f/700)."""

    def mel(hz: float) -> float:
        return 1127 * math.log(1 + hz / 700)

    for hz, rate in ((500.0, RATE), (1000.0, 44_100), (4000.0, RATE)):
        sound = tone(hz, rate=rate)
        picture = np.asarray(draw(Modality.AUDIO, sound, 256).convert("L"), np.float64)
        floor = 256 - 8 - round(1.35 * 12)  # where the line of facts begins
        spectrogram = picture[round(0.34 * floor) : floor, 20:-20]
        brightest = int(spectrogram.mean(axis=1).argmax())
        expected = 1 - (mel(hz) - mel(20)) / (mel(8000) - mel(20))
        assert brightest / len(spectrogram) == pytest.approx(expected, abs=0.02)


def test_the_waveform_shows_where_it_is_loud() -> None:
    """A second of silence, then a tone: a line in the left half, the full height in the right."""
    loud = tone(50).samples[0]
    samples = np.concatenate([np.zeros_like(loud), loud])[None]
    picture = draw(Modality.AUDIO, Waveform(samples=samples, rate=RATE), 256)
    rows, columns = where(picture, WAVE)
    left, right = rows[columns < 127], rows[columns > 130]
    assert left.min() == left.max()
    middle, reach = 78 // 2, 78 // 2 - 4  # of the 34 % above the spectrogram
    assert (right.min(), right.max()) == (middle - reach, middle + reach)


def test_a_long_sound_is_drawn_like_a_short_one() -> None:
    """A tone of two minutes and of six seconds: alike, but for the facts below."""
    short, long = (
        np.asarray(draw(Modality.AUDIO, tone(1000, seconds), 64), float)[:45]
        for seconds in (6, 120)
    )
    np.testing.assert_allclose(long, short, atol=40)


def test_silence_is_drawn_dark() -> None:
    """No energy anywhere: the spectrogram has the first colour of the scale."""
    silent = Waveform(samples=np.zeros((1, 100), np.float32), rate=RATE)
    assert draw(Modality.AUDIO, silent, 256).getpixel((128, 200)) == HEAT[0]


def test_a_cloud_is_projected_by_the_rotation_written_out() -> None:
    """Turned about z by the azimuth, then tipped about the x axis by the elevation."""
    rng = np.random.default_rng(1)
    points = rng.standard_normal((50, 3)) + 5
    a, e = VIEW_AZIMUTH, VIEW_ELEVATION
    about_z = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tip = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
    right, away, up = tip @ about_z @ points.T
    expected = np.stack([right, up, away], axis=1)
    expected -= (expected.min(axis=0) + expected.max(axis=0)) / 2
    np.testing.assert_allclose(project(points), expected, atol=1e-12)


def test_points_are_drawn_where_they_are_projected_to() -> None:
    """Three points of a tall cloud: the dots of the upright view, on the left, lie so too."""
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 4]])
    picture = np.asarray(draw(Modality.POINTS, points, 256).convert("L"))
    rows, columns = np.nonzero(picture[8:215, 8:124] < 225)  # above the view's name
    dot = 2 * 0.008 * 256 * 3  # px across, in a cloud of few points
    width, height, _ = np.ptp(project(points), axis=0)
    found = (np.ptp(columns) - dot) / (np.ptp(rows) - dot)
    assert found == pytest.approx(width / height, rel=0.1)


def test_the_nearer_point_hides_the_farther() -> None:
    """Points behind one another: the drawing is the same in any order of them."""
    a, e = VIEW_AZIMUTH, VIEW_ELEVATION
    away = np.array([-np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), -np.sin(e)])
    cloud = np.stack([0 * away, away, -away])
    one, other = (draw(Modality.POINTS, cloud[order], 256) for order in ([0, 1, 2], [2, 1, 0]))
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    upright = one.crop((8, 8, 124, 215))  # the left view
    assert len(where(upright, FRONT_TO_BACK[0])[0]) > 20
    assert len(where(upright, FRONT_TO_BACK[-1])[0]) == 0


def test_clouds_of_one_place_and_with_nan_are_drawn_and_empty_ones_refused() -> None:
    """A row without finite coordinates is left out."""
    draw(Modality.POINTS, np.ones((3, 3)))
    one = np.array([[1.0, 2, 3], [np.nan, 0, 0]])
    np.testing.assert_array_equal(
        np.asarray(draw(Modality.POINTS, one))[:220],
        np.asarray(draw(Modality.POINTS, one[:1]))[:220],
    )
    with pytest.raises(MediaError, match="no point"):
        draw(Modality.POINTS, np.full((4, 3), np.nan))


def test_depth_runs_from_light_to_dark_and_missing_readings_are_grey() -> None:
    """Left 1 m, right 10 m, in between their geometric mean; a band of zeros."""
    metres = np.full((60, 60), 10**0.5)
    metres[:, :20], metres[:, 40:], metres[25:35] = 1, 10, 0
    picture = np.asarray(draw(Modality.DEPTH, metres, 256))
    row = picture[20]
    expected = colours(NEAR_TO_FAR, np.array([0.0, 0.5, 1.0])).astype(int)
    for x, colour in zip((50, 128, 205), expected, strict=True):
        assert np.abs(row[x].astype(int) - colour).max() <= 2
    assert tuple(picture[115, 128]) == UNKNOWN


def test_the_scale_of_integer_depths_changes_the_metres_alone() -> None:
    """Twice the scale: the same colours, other numbers below."""
    units = np.linspace(1000, 4000, 900).reshape(30, 30).astype(np.uint16)
    one, two = (np.asarray(draw(Modality.DEPTH, units, 128, depth_scale=s)) for s in (0.001, 0.002))
    np.testing.assert_array_equal(one[:100], two[:100])
    assert (one[110:] != two[110:]).any()


def test_warm_is_light() -> None:
    """A bright half and a dark half."""
    grey = np.zeros((40, 40), np.uint8)
    grey[:, 20:] = 255
    picture = draw(Modality.THERMAL, grey, 128)
    assert picture.getpixel((30, 50)) == HEAT[0] and picture.getpixel((98, 50)) == HEAT[-1]


def test_key_frames_stand_in_reading_order() -> None:
    """Ten frames of ten greys: frames 0, 3, 6 and 9."""
    frames = np.empty((10, 40, 40, 3), np.uint8)
    frames[:] = (np.arange(10, dtype=np.uint8) * 20)[:, None, None, None]
    picture = draw(Modality.VIDEO, Frames(frames=frames, fps=5), 256)
    found = [picture.getpixel(at) for at in ((64, 50), (192, 50), (64, 170), (192, 170))]
    assert found == [(20 * n,) * 3 for n in (0, 3, 6, 9)]


def test_video_files_are_drawn(shared: Path) -> None:
    """The clip's red, green and blue squares show in its key frames."""
    picture = np.asarray(draw(Modality.VIDEO, shared / "samples" / "squares.mp4")).astype(int)
    for channel in range(3):
        others = np.delete(picture, channel, axis=2).max(axis=2)
        assert (picture[..., channel] - others > 100).any()


def test_curves_of_motion_have_their_heights() -> None:
    """A steady 1 g on z is at the top of the upper panel, x at 0 in its middle, -1/2 g below."""
    samples = np.zeros((6, 400), np.float32)
    samples[2], samples[1] = GRAVITY, -GRAVITY / 2
    picture = draw(Modality.IMU, Motion(samples=samples, rate=400), 256)
    height = (232 - 2 * 18) // 2  # of a panel
    middle = 18 + (height - 1) / 2
    for (_, colour), share in zip(AXES, (0, -0.5, 1), strict=True):
        rows, columns = where(picture, colour)
        row = float(np.median(rows[(columns > 30) & (columns < 200) & (rows < 18 + height)]))
        assert row == pytest.approx(middle - share * (height / 2 - 3), abs=1)


def test_words_are_written_in_the_largest_size_that_fits() -> None:
    """The ink of two words is taller than that of two hundred; all of both is on the card."""

    def ink(text: str) -> npt.NDArray[np.bool_]:
        return np.asarray(draw(Modality.TEXT, text).convert("L")) < 100

    few, many = ink("two words"), ink("word " * 200)
    assert few.sum(axis=0).max() > 0
    for drawn in (few, many):
        rows, columns = np.nonzero(drawn)
        assert rows.min() > 0 and rows.max() < 255 and columns.max() < 255
    assert many.sum() > few.sum()


@pytest.mark.parametrize("modality", list(Modality))
def test_what_cannot_be_read_is_refused_in_one_line(modality: Modality) -> None:
    """Bytes that are nothing, for every loader."""
    with pytest.raises(MediaError) as caught:
        draw(modality, b"I am nothing of the sort")
    assert "\n" not in str(caught.value)
