"""Fixtures every test may use."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """Files the tests bring along."""
    return DATA


@pytest.fixture(scope="session")
def shared() -> Path:
    """Media that may not be copied into the repository; they lie beside the checkout, or nowhere."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared (sample media that may not be redistributed)")
    return folder
