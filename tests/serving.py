"""A real server on a free port of this machine, in a thread, with weights fit for tests."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from anybind.server.app import create_app
from anybind.server.hub import Hub, Opener
from anybind.server.serve import config_of
from anybind.server.settings import Settings

from .answering import write_own_adapter
from .llm_folders import write_base

LOADING_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers."""

    url: str
    app: FastAPI

    def client(self, **options: object) -> httpx.Client:
        """For requests to it, and to nothing else."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, **options)  # type: ignore[arg-type]


def write_language_model(folder: Path, dim: int) -> dict[str, object]:
    """A small random language model for vectors of ``dim`` numbers, as options of ``load``."""
    base = write_base(folder / "base", "hf")
    adapter = write_own_adapter(base, folder / "adapter.safetensors", dim=dim)
    return {"base": base, "adapter": adapter}


@contextmanager
def serving(
    folders: Mapping[str, Path],
    *,
    settings: Settings | None = None,
    options: Mapping[str, object] | None = None,
    ready: bool = True,
) -> Iterator[Running]:
    """Serve some index folders until the end of the block.

    Args:
        folders: By name.
        settings: By default those of ``anybind serve`` with one decoder.
        options: Of :func:`anybind.load`; with a language model.
        ready: Wait until every part is loaded.
    """
    hub = Hub(folders, Opener(**(options or {})), answers=options is not None)
    settings = settings or Settings(decoders=1)
    app = create_app(settings, hub)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        running = Running(url=f"http://127.0.0.1:{listening.getsockname()[1]}", app=app)
        server = uvicorn.Server(config_of(app, settings))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            _wait(running, "/readyz" if ready else "/healthz")
            yield running
        finally:
            server.should_exit = True
            thread.join()


def _wait(running: Running, path: str) -> None:
    end = time.monotonic() + LOADING_SECONDS
    with running.client() as client:
        while True:
            said = "nothing"
            try:
                response = client.get(path)
                if response.status_code == 200:
                    return
                said = response.text
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, f"the server did not get ready; it said {said}"
            time.sleep(0.02)
