"""The client gives what the library gives, from a server on this machine, and what is wrong."""

import asyncio
import inspect
import io
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ForwardRef, cast, get_args

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from anybind import (
    AnyBind,
    AnyBindError,
    AsyncClient,
    Cache,
    Client,
    Frames,
    Generation,
    Hit,
    IndexFolderError,
    Input,
    MediaError,
    Motion,
    Overloaded,
    UsageError,
    Waveform,
    WeightsError,
    load,
)
from anybind.answers import Chat
from anybind.client import AsyncClientChat, ClientChat
from anybind.encoders.modality import Modality, Vectors
from anybind.index.filters import Filter
from anybind.index.mixing import MIXINGS, Mixing
from anybind.pipeline import Query
from anybind.server.schemas import MixingName
from anybind.wire import BODY_BYTES, OneOfMany

from .conftest import N_PICTURES as N
from .folders import unit_rows
from .serving import serving

DIM = 256  # of the shipped encoder
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 50, 3), np.uint8)
POINTS = RNG.standard_normal((60, 3)).astype(np.float32)
SOUND = Waveform(samples=0.1 * RNG.standard_normal((2, 20_000)).astype(np.float32), rate=22_050)
MOTION = Motion(samples=RNG.standard_normal((6, 700)).astype(np.float32), rate=100.0)
VIDEO = Frames(frames=RNG.integers(0, 256, (30, 32, 40, 3), np.uint8), fps=12.5)
DEPTH = RNG.uniform(1, 5, (40, 50)).astype(np.float32)
HEAT = RNG.integers(0, 256, (40, 50), np.uint8)
IN_MEMORY: dict[str, Any] = {
    "image": PIXELS,
    "audio": SOUND,
    "video": VIDEO,
    "points": torch.from_numpy(POINTS),
    "depth": DEPTH,
    "thermal": Image.fromarray(HEAT),
    "imu": MOTION,
}
QUESTION = "w5 w9"
GREEDY = Generation(temperature=0, max_tokens=6)
DRAWN = Generation(temperature=1, top_p=0.9, repetition_penalty=1.1, max_tokens=8, seed=3)


@pytest.fixture(scope="module")
def ab(world_index: Path, language_model: dict[str, Any]) -> AnyBind:
    """The oracle of all that is compared."""
    return load(world_index, **language_model)


@pytest.fixture(scope="module")
def address(world_index: Path, language_model: dict[str, Any]) -> Iterator[str]:
    """Where the same is served."""
    with serving({"world": world_index}, options=language_model) as running:
        yield running.url


class Waited:
    """The asynchronous client as if it were the other: each call is waited for."""

    def __init__(self, client: AsyncClient) -> None:
        self.runner = asyncio.Runner()
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self.client, name)

        async def call(*args: object, **options: object) -> object:
            found = await method(*args, **options)
            return [piece async for piece in found] if options.get("stream") else found

        return lambda *args, **options: self.runner.run(call(*args, **options))


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Client]:
    """Both clients, one after the other."""
    if request.param == "sync":
        with Client(address) as own:
            yield own
        return
    waited = Waited(AsyncClient(address))
    yield cast(Client, waited)
    waited.runner.run(waited.client.aclose())
    waited.runner.close()


def assert_same(found: Sequence[Hit], expected: Sequence[Hit]) -> None:
    """The same items, and scores to 1e-6."""
    assert [vars(hit) | {"score": 0} for hit in found] == [
        vars(hit) | {"score": 0} for hit in expected
    ]
    np.testing.assert_allclose(
        [hit.score for hit in found], [hit.score for hit in expected], atol=1e-6
    )


# ------------------------------------------------------------------- the library is the reference


