"""Contact sheets: many pictures with a line or two under each, in one picture to look at.

The font is the one that Pillow brings, which has Latin letters only.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .errors import UsageError

Picture = Image.Image | npt.NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MARGIN = 12  # px around the sheet and between its cells
TEXT_SIZE = 14  # px
TITLE_SIZE = 22  # px
MAX_LINES = 4  # of a label; what is longer ends in an ellipsis
MAX_CELLS = 4096
PAPER = (250, 250, 248)
INK = (32, 32, 36)
FRAME = (205, 205, 205)
EMPHASIS = (214, 84, 24)


def contact_sheet(
    images: Sequence[Picture],
    labels: Sequence[str],
    *,
    columns: int = 8,
    title: str = "",
    cell: int = 192,
    emphasised: int | None = None,
) -> Image.Image:
    """Lay pictures out in rows, each above its label.

    Args:
        images: PIL pictures or ``(H, W, 3)`` uint8 arrays; each is fitted into a square cell.
        labels: One a picture; broken into lines at spaces and at line ends of their own.
        columns: Cells a row.
        title: A heading above all.
        cell: px a side of a cell.
        emphasised: Which picture gets a coloured frame: the query among its results, say.

    Raises:
        UsageError: No pictures, too many, or not as many labels.
    """
    if not 0 < len(images) <= MAX_CELLS or len(images) != len(labels):
        raise UsageError(
            f"a contact sheet shows 1 to {MAX_CELLS} pictures with a label each; "
            f"there are {len(images)} pictures and {len(labels)} labels"
        )
    font, heading = ImageFont.load_default(TEXT_SIZE), ImageFont.load_default(TITLE_SIZE)
    columns = min(columns, len(images))
    wrapped = [_wrap(label, font, cell) for label in labels]
    rows = [range(i, min(i + columns, len(images))) for i in range(0, len(images), columns)]
    line = round(TEXT_SIZE * 1.35)
    width = MARGIN + columns * (cell + MARGIN)
    titles = _wrap(title, heading, width - 2 * MARGIN)
    top = MARGIN + len(titles) * round(TITLE_SIZE * 1.4)
    heights = [cell + MARGIN + 4 + line * max(len(wrapped[i]) for i in row) for row in rows]
    sheet = Image.new("RGB", (width, top + sum(heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text((MARGIN, MARGIN), "\n".join(titles), font=heading, fill=INK)
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            x = MARGIN + column * (cell + MARGIN)
            picture = _as_image(images[i])
            fitted = ImageOps.contain(picture, (cell, cell), Image.Resampling.LANCZOS)
            left, upper = x + (cell - fitted.width) // 2, top + (cell - fitted.height) // 2
            sheet.paste(fitted, (left, upper))
            right, lower = left + fitted.width, upper + fitted.height
            if i == emphasised:
                draw.rectangle((left - 4, upper - 4, right + 3, lower + 3), None, EMPHASIS, 4)
            else:
                draw.rectangle((left - 1, upper - 1, right, lower), None, FRAME)
            for n, text in enumerate(wrapped[i]):
                draw.text((x, top + cell + 4 + n * line), text, font=font, fill=INK)
        top += height
    return sheet


def _as_image(picture: Picture) -> Image.Image:
    """Return a picture as an RGB image."""
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    return Image.fromarray(picture)


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """Break a text into lines of at most ``width`` px, words too long for a line included."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        current = ""
        for word in paragraph.split():
            longer = f"{current} {word}".strip()
            if font.getlength(longer) <= width:
                current = longer
                continue
            if current:
                lines.append(current)
            current = word
            while font.getlength(current) > width and len(current) > 1:
                fits = len(current) - 1
                while fits > 1 and font.getlength(current[:fits]) > width:
                    fits -= 1
                lines.append(current[:fits])
                current = current[fits:]
        lines.append(current)
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], lines[MAX_LINES - 1].rstrip() + "…"]
    return lines
