"""The catalog: what is known of each item, looked up by id in a SQL database.

Built from the shards' metadata, so it can always be built again. It is a SQLite file in the index
folder, read without locks or temporary files, so that a read-only folder works; any other database
that SQLAlchemy knows serves as well when it is named by its URL.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..errors import IndexFolderError
from .shards import Row

IDS_PER_QUERY = 10_000  # SQLite takes 32,766 parameters, PostgreSQL 65,535

_schema = sa.MetaData()
_items = sa.Table(
    "items",
    _schema,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False, index=True),
    sa.Column("caption", sa.Text),
    sa.Column("url", sa.Text),
    sa.Column("image_path", sa.Text),
    sa.Column("path", sa.Text),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("duration", sa.Double),
    sa.Column("n_points", sa.BigInteger),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("thumbnail_offset", sa.BigInteger),
    sa.Column("thumbnail_size", sa.Integer),
    sa.Column("extra", sa.Text),
)


class Catalog:
    """Rows by id. Safe to read from many threads."""

    def __init__(self, where: Path | str) -> None:
        """Open a catalog for reading.

        Args:
            where: A SQLite file, or the URL of a database that :func:`fill_catalog` filled.

        Raises:
            IndexFolderError: The file is missing.
        """
        self._where = where
        if isinstance(where, Path):
            if not where.is_file():
                raise IndexFolderError(
                    f"{where} is missing; copy the index folder again or rebuild it with --restart"
                )
            uri = f"{where.absolute().as_uri()}?immutable=1"
            self._engine = sa.create_engine(
                "sqlite://",
                creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False),
                poolclass=sa.QueuePool,
                max_overflow=-1,  # a connection for each thread that asks at the same moment
            )
        else:
            self._engine = sa.create_engine(where, poolclass=sa.QueuePool, max_overflow=-1)

    def __len__(self) -> int:
        return self._scalar(sa.select(sa.func.count()).select_from(_items))

    @property
    def end(self) -> int:
        """One more than the largest id: the length, at the cost of one look-up."""
        return self._scalar(sa.select(sa.func.coalesce(sa.func.max(_items.c.id), -1))) + 1

    def rows(self, ids: Sequence[int]) -> list[Row]:
        """The rows of some items, in the order asked for.

        Raises:
            IndexFolderError: One has no row, or the database fails.
        """
        found: dict[int, Row] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), IDS_PER_QUERY):
            some = wanted[start : start + IDS_PER_QUERY]
            for row in self._select(sa.select(*self._columns).where(_items.c.id.in_(some))):
                found[row.id] = Row(**row._mapping)
        missing = [item for item in wanted if item not in found]
        if missing:
            raise IndexFolderError(
                f"{self._name} has no row for item {missing[0]}; "
                "copy the index folder again or rebuild it with --restart"
            )
        return [found[item] for item in ids]

    @property
    def _name(self) -> str:
        """The database, for messages; a password in its URL is masked."""
        return str(self._where if isinstance(self._where, Path) else self._engine.url)

    @cached_property
    def _columns(self) -> list[sa.Column[Any]]:
        """The columns that are there: an earlier anybind knew fewer."""
        with self._reading():
            there = {column["name"] for column in sa.inspect(self._engine).get_columns("items")}
        return [column for column in _items.columns if column.name in there]

    def _scalar(self, statement: sa.Select[Any]) -> int:
        return int(self._select(statement)[0][0])

    def _select(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._reading(), self._engine.connect() as connection:
            return connection.execute(statement).all()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn a failure of the database, in the block, into one line that names it."""
        try:
            yield
        except (SQLAlchemyError, UnicodeError) as error:
            reason = getattr(error, "orig", None) or error
            raise IndexFolderError(
                f"{self._name} cannot be read ({reason}); "
                "copy the index folder again or rebuild it with --restart"
            ) from error


def fill_catalog(where: Path | str, batches: Iterable[Sequence[Row]]) -> int:
    """Write a catalog from rows, replacing what was in it, in one transaction.

    Args:
        where: A SQLite file, or the URL of a database.
        batches: Rows, some at a time.

    Returns:
        How many rows were written.
    """
    url = sa.URL.create("sqlite", database=str(where)) if isinstance(where, Path) else where
    engine = sa.create_engine(url)
    n_rows = 0
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":  # no journal file: the caller renames or discards
                connection.exec_driver_sql("PRAGMA journal_mode = MEMORY")
                connection.exec_driver_sql("PRAGMA synchronous = OFF")
                connection.commit()
            with connection.begin():
                _schema.drop_all(connection)
                _schema.create_all(connection)
                for rows in batches:
                    if rows:
                        connection.execute(sa.insert(_items), [asdict(row) for row in rows])
                        n_rows += len(rows)
    finally:
        engine.dispose()
    return n_rows
