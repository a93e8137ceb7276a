"""Running the server: one process, stopped by SIGINT or SIGTERM, reloaded by SIGHUP."""

import asyncio
import logging
import math
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ..errors import AnyBindError, UsageError
from .app import create_app
from .hub import Hub, Opener
from .logs import set_up
from .settings import Settings, is_loopback

logger = logging.getLogger(__name__)

BACKLOG = 2048  # connections that may wait to be accepted
KEEP_ALIVE_SECONDS = 30


def folders_of(given: Sequence[str]) -> dict[str, Path]:
    """Index folders by name, from ``DIR`` (named after the folder) and ``NAME=DIR``.

    Raises:
        UsageError: Two have the same name, or one is no folder.
    """
    folders: dict[str, Path] = {}
    for each in given:
        name, equals, path = each.partition("=")
        folder = Path(path if equals else each)
        name = name if equals else folder.resolve().name
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder; give an index folder that build-index wrote")
        if name in folders:
            raise UsageError(f"two indices are called {name}; name one of them: {name}2={folder}")
        folders[name] = folder
    return folders


def check_exposure(settings: Settings) -> None:
    """Refuse to be open to other machines without keys, unless that is meant.

    Raises:
        UsageError: With the three ways out.
    """
    if settings.insecure or settings.api_keys_file is not None or is_loopback(settings.host):
        return
    raise UsageError(
        f"{settings.host} can be reached from other machines, and no keys are asked for; make keys "
        "(anybind serve-key new --file keys.txt --name me) and give --api-keys-file, listen on "
        "127.0.0.1, or say --insecure"
    )


def config_of(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,
        http=app.state.refusals.protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, math.ceil(settings.shutdown_seconds)),  # 0: for ever
    )


def run(folders: Mapping[str, Path], options: Mapping[str, object], settings: Settings) -> None:
    """Serve some indices until a signal comes.

    Args:
        folders: By name; the first one answers where none is named.
        options: Of :func:`.pipeline.load`.
        settings: Limits and switches.

    Raises:
        UsageError: The address is taken, not there, or open without keys.
    """
    check_exposure(settings)
    set_up(as_json=settings.log_json)
    listening = _listen(settings)
    host, port = listening.getsockname()[:2]
    hub = Hub(folders, Opener(**options))
    app = create_app(settings, hub)
    config = config_of(app, settings)
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{port}{settings.root_path}/", file=sys.stderr, flush=True)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda number, frame: None)  # uvicorn raises them again when it is done
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(uvicorn.Server(config), app, listening))


async def _serve(server: uvicorn.Server, app: FastAPI, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()  # which the loop itself would let go of

    async def reload() -> None:
        try:
            changed = await app.state.engine.reload()
            logger.info("reloaded on SIGHUP: %s", ", ".join(changed) or "nothing new")
        except AnyBindError as error:
            logger.error("%s", error)
        except Exception:
            logger.exception("could not reload; what was served stays")

    def start_reload() -> None:
        task = loop.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    if hasattr(signal, "SIGHUP"):  # not on Windows
        loop.add_signal_handler(signal.SIGHUP, start_reload)
    with listening:
        await server.serve(sockets=[listening])
    app.state.refusals.log()


def _listen(settings: Settings) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)  # who reads the address that is printed may connect
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port}: "
            f"{error.strerror or error}; choose others with --host and --port"
        ) from None
    return listening
