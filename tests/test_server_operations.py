"""What an operator counts on: swaps and stops of a real process, figures, memory, room; and video
by OpenAI's client."""

import asyncio
import base64
import gc
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

import anybind
from anybind.encoders.encoder import Encoder
from anybind.encoders.modality import Vectors
from anybind.index.generation import build_generation
from anybind.index.manifest import Manifest
from anybind.index.shards import write_shard
from anybind.llm.serving import ContinuousBatch
from anybind.pipeline import Encoded
from anybind.server.engine import VECTOR_OVERHEAD, Engine
from anybind.server.hub import LOADING, READY, Hub, Opener
from anybind.server.inputs import Part
from anybind.server.metrics import Metrics
from anybind.server.settings import Settings
from anybind.world.scene import scene
from anybind.world.video import write_video

from .folders import rows_of
from .serving import Running, serving

DIM = 256  # of imagebind-mini
QUESTION = "w5 w9 w20"  # the small language model speaks in such words
WAIT_SECONDS = 120


@pytest.fixture(scope="module")
def newer(world_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of an index, in its second generation."""
    folder = tmp_path_factory.mktemp("newer") / "newer"
    shutil.copytree(world_index, folder, symlinks=True)
    assert build_generation(folder).generation is not None
    return folder


@pytest.fixture(scope="module")
def server(world_index: Path, newer: Path, language_model: dict[str, Any]) -> Iterator[Running]:
    """With a language model that draws one answer at a time."""
    settings = Settings(decoders=1, answer_batch=1)
    folders = {"world": world_index, "newer": newer}
    with serving(folders, settings=settings, options=language_model) as running:
        yield running


@pytest.fixture(scope="module")
def ab(world_index: Path, language_model: dict[str, Any]) -> anybind.AnyBind:
    """What the server's answers are compared with."""
    return anybind.load(world_index, **language_model)


def until(happened: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.03)


class Halved:
    """A request whose head and half of whose body are sent, so that it is in work as long as a
    test likes."""

    def __init__(self, url: str, path: str, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        address = urlsplit(url)
        self._rest = content[len(content) // 2 :]
        self._connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=WAIT_SECONDS
        )
        self._connection.putrequest("POST", path)
        self._connection.putheader("Content-Type", "application/json")
        self._connection.putheader("Content-Length", str(len(content)))
        self._connection.endheaders()
        self._connection.send(content[: len(content) // 2])

    def finish(self) -> dict[str, Any]:
        """Send the rest; the response, which has to be a good one and to come whole."""
        self._connection.send(self._rest)
        response = self._connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return dict(json.loads(content))

    def close(self) -> None:
        self._connection.close()


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> Iterator[threading.Event]:
    """Let a method wait until the event is set, or the block ends."""
    gate, work = threading.Event(), getattr(owner, name)

    def wait_and_work(*args: Any, **options: Any) -> Any:
        assert gate.wait(WAIT_SECONDS)
        return work(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, wait_and_work)
        try:
            yield gate
        finally:
            gate.set()


# ------------------------------------------------------------------------------- a real process


def refused(url: str) -> bool:
    """Whether nobody listens at an address."""
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@contextmanager
def process(
    log: Path, folder: Path, language_model: dict[str, Any]
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``anybind serve`` once everything is loaded, with its URL; what it says goes to a file, as
    a pipe that nobody reads would hold it up."""
    program = [sys.executable, "-c", "import sys; from anybind.cli import main; sys.exit(main())"]
    options = ["--port=0", "--decoders=1"]
    options += [f"--{name}={value}" for name, value in language_model.items()]
    with log.open("wb") as stderr:
        running = subprocess.Popen([*program, "serve", f"it={folder}", *options], stderr=stderr)

    def alive() -> bool:
        assert running.poll() is None, log.read_text()
        return True

    try:
        until(lambda: alive() and "\n" in log.read_text(), "the first line")
        url = log.read_text().splitlines()[0].rstrip("/")
        until(lambda: alive() and not refused(url), "the server")
        with httpx.Client(base_url=url, trust_env=False, timeout=WAIT_SECONDS) as client:

            def loaded() -> bool:
                parts = client.get("/readyz").json()["parts"]
                assert set(parts.values()) <= {READY, LOADING}, parts
                return LOADING not in parts.values()

            until(lambda: alive() and loaded(), "what it loads")
        yield running, url
    finally:
        running.kill()
        running.wait()


def add_items(folder: Path, vectors: Vectors) -> None:
    """Publish the next generation of an index, with some items more."""
    manifest = Manifest.load(folder)
    n = manifest.counts.indexed
    rows = rows_of(range(n, n + len(vectors)))
    entry = write_shard(folder, "image", len(manifest.shards), vectors, rows)
    manifest.with_shard(entry).save(folder)
    build_generation(folder)


def test_sighup_swaps_generations_while_texts_are_searched(
    world_index: Path, tmp_path: Path, language_model: dict[str, Any]
) -> None:
    """The library says what each text finds in the one generation and in the other, whose new items
    lie where the texts do. Each client sees the one, then the other, and never an error."""
    folder = shutil.copytree(world_index, tmp_path / "it", symlinks=True)
    texts = [
        f"a {colour} {thing}" for colour in ("red", "blue") for thing in ("car", "dog", "ball")
    ]
    before = anybind.load(folder)
    first = {text: [hit.id for hit in before.search(text=text, k=3)] for text in texts}
    seen: list[list[tuple[str, list[int]]]] = [[] for _ in range(4)]
    done = threading.Event()

    def search(url: str, found: list[tuple[str, list[int]]]) -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=WAIT_SECONDS) as client:
            while not done.is_set():
                text = texts[len(found) % len(texts)]
                body = {"inputs": [{"text": text}], "k": 3}
                answer = client.post("/v1/search", json=body)
                assert answer.status_code == 200, answer.text
                found.append((text, [hit["id"] for hit in answer.json()["results"]]))

    log = tmp_path / "log"
    with process(log, folder, language_model) as (running, url), ThreadPoolExecutor(4) as threads:
        searching = [threads.submit(search, url, found) for found in seen]

        def until_each_goes_on() -> None:
            wanted = [len(found) + 2 * len(texts) for found in seen]
            until(
                lambda: (
                    any(each.done() for each in searching)
                    or all(len(found) >= n for found, n in zip(seen, wanted, strict=True))
                ),
                "the next searches",
            )

        try:
            until_each_goes_on()
            add_items(folder, np.array([before.embed(text=text) for text in texts]))
            until_each_goes_on()
            assert all(ids == first[text] for found in seen for text, ids in found)
            running.send_signal(signal.SIGHUP)
            until(lambda: "reloaded on SIGHUP: it" in log.read_text(), "the reload")
            until_each_goes_on()
        finally:
            done.set()
        for each in searching:
            each.result()
        with httpx.Client(base_url=url, trust_env=False, timeout=WAIT_SECONDS) as client:
            (index,) = client.get("/v1/index").json()["indices"]
        running.terminate()
        assert running.wait(WAIT_SECONDS) == 0
    assert (index["generation"], index["items"]) == (2, len(before.index) + len(texts))
    after = anybind.load(folder)
    second = {text: [hit.id for hit in after.search(text=text, k=3)] for text in texts}
    assert all(second[text][0] == len(before.index) + i for i, text in enumerate(texts))
    for found in seen:
        n_first = sum(ids == first[text] for text, ids in found)
        assert all(ids == first[text] for text, ids in found[:n_first])
        assert all(ids == second[text] for text, ids in found[n_first:])
        assert 2 * len(texts) <= n_first <= len(found) - 2 * len(texts)


def test_sigterm_lets_everything_in_work_arrive_whole(
    world_index: Path, tmp_path: Path, language_model: dict[str, Any], ab: anybind.AnyBind
) -> None:
    """A stream that is being read, and a question and a search whose bodies end only after nobody
    listens any more. The library says what each has to be."""
    ask: dict[str, Any] = {"question": QUESTION, "temperature": 0, "max_tokens": 200}
    search = {"inputs": [{"text": "a dog"}], "k": 3}
    with (
        process(tmp_path / "log", world_index, language_model) as (running, url),
        closing(Halved(url, "/v1/search", search)) as searching,
        closing(Halved(url, "/v1/ask", {**ask, "max_tokens": 50})) as asking,
        httpx.Client(base_url=url, trust_env=False, timeout=WAIT_SECONDS) as client,
    ):
        in_work = {("anybind_in_work", "search"): 1.0, ("anybind_in_work", "answer"): 1.0}
        until(lambda: in_work.items() <= figures(client).items(), "the halves")
        started = time.perf_counter()
        with client.stream("POST", "/v1/ask", json={**ask, "stream": True}) as response:
            lines = response.iter_lines()
            assert next(lines) == "event: begin"
            running.terminate()
            ms_to_signal = 1000 * (time.perf_counter() - started)
            until(lambda: refused(url), "the end of listening")
            assert running.poll() is None
            rest = list(lines)
        found = searching.finish()
        answer = asking.finish()
        assert running.wait(WAIT_SECONDS) == 0
    assert rest[-3] == "event: end"
    end = json.loads(rest[-2].removeprefix("data: "))
    assert end["took_ms"] > ms_to_signal  # it was in work when the signal came

    def answered(n: int) -> str:
        settings = anybind.Generation(temperature=0, max_tokens=n)
        return ab.ask(QUESTION, settings=settings).text

    said = "".join(
        json.loads(data.removeprefix("data: "))["text"]
        for event, data in zip(rest, rest[1:], strict=False)
        if event == "event: text"
    )
    assert said == end["answer"] == answered(200) and len(said.split()) == 200
    assert answer["answer"] == answered(50)
    assert [hit["id"] for hit in found["results"]] == [h.id for h in ab.search(text="a dog", k=3)]


# -------------------------------------------------------------------------------------- figures


Figures = dict[tuple[str, ...], float]


def figures(client: httpx.Client) -> Figures:
    """What a server tells Prometheus, by name and the values of the labels."""
    response = client.get("/metrics").raise_for_status()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def risen(before: Figures, after: Figures, name: str) -> Figures:
    """By how much the figures of one name did, where they did."""
    rise = {key[1:]: value - before.get(key, 0) for key, value in after.items() if key[0] == name}
    return {labels: by for labels, by in rise.items() if by}


def test_metrics_of_a_live_server_count_what_was_done(
    server: Running, world_pictures: Path
) -> None:
    """Four searches, three of them by text and one of these again; a picture that is none; an
    answer about the text of before. What a look at the figures counts, the next one shows."""
    picture = base64.b64encode(next(iter(sorted(world_pictures.glob("*.png")))).read_bytes())
    parts: list[dict[str, Any]] = [
        {"text": "a lonely dog"},
        {"text": "a lonely cat"},
        {"text": "a lonely dog"},
        {"modality": "image", "data": picture.decode()},
    ]
    asked = {"question": QUESTION, "inputs": parts[:1], "temperature": 0, "max_tokens": 8}
    with server.client() as client:
        before = figures(client)
        for part in parts:
            client.post("/v1/search", json={"inputs": [part]}).raise_for_status()
        wrong = {"inputs": [{"modality": "image", "data": "%%"}]}
        assert client.post("/v1/search", json=wrong).status_code == 400
        answer = client.post("/v1/ask", json=asked).raise_for_status().json()
        after = figures(client)
    assert risen(before, after, "anybind_requests_total") == {
        ("/v1/search", "200"): 4,
        ("/v1/search", "400"): 1,
        ("/v1/ask", "200"): 1,
        ("/metrics", "200"): 1,
    }
    assert risen(before, after, "anybind_request_seconds_count") == {
        ("/v1/search",): 5,
        ("/v1/ask",): 1,
        ("/metrics",): 1,
    }
    assert risen(before, after, "anybind_stage_seconds_count") == {
        ("decode",): 1,
        ("encode",): 3,
        ("search",): 4,
        ("generate",): 1,
    }
    assert risen(before, after, "anybind_embedding_cache_total") == {("miss",): 3, ("hit",): 2}
    n_words = len(answer["answer"].split())  # each a token of this language model
    assert risen(before, after, "anybind_generated_tokens_total") == {(): n_words} == {(): 8}
    seconds = risen(before, after, "anybind_stage_seconds_sum")
    whole = risen(before, after, "anybind_request_seconds_sum")
    assert 0 < seconds["search",] < whole["/v1/search",]
    assert 0 < seconds["generate",] < whole["/v1/ask",]
    generations = {key[1]: v for key, v in after.items() if key[0] == "anybind_index_generation"}
    assert generations == {"world": 1, "newer": 2}


def test_gauges_of_a_live_server_tell_what_waits(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three questions to a language model that answers one at a time and is held up; three texts,
    of which the first is encoded alone, as nothing waits for company. In the end nothing waits."""
    asked = {"question": QUESTION, "temperature": 0, "max_tokens": 4}
    texts = [f"a picture number {i}" for i in range(3)]

    def waiting(n_answers: int, n_texts: int) -> Figures:
        return {
            ("anybind_answers_running",): min(n_answers, 1),
            ("anybind_waiting", "answer"): max(n_answers - 1, 0),
            ("anybind_waiting", "text"): max(n_texts - 1, 0),
            ("anybind_waiting", "search"): 0,
            ("anybind_in_work", "answer"): n_answers,
            ("anybind_in_work", "search"): n_texts,
        }

    with server.client() as client, ThreadPoolExecutor(6) as threads:

        def until_told(n_answers: int, n_texts: int) -> None:
            expected = waiting(n_answers, n_texts)
            until(lambda: expected.items() <= figures(client).items(), str(expected))

        client.post("/v1/ask", json=asked).raise_for_status()
        until_told(0, 0)
        with (
            held(monkeypatch, ContinuousBatch, "_step"),
            held(monkeypatch, Encoder, "encode") as encoding,
        ):
            answers = [threads.submit(client.post, "/v1/ask", json=asked) for _ in range(3)]
            until_told(3, 0)
            bodies = [{"inputs": [{"text": text}]} for text in texts]
            found = [threads.submit(client.post, "/v1/search", json=body) for body in bodies]
            until_told(3, 3)
            encoding.set()
            assert [each.result().status_code for each in found] == [200] * 3
            until_told(3, 0)
        assert [each.result().status_code for each in answers] == [200] * 3
        until_told(0, 0)


# ------------------------------------------------------------------------- vectors that came before


def embedded(
    world_index: Path, texts: Sequence[Sequence[str]], **settings: Any
) -> list[list[Vectors]]:
    """What an engine makes of some requests, one after the other."""
    hub = Hub({"world": world_index}, Opener(), answers=False)
    hub.open_indices()

    async def work() -> list[list[Vectors]]:
        engine = Engine(hub, Settings(**settings), Metrics(), None, n_decoders=1)
        found: list[list[Vectors]] = []
        for some in texts:
            parts = [Part(modality="text", value=text, weight=1.0) for text in some]
            values = [given.value for given in await engine.inputs(hub.get(), parts)]
            found.append([value.vector for value in values if isinstance(value, Encoded)])
        await engine.close()
        return found

    return asyncio.run(work())


ROOM = 4 * DIM + VECTOR_OVERHEAD  # bytes of one remembered vector


@pytest.mark.parametrize(
    ("n_bytes", "encoded"),
    [
        (3 * ROOM, "abc"),
        (3 * ROOM - 1, "abcbc"),  # c pushes b out, as a was used since; b pushes c out
        (2 * ROOM, "abcbc"),
        (ROOM, "abacabc"),
        (ROOM - 1, "aabacaabc"),
        (0, "aabacaabc"),
    ],
)
def test_a_text_that_comes_again_is_encoded_again_only_if_it_was_forgotten(
    world_index: Path,
    ab: anybind.AnyBind,
    monkeypatch: pytest.MonkeyPatch,
    n_bytes: int,
    encoded: str,
) -> None:
    """The expected encodings are those of the latest used three, two, one and none of the texts,
    by hand; the vectors are the library's, remembered or not."""
    asked = "aabacaabc"
    expected = {letter: ab.embed(text=f"picture {letter}") for letter in "abc"}
    seen: list[str] = []
    encode = Encoder.encode

    def counted(self: Encoder, modality: Any, items: Sequence[Any], **options: Any) -> Vectors:
        seen.extend(items)
        return encode(self, modality, items, **options)

    monkeypatch.setattr(Encoder, "encode", counted)
    texts = [[f"picture {letter}"] for letter in asked]
    found = embedded(world_index, texts, embedding_cache_bytes=n_bytes)
    assert seen == [f"picture {letter}" for letter in encoded]
    for (vector,), letter in zip(found, asked, strict=True):
        np.testing.assert_allclose(vector, expected[letter], atol=1e-6)


def test_a_remembered_vector_holds_no_memory_but_its_own(world_index: Path) -> None:
    """The limit counts the bytes of each vector; a row of a batch's array would hold all of it. The
    first of the texts is encoded alone, the others together."""
    (vectors,) = embedded(world_index, [[f"picture {i}" for i in range(9)]])
    holding = [vector if vector.base is None else vector.base for vector in vectors]
    assert [np.asarray(each).nbytes for each in holding] == [4 * DIM] * 9


def test_what_is_loaded_is_not_looked_through_for_garbage_again(server: Running) -> None:
    """A full collection would stop all requests for a fifth of a second; torch alone makes some
    hundred thousand objects."""
    assert gc.get_freeze_count() > 100_000


# ------------------------------------------------------------------------------------------ room


def test_a_search_too_many_is_told_when_to_come_again(world_index: Path) -> None:
    """The first one's body comes slowly. Its place is free again once it is answered; health, items
    and figures have room all the time."""
    body = {"inputs": [{"text": "a dog"}], "k": 3}
    hits = [hit.id for hit in anybind.load(world_index).search(text="a dog", k=3)]
    settings = Settings(decoders=1, max_searches=1)
    with (
        serving({"world": world_index}, settings=settings) as running,
        running.client() as client,
        closing(Halved(running.url, "/v1/search", body)) as first,
    ):
        until(lambda: figures(client)["anybind_in_work", "search"] == 1, "the first search")
        for route in ("/v1/search", "/v1/embed", "/v1/embeddings", "/knn-service"):
            second = client.post(route, json=body)
            assert second.status_code == 429 and second.headers["retry-after"] == "1", second.text
            assert "1 requests of this kind are in work and 1 may be" in second.text
        for free in ("/healthz", "/v1/items/0", "/v1/index"):
            assert client.get(free).status_code == 200
        assert figures(client)["anybind_refused_total", "overloaded"] == 4
        assert [hit["id"] for hit in first.finish()["results"]] == hits
        third = client.post("/v1/search", json=body).raise_for_status().json()
        assert [hit["id"] for hit in third["results"]] == hits
        assert figures(client)["anybind_in_work", "search"] == 0


# ----------------------------------------------------------------------------------------- video


def test_a_video_is_asked_about_by_openais_client(
    server: Running, ab: anybind.AnyBind, tmp_path: Path
) -> None:
    """In both ways that docs/clients.md names, whole and streamed; the library answers the same,
    and otherwise where the video is not shown or half of what is."""
    write_video(scene(3), tmp_path / "3.mp4", 96)
    video = (tmp_path / "3.mp4").read_bytes()
    in_base64 = base64.b64encode(video).decode()
    url = {"url": f"data:video/mp4;base64,{in_base64}"}
    own = {"modality": "video", "data": in_base64}
    settings = anybind.Generation(temperature=0, max_tokens=12)
    alone = ab.ask(QUESTION, video=video, settings=settings).text
    mixed = ab.ask(
        QUESTION,
        anybind.Input("video", video, weight=0.5),
        anybind.Input("text", "snow"),
        settings=settings,
    ).text
    assert len({alone, mixed, ab.ask(QUESTION, settings=settings).text}) == 3
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([{"type": "video_url", "video_url": url}], alone),
        ([{"type": "anybind", "anybind": own}], alone),
        (
            [
                {"type": "anybind", "anybind": {**own, "weight": 0.5}},
                {"type": "anybind", "anybind": {"text": "snow"}},
            ],
            mixed,
        ),
    ]
    with openai.OpenAI(
        base_url=f"{server.url}/v1",
        api_key="-",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as client:
        for shown, expected in cases:
            content = [{"type": "text", "text": QUESTION}, *shown]
            asked: dict[str, Any] = {
                "model": "llama-mini",
                "messages": [{"role": "user", "content": content}],
                "temperature": 0,
                "max_tokens": 12,
            }
            whole = client.chat.completions.create(**asked)
            assert whole.choices[0].message.content == expected
            chunks = list(client.chat.completions.create(**asked, stream=True))
            said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            assert said == expected
