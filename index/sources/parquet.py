"""Parquet tables with media in a column, or with the paths of media.

Columns are found by name: the medium is ``image``, ``jpg``, ... (or ``audio``, ``wav``, ...)
holding bytes or Hugging Face's ``{bytes, path}``, else a path relative to the table; the caption is
``caption``, ``text``, ``TEXT`` or ``title``, which is also the medium of an index of texts. All
other columns but binary ones are kept as fields.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...encoders.modality import Modality
from ...errors import MediaError, UsageError
from .base import NOUN_OF, SUFFIXES_OF, Media, Place, Sample, clean, count, described
from .inputs import Found, find_files

PARQUET_SUFFIXES = frozenset({"parquet"})
IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "image_bytes")
PATH_COLUMNS = ("file_name", "filename", "file", "filepath", "path")
CAPTION_COLUMNS = ("caption", "text", "TEXT", "title")
URL_COLUMNS = ("url", "URL")
KEY_COLUMNS = ("key", "__key__", "id")
ROWS_READ = 64  # rows decompressed at once: with their pictures, some tens of megabytes at most


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table mean what."""

    medium: str  # bytes, {bytes, path}, or a path; for texts the text itself
    caption: str | None
    url: str | None
    key: str | None
    others: tuple[str, ...]

    @property
    def read(self) -> list[str]:
        """All of them."""
        named = (self.medium, self.caption, self.url, self.key)
        return [*dict.fromkeys(name for name in (*named, *self.others) if name is not None)]


class ParquetTables:
    """Parquet files as a source."""

    kind = "parquet"

    def __init__(self, found: Found, modality: Modality) -> None:
        self._found = found
        self._modality = modality
        self.root = Path(found.root)
        self.description = count(len(found.files), "parquet file")

    def files(self) -> Iterable[tuple[str, int]]:
        """The tables."""
        return self._found.files.items()

    def estimate(self) -> int | None:
        """The rows of all tables, as their footers tell."""
        try:
            return sum(
                int(pq.read_metadata(self._found.absolute(name)).num_rows)
                for name in self._found.files
            )
        except (OSError, pa.ArrowException):
            return None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """A sample a row; a table or a part of one that cannot be read is one problem."""
        for folder, why in self._found.unreadable.items():
            if start <= 0:
                yield Sample(key=clean(folder), path=clean(folder), problem=f"the folder: {why}")
            start -= 1
        for name in self._found.files:
            n_given = 0
            try:
                for sample in self._table(name, start):
                    if sample is not None:
                        yield sample
                    n_given += 1
            except MediaError as error:
                if n_given >= start:
                    yield Sample(key=clean(name), path=clean(name), problem=str(error))
                n_given += 1
            start -= n_given

    def _table(self, name: str, start: int) -> Iterator[Sample | None]:
        """One table's rows; None for each before ``start``.

        Raises:
            MediaError: The table cannot be read any further.
        """
        row = 0
        try:
            with pq.ParquetFile(self._found.absolute(name)) as file:
                columns = find_columns(file.schema_arrow, self._modality)
                for group in range(file.num_row_groups):
                    size = file.metadata.row_group(group).num_rows
                    if row + size <= start:
                        yield from (None for _ in range(size))
                        row += size
                        continue
                    batches = file.iter_batches(
                        batch_size=ROWS_READ, row_groups=[group], columns=columns.read
                    )
                    for batch in batches:
                        for values in batch.to_pylist():
                            yield self._sample(name, row, columns, values) if row >= start else None
                            row += 1
        except FileNotFoundError:
            raise MediaError("the table does not exist any more") from None
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise MediaError(f"the table cannot be read from row {row} on: {reason}") from None

    def _sample(self, name: str, row: int, columns: Columns, values: Mapping[str, Any]) -> Sample:
        """One row as a sample."""
        where = clean(f"{name}#{row}")
        given = values.get(columns.key) if columns.key is not None else None
        key = where if given is None else clean(str(given))
        path, media = self._media(name, where, values[columns.medium])
        if media is None:
            return Sample(key=key, path=path, problem=f"the row has no {NOUN_OF[self._modality]}")
        captions = values[columns.caption] if columns.caption is not None else None
        caption = captions[0] if isinstance(captions, list) and captions else captions
        return described(
            key=key,
            path=path,
            media=media,
            caption=caption,
            url=values[columns.url] if columns.url is not None else None,
            fields={other: _json(values[other]) for other in columns.others},
        )

    def _media(self, name: str, where: str, value: Any) -> tuple[str, Media | None]:
        """The medium of a cell, and the path to remember it by."""
        if self._modality is Modality.TEXT:
            return where, value.encode() if isinstance(value, str) and value.strip() else None
        if isinstance(value, Mapping):
            value = value["bytes"] if value.get("bytes") is not None else value.get("path")
        if isinstance(value, str) and value:
            file = os.path.join(os.path.dirname(self._found.absolute(name)), value)
            return clean(os.path.relpath(file, self._found.root)), Place(file=file)
        return where, value if isinstance(value, bytes) else None