@pytest.mark.parametrize("modality", IN_MEMORY)
def test_media_in_memory_arrive_as_they_are(ab: AnyBind, client: Client, modality: str) -> None:
    """Arrays, tensors, PIL images and what tells its rate; alone, and as a list."""
    item = IN_MEMORY[modality]
    expected = ab.embed(**{modality: item})
    found = client.embed(**{modality: item})
    assert found.dtype == np.float32 and found.shape == (DIM,)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    both: dict[str, Any] = {modality: [item, item]}
    rows = client.embed(**both)
    np.testing.assert_allclose(rows, np.stack([expected, expected]), atol=1e-6)


def test_files_arrive_whatever_names_them(ab: AnyBind, client: Client, tmp_path: Path) -> None:
    """By path, as bytes, and as a file object."""
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    expected = ab.embed(image=path)
    for item in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        np.testing.assert_allclose(client.embed(image=item), expected, atol=1e-6)


def test_a_long_list_takes_several_requests(ab: AnyBind, client: Client) -> None:
    """More texts than a server takes at once, and fewer at once than it takes."""
    texts = [f"text {i}" for i in range(20)]
    np.testing.assert_allclose(client.embed(text=texts), ab.embed(text=texts), atol=1e-6)
    few = client.embed(text=texts[:3], batch_size=2)
    np.testing.assert_allclose(few, ab.embed(text=texts[:3]), atol=1e-6)


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
def test_vectors_have_imagebinds_scale_where_it_is_asked_for(
    ab: AnyBind, client: Client, address: str, modality: str
) -> None:
    """Asked in turn with unit vectors of the same, which the server remembers."""
    item: Any = {"text": "a dog", "image": PIXELS, "audio": SOUND}[modality]
    given: dict[str, Any] = {modality: item}
    scaled = ab.embed(scaled=True, **given)
    length = float(np.linalg.norm(scaled))
    assert modality == "image" or not 0.9 < length < 1.1
    precision = 1e-6 * max(1.0, length)

    async def ask() -> Vectors:
        async with AsyncClient(address) as other:
            return await other.embed(scaled=True, progress=False, **given)

    for _ in range(2):
        found = client.embed(scaled=True, **given)
        np.testing.assert_allclose(found, scaled, atol=precision)
        np.testing.assert_allclose(client.embed(**given), ab.embed(**given), atol=1e-6)
    np.testing.assert_allclose(asyncio.run(ask()), scaled, atol=precision)


