"""Scenes as items that the loaders take."""

import numpy as np
import pytest

from anybind.drawings import draw
from anybind.encoders.media import Frames, Motion, Waveform
from anybind.encoders.modality import Modality
from anybind.world.captions import caption
from anybind.world.cloud import cloud
from anybind.world.media import medium
from anybind.world.motion import imu
from anybind.world.render import render
from anybind.world.scene import scene
from anybind.world.sound import sound
from anybind.world.video import frames

OF = scene(10_000_003)
SIZE = 48


def test_arrays_are_those_that_the_world_makes() -> None:
    """Each modality's own function, with the rate or the scale that its loader expects."""
    drawn = render(OF, SIZE)
    np.testing.assert_array_equal(np.asarray(medium(Modality.IMAGE, OF, SIZE)), drawn.image)
    np.testing.assert_array_equal(np.asarray(medium(Modality.DEPTH, OF, SIZE)), drawn.depth)
    np.testing.assert_array_equal(np.asarray(medium(Modality.POINTS, OF, SIZE)), cloud(OF))
    assert medium(Modality.TEXT, OF, SIZE) == caption(OF)
    heard = medium(Modality.AUDIO, OF, SIZE)
    assert isinstance(heard, Waveform) and heard.rate == 16_000
    np.testing.assert_array_equal(heard.samples[0] * 32768, sound(OF))
    felt = medium(Modality.IMU, OF, SIZE)
    assert isinstance(felt, Motion) and felt.rate == 400
    np.testing.assert_array_equal(felt.samples, imu(OF))


def test_a_video_is_the_ends_of_its_clips() -> None:
    """Of four seconds at 12 frames a second: the first and the last frame of both halves."""
    seen = medium(Modality.VIDEO, OF, SIZE)
    assert isinstance(seen, Frames) and seen.fps == 1
    times = [0, 2 - 1 / 12, 2, 4 - 1 / 12]
    np.testing.assert_array_equal(seen.frames, frames(OF, SIZE, times))


@pytest.mark.parametrize("modality", list(Modality))
def test_every_modality_can_be_drawn(modality: Modality) -> None:
    """The drawings use the loaders, so what they draw the loaders take."""
    assert draw(modality, medium(modality, OF, SIZE), 64).size == (64, 64)
