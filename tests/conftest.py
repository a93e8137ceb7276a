"""Fixtures every test may use."""

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
N_PICTURES = 24


@pytest.fixture(scope="session")
def data() -> Path:
    """Files the tests bring along."""
    return DATA


@pytest.fixture(scope="session")
def shared() -> Path:
    """Media that may not be copied into the repository; they lie beside it, or nowhere."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared (sample media that may not be redistributed)")
    return folder


@pytest.fixture(scope="session")
def world_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of test scenes, with the captions beside them."""
    from PIL import Image

    from anybind.world.captions import caption
    from anybind.world.render import render
    from anybind.world.scene import scene
    from anybind.world.splits import split_ids

    folder = tmp_path_factory.mktemp("pictures")
    for number in split_ids("test", N_PICTURES):
        Image.fromarray(render(scene(number), 96).image).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(caption(scene(number)))
    return folder


@pytest.fixture(scope="session")
def world_index(world_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index over them, made by the shipped encoder."""
    import anybind

    out = tmp_path_factory.mktemp("index") / "world"
    inputs = (str(world_pictures),)
    options = anybind.BuildOptions(source="folder", inputs=inputs, out=out, workers=1)
    anybind.build_index(options, anybind.load_encoder())
    return out


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options of :func:`anybind.load` that name a tiny one for vectors of the shipped encoder."""
    from .serving import write_language_model

    return write_language_model(tmp_path_factory.mktemp("language"), dim=256)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-table",
        action="store_true",
        help="print the largest difference from the published code that the tests saw",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With ``--parity-table``: what was compared with the published code, and how close it is."""
    if not terminalreporter.config.getoption("--parity-table"):
        return
    parity = sys.modules.get("tests.parity")  # imported by the tests that compare
    largest = {} if parity is None else dict(sorted(parity.LARGEST.items()))
    terminalreporter.write_line("\n| compared with the published code | largest | tolerance |")
    terminalreporter.write_line("| --- | --- | --- |")
    for what, (difference, tolerance) in largest.items():
        terminalreporter.write_line(f"| {what} | {difference:.1e} | {tolerance:.0e} |")
