"""Writing on pictures: a font that has the letters, and lines that fit.

Pillow brings one font, with Latin letters only. A text it lacks letters for is set in the first of
the usual fonts of the system that has them all; letters that none has are named, not drawn as
boxes.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Looked for in the system's font folders, in this order: Western scripts first, then all of CJK.
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSans-Regular.ttf",
    "Arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.ttf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "msyh.ttc",
    "simsun.ttc",
    "Arial Unicode.ttf",
)
NO_CHARACTER = "\uffff"  # never assigned: every font draws what it draws for a missing letter
MAX_LETTERS = 2000  # of a text that are looked at; more never fit a picture


def lettering(text: str, size: int) -> tuple[Font, str]:
    """A font for a text, and the text as that font can write it.

    Args:
        text: Any; what comes after ``MAX_LETTERS`` is left out.
        size: Of the font, px.

    Returns:
        The first font with all letters, and the text unchanged; or Pillow's own and the text with
        ``[3 letters]`` in place of every run that it cannot write.
    """
    text = text[:MAX_LETTERS]
    letters = frozenset(text)
    own = default_font(size)
    for font in (own, *_system_fonts(size)):
        if not any(_is_missing(font, letter) for letter in letters):
            return font, text
    return own, "".join(_named(own, text))


def _named(font: Font, text: str) -> Iterator[str]:
    """The text, every run of letters that the font lacks replaced by how many they are."""
    for missing, run in groupby(text, lambda letter: _is_missing(font, letter)):
        letters = "".join(run)
        yield f"[{len(letters)} letter{'s' * (len(letters) > 1)}]" if missing else letters


@lru_cache(maxsize=32)
def default_font(size: int) -> Font:
    """The font that Pillow brings, ``size`` px high."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=32)
def _system_fonts(size: int) -> tuple[Font, ...]:
    """Those of the usual fonts that this machine has."""
    found: list[Font] = []
    for name in SYSTEM_FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)


@lru_cache(maxsize=8192)
def _is_missing(font: Font, letter: str) -> bool:
    """Whether a font draws a letter as it draws one that does not exist."""
    if letter.isspace():
        return False
    return _shape(font, letter) == _shape(font, NO_CHARACTER)


def _shape(font: Font, letter: str) -> tuple[int, bytes]:
    """The width and the pixels of a letter."""
    _, _, right, bottom = font.getbbox(letter)
    picture = Image.new("L", (max(1, math.ceil(right)), max(1, math.ceil(bottom))))
    ImageDraw.Draw(picture).text((0, 0), letter, 255, font)
    return picture.width, picture.tobytes()


def wrap(text: str, font: Font, width: int, max_lines: int) -> list[str]:
    """Break a text into lines of at most ``width`` px, words too long for a line included.

    Args:
        text: Broken at spaces, and at line ends of its own.
        font: It is set in.
        width: px.
        max_lines: What is longer ends in an ellipsis.
    """
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
                fits = _letters_that_fit(current, font, width)
                lines.append(current[:fits])
                current = current[fits:]
            if len(lines) > max_lines:
                break
        lines.append(current)
    if len(lines) > max_lines:
        last = lines[max_lines - 1].rstrip()
        while last and font.getlength(last + "…") > width:
            last = last[:-1]
        lines = [*lines[: max_lines - 1], last + "…"]
    return lines


def _letters_that_fit(word: str, font: Font, width: int) -> int:
    """How many letters of a word that is too long stand in one line; at least 1."""
    lengths = range(1, len(word))
    return max(1, bisect_right(lengths, width, key=lambda n: math.ceil(font.getlength(word[:n]))))
