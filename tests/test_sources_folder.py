"""Folders of pictures as a source."""

import os
from pathlib import Path

import pytest

from anybind.encoders.modality import Modality
from anybind.errors import UsageError
from anybind.index.sources.base import Place
from anybind.index.sources.folder import open_folder


def test_pictures_come_sorted_with_the_texts_beside_them(tmp_path: Path) -> None:
    """Every name is looked for by hand; nothing is opened but the texts."""
    (tmp_path / "my trip").mkdir()
    (tmp_path / ".cache").mkdir()
    for name in ("b.JPG", "a.png", "my trip/ü 1.webp", ".cache/x.jpg", ".y.jpg", "notes.md"):
        (tmp_path / name).write_bytes(b"picture")
    (tmp_path / "a.txt").write_text("the letter a\n")
    (tmp_path / "my trip/ü 1.json").write_text('{"caption": "ü", "url": "http://u", "rating": 5}')
    source = open_folder([str(tmp_path)], Modality.IMAGE)
    samples = list(source.samples())
    assert [(s.key, s.path, s.caption, s.url) for s in samples] == [
        ("a", "a.png", "the letter a", None),
        ("b", "b.JPG", None, None),
        ("my trip/ü 1", "my trip/ü 1.webp", "ü", "http://u"),
    ]
    assert samples[2].extra == '{"rating": 5}'
    assert samples[2].media == Place(file=f"{tmp_path}/my trip/ü 1.webp")
    assert (source.estimate(), source.description) == (3, "3 pictures")
    assert list(source.samples(2)) == samples[2:]
    assert ("a.txt", 13) in source.files()


def test_pictures_may_be_named_one_by_one(tmp_path: Path) -> None:
    """The text beside a picture counts here too."""
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"picture")
    (tmp_path / "2.txt").write_text("two")
    samples = list(open_folder([f"{tmp_path}/*2.jpg"], Modality.IMAGE).samples())
    assert [(s.path, s.caption) for s in samples] == [("2.jpg", "two")]


def test_a_folder_that_cannot_be_listed_is_one_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's refusal is played, since root may read everything."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "open.jpg").write_bytes(b"picture")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    samples = list(open_folder([str(tmp_path)], Modality.IMAGE).samples())
    assert [(s.path, s.problem) for s in samples] == [
        ("locked", "the folder: Permission denied"),
        ("open.jpg", ""),
    ]
    assert list(open_folder([str(tmp_path)], Modality.IMAGE).samples(1)) == samples[1:]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    """Empty, and with texts only."""
    with pytest.raises(UsageError, match="no pictures in"):
        open_folder([str(tmp_path)], Modality.IMAGE)
    (tmp_path / "a.txt").write_text("alone")
    with pytest.raises(UsageError, match="only files that lie beside pictures"):
        open_folder([str(tmp_path)], Modality.IMAGE)
