"""A folder of media, in the order of their paths.

Beside ``photo.jpg`` (or ``bell.wav``, ``chair.ply``) may lie ``photo.txt`` with its caption and
``photo.json`` with other fields. A text is its own caption. Hidden files and folders are left out.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...encoders.modality import Modality
from ...errors import UsageError
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
from .inputs import Found, find_files, suffix_of

SIDECAR_SUFFIXES = frozenset({"txt", "json"})


class Folder:
    """Media in ordinary files as a source.

    Args:
        found: The media and the files beside them.
        modality: What the media are.
        kind: What the user calls this source.
        description: For people; by default how many media there are.
    """

    def __init__(
        self, found: Found, modality: Modality, *, kind: str = "folder", description: str = ""
    ) -> None:
        self._found = found
        beside = SIDECAR_SUFFIXES - SUFFIXES_OF[modality]
        self._names = [name for name in found.files if suffix_of(name) not in beside]
        self.kind = kind
        self.root = Path(found.root)
        self.description = description or count(len(self._names), NOUN_OF[modality])

    def files(self) -> Iterable[tuple[str, int]]:
        """The media, and the texts beside them."""
        return self._found.files.items()

    def estimate(self) -> int:
        """How many media there are."""
        return len(self._names) + len(self._found.unreadable)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """A sample a medium, after a problem for each folder that could not be listed."""
        folders = list(self._found.unreadable.items())
        for folder, why in folders[start:]:
            yield Sample(key=clean(folder), path=clean(folder), problem=f"the folder: {why}")
        for name in self._names[max(0, start - len(folders)) :]:
            key = os.path.splitext(name)[0]
            try:
                caption, fields = self._beside(key, "txt"), self._beside(key, "json")
            except OSError as error:
                why = f"the text beside it cannot be read: {error.strerror or error}"
                yield Sample(key=clean(key), path=clean(name), problem=why)
                continue
            place = Place(file=self._found.absolute(name))
            yield sample_of(key=key, path=name, media=place, caption=caption, fields=fields)

    def _beside(self, key: str, suffix: str) -> bytes | None:
        """The content of a text beside a medium, or enough of it to see that it is too long."""
        try:
            with open(self._found.absolute(f"{key}.{suffix}"), "rb") as file:
                return file.read(MAX_SIDECAR_BYTES + 1)
        except FileNotFoundError:
            return None


def open_folder(inputs: Sequence[str], modality: Modality) -> Folder:
    """Folders of media (with all below them), single files, globs and braces.

    Raises:
        UsageError: There are no such media.
    """
    what = f"{NOUN_OF[modality]}s"
    found = find_files(inputs, SUFFIXES_OF[modality] | SIDECAR_SUFFIXES, what=what)
    folder = Folder(found, modality)
    if not folder.estimate():
        raise UsageError(f"no {what} in {', '.join(inputs)}, only files that lie beside {what}")
    return folder
