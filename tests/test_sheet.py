"""Contact sheets: where pictures and labels end up."""

import numpy as np
import pytest
from PIL import Image

from anybind.errors import UsageError
from anybind.sheet import EMPHASIS, INK, MARGIN, contact_sheet


def flat(colour: tuple[int, int, int], width: int = 40, height: int = 40) -> Image.Image:
    """A picture of one colour."""
    return Image.new("RGB", (width, height), colour)


def test_pictures_lie_in_rows_in_their_order() -> None:
    """The middle of each cell has its picture's colour; places from MARGIN and cell."""
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    sheet = contact_sheet([flat(c) for c in colours], ["a", "b", "c"], columns=2, cell=60)
    array = np.asarray(sheet)
    assert sheet.width == MARGIN + 2 * (60 + MARGIN)
    assert tuple(array[MARGIN + 30, MARGIN + 30]) == colours[0]
    assert tuple(array[MARGIN + 30, 2 * MARGIN + 90]) == colours[1]
    rows, _ = np.nonzero(np.all(array == colours[2], axis=2))
    assert rows.min() > MARGIN + 60


def test_pictures_keep_their_proportions() -> None:
    """A picture twice as wide as high is shown so; arrays work as PIL pictures do."""
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[..., 0] = 200
    array = np.asarray(contact_sheet([wide], [""], cell=80))
    red = np.all(array == (200, 0, 0), axis=2)
    assert red.any(axis=1).sum() == 40
    assert red.any(axis=0).sum() == 80


def test_labels_and_title_are_written_and_long_ones_stay_in_their_cell() -> None:
    """Ink below the picture; none in the next column or beyond the sheet."""
    long = "a remarkably long caption of many words " + "w" * 200
    sheet = contact_sheet([flat((9, 9, 200))] * 2, [long, ""], columns=2, cell=90)
    dark = np.all(np.asarray(sheet).astype(int) < np.array(INK) + 40, axis=2)
    below = dark[MARGIN + 90 + 4 :]
    assert below[:, : MARGIN + 90 + 2].any()
    assert not below[:, MARGIN + 90 + 4 :].any()
    titled = contact_sheet([flat((9, 9, 200))], [""], title="Results", cell=90)
    assert titled.height > contact_sheet([flat((9, 9, 200))], [""], cell=90).height


def test_the_emphasised_picture_has_a_frame_of_its_own() -> None:
    """Pixels of the emphasis colour around the second picture only."""
    sheet = contact_sheet([flat((9, 9, 9))] * 2, ["", ""], columns=2, cell=60, emphasised=1)
    _, columns = np.nonzero(np.all(np.asarray(sheet) == EMPHASIS, axis=2))
    assert columns.min() > MARGIN + 60


def test_sheets_of_nothing_or_without_labels_are_refused() -> None:
    """The message gives both numbers."""
    with pytest.raises(UsageError, match="0 pictures"):
        contact_sheet([], [])
    with pytest.raises(UsageError, match="1 pictures and 2 labels"):
        contact_sheet([flat((0, 0, 0))], ["a", "b"])
