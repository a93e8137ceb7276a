"""Filters: which items a search may return, said by what the catalog knows of them.

Written in JSON, ``{"width": {"gt": 512}, "caption": {"contains": "train"}}``: all conditions are to
hold, and an item of which a column is not known meets none on it. A filter is checked when it is
read, and becomes an expression of SQLAlchemy, never a piece of text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from ..errors import UsageError

MOST_VALUES = 10_000  # in a filter; SQLite takes 32,766 parameters a statement, PostgreSQL 65,535
LONGEST_TEXT = 10_000  # characters of a value; SQLite refuses patterns of more than 50,000 bytes
LARGEST_NUMBER = 2**63 - 1  # of either sign, as the database holds them

Value = str | int | float


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    NUMBER = "number"


COLUMNS: Mapping[str, Kind] = MappingProxyType(
    {
        "id": Kind.NUMBER,
        "key": Kind.TEXT,
        "caption": Kind.TEXT,
        "url": Kind.TEXT,
        "image_path": Kind.TEXT,
        "path": Kind.TEXT,
        "width": Kind.NUMBER,
        "height": Kind.NUMBER,
        "duration": Kind.NUMBER,
        "n_points": Kind.NUMBER,
        "sha256": Kind.TEXT,
    }
)


class Operation(StrEnum):
    """How a column is compared."""

    EQ = "eq"
    IN = "in"
    GT = "gt"  # of numbers
    LT = "lt"  # of numbers
    CONTAINS = "contains"  # of texts; capitals and small letters of any script are the same


ONLY_OF = MappingProxyType(
    {Operation.GT: Kind.NUMBER, Operation.LT: Kind.NUMBER, Operation.CONTAINS: Kind.TEXT}
)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What one column has to be."""

    column: str  # of COLUMNS
    operation: Operation
    values: tuple[Value, ...]  # one; of IN any number, ascending

    def clause(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """The condition on a column of a table."""
        value = sa.literal(self.values[0], self._sql_type)
        match self.operation:
            case Operation.EQ:
                return column == value
            case Operation.IN:
                values = sa.bindparam(None, list(self.values), self._sql_type, expanding=True)
                return column.in_(values)
            case Operation.GT:
                return column > value
            case Operation.LT:
                return column < value
            case Operation.CONTAINS:
                return column.icontains(str(self.values[0]), autoescape=True)

    @property
    def _sql_type(self) -> sa.Text | sa.Double[float] | sa.BigInteger:
        """Of the values; wider than the column where a value is, so that none is cut to fit."""
        if COLUMNS[self.column] is Kind.TEXT:
            return sa.Text()
        if any(isinstance(value, float) for value in self.values):
            return sa.Double()
        return sa.BigInteger()


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Conditions that are all to hold; equal filters are equal keys of a dictionary."""

    conditions: tuple[Condition, ...]  # by column and operation, each pair once

    @classmethod
    def parse(cls, mapping: object) -> "Filter":
        """Read a filter from the shape that JSON has.

        Args:
            mapping: Columns with what they have to be: ``{"eq": 512}``, or several operations; a
                bare value is short for ``eq``. Without any, every item passes.

        Raises:
            UsageError: There is no such column or operation, or it does not go with the column; a
                value is of another kind, not finite, or too long; or there are none or too many.
        """
        if not isinstance(mapping, Mapping):
            raise UsageError(
                f"the filter is {_a(mapping)}; give columns with conditions, like "
                '{"width": {"gt": 512}}'
            )
        conditions = [
            _condition(column, operation, value)
            for column, wanted in mapping.items()
            for operation, value in _operations(column, wanted)
        ]
        if (n := sum(len(condition.values) for condition in conditions)) > MOST_VALUES:
            raise UsageError(f"the filter has {n:,} values; give at most {MOST_VALUES:,}")
        conditions.sort(key=lambda condition: (condition.column, condition.operation))
        return cls(conditions=tuple(conditions))

    def to_dict(self) -> dict[str, dict[str, Value | list[Value]]]:
        """In the shape that :meth:`parse` reads."""
        found: dict[str, dict[str, Value | list[Value]]] = {}
        for each in self.conditions:
            wanted = list(each.values) if each.operation is Operation.IN else each.values[0]
            found.setdefault(each.column, {})[str(each.operation)] = wanted
        return found


def _operations(column: object, wanted: object) -> list[tuple[object, object]]:
    """What is asked of a column: pairs of operation and value."""
    if column not in COLUMNS:
        raise UsageError(f"no column is called {column!r}; there are {', '.join(COLUMNS)}")
    if not isinstance(wanted, Mapping):
        return [(Operation.EQ, wanted)]
    if not wanted:
        raise UsageError(f"the filter says nothing of {column}; give one of {', '.join(Operation)}")
    return list(wanted.items())


def _condition(column: str, name: object, value: object) -> Condition:
    """One condition, checked."""
    if name not in Operation.__members__.values():
        raise UsageError(f"no operation is called {name!r}; there are {', '.join(Operation)}")
    operation, kind = Operation(str(name)), COLUMNS[column]
    if ONLY_OF.get(operation, kind) is not kind:
        fitting = ", ".join(o for o in Operation if ONLY_OF.get(o, kind) is kind)
        raise UsageError(f"{column} is a {kind}, which {operation} does not go with; use {fitting}")
    if operation is not Operation.IN:
        values = [_value(column, kind, value)]
        if operation is Operation.CONTAINS and not value:
            raise UsageError(f"an empty text is in every {column}; give some of its letters")
    elif not isinstance(value, Sequence) or isinstance(value, str):
        raise UsageError(f"{column} is to be in {_a(value)}; give a list of {kind}s")
    elif not value:
        raise UsageError(f"the list of {column} is empty, so nothing could match; leave it out")
    elif len(value) > MOST_VALUES:
        raise UsageError(
            f"the list of {column} has {len(value):,} values; give at most {MOST_VALUES:,}"
        )
    else:
        values = sorted({_value(column, kind, each) for each in value})
    return Condition(column=column, operation=operation, values=tuple(values))


def _value(column: str, kind: Kind, value: object) -> Value:
    """One value, checked against what its column holds."""
    if kind is Kind.TEXT and isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise UsageError(
                f"a text of {len(value):,} characters is compared with {column}; give at most "
                f"{LONGEST_TEXT:,}"
            )
        if "\0" in value or not _is_unicode(value):
            raise UsageError(f"{value[:20]!r} is no text that {column} could hold; give another")
        return value
    if kind is Kind.NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= LARGEST_NUMBER:
            raise UsageError(f"{column} is compared with a number that is not within ±2^63")
        return value
    raise UsageError(f"{column} is a {kind}, and is compared with {_a(value)}; give a {kind}")


def _is_unicode(text: str) -> bool:
    """Whether a text can be stored: JSON may hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _a(value: object) -> str:
    """What something is, in the words of JSON."""
    if value is None:
        return "nothing"
    names = {bool: "a truth value", int: "a number", float: "a number", str: "a text"}
    names |= {list: "a list", tuple: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")
