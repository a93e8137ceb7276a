"""The curl lines of the README and of docs/server.md work as they stand."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import ROOT
from .programs import program
from .serving import Running, serving, write_language_model

PAGES = (ROOT / "README.md", ROOT / "docs" / "server.md")
ADDRESS = "localhost:8000"


def lines() -> list[str]:
    text = "\n".join(page.read_text() for page in PAGES)
    return sorted(set(re.findall(r"^curl .*$", text, re.MULTILINE)))


@pytest.fixture(scope="module")
def server(world_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = write_language_model(tmp_path_factory.mktemp("language"), dim=256)
    with serving({"world": world_index}, options=model) as running:
        yield running


@pytest.fixture(scope="module")
def folder(world_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files that the lines name lie."""
    import soundfile

    found = tmp_path_factory.mktemp("files")
    first, second = sorted(world_pictures.glob("*.png"))[:2]
    Image.open(first).save(found / "beach.jpg")
    Image.open(second).save(found / "blue_car.jpg")
    soundfile.write(found / "dog.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    return found


@pytest.fixture(scope="module")
def curl() -> str:
    return program("curl")


@pytest.mark.parametrize("line", lines())
def test_a_line_gives_what_it_promises(line: str, server: Running, folder: Path, curl: str) -> None:
    """Searches find k items, answers end, vectors have the encoder's size, pictures are WebP."""
    words = shlex.split(line.replace(ADDRESS, server.url.removeprefix("http://")))
    done = subprocess.run([curl, *words[1:]], cwd=folder, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if "/image" in line:
        assert Image.open(folder / "seven.webp").format == "WEBP"
    elif "stream=true" in line:
        assert b"event: begin" in done.stdout and b"event: end" in done.stdout
    else:
        answer = json.loads(done.stdout)
        if "/v1/embed" in line:
            assert len(answer["mixture"]["vector"]) == answer["dim"] == 256
        else:
            assert len(answer["results"]) == (3 if '"k": 3' in line or "k=3" in line else 10)


def test_there_are_lines() -> None:
    assert len(lines()) >= 5