def test_a_bar_counts_the_items_that_are_embedded(
    client: Client, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ask() -> Vectors:
        async with AsyncClient(address) as other:
            return await other.embed(text=["a", "b", "c"], batch_size=2, progress=True)

    rows = client.embed(text=["a", "b", "c"], batch_size=2, progress=True)
    assert "3/3" in capsys.readouterr().err
    np.testing.assert_array_equal(asyncio.run(ask()), rows)
    assert "3/3" in capsys.readouterr().err
    client.embed(text=["a", "b", "c"], batch_size=2)
    assert capsys.readouterr().err == ""  # which is no terminal


def test_queries_mix_as_in_the_library(ab: AnyBind, client: Client) -> None:
    """Weights, what is taken away, items, ready vectors, centring."""
    query: dict[str, Any] = {
        "text": ["red", "blue"],
        "id": 3,
        "weights": {"text": [0.5, 2], "id": 0.7},
    }
    for centre in (False, True):
        expected = ab.mix(Input("image", PIXELS, weight=-0.4), centre=centre, **query)
        found = client.mix(Input("image", PIXELS, weight=-0.4), centre=centre, **query)
        np.testing.assert_allclose(found.vector, expected.vector, atol=1e-6)
        assert found.norm == pytest.approx(expected.norm, abs=1e-6)
        assert (found.weights, found.centred) == (expected.weights, centre)
    for mixing in ("imagebind-llm", MIXINGS["imagebind-llm"]):
        for cache in (None, Cache(k=4, alpha=0.7)):
            expected = ab.mix(audio=SOUND, text="red", mixing=mixing, cache=cache)
            found = client.mix(audio=SOUND, text="red", mixing=mixing, cache=cache)
            np.testing.assert_allclose(found.vector, expected.vector, atol=1e-6)
            assert found.weights == expected.weights
            assert [each.id for each in found.citations] == [each.id for each in expected.citations]
            assert len(found.citations) == (4 if cache else 0)
    vector = torch.from_numpy(3 * unit_rows(1, seed=5, dim=DIM)[0])
    found = client.mix(text="red", minus={"text": "blue", "embedding": vector})
    expected = ab.mix(text="red", minus={"text": "blue", "embedding": vector})
    np.testing.assert_allclose(found.vector, expected.vector, atol=1e-6)


@pytest.mark.parametrize(
    "query",
    [
        {"text": "a dog"},
        {"text": "a dog", "k": 3, "offset": 2},
        {"audio": SOUND, "cache": Cache(k=4, alpha=0.7)},
        {"audio": SOUND, "cache": Cache(k=4, weighting="linear", normalize=False)},
        {"id": [1, 2], "filter": {"width": {"eq": 96}, "id": {"lt": 9}}, "k": 5},
        {"id": 1, "filter": Filter.parse({"id": {"in": [2, 5, 7], "gt": 2}, "width": 96}), "k": 2},
        {"embedding": unit_rows(2, seed=6, dim=DIM), "dedup": 0.8, "k": 5},
        {"text": "a dog", "points": POINTS, "weights": {"points": 0.3}, "centre": True},
    ],
)
def test_searches_find_what_the_library_finds(
    ab: AnyBind, client: Client, query: dict[str, Any]
) -> None:
    expected = ab.search(**query)
    assert expected
    assert_same(client.search(**query), expected)


def test_many_searches_at_once_find_the_same(ab: AnyBind, client: Client) -> None:
    """More than one request takes, each with settings of its own."""
    queries: list[OneOfMany] = [{"text": f"text {i}", "k": 1 + i % 3} for i in range(66)]
    found = client.search_many([*queries, {"inputs": [Input("id", 5)], "k": 2}])
    assert len(found) == len(queries) + 1
    for i, hits in enumerate(found[:-1]):
        assert_same(hits, ab.search(text=f"text {i}", k=1 + i % 3))
    assert_same(found[-1], ab.search(id=5, k=2))


@pytest.mark.parametrize("settings", [GREEDY, DRAWN])
@pytest.mark.parametrize("cache", ["default", None, Cache(k=3, alpha=1)])
def test_answers_are_the_librarys(
    ab: AnyBind, client: Client, settings: Generation, cache: Cache | None
) -> None:
    """The same words from the same seed, and the same images cited."""
    expected = ab.ask(QUESTION, audio=SOUND, cache=cache, settings=settings)
    found = client.ask(QUESTION, audio=SOUND, cache=cache, settings=settings)
    assert found.text == expected.text
    assert_same(found.citations, expected.citations)
    assert found.query is not None and not found.query.vector.size
    assert client.ask(QUESTION, settings=settings).text == ab.ask(QUESTION, settings=settings).text


def test_a_conversation_is_the_librarys(ab: AnyBind, address: str) -> None:
    """What was shown is carried on; a closed stream leaves the conversation as it was."""
    expected = ab.chat()
    asked: list[tuple[str, dict[str, Any]]] = [
        ("w5", {"image": PIXELS}),
        ("w6", {}),
        ("w7", {"audio": SOUND}),
    ]
    answers = [expected.ask(q, settings=DRAWN, **shown).text for q, shown in asked]
    with Client(address) as client:
        chat = client.chat()
        stream = chat.ask("w8", settings=DRAWN, stream=True)
        stream.close()
        assert not chat.turns
        for (question, shown), answer in zip(asked, answers, strict=True):
            stream = chat.ask(question, settings=DRAWN, stream=True, **shown)
            assert "".join(stream) == stream.answer.text == answer
        assert [turn.answer.text for turn in chat.turns] == answers

    async def conversation() -> list[str]:
        async with AsyncClient(address) as client:
            chat = client.chat()
            stream = await chat.ask("w8", settings=DRAWN, stream=True)
            await anext(stream)
            await stream.aclose()
            assert not chat.turns
            said = [await chat.ask(q, settings=DRAWN, **shown) for q, shown in asked]
            stream = await chat.ask("w6", settings=DRAWN, stream=True)
            assert "".join([piece async for piece in stream]) == stream.answer.text
            assert len(chat.turns) == 4
            chat.reset()
            assert not chat.turns
            return [answer.text for answer in said]

    assert asyncio.run(conversation()) == answers


def test_streams_say_the_same_and_cite_from_the_start(ab: AnyBind, address: str) -> None:
    """The reference is the whole answer."""
    whole = ab.ask(QUESTION, audio=SOUND, settings=DRAWN)
    with Client(address) as client:
        stream = client.ask(QUESTION, audio=SOUND, settings=DRAWN, stream=True)
        assert stream.answer.text == ""
        assert_same(stream.answer.citations, whole.citations)
        pieces = list(stream)
        assert all(pieces) and "".join(pieces) == whole.text == stream.answer.text


def test_the_server_tells_what_it_has(ab: AnyBind, client: Client) -> None:
    """An item with its picture, what is served, and that nothing is newer."""
    item = client.item(7)
    (row,) = ab.index.rows([7])
    assert item.model_dump() == {name: getattr(row, name) for name in item.model_dump()}
    original = ab.index.original(7)
    assert original is not None and client.image(7) == original.content
    assert client.image(7, 256) == ab.index.thumbnail(7)
    assert Image.open(io.BytesIO(client.image(7, 32))).size == (32, 32)
    served = client.indices()
    assert [(index.name, index.items) for index in served.indices] == [("world", N)]
    assert served.can_answer
    assert client.reload() == []
    assert client.healthz()
    assert client.readyz().ready and set(client.readyz().parts.values()) == {"ready"}


# ------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"text": " "},
        {"text": 3},
        {"text": "a", "k": N + 1},
        {"text": "a", "weights": {"audio": 2}},
        {"image": b"no picture"},
        {"image": PIXELS[:0]},
        {"audio": PIXELS},
        {"points": b"PK\x03\x04"},
        {"id": N},
        {"id": 1.5},
        {"embedding": np.zeros(DIM)},
        {"embedding": np.ones(3)},
        {"text": "a", "filter": {"colour": "red"}},
        {"text": "a", "sound": "dog.wav"},
    ],
)
def test_what_the_library_refuses_the_client_refuses(
    ab: AnyBind, client: Client, query: dict[str, Any]
) -> None:
    """With an error of the same class."""
    with pytest.raises((AnyBindError, TypeError)) as expected:
        ab.search(**query)
    with pytest.raises(type(expected.value)) as found:
        client.search(**query)
    assert "\n" not in str(found.value)


