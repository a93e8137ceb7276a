"""anybind.index.thumbnails: small pictures in tars."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anybind.errors import IndexFolderError
from anybind.index.thumbnails import encode_thumbnail, read_thumbnail, write_thumbnails

from .folders import webp


@pytest.mark.parametrize(
    ("size", "small"), [((1024, 512), (256, 128)), ((300, 900), (85, 256)), ((90, 40), (90, 40))]
)
def test_a_thumbnail_keeps_the_shape_and_is_never_enlarged(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    """256 px for the longer side, the other in proportion, by hand."""
    picture = Image.open(io.BytesIO(encode_thumbnail(Image.new("RGB", size, (200, 30, 60)))))
    assert picture.format == "WEBP" and picture.size == small
    mean = np.asarray(picture.convert("RGB")).mean(axis=(0, 1))
    np.testing.assert_allclose(mean, [200, 30, 60], atol=6)  # lossy colour


def test_the_picture_handed_in_is_left_alone() -> None:
    """The same picture goes on to the encoder."""
    image = Image.new("RGB", (600, 600))
    encode_thumbnail(image)
    assert image.size == (600, 600)


def test_any_tar_reader_finds_each_picture_where_it_was_noted(tmp_path: Path) -> None:
    """The standard library's tarfile gives names, content and offsets."""
    pictures = {i: webp(i) for i in (3, 4, 9)}
    path = tmp_path / "t.tar"
    offsets = write_thumbnails(path, pictures)
    with tarfile.open(path) as tar:
        assert {member.name: member.offset_data for member in tar} == {
            f"{i}.webp": offset for i, offset in offsets.items()
        }
    for i, picture in pictures.items():
        assert read_thumbnail(path, offsets[i], len(picture)) == picture


def test_a_cut_archive_is_one_line(tmp_path: Path) -> None:
    """Never fewer bytes than asked for."""
    path = tmp_path / "t.tar"
    offset = write_thumbnails(path, {0: webp(0)})[0]
    path.write_bytes(path.read_bytes()[: offset + 3])
    with pytest.raises(IndexFolderError, match="ends before the thumbnail at byte 512"):
        read_thumbnail(path, offset, len(webp(0)))
    path.unlink()
    with pytest.raises(IndexFolderError, match="No such file"):
        read_thumbnail(path, offset, 1)
