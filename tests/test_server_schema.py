"""Requests made up from the OpenAPI schema, valid and not, never fail the server."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anybind.server.settings import Settings

from .serving import Running, serving, write_language_model

EXAMPLES = 12  # of requests to each operation, in each phase
SECONDS = 300


@pytest.fixture(scope="module")
def server(world_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = write_language_model(tmp_path_factory.mktemp("language"), dim=256)
    settings = Settings(decoders=1, max_tokens=8)
    with serving({"world": world_index}, settings=settings, options=model) as running:
        yield running


def test_no_made_up_request_is_a_server_error(server: Running) -> None:
    """schemathesis makes them up; a 500 is a failure, and so is a broken connection."""
    pytest.importorskip("schemathesis")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    options = ["--checks=not_a_server_error", f"--max-examples={EXAMPLES}", "--seed=1"]
    more = ["--phases=examples,coverage,fuzzing", "--no-color", "--generation-database=none"]
    done = subprocess.run(
        [*command, *options, *more], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None and int(tested.group(1)) >= 15, done.stdout[-2000:]
