"""What the server does under load: rates, latencies, and what it refuses when there is too much.

The server has one core, the load generator another. For searches by vector, text and image, and
for questions: the rate of 16 clients in a closed loop is its capacity; then requests arrive by a
Poisson process at 0.5, 1, 2 and 4 times that. Latencies count from the arrival. The embedding cache
is off, so that every text and picture is encoded. Then the rates of the text encoder by batch, and
what of them and of the measured cost of HTTP is reached, with batches and without.

The index, of rendered scenes, is built once (10 to 20 minutes) and kept in ``--folder``.

    python scripts/bench_server.py
"""

import argparse
import asyncio
import base64
import io
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from gallery import single_object_scenes
from load import Outcome, Requests, closed_loop, message, open_loop
from PIL import Image

from anybind import BuildOptions, build_index, load_encoder
from anybind.world.captions import caption
from anybind.world.render import render

N_CLIENTS = 16
LOADS = (0.5, 1, 2, 4)  # times the capacity
N_BODIES = 512  # different requests of a kind
PICTURE_SIDE = 256  # pixels
BATCHES = (1, 2, 4, 8, 16, 32, 64)
SEED = 0
HOST = "127.0.0.1"
START_SECONDS = 60
SEARCH, ASK = "/v1/search", "/v1/ask"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--folder", type=Path, default=Path("build/bench_server"))
    add("--items", type=int, default=100_000)
    add("--kinds", nargs="+", default=["vector", "text", "image", "ask"])
    add("--requests", type=int, default=20_000, help="at each load, but no longer than --seconds")
    add("--seconds", type=float, default=60)
    add("--base", help="a base language model, if not the shipped one")
    add("--adapter", help="its adapter")
    args = parser.parse_args()
    port = free_port()
    index = index_of(args.folder, args.items)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("one core here; the server and the load need one each")
    os.sched_setaffinity(0, {cores[1]})
    options = [f"--{n}={v}" for n, v in (("base", args.base), ("adapter", args.adapter)) if v]
    print(
        f"{args.items:,} items, server on one core of {platform.machine()}, {N_CLIENTS} clients\n"
    )
    print("| request | load | asked/s | answered/s | p50 ms | p99 ms | p99.9 ms | 429 | errors |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    capacities: dict[str, float] = {}
    with served(index, port, cores[0], options):
        for kind in args.kinds:
            requests = Requests(host=HOST, port=port, messages=messages_of(kind, args.items))
            asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=2))  # warm
            closed = asyncio.run(
                closed_loop(requests, n_clients=N_CLIENTS, seconds=min(20, args.seconds))
            )
            capacities[kind] = closed.rate
            show(kind, "closed loop", closed.rate, closed)
            for load in LOADS:
                rate = load * closed.rate
                n = min(args.requests, int(rate * args.seconds))
                found = asyncio.run(open_loop(requests, rate=rate, n=n, seed=SEED))
                show(kind, f"{load:g} x capacity", rate, found, of=closed.rate)
    if {"vector", "text"} <= set(capacities):
        text_batches(capacities, index, port, cores, options)


def show(kind: str, load: str, rate: float, found: Outcome, *, of: float | None = None) -> None:
    """Print a row; ``of`` is the capacity that the goodput is a share of."""
    times = " | ".join(f"{1000 * found.quantile(share):.1f}" for share in (0.5, 0.99, 0.999))
    good = f"{found.rate:.0f}" + ("" if of is None else f" ({found.rate / of:.2f})")
    refused = found.statuses[429]
    print(
        f"| {kind} | {load} | {rate:.0f} | {good} | {times} | {refused} | {found.n_errors} |",
        flush=True,
    )


def text_batches(
    capacities: dict[str, float], index: Path, port: int, cores: Sequence[int], options: list[str]
) -> None:
    """Rates of the text encoder by batch, and how much of what they allow the server reaches."""
    import torch

    torch.set_num_threads(1)
    encoder = load_encoder()
    texts = [f"{number}: {each}" for number, each in enumerate(captions())]
    print("\n| batch | texts/s of the encoder alone |\n| --- | --- |")
    rates: list[float] = []
    for batch in BATCHES:
        encoder.encode("text", texts[:batch], batch_size=batch)
        started, n_done = time.perf_counter(), 0
        while time.perf_counter() - started < 2:
            encoder.encode("text", texts[:batch], batch_size=batch)
            n_done += batch
        rates.append(n_done / (time.perf_counter() - started))
        print(f"| {batch} | {rates[-1]:.0f} |")
    requests = Requests(host=HOST, port=port, messages=messages_of("text", 1))
    with served(index, port, cores[0], [*options, "--encode-batch=1"]):
        asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=2))
        alone = asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=10))
        single_alone = asyncio.run(closed_loop(requests, n_clients=1, seconds=5))
    with served(index, port, cores[0], options):
        asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=2))
        single = asyncio.run(closed_loop(requests, n_clients=1, seconds=5))
    allowed = 1 / (1 / max(rates) + 1 / capacities["vector"])
    added = 1000 * (single.quantile(0.5) - single_alone.quantile(0.5))
    print(
        f"\ntext: {capacities['text']:.0f}/s, {capacities['text'] / allowed:.2f} of the "
        f"{allowed:.0f}/s that the encoder's best batch and a search by vector allow; "
        f"{capacities['text'] / alone.rate:.2f} of the server without batches; "
        f"a lone client waits {added:+.1f} ms longer than without"
    )


def index_of(folder: Path, n_items: int) -> Path:
    """An index of rendered scenes, built where it is missing or unfinished."""
    out = folder / f"world-{n_items}"
    if not (out / "image.index").exists():
        build_index(BuildOptions(source="world", out=out, limit=n_items), load_encoder())
    return out


def captions() -> list[str]:
    """Of scenes that are in no index."""
    return [caption(of) for of in single_object_scenes(N_BODIES, offset=0)]


def messages_of(kind: str, n_items: int) -> list[bytes]:
    """Requests of a kind, each of them different."""
    rng = np.random.default_rng(SEED)
    bodies: list[dict[str, object]] = []
    path = ASK if kind == "ask" else SEARCH
    if kind == "vector":
        rows = rng.standard_normal((N_BODIES, load_encoder().dim)).round(6)
        bodies = [{"inputs": [{"embedding": row.tolist()}]} for row in rows]
    elif kind == "text":
        bodies = [{"inputs": [{"text": text}]} for text in captions()]
    elif kind == "image":
        for of in single_object_scenes(N_BODIES, offset=0):
            file = io.BytesIO()
            Image.fromarray(render(of, PICTURE_SIDE).image).save(file, "JPEG", quality=90)
            data = base64.b64encode(file.getvalue()).decode()
            bodies.append({"inputs": [{"modality": "image", "data": data}]})
    else:
        ids = rng.integers(n_items, size=N_BODIES).tolist()
        settings = {"temperature": 0, "max_tokens": 24}
        bodies = [
            {"question": "What is in the picture?", "inputs": [{"id": item}], **settings}
            for item in ids
        ]
    return [message("POST", path, HOST, json.dumps(body).encode()) for body in bodies]


@contextmanager
def served(index: Path, port: int, core: int, options: Sequence[str]) -> Iterator[None]:
    """The server in a process of its own, on one core."""
    program = "import sys; from anybind.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", str(index), f"--port={port}", *options]
    process = subprocess.Popen(
        [*command, "--embedding-cache-bytes=0", "--decoders=1"],
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        wait_until_ready(port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


def wait_until_ready(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/v1/index") as response:
                if response.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the server does not get ready; run anybind serve to see why")


if __name__ == "__main__":
    main()
