"""Shards on disk: numbered .npy files of vectors, and beside each a .parquet about its items.

Item ``id`` is its row number over all shards in order, from 0; it is also its id in FAISS. A
shard's parquet carries, in its file metadata, the inputs of that shard that were skipped, so that
one complete shard accounts for every input it stands for.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..encoders.modality import Modality, Vectors
from ..errors import IndexFolderError
from ..files import atomic_path, sha256_file
from .layout import ERRORS, embeddings_path, metadata_path, thumbnails_path
from .manifest import ShardEntry
from .thumbnails import write_thumbnails

ROWS_PER_SHARD = 1000  # inputs of the source a shard accounts for; the last may have fewer
NORM_TOLERANCE = 1e-3  # how far a vector's length may be from 1, before rounding to float16
SKIPPED_KEY = b"anybind.skipped"  # in the parquet's file metadata

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What is known of one indexed item."""

    id: int  # row number over all shards, from 0
    key: str  # the source's name for it
    caption: str | None = None
    url: str | None = None
    image_path: str | None = None  # of a picture: its file or shard member (00000.tar#000001.jpg),
    # from the source's root; the name that clip-retrieval knows
    path: str | None = None  # the same of any other medium
    width: int | None = None  # of a picture, px
    height: int | None = None  # of a picture, px
    duration: float | None = None  # of a sound or a video, seconds
    n_points: int | None = None  # of a cloud, as read from its file
    sha256: str  # of the media's bytes, hexadecimal
    thumbnail_offset: int | None = None  # bytes into the shard's thumbnail tar
    thumbnail_size: int | None = None  # bytes
    extra: str | None = None  # JSON of every other field of the source


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedItem:
    """One input that could not be indexed."""

    input: int  # its position in the source, from 0
    key: str
    path: str  # as in Row
    reason: str  # one line


ROW_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("key", pa.string()),
        ("caption", pa.string()),
        ("url", pa.string()),
        ("image_path", pa.string()),
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("duration", pa.float64()),
        ("n_points", pa.int64()),
        ("sha256", pa.string()),
        ("thumbnail_offset", pa.int64()),
        ("thumbnail_size", pa.int32()),
        ("extra", pa.string()),
    ]
)
NOT_OF_PICTURES = frozenset({"path", "duration", "n_points"})  # their tables are clip-retrieval's
NOT_OF_OTHERS = frozenset({"image_path"})
SKIPPED_SCHEMA = pa.schema(
    [
        ("input", pa.int64()),
        ("key", pa.string()),
        ("path", pa.string()),
        ("reason", pa.string()),
    ]
)


def write_shard(
    folder: Path,
    modality: str,
    number: int,
    embeddings: Vectors,
    rows: Sequence[Row],
    *,
    thumbnails: Mapping[int, bytes] | None = None,
    skipped: Sequence[SkippedItem] = (),
) -> ShardEntry:
    """Write the files of one shard, each complete or absent; the same input gives the same bytes.

    Args:
        folder: The index folder.
        modality: Of the items.
        number: Of the shard, from 0.
        embeddings: Unit rows, ``(n, dim)``; stored as float16.
        rows: One a vector, with consecutive ids; where a thumbnail lies is filled in here.
        thumbnails: WebP by item id, or None for an index without.
        skipped: The inputs of this shard that are not in ``rows``.

    Returns:
        The entry that makes the shard count once a saved manifest lists it.

    Raises:
        ValueError: Vectors that are not unit rows, or rows that do not fit them.
        IndexFolderError: The disk is full, or the folder cannot be written.
    """
    _check_rows(embeddings, rows)
    paths = [embeddings_path(modality, number), metadata_path(number)]
    with atomic_path(folder / paths[0]) as path:
        _write_npy(path, embeddings.astype(np.float16))
    if thumbnails is not None:
        paths.append(thumbnails_path(number))
        with atomic_path(folder / paths[2]) as path:
            offsets = write_thumbnails(path, thumbnails)
        rows = [
            replace(row, thumbnail_offset=offsets[row.id], thumbnail_size=len(thumbnails[row.id]))
            if row.id in offsets
            else row
            for row in rows
        ]
    with atomic_path(folder / paths[1]) as path:
        note = json.dumps([asdict(item) for item in skipped], ensure_ascii=False)
        schema = row_schema(modality).with_metadata({SKIPPED_KEY: note.encode()})
        pq.write_table(_table(rows, schema), path)
    return ShardEntry(
        embeddings=paths[0],
        metadata=paths[1],
        rows=len(rows),
        inputs=len(rows) + len(skipped),
        sha256=tuple(sha256_file(folder / path) for path in paths),
        thumbnails=None if thumbnails is None else paths[2],
    )


def row_schema(modality: str) -> pa.Schema:
    """The columns of a shard's table; those of pictures are what clip-retrieval's users have."""
    left_out = NOT_OF_PICTURES if modality == Modality.IMAGE else NOT_OF_OTHERS
    return pa.schema([column for column in ROW_SCHEMA if column.name not in left_out])


