"""What a connection refuses by itself: the edge's words, the right requests, and nothing lost."""

import asyncio
import json
import logging
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from anybind.server.edge import Edge, Message, Receive, Scope, Send
from anybind.server.keys import Keys, Role, new_key
from anybind.server.metrics import Metrics
from anybind.server.refusals import Refusals
from anybind.server.rooms import WORK, Rooms, Work
from anybind.server.settings import Settings

SEARCH = "/v1/search"
PATIENCE = 20.0  # seconds


@dataclass
class Backend:
    """Answers with the length of a body, once a gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    n_in_work: int = 0
    most_in_work: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.n_in_work += 1
        self.most_in_work = max(self.most_in_work, self.n_in_work)
        try:
            n_bytes, more = 0, True
            while more:
                message: Message = await receive()
                if message["type"] == "http.disconnect":
                    return
                n_bytes += len(message.get("body", b""))
                more = message.get("more_body", False)
            await self.gate.wait()
            body = str(n_bytes).encode()
            headers = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            self.n_in_work -= 1


@dataclass(frozen=True)
class Served:
    """A server of uvicorn's around the edge and a backend."""

    port: int
    backend: Backend
    rooms: Rooms
    metrics: Metrics
    refusals: Refusals

    @property
    def taken(self) -> int:
        """Places of searches that are taken."""
        return self.rooms[Work.SEARCH].taken

    async def connect(self) -> "Wire":
        return Wire(*await asyncio.open_connection("127.0.0.1", self.port))


