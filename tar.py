"""The members of a tar file, found by walking its headers; what a member holds is skipped over.

``tarfile`` on its own takes a damaged header in the middle of an archive for its end. Here every
way an archive can break off is told. In webdataset's convention the members of a sample follow one
another, ``a.jpg a.txt a.json b.jpg ...``, and share the path up to the first dot of the file name.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from .errors import MediaError


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


def iter_samples(file: BinaryIO) -> Iterator[list[Member]]:
    """The members of each sample, hidden files left out.

    Raises:
        MediaError: As :func:`iter_members`, after the samples before that were given.
    """
    group: list[Member] = []
    try:
        for member in iter_members(file):
            if os.path.basename(member.name).startswith("."):
                continue
            if group and not _belongs(member, group):
                yield group
                group = []
            group.append(member)
    except MediaError:
        if group:
            yield group
        raise
    if group:
        yield group


def split_name(member: Member) -> tuple[str, str]:
    """A member's key and suffix: ``a/b.seg.png`` is ``a/b`` and ``seg.png``."""
    folder, slash, base = member.name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return folder + slash + stem, suffix.lower()


def read_start(file: BinaryIO, member: Member, limit: int) -> bytes:
    """The bytes of a member, at most ``limit`` of them."""
    file.seek(member.offset)
    return file.read(min(member.size, limit))


def _belongs(member: Member, group: Sequence[Member]) -> bool:
    """Whether a member continues a sample; a second member of a kind begins the next one."""
    key, suffix = split_name(member)
    return key == split_name(group[0])[0] and all(suffix != split_name(m)[1] for m in group)
