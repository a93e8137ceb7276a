"""Fonts that have the letters, and lines that fit."""

import pytest
from PIL import ImageFont

from anybind import lettering
from anybind.lettering import MAX_LETTERS, default_font, wrap


def test_a_latin_text_is_set_in_the_font_of_pillow() -> None:
    """Pillow's own font has these letters; the text comes back as it was."""
    font, text = lettering.lettering("a red train on snow", 14)
    assert text == "a red train on snow"
    assert isinstance(font, ImageFont.FreeTypeFont) and font.getname()[0] == "Aileron"


def test_letters_that_no_font_has_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without system fonts: three Chinese letters, and one."""
    monkeypatch.setattr(lettering, "_system_fonts", lambda size: ())
    _, text = lettering.lettering("a 红火车 train 雪", 14)
    assert text == "a [3 letters] train [1 letter]"


def test_a_system_font_with_the_letters_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """A font stands in for the system's; it is said to have every letter."""
    other = default_font(15)
    monkeypatch.setattr(lettering, "_system_fonts", lambda size: (other,))
    monkeypatch.setattr(lettering, "_is_missing", lambda font, letter: font is not other)
    assert lettering.lettering("红火车", 14) == (other, "红火车")


def test_every_line_fits_and_no_word_is_lost() -> None:
    """The words in order, joined again, are the text; long words are cut between letters."""
    font = default_font(14)
    text = "many short words and one of " + "w" * 60
    lines = wrap(text, font, 90, max_lines=50)
    assert max(font.getlength(line) for line in lines) <= 90
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    cut = [line for line in lines if set(line) == {"w"}]
    assert all(font.getlength(line + "w") > 90 for line in cut[:-1])


def test_what_is_too_long_ends_in_an_ellipsis() -> None:
    """Three lines, the last within the width together with its ellipsis."""
    font = default_font(14)
    lines = wrap("word " * MAX_LETTERS, font, 90, max_lines=3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert font.getlength(lines[-1]) <= 90