@dataclass(frozen=True)
class Wire:
    """A connection whose bytes are written and read as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, path: str = SEARCH, *headers: str, body: bytes = b"", http: str = "1.1") -> None:
        lines = [f"POST {path} HTTP/{http}", "Host: localhost", *headers]
        if not any(line.lower().startswith("content-length") for line in headers):
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def receive(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Whether the server has nothing more to say, and hangs up."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read() == b""


def run(
    work: Callable[[Served], Awaitable[None]],
    *,
    idle: int = 60,
    keys: Keys | None = None,
    **settings: Any,
) -> None:
    """Do something with a server that has room for one search, if nothing else is said."""

    async def inside() -> None:
        given = Settings(**{"max_searches": 1, "max_answers": 1, **settings})
        metrics, backend = Metrics(), Backend()
        rooms = Rooms(given, metrics)
        refusals = Refusals(rooms, metrics, root_path=given.root_path, take=keys is None)
        config = uvicorn.Config(
            Edge(backend, given, metrics, keys, rooms),
            http=refusals.protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=idle,
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(server.serve([listening]))
            try:
                port = listening.getsockname()[1]
                await work(Served(port, backend, rooms, metrics, refusals))
                await until(lambda: not any(rooms[kind].taken for kind in Work))
            finally:
                backend.gate.set()
                server.should_exit = True
                await serving

    asyncio.run(inside())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.001)


async def occupied(served: Served, path: str = SEARCH) -> Wire:
    """A request that has taken the place of its kind."""
    wire = await served.connect()
    wire.send(path)
    await until(lambda: served.backend.n_in_work == 1)
    return wire


@pytest.mark.parametrize("path", WORK)
def test_the_door_and_the_edge_refuse_in_the_same_words(path: str) -> None:
    """A request that chose its number is refused by the edge; the numbers alone may differ."""

    async def work(served: Served) -> None:
        first = await occupied(served, path)
        wire = await served.connect()
        wire.send(path, body=b"x" * 100)
        status, headers, body = await wire.receive()
        assert re.fullmatch("[0-9a-f]{16}", number := headers.pop("x-request-id"))
        chosen = "0123456789abcdef"
        wire.send(path, f"X-Request-Id: {chosen}", body=b"x" * 100)
        by_edge = await wire.receive()
        assert by_edge[1].pop("x-request-id") == chosen
        for each in (headers, by_edge[1]):
            each.pop("date")
        assert (status, headers) == by_edge[:2] and status == 429 and headers["retry-after"] == "1"
        assert body.replace(number.encode(), chosen.encode()) == by_edge[2]
        assert "1 requests of this kind are in work and 1 may be" in str(json.loads(body))
        served.backend.gate.set()
        assert (await first.receive())[0] == 200
        wire.send(path, body=b"abc")  # the same connection, now that there is room
        assert (await wire.receive())[::2] == (200, b"3")

    run(work)


def test_as_many_get_in_as_there_are_places_however_many_come_at_once() -> None:
    """Requests that come in one turn of the event loop, before the application is asked."""

    async def work(served: Served) -> None:
        wires = [await served.connect() for _ in range(50)]
        for wire in wires:
            wire.send(body=b"abcd")
        replies = [asyncio.create_task(wire.receive()) for wire in wires]
        await until(lambda: sum(reply.done() for reply in replies) == 47)
        assert served.backend.n_in_work == 3 == served.taken
        served.backend.gate.set()
        statuses = Counter(status for status, _, _ in await asyncio.gather(*replies))
        assert statuses == {200: 3, 429: 47} and served.backend.most_in_work == 3

    run(work, max_searches=3)


def test_a_body_that_is_refused_is_passed_over_in_any_number_of_pieces() -> None:
    async def work(served: Served) -> None:
        first = await occupied(served)
        wire = await served.connect()
        wire.send(SEARCH, "Content-Length: 10")
        assert (await wire.receive())[0] == 429  # before any of the body came
        for piece in (b"abcd", b"efghij"):
            wire.writer.write(piece)
            await wire.writer.drain()
        served.backend.gate.set()
        assert (await first.receive())[0] == 200
        wire.send(body=b"ab")
        assert (await wire.receive())[::2] == (200, b"2")

    run(work)


@pytest.mark.parametrize(("header", "http"), [("Connection: close", "1.1"), ("X: y", "1.0")])
def test_who_wants_no_second_answer_is_hung_up_on(header: str, http: str) -> None:
    async def work(served: Served) -> None:
        first = await occupied(served)
        wire = await served.connect()
        wire.send(SEARCH, header, http=http)
        status, headers, _ = await wire.receive()
        assert (status, headers["connection"]) == (429, "close") and await wire.is_closed()
        served.backend.gate.set()
        assert (await first.receive())[0] == 200

    run(work)


def test_answers_keep_the_order_of_their_requests() -> None:
    """A second request behind one that is in work waits for it, instead of a refusal before it."""

    async def work(served: Served) -> None:
        wire = await occupied(served)
        wire.send(body=b"ab")
        other = await served.connect()
        other.send()
        assert (await other.receive())[0] == 429
        served.backend.gate.set()
        assert [(await wire.receive())[::2] for _ in range(2)] == [(200, b"0"), (200, b"2")]

    run(work)


def test_places_are_given_back_whatever_becomes_of_a_request() -> None:
    """Too large, from a strange page, under a strange name, or left by its client in mid-body."""

    async def work(served: Served) -> None:
        for headers, status in (
            (("Content-Length: 1000",), 413),
            (("Origin: http://evil",), 403),
        ):
            wire = await served.connect()
            wire.send(SEARCH, *headers)
            assert (await wire.receive())[0] == status
        strange = await served.connect()
        strange.writer.write(b"POST /v1/search HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n\r\n")
        assert (await strange.receive())[0] == 421
        leaving = await served.connect()
        leaving.send(SEARCH, "Content-Length: 100", body=b"abc")
        await until(lambda: served.taken == 1)
        leaving.writer.close()
        await until(lambda: served.taken == 0)

    run(work, max_body_bytes=500)


def test_who_has_no_key_takes_nobodys_place(tmp_path: Path) -> None:
    """Fifty strangers in one turn of the event loop, and one with a key behind them."""
    path = tmp_path / "keys.txt"
    secret = new_key(path, "ann", Role.USER)

    async def work(served: Served) -> None:
        served.backend.gate.set()
        wires = [await served.connect() for _ in range(51)]
        for wire in wires[:-1]:
            wire.send()
        wires[-1].send(SEARCH, f"Authorization: Bearer {secret}", body=b"abc")
        replies = await asyncio.gather(*(wire.receive() for wire in wires))
        assert [status for status, _, _ in replies] == [401] * 50 + [200]
        served.backend.gate.clear()
        wires[-1].send(SEARCH, f"Authorization: Bearer {secret}")
        await until(lambda: served.backend.n_in_work == 1)
        wires[0].send()
        assert (await wires[0].receive())[0] == 429  # no room, for whomever
        served.backend.gate.set()
        assert (await wires[-1].receive())[0] == 200

    run(work, keys=Keys.load(path))


def test_a_proxys_prefix_is_no_way_around() -> None:
    async def work(served: Served) -> None:
        first = await occupied(served)
        for path in ("/v1/search", "/any/v1/search", "/v1/search?x=1"):
            wire = await served.connect()
            wire.send(path)
            assert (await wire.receive())[0] == 429
        served.backend.gate.set()
        assert (await first.receive())[0] == 200

    run(work, root_path="/any")


def test_a_refused_connection_that_falls_silent_is_closed() -> None:
    """Also in the middle of a body that nobody reads."""

    async def work(served: Served) -> None:
        first = await occupied(served)
        for body in (b"", b"abc"):
            wire = await served.connect()
            wire.send(SEARCH, f"Content-Length: {2 * len(body)}")
            assert (await wire.receive())[0] == 429
            wire.writer.write(body)
            assert await wire.is_closed()
        served.backend.gate.set()
        assert (await first.receive())[0] == 200

    run(work, idle=1)


def test_refusals_are_counted_and_logged_together(caplog: pytest.LogCaptureFixture) -> None:
    async def work(served: Served) -> None:
        first = await occupied(served)
        wire = await served.connect()
        for _ in range(5):
            wire.send()
            assert (await wire.receive())[0] == 429
        figures = served.metrics.text().decode()
        assert 'anybind_requests_total{route="/v1/search",status="429"} 5.0' in figures
        assert 'anybind_refused_total{reason="overloaded"} 5.0' in figures
        assert 'anybind_request_seconds_count{route="/v1/search"} 5.0' in figures
        served.refusals.log()
        served.backend.gate.set()
        assert (await first.receive())[0] == 200

    with caplog.at_level(logging.INFO, "anybind.access"):
        run(work)
    (said,) = [record.__dict__ for record in caplog.records if record.getMessage() == "refused"]
    assert (said["path"], said["status"], said["n"]) == ("/v1/search", 429, 5)
