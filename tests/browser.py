"""Debian's Chromium for tests, where it is installed."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def chromium(*arguments: str) -> "Iterator[Browser]":
    """A browser until the end of the block; without one the test is skipped, or fails where
    ``ANYBIND_CI`` is 1.

    Args:
        arguments: More of the command line.
    """
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    missing = None
    if importlib.util.find_spec("playwright") is None:
        missing = "needs playwright (pip install playwright)"
    if executable is None:
        missing = "needs chromium (apt-get install chromium)"
    if missing is not None:
        (pytest.fail if os.environ.get("ANYBIND_CI") == "1" else pytest.skip)(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", *arguments]
        )
        yield opened
        opened.close()
