"""The picture that an item was indexed from, where its source is still there.

What a folder says of its source may be wrong or forged, so that alone opens nothing: a file counts
only below the source's root, symlinks followed, and only bytes that were indexed are given out,
whose SHA-256 stands in the metadata.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import MediaError
from ..tar import iter_members
from .sources.base import IMAGE_SUFFIXES, clean

MAX_BYTES = 64 * 2**20  # of a picture that is given out
ARCHIVES_KEPT = 8  # whose members are remembered: some 2 MB for 10,000 pictures
TAR = ".tar"
OPENING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, kw_only=True)
class Original:
    """A picture as it was indexed."""

    content: bytes
    media_type: str
    sha256: str  # of the content, hexadecimal


def read_original(root: Path, path: str, sha256: str) -> Original | None:
    """The picture that an item was indexed from.

    Args:
        root: Of the source.
        path: The picture's from there: a file, or a tar file, ``#`` and its member.
        sha256: Of its bytes, as they were indexed.

    Returns:
        ``None`` where it is gone, changed, larger than ``MAX_BYTES``, or outside the root.
    """
    for name, member in _places(path):
        with suppress(OSError, ValueError, MediaError):  # ValueError: a name that no file has
            content = _read(os.path.realpath(root), name, member)
            if content is not None and hashlib.sha256(content).hexdigest() == sha256:
                media_type = _media_type(content)
                if media_type is not None:
                    return Original(content=content, media_type=media_type, sha256=sha256)
    return None


def _places(path: str) -> Iterator[tuple[str, str | None]]:
    """What a path may name: a file, or the member of an archive; both may have ``#`` in them."""
    yield path, None
    place = path.find(f"{TAR}#")
    while place >= 0:
        end = place + len(TAR)
        yield path[:end], path[end + 1 :]
        place = path.find(f"{TAR}#", end)


def _read(root: str, name: str, member: str | None) -> bytes | None:
    """The bytes of a file below the root, or of a member of an archive there."""
    file = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, file]) != root:
        return None
    with open(os.open(file, os.O_RDONLY | OPENING), "rb") as opened:
        facts = os.fstat(opened.fileno())
        if not stat.S_ISREG(facts.st_mode):
            return None
        offset, size = 0, facts.st_size
        if member is not None:
            found = _pictures(file, facts.st_size, facts.st_mtime_ns).get(member)
            if found is None:
                return None
            offset, size = found
        if size > MAX_BYTES:
            return None
        opened.seek(offset)
        return opened.read(size)


@lru_cache(ARCHIVES_KEPT)
def _pictures(file: str, size: int, mtime_ns: int) -> dict[str, tuple[int, int]]:
    """Where the pictures of an archive begin, and their bytes, by name; of an archive of this size
    and time, since it may be written anew."""
    found: dict[str, tuple[int, int]] = {}
    with open(file, "rb") as archive, suppress(MediaError):  # up to where it is damaged
        for member in iter_members(archive):
            if member.name.rpartition(".")[2].lower() in IMAGE_SUFFIXES:
                found.setdefault(clean(member.name), (member.offset, member.size))
    return found


def _media_type(content: bytes) -> str | None:
    """Of a picture in one of the formats that are indexed; ``None``: it is none."""
    from PIL import Image

    from ..encoders.images import FORMATS

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return Image.MIME.get(image.format or "")
    except Exception:  # damaged files make decoders raise almost anything
        return None
