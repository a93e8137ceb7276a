"""Debian's Chromium for tests, where it is installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .programs import package, program

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def chromium(*arguments: str) -> "Iterator[Browser]":
    """A browser until the end of the block.

    Args:
        arguments: More of the command line.
    """
    package("playwright")
    executable = program("chromium", "chromium-browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", *arguments]
        )
        yield opened
        opened.close()
