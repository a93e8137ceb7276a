"""Tar files in which a sample's files follow one another: ``a.jpg a.txt a.json b.jpg ...``

The key of a sample is the member's path up to the first dot of its file name. Nothing is unpacked:
media are read from where they lie in the archive.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from ...encoders.modality import Modality
from ...errors import MediaError
from ...tar import Member, iter_samples, read_start, split_name
from .base import (
    MAX_SIDECAR_BYTES,
    NOUN_OF,
    SUFFIXES_OF,
    Place,
    Sample,
    clean,
    count,
    sample_of,
)
from .inputs import Found, find_files

TAR_SUFFIXES = frozenset({"tar"})


class WebDataset:
    """Tar files as a source.

    Args:
        found: The tar files.
        modality: Which member of a sample is taken.
        kind: What the user calls this source.
        description: For people; by default how many files there are.
    """

    def __init__(
        self, found: Found, modality: Modality, *, kind: str = "webdataset", description: str = ""
    ) -> None:
        self._found = found
        self._modality = modality
        self.kind = kind
        self.root = Path(found.root)
        self.description = description or count(len(found.files), "tar file")

    def files(self) -> Iterable[tuple[str, int]]:
        """The tar files."""
        return self._found.files.items()

    def estimate(self) -> int | None:
        """Samples of the first tar file, scaled by size to all of them."""
        name, size = next(iter(self._found.files.items()), ("", 0))
        if not size:
            return None
        n_first = sum(1 for _ in self._inputs(name))
        return round(n_first * sum(self._found.files.values()) / size)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples of every tar file; for those passed over, headers alone are read."""
        for folder, why in self._found.unreadable.items():
            if start <= 0:
                yield Sample(key=clean(folder), path=clean(folder), problem=f"the folder: {why}")
            start -= 1
        for name in self._found.files:
            for item in self._inputs(name):
                if start <= 0:
                    yield self._sample(name, *item)
                start -= 1

    def _inputs(self, name: str) -> Iterator[tuple[BinaryIO | None, list[Member] | str]]:
        """Each sample of one tar file as its members, with the open file; or what broke it."""
        try:
            with open(self._found.absolute(name), "rb") as file:
                try:
                    for group in iter_samples(file):
                        yield file, group
                except MediaError as error:
                    yield None, str(error)
        except OSError as error:
            yield None, f"the archive cannot be read: {error.strerror or error}"

    def _sample(self, name: str, file: BinaryIO | None, members: list[Member] | str) -> Sample:
        """What :meth:`_inputs` found, with its caption and fields read."""
        if file is None or isinstance(members, str):
            return Sample(key=clean(name), path=clean(name), problem=str(members))
        key = split_name(members[0])[0]
        parts = {suffix: member for member in members for suffix in [split_name(member)[1]]}
        medium = self._medium(parts)
        if medium is None:
            there = ", ".join(f".{suffix}" for suffix in parts)
            path = clean(f"{name}#{key}")
            problem = f"no {NOUN_OF[self._modality]} among {there}"
            return Sample(key=clean(key), path=path, problem=problem)
        return sample_of(
            key=key,
            path=f"{name}#{medium.name}",
            media=Place(file=self._found.absolute(name), offset=medium.offset, size=medium.size),
            caption=_content(file, parts.get("txt")),
            fields=_content(file, parts.get("json")),
        )

    def _medium(self, parts: Mapping[str, Member]) -> Member | None:
        """The member to embed: ``depth.png`` before ``png`` before ``left.png``, for depth maps."""
        suffixes = SUFFIXES_OF[self._modality]

        def rank(suffix: str) -> int:
            first = suffix.rpartition(".")[0]
            return 0 if first == self._modality else 1 if not first else 2

        fitting = [suffix for suffix in parts if suffix.rpartition(".")[2] in suffixes]
        return parts[min(fitting, key=rank)] if fitting else None


def open_webdataset(inputs: Sequence[str], modality: Modality) -> WebDataset:
    """Tar files, folders of them, globs and braces.

    Raises:
        UsageError: There are none.
    """
    return WebDataset(find_files(inputs, TAR_SUFFIXES, what="tar files"), modality)


def _content(file: BinaryIO, member: Member | None) -> bytes | None:
    """The bytes of a text member, or enough of them to see that there are too many."""
    return None if member is None else read_start(file, member, MAX_SIDECAR_BYTES + 1)
