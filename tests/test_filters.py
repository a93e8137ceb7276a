"""anybind.index.filters: which items a search may return, from JSON to SQL to ids."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from anybind.errors import UsageError
from anybind.index.catalog import Catalog, fill_catalog
from anybind.index.filters import COLUMNS, Filter, Operation
from anybind.index.shards import Row

from .folders import rows_of

CAPTIONS = [
    "a red TRAIN on snow",
    "100% cotton",
    "100 cottons",
    "under_score",
    "underscore",
    "Übergröße ÉTÉ",
    "ПОЕЗД в снегу",
    "O'Brien\"; DROP TABLE items; --",
    "a/b\\c",
    None,
]


def rows() -> list[Row]:
    """Captions in turn; the width of every tenth item is not known, heights repeat."""
    return [
        replace(
            row,
            caption=CAPTIONS[row.id % 10],
            width=None if row.id % 10 == 3 else row.id,
            height=row.id % 7,
            duration=row.id / 8 if row.id % 2 else None,
            url=f"https://example.org/{row.id}",
        )
        for row in rows_of(range(200))
    ]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """200 rows."""
    path = tmp_path_factory.mktemp("catalog") / "c.sqlite"
    fill_catalog(path, [rows()])
    return Catalog(path)


def holds(row: Row, column: str, operation: str, value: object) -> bool:
    """The meaning of a condition, in plain Python."""
    own = getattr(row, column)
    if own is None:
        return False
    tests: dict[str, Callable[[], bool]] = {
        "eq": lambda: own == value,
        "in": lambda: own in value,  # type: ignore[operator]
        "gt": lambda: own > value,
        "lt": lambda: own < value,
        "contains": lambda: str(value).lower() in own.lower(),
    }
    return bool(tests[operation]())


@pytest.mark.parametrize(
    "asked",
    [
        {"width": {"gt": 100}},
        {"width": {"gt": 99.5, "lt": 120}, "height": {"in": [1, 2, 900]}},
        {"id": {"in": list(range(190, 400))}},
        {"duration": {"eq": 0.625}},
        {"duration": {"lt": 2**63 - 1}},
        {"width": {"eq": 2**62}},
        {"id": {"eq": 7.0}},
        {"height": {"eq": 2.5}},
        {"key": {"eq": "000011"}},
        {"url": {"in": ["https://example.org/5", "https://example.org/6", "none"]}},
        {"path": {"contains": "jpg"}},
        {"caption": {"contains": "train"}, "id": {"gt": 50}},
        {"caption": {"contains": "0%"}},
        {"caption": {"contains": "r_s"}},
        {"caption": {"contains": "/b\\"}},
        {"caption": {"contains": "ÜBERGRÖSSE"}},
        {"caption": {"contains": "übergröße été"}},
        {"caption": {"contains": "поезд"}},
        {"caption": {"contains": "o'brien\"; drop table"}},
        {"caption": {"eq": "A RED TRAIN ON SNOW"}},
        {"caption": {"eq": ""}},
        {"sha256": {"eq": f"{9:064x}"}},
    ],
    ids=str,
)
def test_a_filter_means_what_plain_python_says(
    catalog: Catalog, asked: dict[str, dict[str, object]]
) -> None:
    """Every row is asked; what is not known (None) meets no condition."""
    expected = [
        row.id
        for row in rows()
        if all(
            holds(row, column, operation, value)
            for column, conditions in asked.items()
            for operation, value in conditions.items()
        )
    ]
    found = catalog.matching(Filter.parse(asked))
    assert found.tolist() == expected and found.dtype == np.int64


def test_a_bare_value_is_short_for_eq() -> None:
    """Written both ways, in either order, they are one key of a dictionary."""
    one = Filter.parse({"width": 512, "caption": "a dog"})
    assert one == Filter.parse({"caption": {"eq": "a dog"}, "width": {"eq": 512}})
    assert hash(one) == hash(Filter.parse({"caption": "a dog", "width": 512}))
    assert Filter.parse({"id": {"in": [3, 1, 3]}}) == Filter.parse({"id": {"in": (1, 3)}})


def test_no_condition_passes_every_item(catalog: Catalog) -> None:
    np.testing.assert_array_equal(catalog.matching(Filter.parse({})), np.arange(200))


def test_as_many_values_as_are_taken_reach_the_database(catalog: Catalog) -> None:
    """10,000, of which 200 are ids."""
    found = catalog.matching(Filter.parse({"id": {"in": list(range(10_000))}}))
    np.testing.assert_array_equal(found, np.arange(200))


def test_every_operation_is_sql_of_postgresql_too() -> None:
    """Its dialect writes the statement, with parameters for all values."""
    column = {name: sa.column(name, sa.Text()) for name in COLUMNS}
    asked = {
        "width": {"gt": 1, "lt": 2.5},
        "id": {"in": [1, 2]},
        "caption": {"contains": "a'b", "eq": "c'd"},
    }
    clauses = [c.clause(column[c.column]) for c in Filter.parse(asked).conditions]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    sql = str(sa.select(sa.literal(1)).where(*clauses).compile(dialect=dialect))
    for part in ("width >", "width <", "id IN", "caption ILIKE '%%' ||", "caption ="):
        assert part in sql
    assert "a'b" not in sql and "c'd" not in sql


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("width>5", "the filter is a text; give columns with conditions"),
        (None, "the filter is nothing"),
        ({"colour": "red"}, "no column is called 'colour'; there are id, key, caption"),
        ({"extra": "red"}, "no column is called 'extra'"),
        ({"width": {"ge": 5}}, "no operation is called 'ge'; there are eq, in, gt, lt, contains"),
        ({"width": {}}, "says nothing of width; give one of eq"),
        ({"width": {"contains": 5}}, "width is a number, .*use eq, in, gt, lt"),
        ({"caption": {"gt": "a"}}, "caption is a text, .*use eq, in, contains"),
        ({"width": "5"}, "width is a number, and is compared with a text; give a number"),
        ({"width": True}, "compared with a truth value"),
        ({"width": None}, "compared with nothing"),
        ({"caption": 5}, "caption is a text, and is compared with a number; give a text"),
        ({"caption": ["a"]}, "compared with a list"),
        ({"width": {"in": 5}}, "width is to be in a number; give a list of numbers"),
        ({"caption": {"in": "abc"}}, "caption is to be in a text; give a list of texts"),
        ({"width": {"in": []}}, "the list of width is empty"),
        ({"width": {"in": [[1]]}}, "compared with a list"),
        ({"id": {"in": list(range(10_001))}}, "has 10,001 values; give at most 10,000"),
        (
            {"id": {"in": list(range(6000))}, "width": {"in": list(range(6000))}},
            "the filter has 12,000 values; give at most 10,000",
        ),
        ({"width": float("nan")}, "not within ±2"),
        ({"width": {"lt": float("inf")}}, "not within ±2"),
        ({"width": 10**5000}, "not within ±2"),
        ({"caption": {"contains": ""}}, "an empty text is in every caption"),
        ({"caption": {"contains": "a" * 10_001}}, "10,001 characters"),
        ({"caption": "a\0b"}, "is no text that caption could hold"),
        ({"caption": "\ud800"}, "is no text that caption could hold"),
    ],
)
def test_a_wrong_filter_says_what_there_is(asked: object, message: str) -> None:
    """One line each."""
    with pytest.raises(UsageError, match=message) as caught:
        Filter.parse(asked)
    assert "\n" not in str(caught.value)


def test_the_operations_are_those_of_the_contract() -> None:
    """The page on HTTP names them."""
    assert list(Operation) == ["eq", "in", "gt", "lt", "contains"]


def test_a_column_of_later_versions_is_met_by_no_item(tmp_path: Path) -> None:
    """A catalog of an earlier anybind had no durations, points and paths of other media."""
    path = tmp_path / "c.sqlite"
    fill_catalog(path, [rows()])
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE items DROP COLUMN duration")
    engine.dispose()
    found = Catalog(path).matching(Filter.parse({"duration": {"gt": 0}, "width": {"gt": 0}}))
    assert found.tolist() == []
