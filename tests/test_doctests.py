"""Every example in a docstring runs."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import anybind

PARTS = (
    "anybind.commands",
    "anybind.encoders",
    "anybind.index",
    "anybind.llm",
    "anybind.server",
    "anybind.world",
)


def modules() -> list[str]:
    """Every module of the package, by its installed name."""
    top = Path(str(anybind.__file__)).parent.glob("[a-z]*.py")
    names = ["anybind", *sorted(f"anybind.{path.stem}" for path in top), *PARTS]
    for part in PARTS:
        package = importlib.import_module(part)
        names += [found.name for found in pkgutil.walk_packages(package.__path__, part + ".")]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
