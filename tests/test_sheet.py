"""Contact sheets: where pictures and labels end up."""

import numpy as np
import pytest
from PIL import Image

from anybind.errors import UsageError
from anybind.sheet import AGAINST, EMPHASIS, INK, MARGIN, Query, contact_sheet, search_sheet


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


def test_queries_stand_left_of_what_was_found_in_frames_of_their_own() -> None:
    """One column of framed queries, those taken away in another colour; then the neighbours."""
    red, green, blue = flat((250, 0, 0)), flat((0, 250, 0)), flat((0, 0, 250))
    queries = [
        Query(picture=red, label="image"),
        Query(picture=green, label="minus text", weight=-0.5),
    ]
    array = np.asarray(search_sheet(queries, [blue] * 3, ["a", "b", "c"], columns=2, cell=60))
    assert tuple(array[MARGIN + 30, MARGIN + 30]) == (250, 0, 0)

    def extent(colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
        rows, columns = np.nonzero(np.all(array == colour, axis=2))
        return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())

    assert extent(EMPHASIS) == (MARGIN - 4, MARGIN + 63, MARGIN - 4, MARGIN + 63)
    top, bottom, left, right = extent(AGAINST)
    assert (left, right, bottom - top) == (MARGIN - 4, MARGIN + 63, 67) and top > MARGIN + 60
    assert extent((0, 0, 250))[2] == 3 * MARGIN + 60  # after the margin of either part


def test_a_search_sheet_of_no_neighbours_is_refused() -> None:
    with pytest.raises(UsageError, match="0 pictures"):
        search_sheet([Query(picture=flat((1, 2, 3)), label="image")], [], [])


def test_sheets_of_nothing_or_without_labels_are_refused() -> None:
    """The message gives both numbers."""
    with pytest.raises(UsageError, match="0 pictures"):
        contact_sheet([], [])
    with pytest.raises(UsageError, match="1 pictures and 2 labels"):
        contact_sheet([flat((0, 0, 0))], ["a", "b"])
