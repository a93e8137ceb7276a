"""What the server does under load: rates, latencies, and what it refuses when there is too much.

The server has one core, the load generator another. For searches by vector, text and image, and
for questions: the rate of 16 clients in a closed loop is its capacity; then requests arrive by a
Poisson process at 0.5, 1, 2 and 4 times that. Latencies count from the arrival, and a quantile
stands where there are answers beyond it: p99.9 from 1,000 on. The embedding cache is off, so that
every text and picture is encoded. Then what a refusal costs: the rate of 16 clients at a server
with one place. At last the rates of the text encoder by batch, and what of them and of the measured
cost of HTTP is reached, with batches and without.

A load has ``--requests`` requests, but lasts no longer than ``--seconds``, which cuts those that
are slow to answer (pictures, questions) short; ``--seconds 0`` lets all of them arrive.

    python scripts/bench_server.py
    python scripts/bench_server.py --kinds image ask --seconds 0 --json build/slow.json
"""

import argparse
import asyncio
import base64
import io
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from gallery import single_object_scenes
from load import Outcome, Requests, closed_loop, message, open_loop
from PIL import Image
from served import HOST, free_port, index_of, machine, started, wait_until_ready

from anybind import load_encoder
from anybind.world.captions import caption
from anybind.world.render import render

N_CLIENTS = 16
LOADS = (0.5, 1, 2, 4)  # times the capacity
N_BODIES = 512  # different requests of a kind
PICTURE_SIDE = 256  # pixels
BATCHES = (1, 2, 4, 8, 16, 32, 64)
CLOSED_SECONDS = 20  # of the closed loop, at most
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
HEAD = ("request", "load", "asked/s", "n", "answered/s", *(f"{q} ms" for q in QUANTILES))
SEED = 0
SEARCH, ASK = "/v1/search", "/v1/ask"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--folder", type=Path, default=Path("build/bench_server"))
    add("--items", type=int, default=100_000)
    add("--kinds", nargs="+", default=["vector", "text", "image", "ask"])
    add("--requests", type=int, default=20_000, help="at each load")
    add("--seconds", type=float, default=60, help="of a load at most; 0: until all have arrived")
    add("--json", type=Path, metavar="OUT", help="write the figures there too")
    add("--base", help="a base language model, if not the shipped one")
    add("--adapter", help="its adapter")
    args = parser.parse_args()
    port, where = free_port(), machine()
    date = datetime.now(UTC).date().isoformat()
    index = index_of(args.folder, args.items)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("one core here; the server and the load need one each")
    os.sched_setaffinity(0, {cores[1]})
    options = [f"--{n}={v}" for n, v in (("base", args.base), ("adapter", args.adapter)) if v]
    table = Table(
        facts={"items": args.items, "clients": N_CLIENTS, "machine": where, "date": date},
        out=args.json,
    )
    print(f"{args.items:,} items, server on one core, {N_CLIENTS} clients\n")
    print(f"| {' | '.join((*HEAD, '429', 'errors'))} |")
    print(f"|{' --- |' * (len(HEAD) + 2)}")
    capacities: dict[str, float] = {}
    with served(index, port, cores[0], options):
        for kind in args.kinds:
            requests = Requests(host=HOST, port=port, messages=messages_of(kind, args.items))
            asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=2))  # warm
            seconds = min(CLOSED_SECONDS, args.seconds or CLOSED_SECONDS)
            closed = asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=seconds))
            if closed.rate == 0:
                raise SystemExit(f"no request of {kind} is answered: {dict(closed.statuses)}")
            capacities[kind] = closed.rate
            table.show(kind, "closed loop", closed.rate, closed)
            for load in LOADS:
                rate = load * closed.rate
                n = n_arrivals(rate, requests=args.requests, seconds=args.seconds)
                found = asyncio.run(open_loop(requests, rate=rate, n=n, seed=SEED))
                table.show(kind, f"{load:g} x capacity", rate, found, of=closed.rate)
    print(f"\n{where}, {date}")
    if "vector" in capacities:
        table.add("refusals", refusals(capacities["vector"], index, port, cores, options))
    if {"vector", "text"} <= set(capacities):
        table.add("text", text_batches(capacities, index, port, cores, options))


def n_arrivals(rate: float, *, requests: int, seconds: float) -> int:
    """How many requests arrive at a load; with 0 seconds as many as are asked for."""
    return max(1, min(requests, int(rate * seconds))) if seconds else requests