def open_parquet(inputs: Sequence[str], modality: Modality) -> ParquetTables:
    """Parquet files, folders of them, globs and braces.

    Raises:
        UsageError: There are none, or the first has no column of such media.
    """
    found = find_files(inputs, PARQUET_SUFFIXES, what="parquet files")
    for name in found.files:
        try:
            schema = pq.read_schema(found.absolute(name))
        except (OSError, pa.ArrowException):
            continue  # told as a problem of the source when it is read
        try:
            find_columns(schema, modality)
        except MediaError as error:
            raise UsageError(f"{name}: {error}") from None
        break
    return ParquetTables(found, modality)


def find_columns(schema: pa.Schema, modality: Modality) -> Columns:
    """Tell the columns of a table apart by name and type.

    Raises:
        MediaError: No column can hold such media.
    """
    held, paths = _columns_of(modality)
    medium = next((column for column in held if _holds_media(schema, column, modality)), None)
    medium = medium or next((column for column in paths if _is_text(schema, column)), None)
    if medium is None:
        raise MediaError(
            f"no column of {NOUN_OF[modality]}s among {', '.join(schema.names)}; there has to be "
            f"one of {', '.join((*held, *paths))}"
        )

    def first(names: Sequence[str]) -> str | None:
        return next((column for column in names if column in schema.names), None)

    caption, key = first(CAPTION_COLUMNS), first(KEY_COLUMNS)
    url = first((*URL_COLUMNS, f"{modality}_url"))
    is_list = caption is not None and pa.types.is_list(schema.field(caption).type)
    meant = {medium, url, key} | (set() if is_list else {caption})  # several captions are all kept
    others = tuple(
        field.name for field in schema if field.name not in meant and not _holds_bytes(field.type)
    )
    return Columns(medium=medium, caption=caption, url=url, key=key, others=others)


def _columns_of(modality: Modality) -> tuple[Sequence[str], Sequence[str]]:
    """The names of columns that may hold media (or their paths), and of those with paths alone."""
    if modality is Modality.TEXT:
        return CAPTION_COLUMNS, ()
    paths = (f"{modality}_path", *PATH_COLUMNS)
    if modality is Modality.IMAGE:
        return IMAGE_COLUMNS, paths
    return (modality, *sorted(SUFFIXES_OF[modality]), f"{modality}_bytes"), paths


def _holds_media(schema: pa.Schema, column: str, modality: Modality) -> bool:
    return _is_text(schema, column) or (
        modality is not Modality.TEXT
        and column in schema.names
        and _holds_bytes(schema.field(column).type)
    )


def _is_text(schema: pa.Schema, column: str) -> bool:
    if column not in schema.names:
        return False
    kind = schema.field(column).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_holds_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _json(value: Any) -> Any:
    """A cell that JSON can hold: what is not a number becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
