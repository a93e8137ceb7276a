"""A folder of pictures, in the order of their paths.

Beside ``photo.jpg`` may lie ``photo.txt`` with its caption and ``photo.json`` with other fields.
Hidden files and folders are left out.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...errors import UsageError
from .base import IMAGE_SUFFIXES, MAX_SIDECAR_BYTES, Place, Sample, clean, count, sample_of
from .inputs import Found, find_files, suffix_of

SIDECAR_SUFFIXES = frozenset({"txt", "json"})


class Folder:
    """Pictures in ordinary files as a source.

    Args:
        found: Pictures and the files beside them.
        kind: What the user calls this source.
        description: For people; by default how many pictures there are.
    """

    def __init__(self, found: Found, *, kind: str = "folder", description: str = "") -> None:
        self._found = found
        self._images = [name for name in found.files if suffix_of(name) not in SIDECAR_SUFFIXES]
        self.kind = kind
        self.root = Path(found.root)
        self.description = description or count(len(self._images), "picture")

    def files(self) -> Iterable[tuple[str, int]]:
        """The pictures, and the texts beside them."""
        return self._found.files.items()

    def estimate(self) -> int:
        """How many pictures there are."""
        return len(self._images) + len(self._found.unreadable)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """A sample a picture, after a problem for each folder that could not be listed."""
        folders = list(self._found.unreadable.items())
        for folder, why in folders[start:]:
            yield Sample(key=clean(folder), path=clean(folder), problem=f"the folder: {why}")
        for name in self._images[max(0, start - len(folders)) :]:
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
        """The content of a text beside a picture, or enough of it to see that it is too long."""
        try:
            with open(self._found.absolute(f"{key}.{suffix}"), "rb") as file:
                return file.read(MAX_SIDECAR_BYTES + 1)
        except FileNotFoundError:
            return None


def open_folder(inputs: Sequence[str]) -> Folder:
    """Folders of pictures (with all below them), single pictures, globs and braces.

    Raises:
        UsageError: There are no pictures.
    """
    folder = Folder(find_files(inputs, IMAGE_SUFFIXES | SIDECAR_SUFFIXES, what="pictures"))
    if not folder.estimate():
        raise UsageError(f"no pictures in {', '.join(inputs)}, only texts")
    return folder
