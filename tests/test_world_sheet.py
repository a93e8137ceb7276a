"""Sheets of scenes."""

import numpy as np
import pytest

from anybind.errors import UsageError
from anybind.sheet import MARGIN
from anybind.world.render import render
from anybind.world.scene import scene
from anybind.world.sheet import scene_sheet


def test_a_scene_sheet_shows_the_rendered_scenes() -> None:
    """The first cell is the rendering itself, at its own size."""
    array = np.asarray(scene_sheet(range(3, 5), size=64, columns=2))
    shown = array[MARGIN + 1 : MARGIN + 63, MARGIN + 1 : MARGIN + 63]
    np.testing.assert_array_equal(shown, render(scene(3), 64).image[1:63, 1:63])


def test_a_sheet_of_no_scenes_is_refused() -> None:
    """The message says how many it may be."""
    with pytest.raises(UsageError, match="asked for 0 scenes"):
        scene_sheet([])
