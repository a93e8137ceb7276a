"""The members of a tar file, found by walking its headers; what a member holds is skipped over.

``tarfile`` on its own takes a damaged header in the middle of an archive for its end. Here every
way an archive can break off is told.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ...errors import MediaError


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One file in an archive."""

    name: str
    offset: int  # where its bytes begin, in the archive
    size: int  # bytes


def iter_members(file: BinaryIO) -> Iterator[Member]:
    """The regular files of an open archive, in order; the file's position is left anywhere.

    Raises:
        MediaError: The archive is damaged or cut off, after the members before that were given.
    """
    end = os.fstat(file.fileno()).st_size
    if not end:
        raise MediaError("the archive is empty (0 bytes)")
    position = 0
    try:
        with tarfile.TarFile(fileobj=file, mode="r", errors="replace") as tar:
            while True:
                file.seek(position)
                header = file.read(tarfile.BLOCKSIZE)
                if len(header) < tarfile.BLOCKSIZE:
                    raise MediaError(f"the archive breaks off at byte {position}")
                if header == tarfile.NUL * tarfile.BLOCKSIZE:
                    return  # the mark at its end
                file.seek(position)
                info = tarfile.TarInfo.fromtarfile(tar)
                position = info.offset_data
                if info.isreg():
                    if info.offset_data + info.size > end:
                        raise MediaError(f"the archive ends inside {info.name}, at byte {end}")
                    yield Member(name=info.name, offset=info.offset_data, size=info.size)
                    blocks = -(-info.size // tarfile.BLOCKSIZE)
                    position += blocks * tarfile.BLOCKSIZE
    except (tarfile.TarError, OSError, ValueError) as error:
        if not position:
            raise MediaError("it is not a tar archive") from None
        raise MediaError(f"the archive is damaged at byte {position}: {error}") from None
