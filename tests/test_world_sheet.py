"""Sheets of scenes."""

import numpy as np
import pytest

from anybind.drawings import draw
from anybind.encoders.modality import Modality
from anybind.errors import UsageError
from anybind.sheet import MARGIN
from anybind.world.media import medium
from anybind.world.render import render
from anybind.world.scene import scene
from anybind.world.sheet import scene_sheet


def test_a_scene_sheet_shows_the_rendered_scenes() -> None:
    """The first cell is the rendering itself, at its own size."""
    array = np.asarray(scene_sheet(range(3, 5), size=64, columns=2))
    shown = array[MARGIN + 1 : MARGIN + 63, MARGIN + 1 : MARGIN + 63]
    np.testing.assert_array_equal(shown, render(scene(3), 64).image[1:63, 1:63])


@pytest.mark.parametrize("modality", ["audio", "video", "points", "depth", "thermal", "imu"])
def test_a_sheet_shows_scenes_in_any_modality(modality: str) -> None:
    """The cell is what ``draw`` makes of the scene's medium."""
    array = np.asarray(scene_sheet([3], modality=modality, size=64, columns=1))
    drawn = draw(Modality(modality), medium(Modality(modality), scene(3), 64), 64)
    shown = array[MARGIN : MARGIN + 64, MARGIN : MARGIN + 64]
    np.testing.assert_array_equal(shown[1:-1, 1:-1], np.asarray(drawn)[1:-1, 1:-1])


def test_a_sheet_of_an_unknown_modality_is_refused() -> None:
    """The message says which there are."""
    with pytest.raises(UsageError, match="smell.*thermal"):
        scene_sheet([3], modality="smell")


def test_a_sheet_of_no_scenes_is_refused() -> None:
    """The message says how many it may be."""
    with pytest.raises(UsageError, match="asked for 0 scenes"):
        scene_sheet([])
