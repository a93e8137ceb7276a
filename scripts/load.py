"""Load for an HTTP server on this machine: clients in a closed loop, arrivals in an open one.

In a closed loop each client asks again when it is answered; its rate is what the server can do. In
an open loop requests arrive by a Poisson process whatever the server does, as those of many people
do, and an answer's time counts from its arrival: a server that falls behind cannot hide it.

The client is as small as can be (one core sends some ten thousand requests a second), and only for
responses with a Content-Length.
"""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

TICK_SECONDS = 0.0005  # arrivals are sent as often
DRAIN_SECONDS = 10  # that answers may take after the last arrival
MOST_CONNECTIONS = 2000
NO_ANSWER = 0  # as a status: the connection broke, or the answer is overdue


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What is asked, over and over."""

    host: str
    port: int
    messages: Sequence[bytes]  # whole HTTP/1.1 requests, sent in turn


@dataclass(kw_only=True)
class Outcome:
    """What a load met."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter[int])
    latencies: list[float] = field(default_factory=list[float])  # of status 200, seconds

    @property
    def rate(self) -> float:
        """Answers of status 200 a second."""
        return self.statuses[200] / self.seconds

    def quantile(self, share: float) -> float | None:
        """Of the latencies, seconds; ``None`` where they are too few for one to lie beyond it."""
        if len(self.latencies) * (1 - share) < 1 - 1e-9:  # 1,000 are enough for 0.999
            return None
        return float(np.quantile(self.latencies, share))

    @property
    def median(self) -> float:
        """Of the latencies, seconds."""
        return float(np.median(self.latencies))

    @property
    def n_errors(self) -> int:
        """Answers that are neither 200 nor 429."""
        return sum(n for status, n in self.statuses.items() if status not in (200, 429))


def message(method: str, path: str, host: str, body: bytes = b"") -> bytes:
    """A whole request, with a JSON body."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


class _Connection(asyncio.Protocol):
    """One request at a time; ``done`` gets the status of its answer."""

    def __init__(self) -> None:
        self.done: Callable[[int], None] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._read = bytearray()
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def send(self, request: bytes, done: Callable[[int], None]) -> None:
        assert self._transport is not None
        self.done = done
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._read[:end]).lower()
        start = head.index(b"content-length:") + 15
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self._read) < end + 4 + length:
            return
        status = int(head[9:12])
        self._read.clear()
        self._finish(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._finish(NO_ANSWER)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _finish(self, status: int) -> None:
        done, self.done = self.done, None
        if done is not None:
            done(status)


class _Pool:
    """Connections that are kept open, and as many new ones as are needed."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._idle: deque[_Connection] = deque()
        self._all: list[_Connection] = []

    async def ask(self, request: bytes) -> int:
        """The status of the answer to a request."""
        connection = await self._get()
        if connection is None:
            return NO_ANSWER
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(status: int) -> None:
            if not answered.done():  # an overdue one is not waited for any more
                answered.set_result(status)

        connection.send(request, done)
        status = await answered
        if connection.open:
            self._idle.append(connection)
        return status

    async def _get(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        if len(self._all) >= MOST_CONNECTIONS:
            return None
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                _Connection, self._requests.host, self._requests.port
            )
        except OSError:
            return None
        self._all.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._all:
            connection.close()


async def closed_loop(requests: Requests, *, n_clients: int, seconds: float) -> Outcome:
    """Clients that each ask again when they are answered."""
    loop = asyncio.get_running_loop()
    pool, outcome, messages = _Pool(requests), Outcome(), itertools.cycle(requests.messages)
    started = loop.time()

    async def client() -> None:
        while (now := loop.time()) < started + seconds:
            status = await pool.ask(next(messages))
            _count(outcome, status, loop.time() - now)

    await asyncio.gather(*(client() for _ in range(n_clients)))
    outcome.seconds = loop.time() - started
    pool.close()
    return outcome


async def open_loop(requests: Requests, *, rate: float, n: int, seed: int) -> Outcome:
    """``n`` requests that arrive at ``rate`` a second on average, whatever the server does."""
    loop = asyncio.get_running_loop()
    pool, outcome, messages = _Pool(requests), Outcome(), itertools.cycle(requests.messages)
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n)).tolist()
    started = loop.time()
    running: set[asyncio.Task[None]] = set()

    async def one(arrival: float) -> None:
        status = await pool.ask(next(messages))
        _count(outcome, status, loop.time() - started - arrival)

    waiting: Iterator[float] = iter(arrivals)
    arrival = next(waiting, None)
    while arrival is not None:
        now = loop.time() - started
        while arrival is not None and arrival <= now:
            task = loop.create_task(one(arrival))
            running.add(task)
            task.add_done_callback(running.discard)
            arrival = next(waiting, None)
        await asyncio.sleep(TICK_SECONDS)
    if running:
        _, overdue = await asyncio.wait(running, timeout=DRAIN_SECONDS)
        outcome.statuses[NO_ANSWER] += len(overdue)
        for task in overdue:
            task.cancel()
    outcome.seconds = loop.time() - started  # with those that waited when the last one arrived
    pool.close()
    return outcome


def _count(outcome: Outcome, status: int, seconds: float) -> None:
    outcome.statuses[status] += 1
    if status == 200:
        outcome.latencies.append(seconds)