@dataclass(kw_only=True)
class Table:
    """Rows that are printed as they are measured, and kept in a file if one is named."""

    facts: dict[str, object]
    out: Path | None = None
    rows: list[dict[str, object]] = field(default_factory=list[dict[str, object]])

    def show(
        self, kind: str, load: str, rate: float, found: Outcome, *, of: float | None = None
    ) -> None:
        """Print a row; ``of`` is the capacity that the goodput is a share of."""
        times = {name: found.quantile(share) for name, share in QUANTILES.items()}
        shown = ["–" if each is None else f"{1000 * each:.1f}" for each in times.values()]
        good = f"{found.rate:.0f}" + ("" if of is None else f" ({found.rate / of:.2f})")
        refused, n = found.statuses[429], found.statuses.total()
        cells = [kind, load, f"{rate:.0f}", f"{n:,}", good, *shown, refused, found.n_errors]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
        row = {"request": kind, "load": load, "asked_per_s": rate, "n": n}
        row |= {"answered_per_s": found.rate, "answered": found.statuses[200]}
        row |= {f"{name}_s": each for name, each in times.items()}
        self.rows.append({**row, "refused": refused, "errors": found.n_errors})
        self.add("rows", self.rows)

    def add(self, name: str, figures: object) -> None:
        """Keep figures, in the file as well: an hour's work is not lost with the last row."""
        self.facts[name] = figures
        if self.out is not None:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self.out.write_text(json.dumps(self.facts, indent=1) + "\n")


def refusals(
    capacity: float, index: Path, port: int, cores: Sequence[int], options: list[str]
) -> dict[str, float]:
    """How many searches are refused a second, and what one costs beside one that is answered."""
    requests = Requests(host=HOST, port=port, messages=messages_of("vector", 1))
    with served(index, port, cores[0], [*options, "--max-searches=1"]):
        asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=2))
        found = asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=5))
    refused, answered = found.statuses[429] / found.seconds, found.rate
    print(
        f"\nrefusals: {refused:.0f}/s beside {answered:.0f} answers/s, {1e6 / refused:.0f} us each "
        f"at most; a search by vector takes {1e6 / capacity:.0f}"
    )
    return {"refused_per_s": refused, "answered_per_s": answered}


def text_batches(
    capacities: dict[str, float], index: Path, port: int, cores: Sequence[int], options: list[str]
) -> dict[str, object]:
    """Rates of the text encoder by batch, and how much of what they allow the server reaches."""
    import torch

    torch.set_num_threads(1)
    encoder = load_encoder()
    texts = [f"{number}: {each}" for number, each in enumerate(captions())]
    print("\n| batch | texts/s of the encoder alone |\n| --- | --- |")
    rates: dict[int, float] = {}
    for batch in BATCHES:
        encoder.encode("text", texts[:batch], batch_size=batch)
        began, n_done = time.perf_counter(), 0
        while time.perf_counter() - began < 2:
            encoder.encode("text", texts[:batch], batch_size=batch)
            n_done += batch
        rates[batch] = n_done / (time.perf_counter() - began)
        print(f"| {batch} | {rates[batch]:.0f} |", flush=True)
    requests = Requests(host=HOST, port=port, messages=messages_of("text", 1))
    with served(index, port, cores[0], [*options, "--encode-batch=1"]):
        asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=2))
        alone = asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=10))
        single_alone = asyncio.run(closed_loop(requests, n_clients=1, seconds=5))
    with served(index, port, cores[0], options):
        asyncio.run(closed_loop(requests, n_clients=N_CLIENTS, seconds=2))
        single = asyncio.run(closed_loop(requests, n_clients=1, seconds=5))
    allowed = 1 / (1 / max(rates.values()) + 1 / capacities["vector"])
    added = 1000 * (single.median - single_alone.median)
    print(
        f"\ntext: {capacities['text']:.0f}/s, {capacities['text'] / allowed:.2f} of the "
        f"{allowed:.0f}/s that the encoder's best batch and a search by vector allow; "
        f"{capacities['text'] / alone.rate:.2f} of the server without batches; "
        f"a lone client waits {added:+.1f} ms longer than without"
    )
    return {
        "encoder_per_s": rates,
        "allowed_per_s": allowed,
        "unbatched_per_s": alone.rate,
        "added_p50_ms": added,
    }


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
    """The server on one core, complete."""
    limits = ["--embedding-cache-bytes=0", "--decoders=1"]
    one_thread = {"OMP_NUM_THREADS": "1"}
    with started(index, port, [*options, *limits], core=core, environment=one_thread) as process:
        wait_until_ready(process, port)
        yield


if __name__ == "__main__":
    main()
