"""anybind.index.shards: vectors and metadata on disk."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from anybind.errors import IndexFolderError
from anybind.files import sha256_file
from anybind.index.manifest import ShardEntry
from anybind.index.shards import (
    SkippedItem,
    iter_rows,
    open_npy,
    read_skipped,
    shard_problems,
    write_errors,
    write_shard,
)

from .folders import DIM, rows_of, unit_rows, webp

SKIPPED = [SkippedItem(input=7, key="ü", path="a b.jpg", reason="truncated")]


def write(folder: Path, *, first_id: int = 10, n: int = 5) -> ShardEntry:
    """Shard number 2: ``n`` rows and one skipped item."""
    ids = range(first_id, first_id + n)
    return write_shard(
        folder,
        "image",
        2,
        unit_rows(n, seed=1),
        rows_of(ids),
        thumbnails={i: webp(i) for i in ids},
        skipped=SKIPPED,
    )


def test_vectors_are_float16_within_half_a_step(tmp_path: Path) -> None:
    """float16 keeps 11 bits: below 1, rounding moves a value by at most 2**-12; numpy reads it."""
    entry = write(tmp_path)
    stored = np.load(tmp_path / entry.embeddings)
    assert stored.dtype == np.float16 and stored.flags.c_contiguous
    np.testing.assert_allclose(stored.astype(np.float32), unit_rows(5, seed=1), atol=2**-12, rtol=0)


def test_any_parquet_reader_gets_the_rows(tmp_path: Path) -> None:
    """pyarrow alone, as clip-retrieval and pandas use it; the columns are the documented ones."""
    entry = write(tmp_path)
    table = pq.read_table(tmp_path / entry.metadata)
    assert table.schema.names == [
        *("id", "key", "caption", "url", "image_path", "width", "height", "sha256"),
        *("thumbnail_offset", "thumbnail_size", "extra"),
    ]
    assert table["id"].to_pylist() == [10, 11, 12, 13, 14]
    assert table["caption"].to_pylist() == [f"picture {i}" for i in range(10, 15)]
    assert table["url"].null_count == 5


def test_rows_read_back_with_the_place_of_their_thumbnail(tmp_path: Path) -> None:
    """The bytes at the noted place are the thumbnail that was handed in."""
    entry = write(tmp_path)
    assert entry.thumbnails is not None
    tar = (tmp_path / entry.thumbnails).read_bytes()
    (rows,) = iter_rows(tmp_path, [entry])
    for row, plain in zip(rows, rows_of(range(10, 15)), strict=True):
        assert (row.key, row.sha256, row.width) == (plain.key, plain.sha256, plain.width)
        assert row.thumbnail_offset is not None and row.thumbnail_size is not None
        end = row.thumbnail_offset + row.thumbnail_size
        assert tar[row.thumbnail_offset : end] == webp(row.id)


def test_a_shard_accounts_for_what_it_skipped(tmp_path: Path) -> None:
    """5 rows and 1 skipped are 6 inputs; errors.parquet gathers the skipped of all shards."""
    entry = write(tmp_path)
    assert (entry.rows, entry.inputs) == (5, 6)
    assert read_skipped(tmp_path, entry) == SKIPPED
    assert write_errors(tmp_path, [entry, entry]) == {"truncated": 2}
    assert (
        pq.read_table(tmp_path / "errors.parquet").to_pylist()
        == [{"input": 7, "key": "ü", "path": "a b.jpg", "reason": "truncated"}] * 2
    )


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """What makes a resumed build identical to an uninterrupted one."""
    assert write(tmp_path / "a").sha256 == write(tmp_path / "b").sha256


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    """A thousand corrupt inputs in a row."""
    entry = write_shard(tmp_path, "image", 0, unit_rows(0, seed=0), [], skipped=SKIPPED)
    assert open_npy(tmp_path / entry.embeddings, (0, DIM)).shape == (0, DIM)
    assert list(shard_problems(tmp_path, entry, first_id=0, dim=DIM)) == []


def test_vectors_that_would_poison_the_index_are_refused(tmp_path: Path) -> None:
    """Not unit, not finite, misaligned with their rows."""
    vectors = unit_rows(3, seed=0)
    with pytest.raises(ValueError, match="unit rows, one has length"):
        write_shard(tmp_path, "image", 0, 2 * vectors, rows_of(range(3)))
    with pytest.raises(ValueError, match="unit rows, one has length nan"):
        write_shard(tmp_path, "image", 0, np.full_like(vectors, np.nan), rows_of(range(3)))
    with pytest.raises(ValueError, match="2 rows of metadata"):
        write_shard(tmp_path, "image", 0, vectors, rows_of(range(2)))
    with pytest.raises(ValueError, match="not consecutive"):
        write_shard(tmp_path, "image", 0, vectors, rows_of(range(3))[::-1])
    assert list(tmp_path.iterdir()) == []


def test_an_intact_shard_has_no_problems_and_a_changed_one_is_named(tmp_path: Path) -> None:
    """One bit flipped in one file, then the file gone."""
    entry = write(tmp_path)
    assert list(shard_problems(tmp_path, entry, first_id=10, dim=DIM)) == []
    for name, digest in zip(entry.files, entry.sha256, strict=True):
        path = tmp_path / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        (problem,) = shard_problems(tmp_path, entry, first_id=10, dim=DIM)
        assert problem.startswith(f"{name}: its sha256 is {sha256_file(path)[:12]}")
        assert digest[:12] in problem
        path.unlink()
        assert list(shard_problems(tmp_path, entry, first_id=10, dim=DIM)) == [
            f"{name}: No such file or directory"
        ]
        path.write_bytes(content)


def test_a_shard_out_of_place_is_noticed(tmp_path: Path) -> None:
    """Its rows say which ids they have."""
    entry = write(tmp_path)
    (problem,) = shard_problems(tmp_path, entry, first_id=11, dim=DIM)
    assert problem == "metadata/metadata_0002.parquet: its ids are not 11 to 15 in order"


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    """Cut short, of another shape, of another kind."""
    entry = write(tmp_path)
    with pytest.raises(IndexFolderError, match=r"float16 \(5, 32\), the manifest says"):
        open_npy(tmp_path / entry.embeddings, (5, 64))
    path = tmp_path / entry.embeddings
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IndexFolderError, match="cannot be read"):
        open_npy(path, (5, DIM))
    np.save(path, np.array([{}], dtype=object))
    with pytest.raises(IndexFolderError, match="cannot be read"):
        open_npy(path, (5, DIM))
    (tmp_path / entry.metadata).write_bytes(b"PAR1")
    with pytest.raises(IndexFolderError, match=r"metadata_0002.parquet cannot be read"):
        list(iter_rows(tmp_path, [entry]))