def read_skipped(folder: Path, entry: ShardEntry) -> list[SkippedItem]:
    """The inputs that a shard accounts for without indexing them."""
    with reading(folder / entry.metadata) as path:
        notes = pq.read_schema(path).metadata or {}
        return [SkippedItem(**item) for item in json.loads(notes.get(SKIPPED_KEY, b"[]"))]


def write_errors(folder: Path, shards: Sequence[ShardEntry]) -> Counter[str]:
    """Gather the skipped items of all shards into ``errors.parquet``.

    Returns:
        How often each reason occurs.

    Raises:
        IndexFolderError: A shard cannot be read, or the table cannot be written.
    """
    reasons: Counter[str] = Counter()
    with (
        atomic_path(folder / ERRORS) as path,
        pq.ParquetWriter(path, SKIPPED_SCHEMA) as writer,
    ):
        for entry in shards:
            if skipped := read_skipped(folder, entry):
                reasons.update(item.reason for item in skipped)
                writer.write_table(_table(skipped, SKIPPED_SCHEMA))
    return reasons


def iter_rows(folder: Path, shards: Sequence[ShardEntry]) -> Iterator[list[Row]]:
    """The rows of every shard, a list a shard.

    Raises:
        IndexFolderError: A metadata file is missing or damaged.
    """
    for entry in shards:
        with reading(folder / entry.metadata) as path:
            known = [name for name in pq.read_schema(path).names if name in ROW_SCHEMA.names]
            table = pq.read_table(path, columns=known)
            rows = [Row(**row) for row in table.to_pylist()]
        yield rows


def shard_problems(folder: Path, entry: ShardEntry, *, first_id: int, dim: int) -> Iterator[str]:
    """What is wrong with the files of a shard, a line each; nothing when it is as it was written.

    Args:
        folder: The index folder.
        entry: The shard, as the manifest lists it.
        first_id: The rows of all shards before it.
        dim: Floats a vector.
    """
    intact = True
    for name, expected in zip(entry.files, entry.sha256, strict=True):
        try:
            actual = sha256_file(folder / name)
        except OSError as error:
            yield f"{name}: {error.strerror}"
            intact = False
            continue
        if actual != expected:
            yield f"{name}: its sha256 is {actual[:12]}…, the manifest says {expected[:12]}…"
            intact = False
    if not intact:
        return
    try:
        vectors = open_npy(folder / entry.embeddings, (entry.rows, dim))
        if not np.isfinite(vectors).all():
            yield f"{entry.embeddings}: it holds values that are not finite"
        rows = next(iter_rows(folder, [entry]))
    except IndexFolderError as error:
        yield str(error)
        return
    if [row.id for row in rows] != list(range(first_id, first_id + entry.rows)):
        yield (
            f"{entry.metadata}: its ids are not {first_id} to {first_id + entry.rows - 1} in order"
        )


def open_npy(path: Path, shape: tuple[int, int]) -> Halves:
    """Map the vectors of one shard into memory without reading them.

    Raises:
        IndexFolderError: The file is missing, is not a plain .npy, or holds something else.
    """
    with reading(path):
        array: Halves = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.dtype != np.float16 or array.shape != shape:
        raise IndexFolderError(
            f"{path} holds {array.dtype} {array.shape}, the manifest says float16 {shape}; "
            "copy the index folder again or rebuild it with --restart"
        )
    return array


@contextmanager
def reading(path: Path) -> Iterator[Path]:
    """Turn a failure to read a file of the index, in the block, into one line that names it."""
    try:
        yield path
    except FileNotFoundError:
        raise IndexFolderError(
            f"{path} is missing; copy the index folder again or rebuild it with --restart"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, EOFError, pa.ArrowException) as error:
        raise IndexFolderError(
            f"{path} cannot be read ({error}); copy the index folder again or rebuild it with "
            "--restart"
        ) from error


def _check_rows(embeddings: Vectors, rows: Sequence[Row]) -> None:
    """Refuse what would misalign or poison the index."""
    if embeddings.ndim != 2 or len(embeddings) != len(rows):
        raise ValueError(f"{len(rows)} rows of metadata for embeddings {embeddings.shape}")
    if [row.id for row in rows] != [rows[0].id + i for i in range(len(rows))]:
        raise ValueError("the ids of a shard's rows are not consecutive")
    lengths = np.linalg.norm(embeddings, axis=1)
    if not (np.abs(lengths - 1) <= NORM_TOLERANCE).all():
        worst = lengths[np.argmax(np.abs(lengths - 1))]
        raise ValueError(f"embeddings are unit rows, one has length {worst}")


def _write_npy(path: Path, array: Halves) -> None:
    """Write a .npy through Python's file, which names a full disk; numpy's own writing does not."""
    with path.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.tobytes())


def _table(items: Sequence[Row] | Sequence[SkippedItem], schema: pa.Schema) -> pa.Table:
    """Dataclasses as an arrow table."""
    columns = {name: [getattr(item, name) for item in items] for name in schema.names}
    return pa.table(columns, schema=schema)
