"""Configurations as plain data: frozen dataclasses from nested tables, as JSON holds them.

Strict: a key that is missing or unknown, or a value of another type, is an error that names it.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TypeVar, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")


def check_positive(config: object, *names: str) -> None:
    """Refuse fields that are zero or negative.

    Raises:
        ValueError: One is; the message names class and field.
    """
    for name in names:
        value = getattr(config, name)
        if value <= 0:
            raise ValueError(f"{type(config).__name__}.{name} is {value}; it must be positive")


def read_table(kind: type[Kind], data: object, where: str) -> Kind:
    """A dataclass from nested mappings, which may hold whole numbers, numbers, texts, truths, lists
    of whole numbers, and tables of other dataclasses.

    Args:
        kind: The dataclass.
        data: What ``dataclasses.asdict`` gave, also after JSON.
        where: Names it in an error.

    Raises:
        ValueError: A key is missing or unknown, or a value is not of its field's type.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} is {data!r}; a table is meant")
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    missing = [name for name in names if name not in data]
    unknown = [str(name) for name in data if name not in names]
    if missing or unknown:
        raise ValueError(
            f"{where} lacks {', '.join(missing) or 'nothing'} and has unknown "
            f"{', '.join(unknown) or 'nothing'}; its keys are {', '.join(names)}"
        )
    return kind(**{name: _value(hints[name], data[name], f"{where}.{name}") for name in names})


def _value(hint: object, value: object, where: str) -> object:
    """A field's value from JSON: nested tables become dataclasses, lists become tuples."""
    if get_origin(hint) is types.UnionType:
        if value is None:
            return None
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if isinstance(hint, type) and is_dataclass(hint):
        return read_table(hint, value, where)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or any(type(part) is not int for part in value):
            raise ValueError(f"{where} is {value!r}; a list of whole numbers is meant")
        if (parts := get_args(hint))[-1] is not Ellipsis and len(value) != len(parts):
            raise ValueError(f"{where} is {value!r}; {len(parts)} numbers are meant")
        return tuple(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{where} is {value!r}; its type is {getattr(hint, '__name__', hint)}")
    return value
