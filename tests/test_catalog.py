"""anybind.index.catalog: rows by id from a SQL database."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anybind.errors import IndexFolderError
from anybind.index.catalog import Catalog, fill_catalog

from .folders import rows_of

ROWS = rows_of(range(500))
ROWS[7] = replace(ROWS[7], caption=None, url="https://example.org/ü?a=1", extra='{"a": "\'"}')


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """500 rows in a folder whose name needs quoting in a URI."""
    folder = tmp_path / "a b%20?#ü"
    folder.mkdir()
    assert fill_catalog(folder / "catalog.sqlite", [ROWS[:200], [], ROWS[200:]]) == 500
    return Catalog(folder / "catalog.sqlite")


def test_rows_come_in_the_order_asked_for(catalog: Catalog) -> None:
    """What was written, repeated ids included."""
    ids = [499, 7, 0, 7]
    assert catalog.rows(ids) == [ROWS[i] for i in ids]
    assert catalog.rows([]) == []
    assert len(catalog) == catalog.end == 500


def test_more_ids_than_a_statement_takes(tmp_path: Path) -> None:
    """SQLite refuses more than 32,766 parameters."""
    rows = rows_of(range(35_000))
    fill_catalog(tmp_path / "c.sqlite", [rows])
    ids = np.random.default_rng(0).permutation(35_000).tolist()
    assert [row.id for row in Catalog(tmp_path / "c.sqlite").rows(ids)] == ids


def test_32_threads_get_what_one_gets(catalog: Catalog) -> None:
    """Serial answers are the reference."""
    wanted = [np.random.default_rng(i).integers(0, 500, 20).tolist() for i in range(200)]
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(catalog.rows, wanted)) == [catalog.rows(ids) for ids in wanted]


def test_rows_are_read_once_and_only_so_many_kept(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is counted; with room for 4, those that came first make way."""
    monkeypatch.setattr("anybind.index.catalog.ROWS_KEPT", 4)
    statements: list[object] = []
    select = Catalog._select

    def counted(self: Catalog, *arguments: object) -> object:
        statements.append(arguments)
        return select(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Catalog, "_select", counted)
    for ids, n in (([1, 2], 1), ([2, 1, 1], 1), ([2, 3], 2), ([4, 5], 3), ([1], 4), ([3, 5], 4)):
        assert catalog.rows(ids) == [ROWS[i] for i in ids]
        assert len(statements) == n
    assert catalog.rows([*range(20)]) == ROWS[:20]


def test_reading_writes_nothing_and_needs_no_write_permission(
    tmp_path: Path, catalog: Catalog
) -> None:
    """The folder and the file are read-only, as on a mounted medium."""
    (file,) = tmp_path.glob("*/catalog.sqlite")
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        before = file.read_bytes()
        assert catalog.rows([3]) == [ROWS[3]]
        assert file.read_bytes() == before and len(list(file.parent.iterdir())) == 1
    finally:
        file.parent.chmod(0o755)


def test_key_and_sha256_are_indexed(tmp_path: Path) -> None:
    """SQLite's own plan for a look-up by each names an index."""
    fill_catalog(tmp_path / "c.sqlite", [ROWS])
    with sqlite3.connect(tmp_path / "c.sqlite") as connection:
        for column in ("key", "sha256"):
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN SELECT id FROM items WHERE {column} = 'x'"
            ).fetchall()
            assert "USING" in plan[0][3] and "INDEX" in plan[0][3]


def test_any_database_url_serves_and_filling_replaces(tmp_path: Path) -> None:
    """Filled twice through a URL, it holds the second rows."""
    url = f"sqlite:///{tmp_path / 'other.db'}"
    fill_catalog(url, [ROWS])
    fill_catalog(url, [ROWS[:3]])
    catalog = Catalog(url)
    assert catalog.rows([2, 1]) == [ROWS[2], ROWS[1]]
    assert len(catalog) == 3


def test_a_missing_row_and_a_damaged_file_are_one_line(tmp_path: Path, catalog: Catalog) -> None:
    """Never a row of another item, never a traceback of the database."""
    with pytest.raises(IndexFolderError, match="has no row for item 500"):
        catalog.rows([1, 500])
    damaged = tmp_path / "c.sqlite"
    with pytest.raises(IndexFolderError, match="is missing"):
        Catalog(damaged)
    damaged.write_bytes(b"not a database, but long enough to have a header" * 10)
    with pytest.raises(IndexFolderError, match="file is not a database") as caught:
        Catalog(damaged).rows([1])
    assert "\n" not in str(caught.value)


def test_a_catalog_of_an_earlier_anybind_is_read(tmp_path: Path) -> None:
    """It had no columns for other media than pictures, and required a picture's."""
    path = tmp_path / "c.sqlite"
    fill_catalog(path, [ROWS])
    with sqlite3.connect(path) as connection:
        for column in ("path", "duration", "n_points"):
            connection.execute(f"ALTER TABLE items DROP COLUMN {column}")
    assert Catalog(path).rows([7, 0]) == [ROWS[7], ROWS[0]]
