"""Conceptual Captions 3M, in the forms it is found in on disks.

1. The published table (``caption<TAB>url`` a line, no header) beside pictures that were downloaded
   from it. All pictures are named in one of three ways: by the line's number from 0
   (``000000012.jpg``), by the MD5 of the url in hexadecimal, or by the last part of the url's
   path; in the last case, lines that share a name are left out, since the picture may be
   either's. Lines without a picture are no inputs: links die, and nothing on this disk is damaged.
2. The output of img2dataset: ``00000.tar`` with ``00000.parquet`` or ``00000_stats.json``
   beside it, or folders ``00000/000000000.jpg`` with .txt and .json.
3. Tar files named like the public copy, ``cc3m-train-0000.tar``, with .jpg and .txt.
"""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from ...encoders.modality import Modality
from ...errors import UsageError
from .base import IMAGE_SUFFIXES, Place, Sample, Source, clean, count, described
from .folder import SIDECAR_SUFFIXES, Folder
from .inputs import Found, find_files, suffix_of
from .webdataset import WebDataset

logger = logging.getLogger(__name__)

TABLE_SUFFIXES = frozenset({"tsv"})
_PUBLIC_TAR = re.compile(r"cc3m-\w+-\d+\.tar")
_NUMBER = re.compile(r"[0-9]+")
_MD5 = re.compile(r"[0-9a-f]{32}")
_SHARD = re.compile(r"\d{5,}")  # how img2dataset names its shards and pictures
_BESIDE = (".parquet", "_stats.json")  # what img2dataset writes for each tar file
_SUFFIXES = IMAGE_SUFFIXES | SIDECAR_SUFFIXES | TABLE_SUFFIXES | {"tar", "parquet"}


def open_cc3m(inputs: Sequence[str]) -> Source:
    """Whichever form of the collection the inputs hold.

    Raises:
        UsageError: None of them is there.
    """
    found = find_files(inputs, _SUFFIXES, what="files of CC3M")
    tables = [name for name in found.files if suffix_of(name) in TABLE_SUFFIXES]
    if tables:
        return CaptionTable(found, tables)
    tars = {name: size for name, size in found.files.items() if suffix_of(name) == "tar"}
    if tars and all(_PUBLIC_TAR.fullmatch(os.path.basename(name)) for name in tars):
        return _tars(found, tars, "named as the public copy")
    if tars and all(_SHARD.fullmatch(_stem(name)) for name in tars):
        beside = [f"{found.absolute(name)[:-4]}{end}" for name in tars for end in _BESIDE]
        if any(map(os.path.exists, beside)):
            return _tars(found, tars, "of img2dataset")
    pictures = [name for name in found.files if suffix_of(name) in IMAGE_SUFFIXES]
    if pictures and all(_is_downloaded(name) for name in pictures):
        kept = {
            name: size
            for name, size in found.files.items()
            if suffix_of(name) in IMAGE_SUFFIXES | SIDECAR_SUFFIXES and _is_downloaded(name)
        }
        what = f"{count(len(pictures), 'picture')} in folders of img2dataset"
        part = Found(root=found.root, files=kept, unreadable=found.unreadable)
        return Folder(part, Modality.IMAGE, kind="cc3m", description=what)
    raise UsageError(
        f"{', '.join(inputs)} is no form of CC3M known here: there is no .tsv of captions and urls "
        "beside downloaded pictures, no output of img2dataset (00000.tar with 00000.parquet or "
        "00000_stats.json, or 00000/000000000.jpg), no cc3m-train-0000.tar; for other tar files "
        "use --source webdataset, for other pictures --source folder"
    )


class CaptionTable:
    """The published table of captions and urls, with pictures that were downloaded from it."""

    kind = "cc3m"

    def __init__(self, found: Found, tables: Sequence[str]) -> None:
        if len(tables) > 1:
            raise UsageError(
                f"there are {len(tables)} tables ({', '.join(tables)}); pictures are numbered by "
                "the lines of one: build an index for each"
            )
        self._found = found
        self._table = tables[0]
        names = [name for name in found.files if suffix_of(name) in IMAGE_SUFFIXES]
        if all(_NUMBER.fullmatch(_stem(name)) for name in names):
            self._name_of: Callable[[int, str], str] = _by_number
            self._pictures = {_stem(name).lstrip("0") or "0": name for name in names}
        else:
            by_md5 = all(_MD5.fullmatch(_stem(name)) for name in names)
            self._name_of = _by_md5 if by_md5 else _by_url
            self._pictures = {_stem(name): name for name in names}
        self.root = Path(found.root)

        names_asked = (self._name_of(line, url) for line, _, url in self._lines())
        lines = Counter(name for name in names_asked if name in self._pictures)
        shared = [name for name in self._pictures if lines[name] > 1]
        for name in shared:
            del self._pictures[name]
        self._n_matched = sum(name in lines for name in self._pictures)
        if not self._n_matched:
            raise UsageError(
                f"none of {count(len(names), 'picture')} belongs to one line of {self._table}: a "
                "picture is named by the line's number from 0, the MD5 of its url, or the last "
                "part of the url"
            )
        self.description = f"{self._table} with {count(self._n_matched, 'downloaded picture')}"
        if shared or self._n_matched < len(names):
            logger.warning(
                "pictures left out: %d belong to no line of %s, %d to several",
                *(len(names) - len(shared) - self._n_matched, self._table, len(shared)),
            )

    def files(self) -> Iterable[tuple[str, int]]:
        """The table and the pictures."""
        return self._found.files.items()

    def estimate(self) -> int:
        """The lines that have a picture."""
        return self._n_matched

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """A sample a line that has a picture, in the order of the table."""
        for line, caption, url in self._lines():
            name = self._pictures.get(self._name_of(line, url))
            if name is None:
                continue
            if start <= 0:
                yield described(
                    key=f"{line:09d}",
                    path=clean(name),
                    media=Place(file=self._found.absolute(name)),
                    caption=caption,
                    url=url,
                    fields={},
                )
            start -= 1

    def _lines(self) -> Iterator[tuple[int, str, str]]:
        """Number, caption and url of every line."""
        path = self._found.absolute(self._table)
        try:
            with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
                for line, text in enumerate(file):
                    caption, _, url = text.rstrip("\r\n").rpartition("\t")
                    yield line, caption.strip(), url
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def _by_number(line: int, url: str) -> str:
    return str(line)


def _by_md5(line: int, url: str) -> str:
    return hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()


def _by_url(line: int, url: str) -> str:
    path = re.split("[?#]", url)[0]
    return _stem(unquote(path.rpartition("/")[2]))


def _tars(found: Found, tars: dict[str, int], what: str) -> WebDataset:
    """Tar files of the collection as a source."""
    part = Found(root=found.root, files=tars, unreadable=found.unreadable)
    description = f"{count(len(tars), 'tar file')} {what}"
    return WebDataset(part, Modality.IMAGE, kind="cc3m", description=description)


def _is_downloaded(name: str) -> bool:
    """Whether a file lies where img2dataset puts it: ``00000/000000000.jpg``."""
    folder = os.path.basename(os.path.dirname(name))
    return bool(_SHARD.fullmatch(_stem(name)) and (not folder or _SHARD.fullmatch(folder)))


def _stem(name: str) -> str:
    """A file's name without folder and suffix."""
    return os.path.splitext(os.path.basename(name))[0]
