"""The catalog: what is known of each item, looked up by id in a SQL database.

Built from the shards' metadata, so it can always be built again. It is a SQLite file in the index
folder, read without locks or temporary files, so that a read-only folder works; any other database
that SQLAlchemy knows serves as well when it is named by its URL.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from ..errors import IndexFolderError
from .faiss_index import Ids
from .filters import Filter
from .shards import Row

IDS_PER_QUERY = 10_000  # SQLite takes 32,766 parameters, PostgreSQL 65,535
ROWS_KEPT = 20_000  # in memory, about 1 KB each; one that is read again costs no query

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
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _teach_letters)
        self._kept: OrderedDict[int, Row] = OrderedDict()  # oldest first
        self._lock = Lock()  # of what is kept

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
        with self._lock:
            found = {item: self._kept[item] for item in ids if item in self._kept}
        wanted = [item for item in dict.fromkeys(ids) if item not in found]
        read: dict[int, Row] = {}
        for start in range(0, len(wanted), IDS_PER_QUERY):
            some = wanted[start : start + IDS_PER_QUERY]
            for values in self._select(self._rows_of, {"ids": some}):
                row = Row(**dict(zip(self._fields, values, strict=True)))
                read[row.id] = row
        missing = [item for item in wanted if item not in read]
        if missing:
            raise IndexFolderError(
                f"{self._name} has no row for item {missing[0]}; "
                "copy the index folder again or rebuild it with --restart"
            )
        if read:
            self._keep(read)
            found |= read
        return [found[item] for item in ids]

    def matching(self, filter: Filter) -> Ids:
        """The items that pass a filter, ascending.

        Conditions on a column that an earlier anybind did not write are met by none.

        Raises:
            IndexFolderError: The database fails.
        """
        columns = {column.name: column for column in self._columns}
        if any(condition.column not in columns for condition in filter.conditions):
            return np.empty(0, np.int64)
        clauses = [each.clause(columns[each.column]) for each in filter.conditions]
        with self._reading(), self._engine.connect() as connection:
            found = connection.execute(sa.select(_items.c.id).where(*clauses))
            ids: Ids = np.fromiter(found.scalars(), np.int64)
        return np.sort(ids)

    def _keep(self, rows: dict[int, Row]) -> None:
        """Keep rows in memory, in place of those that came first."""
        with self._lock:
            self._kept |= rows
            while len(self._kept) > ROWS_KEPT:
                self._kept.popitem(last=False)

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

    @cached_property
    def _fields(self) -> list[str]:
        """The fields of a row that are read, in the order of :attr:`_rows_of`."""
        return [column.name for column in self._columns]

    @cached_property
    def _rows_of(self) -> sa.Select[Any]:
        """The rows of ``ids``; making the statement costs more than reading ten rows with it."""
        return sa.select(*self._columns).where(_items.c.id.in_(sa.bindparam("ids", expanding=True)))

    def _scalar(self, statement: sa.Select[Any]) -> int:
        return int(self._select(statement)[0][0])

    def _select(
        self, statement: sa.Select[Any], values: Mapping[str, object] | None = None
    ) -> Sequence[sa.Row[Any]]:
        with self._reading(), self._engine.connect() as connection:
            return connection.execute(statement, values).all()

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


def _teach_letters(connection: sqlite3.Connection, _: object) -> None:
    """Have SQLite lower the letters of every script; by itself it knows those of ASCII."""
    connection.create_function("lower", 1, _lower, deterministic=True)


def _lower(value: str | bytes | float | None) -> str | bytes | float | None:
    """What SQL's ``lower`` gives, for anything that SQLite may hold."""
    return value.lower() if isinstance(value, str) else value


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
