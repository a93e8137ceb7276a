"""Small pictures kept with the index, so that a folder moved elsewhere still shows its items.

One uncompressed tar a shard, members ``{id}.webp``: any tool lists and extracts them, and since the
metadata holds each picture's byte offset and size, one is read without walking the archive.
"""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import IndexFolderError

if TYPE_CHECKING:
    from PIL import Image

SIDE = 256  # px, the longer side at most
QUALITY = 80  # of WebP, 0..100
METHOD = 0  # of WebP: the fastest; a slower one saves a few per cent of the bytes


def encode_thumbnail(image: "Image.Image") -> bytes:
    """A picture as WebP, its longer side at most ``SIDE`` px; a smaller picture is not enlarged."""
    small = image
    if max(image.size) > SIDE:
        small = image.copy()
        small.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=METHOD)
    return buffer.getvalue()


def write_thumbnails(path: Path, pictures: Mapping[int, bytes]) -> dict[int, int]:
    """Write one tar; the same pictures give the same bytes.

    Args:
        path: The file to write.
        pictures: WebP by item id.

    Returns:
        Where each picture begins in the file, in bytes, by item id.
    """
    offsets: dict[int, int] = {}
    with (
        path.open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for item, picture in pictures.items():
            member = tarfile.TarInfo(f"{item}.webp")
            member.size = len(picture)
            offsets[item] = file.tell() + tarfile.BLOCKSIZE  # its header is one block
            tar.addfile(member, io.BytesIO(picture))
    return offsets


def read_thumbnail(path: Path, offset: int, size: int) -> bytes:
    """The WebP at a place that the metadata names.

    Raises:
        IndexFolderError: The file is missing, or ends before the picture does.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            picture = file.read(size)
    except OSError as error:
        raise IndexFolderError(f"cannot read thumbnails in {path}: {error.strerror}") from error
    if len(picture) != size:
        raise IndexFolderError(
            f"{path} ends before the thumbnail at byte {offset}; copy the index folder again"
        )
    return picture
