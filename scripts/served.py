"""A server in a process of its own, and an index for it, for the scripts that measure one.

The index is of rendered scenes. It is built once, on every core, and kept: 100,000 scenes take 10
to 20 minutes on two.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from anybind import BuildOptions, build_index, load_encoder

HOST = "127.0.0.1"
START_SECONDS = 120
POLL_SECONDS = 0.02
PROGRAM = "import sys; from anybind.cli import main; sys.exit(main())"
NOT_READY = "the server does not get ready; run anybind serve to see why"
CPUINFO = Path("/proc/cpuinfo")  # where Linux says which processor it runs on


def index_of(folder: Path, n_items: int) -> Path:
    """An index of rendered scenes, built where it is missing or unfinished."""
    out = folder / f"world-{n_items}"
    if not (out / "image.index").exists():
        build_index(BuildOptions(source="world", out=out, limit=n_items), load_encoder())
    return out


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def started(
    index: Path,
    port: int,
    options: Sequence[str] = (),
    *,
    core: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that was just started, until the end of the block.

    Args:
        index: A folder.
        port: Where it listens.
        options: Of ``anybind serve``.
        core: The only one it may run on; ``None``: any.
        environment: Variables beside those of this process.
    """
    command = [sys.executable, "-c", PROGRAM, "serve", str(index), f"--port={port}", *options]
    process = subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        env={**os.environ, **(environment or {})},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def readiness(port: int) -> dict[str, str]:
    """How far each part of a server is, by ``/readyz``; nothing while it does not listen."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz") as response:
            content = response.read()
    except urllib.error.HTTPError as error:
        content = error.read()
    except OSError:
        return {}
    parts: dict[str, str] = json.loads(content)["parts"]
    return parts


def check_parts(parts: Mapping[str, str]) -> None:
    """End if a part of a server failed, with the reason that it gives."""
    failed = {state for state in parts.values() if state not in ("ready", "loading")}
    if failed:
        raise SystemExit(f"the server is not complete: {'; '.join(failed)}")


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until no part is loading.

    Raises:
        SystemExit: The server ended, takes too long, or a part of it failed.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        parts = readiness(port)
        check_parts(parts)
        if parts and "loading" not in parts.values():
            return
        time.sleep(POLL_SECONDS)
    raise SystemExit(NOT_READY)


def machine() -> str:
    """The processor by its name, and how many cores of it may be used."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(names, platform.processor() or platform.machine())
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {platform.system()}"