def test_there_is_no_such_thing(client: Client, address: str) -> None:
    """Items, indices, lists and vectors that are not there."""
    with pytest.raises(UsageError, match=f"has no item {N}; its items are 0 to {N - 1}"):
        client.item(N)
    with pytest.raises(UsageError, match="the list of text is empty"):
        client.embed(text=[])
    with pytest.raises(UsageError, match="batch_size is 0"):
        client.embed(text="a", batch_size=0)
    with pytest.raises(UsageError, match="no array of numbers"):
        client.search(embedding=cast(Vectors, [print]))
    with pytest.raises(UsageError, match="leave modalities out"):
        client.search(text="a", cache=Cache(modalities=frozenset({Modality.TEXT})))
    with pytest.raises(UsageError, match="there are anybind, imagebind-llm"):
        client.mix(text="a", mixing=Mixing(shares=True, normalise=True))
    with pytest.raises(UsageError, match="sent as JSON"):
        client.search(text="a", filter={"caption": PIXELS})
    with Client(address, index="large") as other:
        with pytest.raises(UsageError, match="no index is called 'large'; there are world"):
            other.search(text="a")


def test_a_server_that_is_not_there_is_named() -> None:
    """On a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with Client(where) as client:
        assert not client.healthz()
        with pytest.raises(AnyBindError, match=f"{where} cannot be reached .*anybind serve DIR"):
            client.search(text="a")
        with pytest.raises(AnyBindError, match="cannot be reached"):
            client.ask("w5", stream=True)
    with pytest.raises(UsageError, match="'localhost:8000'; write it as http://127.0.0.1:8000"):
        Client("localhost:8000")


# ------------------------------------------------------------------ without a server: what is sent


Handler = Callable[[httpx.Request], httpx.Response]


def problem(status: int, kind: str, **headers: str) -> httpx.Response:
    """As the server sends it."""
    body = {"type": f"about:blank#{kind}", "detail": f"what {kind} means", "request_id": "abc"}
    content = json.dumps(body).encode()
    headers |= {"Content-Type": "application/problem+json"}
    return httpx.Response(status, content=content, headers=headers)


def no_hits() -> httpx.Response:
    query = {"norm": 1.0, "weights": [1.0], "centred": False}
    return httpx.Response(200, json={"results": [], "query": query, "took_ms": 1.0, "new": 1})


def events(*chunks: bytes) -> httpx.Response:
    return httpx.Response(200, stream=Chunks(chunks))


class Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in pieces."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


def fake(handler: Handler, **options: Any) -> Client:
    """A client whose requests a function answers."""
    return Client("http://server/below", transport=httpx.MockTransport(handler), **options)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between requests, which take no time; those of others, like a server's, go on."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    stand_ins = {
        "time": SimpleNamespace(sleep=waits.append),
        "asyncio": SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread),
        "random": SimpleNamespace(uniform=lambda low, high: high),
    }
    for module, stand_in in stand_ins.items():
        monkeypatch.setattr(f"anybind.client.{module}", stand_in)
    return waits


def test_a_request_names_the_key_the_index_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body as the server's schema has it, below the prefix of a proxy."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return no_hits()

    fake(handler, key="ab_1", index="birds").search(
        image="https://example.org/a.jpg", minus={"text": "blue"}, k=3
    )
    assert str(seen[0].url) == "http://server/below/v1/search"
    assert seen[0].headers["Authorization"] == "Bearer ab_1"
    assert json.loads(seen[0].content) == {
        "index": "birds",
        "inputs": [
            {"modality": "image", "url": "https://example.org/a.jpg", "weight": 1.0},
            {"text": "blue", "weight": -1.0},
        ],
        "k": 3,
        "offset": 0,
        "dedup": None,
        "cache": None,
        "filter": None,
        "centre": False,
    }
    monkeypatch.setenv("ANYBIND_API_KEY", "ab_2")
    fake(handler).search(text="a")
    assert seen[1].headers["Authorization"] == "Bearer ab_2"
    assert "Authorization" not in fake(handler, key="")._http.headers


@pytest.mark.parametrize(
    ("status", "kind", "error", "message"),
    [
        (400, "usage", UsageError, "what usage means"),
        (422, "schema", UsageError, "what schema means"),
        (413, "too-large", UsageError, "what too-large means"),
        (404, "index", UsageError, "what index means"),
        (401, "key", UsageError, "what key means; here: key=, or ANYBIND_API_KEY"),
        (400, "media", MediaError, "what media means"),
        (503, "index", IndexFolderError, "what index means"),
        (503, "weights", WeightsError, "what weights means"),
        (503, "language-model", AnyBindError, "what language-model means"),
        (500, "internal", AnyBindError, r"what internal means \(abc\)"),
    ],
)
def test_problems_become_the_librarys_errors(
    status: int, kind: str, error: type[AnyBindError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        fake(lambda request: problem(status, kind)).search(text="a")
    assert type(caught.value) is error


def test_a_busy_server_is_asked_again_after_the_time_it_says(slept: list[float]) -> None:
    """Half of it on top at most; twice, unless told otherwise; what it did not begin only."""

    def busy() -> httpx.Response:
        return problem(429, "overloaded", **{"Retry-After": "2"})

    coming = iter([busy(), problem(503, "index", **{"Retry-After": "1"}), no_hits()])
    assert fake(lambda request: next(coming)).search(text="a") == []
    assert slept == [3.0, 1.5]

    async def ask() -> None:
        transport = httpx.MockTransport(lambda request: busy())
        await AsyncClient(transport=transport, retries=1).search(text="a")

    with pytest.raises(Overloaded, match="what overloaded means") as caught:
        asyncio.run(ask())
    assert caught.value.retry_after == 2 and slept == [3.0, 1.5, 3.0]
    for answer in (
        problem(429, "overloaded", **{"Retry-After": "3600"}),
        problem(503, "language-model"),
        problem(500, "internal", **{"Retry-After": "1"}),
    ):
        with pytest.raises(AnyBindError):
            fake(lambda request, answer=answer: answer).search(text="a")  # type: ignore[misc]
    assert len(slept) == 3


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(502, text="<html>"), "answered 502 Bad Gateway, .*; is it one?"),
        (httpx.Response(200, text="<html>"), "is no JSON; does it run another version?"),
        (httpx.Response(200, json={"results": 3}), "is no SearchResponse of this version"),
    ],
)
def test_what_is_no_server_of_ours_is_told(response: httpx.Response, message: str) -> None:
    with pytest.raises(AnyBindError, match=message):
        fake(lambda request: response).search(text="a")


def test_a_server_that_says_nothing_is_given_up() -> None:
    """With the time that was waited."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    with pytest.raises(AnyBindError, match="said nothing for 5 s; give a longer timeout="):
        fake(handler, timeout=5).search(text="a")


