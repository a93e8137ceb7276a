"""What is decided before a body is read: keys, rates, room, sizes, origins; and what is counted."""

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import ClientDisconnect

from anybind.server.edge import Edge, Message, Receive, Scope, Send
from anybind.server.keys import Keys, Role, new_key
from anybind.server.logs import set_up
from anybind.server.metrics import Metrics, Stage
from anybind.server.settings import Settings

Reply = tuple[int, dict[str, str], bytes]


class Backend:
    """Reads the body of a request and answers with its length, when it is let through."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.n_begun = 0
        self.keys: list[object] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.n_begun += 1
        self.keys.append(scope.get("key"))
        n_bytes, more = 0, True
        while more:
            message = await receive()
            n_bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(n_bytes).encode()})


async def ask(
    edge: Edge,
    path: str = "/v1/search",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    body: Sequence[bytes] = (b"",),
) -> Reply:
    """One request, its body in chunks."""
    chunks = list(body)
    given = {} if len(body) > 1 else {"content-length": str(len(body[0]))}
    given |= headers or {}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Message) -> None:
        sent.append(message)

    await edge(scope, receive, send)
    start, *rest = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(message["body"] for message in rest)


def run(
    work: Callable[[Edge, Backend], Any],
    *,
    keys: Keys | None = None,
    metrics: Metrics | None = None,
    **settings: Any,
) -> Any:
    async def inside() -> Any:
        backend = Backend()
        return await work(Edge(backend, Settings(**settings), metrics or Metrics(), keys), backend)

    return asyncio.run(inside())


def test_a_request_passes_with_its_number_and_safe_headers() -> None:
    async def work(edge: Edge, backend: Backend) -> None:
        status, headers, body = await ask(edge, body=(b"abc",))
        assert (status, body) == (200, b"3")
        assert len(headers["x-request-id"]) == 16
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers

    run(work)


def test_what_there_is_no_room_for_is_refused_before_its_body_is_read() -> None:
    """Two searches may be in work; an answer has room of its own, and a look at the health always
    has."""

    async def work(edge: Edge, backend: Backend) -> None:
        backend.gate.clear()
        running = [asyncio.ensure_future(ask(edge)) for _ in range(2)]
        while backend.n_begun < 2:
            await asyncio.sleep(0)
        status, headers, body = await ask(edge, body=(b"x" * 1000,))
        problem = json.loads(body)
        assert status == problem["status"] == 429 and headers["retry-after"] == "1"
        assert "2 requests of this kind are in work and 2 may be" in problem["detail"]
        assert backend.n_begun == 2
        others = [
            asyncio.ensure_future(ask(edge, "/v1/ask")),
            asyncio.ensure_future(ask(edge, "/healthz", method="GET")),
        ]
        while backend.n_begun < 4:
            await asyncio.sleep(0)
        backend.gate.set()
        assert [reply[0] for reply in await asyncio.gather(*running, *others)] == [200] * 4
        assert (await ask(edge))[0] == 200

    run(work, max_searches=2)


def test_an_error_that_nobody_foresaw_is_counted_and_told_with_its_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """500 in the answer, in the metrics and in the log; the traceback is in the log alone."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError("of a secret")

    metrics = Metrics()
    edge = Edge(broken, Settings(), metrics, None)
    with caplog.at_level(logging.INFO):
        status, headers, body = asyncio.run(ask(edge, headers={"x-request-id": "abc"}))
    problem = json.loads(body)
    assert status == problem["status"] == 500 and problem["request_id"] == "abc"
    assert headers["x-request-id"] == "abc" and headers["x-content-type-options"] == "nosniff"
    assert "secret" not in problem["detail"]
    assert 'anybind_requests_total{route="/v1/search",status="500"} 1.0' in metrics.text().decode()
    (failed,) = [record for record in caplog.records if record.exc_info]
    assert "of a secret" in str(failed.exc_info)


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def reader(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    metrics = Metrics()
    with caplog.at_level(logging.INFO), pytest.raises(ValueError, match="unpack"):
        asyncio.run(ask(Edge(reader, Settings(), metrics, None)))  # nothing is sent
    assert 'anybind_requests_total{route="/v1/search",status="499"} 1.0' in metrics.text().decode()
    assert not any(record.exc_info for record in caplog.records)


def test_who_does_not_read_a_refusal_takes_no_place() -> None:
    """Of the edge itself, or of the application: it is written to a client that takes nothing."""

    async def work(edge: Edge, backend: Backend) -> None:
        never = asyncio.Event()
        scope = {"type": "http", "method": "POST", "path": "/v1/search"}

        async def receive() -> Message:
            return {"type": "http.request", "body": b"x" * 11, "more_body": False}

        async def send(message: Message) -> None:
            await never.wait()

        for headers in ([(b"content-length", b"11")], []):  # announced, or found while it is read
            stuck = asyncio.ensure_future(edge({**scope, "headers": headers}, receive, send))
            for _ in range(10):
                await asyncio.sleep(0)
            assert (await ask(edge))[0] == 200 and not stuck.done()
            stuck.cancel()

    run(work, max_searches=1, max_body_bytes=10)


def test_pictures_have_room_of_their_own() -> None:
    async def work(edge: Edge, backend: Backend) -> None:
        backend.gate.clear()
        path = "/v1/items/3/image"
        running = asyncio.ensure_future(ask(edge, path, method="GET"))
        while backend.n_begun < 1:
            await asyncio.sleep(0)
        assert (await ask(edge, path, method="GET"))[0] == 429
        backend.gate.set()
        assert (await running)[0] == 200 and (await ask(edge))[0] == 200

    run(work, max_items=1)


def test_a_request_whose_client_leaves_makes_room() -> None:
    async def work(edge: Edge, backend: Backend) -> None:
        backend.gate.clear()
        running = asyncio.ensure_future(ask(edge))
        while backend.n_begun < 1:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        backend.gate.set()
        assert (await ask(edge))[0] == 200

    run(work, max_searches=1)


@pytest.mark.parametrize("chunks", [(b"x" * 11,), (b"x" * 6, b"x" * 5)])
def test_a_body_beyond_the_limit_is_refused_announced_or_not(chunks: tuple[bytes, ...]) -> None:
    async def work(edge: Edge, backend: Backend) -> None:
        status, _, body = await ask(edge, body=chunks)
        assert status == 413 and "larger than 10 bytes" in json.loads(body)["detail"]
        assert (await ask(edge, body=(b"x" * 5, b"x" * 5)))[2] == b"10"

    run(work, max_body_bytes=10)


@pytest.mark.parametrize("length", ["-1", "1e3", "ten", ""])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    async def work(edge: Edge, backend: Backend) -> None:
        assert (await ask(edge, headers={"content-length": length}))[0] == 413

    run(work)


def test_keys_are_asked_for_everywhere_but_at_the_pages_and_the_health(tmp_path: Path) -> None:
    """A key comes as a bearer's token, or in the headers that other servers read."""
    path = tmp_path / "keys.txt"
    secret = new_key(path, "ann", Role.USER)

    async def work(edge: Edge, backend: Backend) -> None:
        for open_path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/page/app.js"):
            assert (await ask(edge, open_path, method="GET"))[0] == 200
        for closed in ("/v1/search", "/metrics", "/v1/index", "/docs/x", "/page"):
            status, headers, body = await ask(edge, closed)
            assert status == 401 and headers["www-authenticate"] == "Bearer"
            assert "Authorization: Bearer" in json.loads(body)["detail"]
        wrong = {"authorization": f"Bearer {secret}x"}
        assert (await ask(edge, headers=wrong))[0] == 401
        for right in (
            {"authorization": f"Bearer {secret}"},
            {"authorization": f"bearer  {secret}"},
            {"api-key": secret},
            {"x-api-key": secret},
            {"authorization": "Basic " + base64.b64encode(f"x:{secret}".encode()).decode()},
        ):
            assert (await ask(edge, headers=right))[0] == 200
        key = backend.keys[-1]
        assert getattr(key, "name", None) == "ann"

    run(work, keys=Keys.load(path))


def test_each_key_has_a_rate_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    ann, bob = (new_key(path, name, Role.USER) for name in ("ann", "bob"))

    async def work(edge: Edge, backend: Backend) -> None:
        first = {"authorization": f"Bearer {ann}"}
        assert [(await ask(edge, headers=first))[0] for _ in range(3)] == [200, 200, 429]
        status, headers, body = await ask(edge, headers=first)
        assert int(headers["retry-after"]) >= 50
        assert "ann has asked more often than 0.01 times a second" in json.loads(body)["detail"]
        assert (await ask(edge, headers={"authorization": f"Bearer {bob}"}))[0] == 200

    run(work, keys=Keys.load(path), rate=0.01, burst=2)


def test_pages_of_other_origins_are_let_in_only_where_the_operator_says_so() -> None:
    async def closed(edge: Edge, backend: Backend) -> None:
        asked = {"origin": "http://evil", "access-control-request-method": "POST"}
        assert (await ask(edge, method="OPTIONS", headers=asked))[0] == 403
        _, headers, _ = await ask(edge, headers={"origin": "http://evil"})
        assert "access-control-allow-origin" not in headers

    async def opened(edge: Edge, backend: Backend) -> None:
        asked = {"origin": "http://good", "access-control-request-method": "POST"}
        status, headers, _ = await ask(edge, method="OPTIONS", headers=asked)
        assert status == 204 and headers["access-control-allow-origin"] == "http://good"
        assert backend.n_begun == 0
        _, headers, _ = await ask(edge, headers={"origin": "http://good"})
        assert headers["access-control-allow-origin"] == "http://good"
        await closed(edge, backend)

    run(closed)
    run(opened, cors_origins=("http://good",))


def test_metrics_are_what_prometheus_reads() -> None:
    """The reference is prometheus's own parser, and what was done."""
    metrics = Metrics()

    async def work(edge: Edge, backend: Backend) -> None:
        for _ in range(3):
            await ask(edge)
        await ask(edge, headers={"content-length": "x"})

    run(work, metrics=metrics)
    with metrics.time(Stage.ENCODE):
        pass
    metrics.batch("text")(5)
    metrics.remembered(True)
    families = {f.name: f for f in text_string_to_metric_families(metrics.text().decode())}
    requests = {
        (s.labels["route"], s.labels["status"]): s.value
        for s in families["anybind_requests"].samples
        if s.name.endswith("_total")
    }
    assert requests == {("/v1/search", "200"): 3, ("/v1/search", "413"): 1}
    stages = families["anybind_stage_seconds"].samples
    counts = {s.labels["stage"]: s.value for s in stages if s.name.endswith("_count")}
    assert counts == {"fetch": 0, "decode": 0, "encode": 1, "search": 0, "generate": 0}
    sizes = [s.value for s in families["anybind_batch_size"].samples if s.name.endswith("_sum")]
    assert sizes == [5]
    in_work = {s.labels["work"]: s.value for s in families["anybind_in_work"].samples}
    assert in_work == {"search": 0, "answer": 0, "item": 0}


def test_the_log_names_the_request_and_never_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In JSON, one object a line."""
    path = tmp_path / "keys.txt"
    secret = new_key(path, "ann", Role.USER)

    async def work(edge: Edge, backend: Backend) -> None:
        headers = {"authorization": f"Bearer {secret}", "x-request-id": "number-7"}
        await ask(edge, headers=headers)

    before = logging.getLogger().handlers[:], logging.getLogger().level
    set_up(as_json=True)
    try:
        run(work, keys=Keys.load(path))
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    said = capsys.readouterr().err
    line = json.loads(said.strip().splitlines()[-1])
    assert line["request_id"] == "number-7" and line["key"] == "ann"
    assert line["path"] == "/v1/search" and line["status"] == 200
    assert secret not in said
