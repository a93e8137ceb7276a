"""Contact sheets: many pictures with a line or two under each, in one picture to look at.

A sheet of search results has what was asked for in a column of its own, left of what was found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from .errors import UsageError
from .lettering import lettering, wrap

Picture = Image.Image | npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

MARGIN = 12  # px around the sheet and between its cells
TEXT_SIZE = 14  # px
TITLE_SIZE = 22  # px
LINE = round(TEXT_SIZE * 1.35)  # px from one line of a label to the next
TITLE_LINE = round(TITLE_SIZE * 1.4)  # px
MAX_LINES = 4  # of a label; what is longer ends in an ellipsis
MAX_CELLS = 4096
PAPER: Colour = (250, 250, 248)
INK: Colour = (32, 32, 36)
FRAME: Colour = (205, 205, 205)
EMPHASIS: Colour = (214, 84, 24)
AGAINST: Colour = (38, 84, 150)  # the frame of a query that is subtracted


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """One of the inputs that a search was asked with."""

    picture: Picture
    label: str
    weight: float = 1.0  # in the mixture; below 0 it is subtracted


def contact_sheet(
    images: Sequence[Picture],
    labels: Sequence[str],
    *,
    columns: int = 8,
    title: str = "",
    cell: int = 192,
) -> Image.Image:
    """Lay pictures out in rows, each above its label.

    Args:
        images: PIL pictures or ``(H, W, 3)`` uint8 arrays; each is fitted into a square cell.
        labels: One a picture; broken into lines at spaces and at line ends of their own.
        columns: Cells a row.
        title: A heading above all.
        cell: px a side of a cell.

    Raises:
        UsageError: No pictures, too many, or not as many labels.
    """
    frames = [FRAME] * len(images)
    return _titled(title, _grid(images, labels, frames, columns=columns, cell=cell))


def search_sheet(
    queries: Sequence[Query],
    images: Sequence[Picture],
    labels: Sequence[str],
    *,
    columns: int = 5,
    title: str = "",
    cell: int = 192,
) -> Image.Image:
    """Lay out what was asked for, in a framed column, beside what was found.

    Args:
        queries: From top to bottom; those with a weight below 0 have another frame.
        images: The neighbours, best first, as :func:`contact_sheet` takes them.
        labels: One a neighbour.
        columns: Neighbours a row.
        title: A heading above all.
        cell: px a side of a cell.

    Raises:
        UsageError: No queries, no neighbours, too many, or not as many labels.
    """
    asked = _grid(
        [query.picture for query in queries],
        [query.label for query in queries],
        [AGAINST if query.weight < 0 else EMPHASIS for query in queries],
        columns=1,
        cell=cell,
    )
    found = _grid(images, labels, [FRAME] * len(images), columns=columns, cell=cell)
    both = Image.new("RGB", (asked.width + found.width, max(asked.height, found.height)), PAPER)
    both.paste(asked, (0, 0))
    both.paste(found, (asked.width, 0))
    line = (asked.width - 1, MARGIN, asked.width - 1, both.height - MARGIN)
    ImageDraw.Draw(both).line(line, FRAME, 2)
    return _titled(title, both)


def _titled(title: str, body: Image.Image) -> Image.Image:
    """A picture under a heading; as it is without one."""
    font, text = lettering(title, TITLE_SIZE)
    lines = wrap(text, font, body.width - 2 * MARGIN, MAX_LINES)
    if not lines:
        return body
    top = len(lines) * TITLE_LINE
    sheet = Image.new("RGB", (body.width, top + body.height), PAPER)
    sheet.paste(body, (0, top))
    draw = ImageDraw.Draw(sheet)
    for n, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + n * TITLE_LINE), line, font=font, fill=INK)
    return sheet


def _grid(
    images: Sequence[Picture],
    labels: Sequence[str],
    frames: Sequence[Colour],
    *,
    columns: int,
    cell: int,
) -> Image.Image:
    """Pictures in rows above their labels; a frame in another colour than ``FRAME`` is broad."""
    if not 0 < len(images) <= MAX_CELLS or len(images) != len(labels):
        raise UsageError(
            f"a contact sheet shows 1 to {MAX_CELLS} pictures with a label each; "
            f"there are {len(images)} pictures and {len(labels)} labels"
        )
    columns = min(columns, len(images))
    set_in = [lettering(label, TEXT_SIZE) for label in labels]
    wrapped = [wrap(text, font, cell, MAX_LINES) for font, text in set_in]
    rows = [range(i, min(i + columns, len(images))) for i in range(0, len(images), columns)]
    heights = [cell + MARGIN + 4 + LINE * max(len(wrapped[i]) for i in row) for row in rows]
    grid = Image.new("RGB", (MARGIN + columns * (cell + MARGIN), MARGIN + sum(heights)), PAPER)
    draw = ImageDraw.Draw(grid)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            x = MARGIN + column * (cell + MARGIN)
            fitted = ImageOps.contain(_as_image(images[i]), (cell, cell), Image.Resampling.LANCZOS)
            left, upper = x + (cell - fitted.width) // 2, top + (cell - fitted.height) // 2
            grid.paste(fitted, (left, upper))
            around = 1 if frames[i] == FRAME else 4
            right, lower = left + fitted.width - 1 + around, upper + fitted.height - 1 + around
            draw.rectangle((left - around, upper - around, right, lower), None, frames[i], around)
            for n, text in enumerate(wrapped[i]):
                draw.text((x, top + cell + 4 + n * LINE), text, font=set_in[i][0], fill=INK)
        top += height
    return grid


def _as_image(picture: Picture) -> Image.Image:
    """Return a picture as an RGB image."""
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    return Image.fromarray(picture)