def test_large_media_are_spread_over_requests() -> None:
    """Three of them, of which two do not fit into one body."""
    counts: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        counts.append(len(json.loads(request.content)["inputs"]))
        rows = [{"modality": "image", "embedding": [1.0, 0.0]}] * counts[-1]
        return httpx.Response(200, json={"encoder": "e", "dim": 2, "embeddings": rows})

    large = bytes(BODY_BYTES // 2)  # a third more in base64
    assert fake(handler).embed(image=[large, b"a", b"b", large]).shape == (4, 2)
    assert counts == [3, 1]


BEGIN = b'event: begin\ndata: {"query": null, "forgotten": 1}\n\n'
TEXT = 'event: text\ndata: {"text": "a\u2028\u0085是"}\n\n'.encode()
END = b'event: end\ndata: {"answer": "", "took_ms": 1}\n\n'


def test_events_are_read_however_they_are_cut() -> None:
    """Byte by byte, with signs that end a line elsewhere, and comments that keep a line open."""
    whole = BEGIN + b": still here\n\n" + TEXT + TEXT + END
    response = events(*(whole[i : i + 1] for i in range(len(whole))))
    stream = fake(lambda request: response).ask("w", stream=True)
    assert stream.answer.forgotten == 1
    assert list(stream) == ["a\u2028\u0085是"] * 2
    assert response.is_closed


def test_an_answer_that_fails_or_breaks_off_says_so() -> None:
    """Before it begins, and in its middle; whatever came before is there."""
    failed = b'event: error\ndata: {"status": 400, "type": "x#media", "detail": "bad"}\n\n'
    stream = fake(lambda request: events(BEGIN, TEXT + failed)).ask("w", stream=True)
    assert next(stream)
    with pytest.raises(MediaError, match="bad"):
        next(stream)
    stream = fake(lambda request: events(BEGIN + TEXT[:-1])).ask("w", stream=True)
    with pytest.raises(AnyBindError, match="broke off in the middle of its answer; ask again"):
        list(stream)
    with pytest.raises(MediaError, match="bad"):
        fake(lambda request: events(failed)).ask("w", stream=True)
    with pytest.raises(UsageError, match="what usage means"):
        fake(lambda request: problem(400, "usage")).ask("w", stream=True)


def test_closing_a_stream_lets_go_of_the_server() -> None:
    """Before the first piece, and in the middle; the connection is what stops the drawing there."""
    for n_read in (0, 1):
        response = events(BEGIN, TEXT, TEXT, END)
        stream = fake(lambda request, response=response: response).ask("w", stream=True)  # type: ignore[misc]
        for _ in range(n_read):
            next(stream)
        assert not response.is_closed
        stream.close()
        assert response.is_closed

    async def leave() -> bool:
        response = events(BEGIN, TEXT, TEXT, END)
        client = AsyncClient(transport=httpx.MockTransport(lambda request: response))
        stream = await client.ask("w", stream=True)
        await stream.aclose()
        return response.is_closed

    assert asyncio.run(leave())


ON_THE_SERVER = {
    "folder": "a path of its disk",
    "index": "its rows; indices, item and image tell of them",
    "centres": "it takes them out, with centre",
    "default_cache": "it pulls by it, unless told otherwise",
    "neighbours": "a step of search; search_many takes several ready vectors",
    "view": "a step of ask",
    "enhance": "a step of mix and search, with cache",
    "is_pulled": "asked in between",
    "vectors_of": "a step of mix",
    "model": "of a conversation: its weights",
    "prepare": "of a conversation: a step of ask",
    "remember": "of a conversation: embeds what an earlier one showed",
    "save": "of a conversation: the client's turns are there to be written by whoever has them",
}
OF_CLIENTS = {
    "close": "connections are let go of",
    "search_many": "one request instead of many",
    "item": "what ab.index.rows tells",
    "image": "what the index keeps",
    "indices": "there may be several",
    "reload": "for operators",
    "healthz": "for operators",
    "readyz": "for operators",
}


@pytest.mark.parametrize(("own", "other"), [(AnyBind, Client), (Chat, ClientChat)])
def test_the_client_has_the_librarys_methods_and_parameters(
    own: type[object], other: type[object]
) -> None:
    """The reference is the library's class; what only one of them has is named, with its reason."""
    ours, theirs = methods(own), methods(other)
    assert ours.keys() - theirs.keys() <= ON_THE_SERVER.keys()
    assert theirs.keys() - ours.keys() <= OF_CLIENTS.keys()
    shared = ours.keys() & theirs.keys()
    assert "ask" in shared and not shared & (ON_THE_SERVER.keys() | OF_CLIENTS.keys())
    for name in shared:
        assert parameters(ours[name]) == parameters(theirs[name]), name


@pytest.mark.parametrize(("one", "other"), [(Client, AsyncClient), (ClientChat, AsyncClientChat)])
def test_both_clients_have_the_same_methods(one: type[object], other: type[object]) -> None:
    """But for aclose, which is awaited."""
    first, second = methods(one), methods(other)
    assert first.keys() - {"close"} == second.keys() - {"aclose"}
    for name in first.keys() - {"close"}:
        assert inspect.signature(first[name]).parameters == (
            inspect.signature(second[name]).parameters
        ), name


def test_the_server_knows_every_way_of_mixing_that_has_a_name() -> None:
    assert set(get_args(MixingName)) == set(MIXINGS)


def methods(of: type[object]) -> dict[str, Callable[..., object]]:
    """What a class offers, properties by their getters."""
    found: dict[str, Callable[..., object]] = {}
    for name, value in inspect.getmembers(of):
        if not name.startswith("_"):
            getter = getattr(value, "fget", None) or getattr(value, "func", None)
            found[name] = getter or value
    return found


def parameters(method: Callable[..., object]) -> dict[str, object]:
    """Names with their kinds; keywords that stand in a typed dictionary are spelled out."""
    found: dict[str, object] = {}
    for name, each in inspect.signature(method).parameters.items():
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            (named,) = get_args(each.annotation)
            named = Query if named == ForwardRef("Query") else named
            found |= dict.fromkeys(named.__annotations__, inspect.Parameter.KEYWORD_ONLY)
        elif name != "self":
            found[name] = each.kind
    return found
