"""Programs and packages that some tests need and a machine may lack."""

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip the test, or let it fail where ``ANYBIND_CI`` is 1: there nothing may be left out.

    Args:
        what: Is missing, and how to get it.
    """
    if os.environ.get("ANYBIND_CI") == "1":
        pytest.fail(what)
    pytest.skip(what)


def program(*names: str) -> str:
    """The path of the first of some names of a program that is installed.

    Without it the test is skipped, or fails where ``ANYBIND_CI`` is 1.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    return found or lacking(f"needs {names[0]} (apt-get install {names[0]})")


def package(name: str) -> None:
    """Go on only if a package can be imported; as :func:`program`."""
    if importlib.util.find_spec(name) is None:
        lacking(f"needs {name} (pip install {name})")
