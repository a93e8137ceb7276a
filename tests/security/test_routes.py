"""Attacks by their names on every route of a running server, with keys and without.

The routes are those of its own schema, so that a new one is attacked too.
"""

import base64
import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from anybind.server.keys import Role, new_key
from anybind.server.settings import Settings

from ..serving import Running, serving

MOST_BYTES = 100_000
SILENCE_SECONDS = 0.5  # of a server that has no more answers
OPEN = {"/", "/docs", "/redoc", "/openapi.json", "/healthz", "/readyz"}  # without a key
SECRETS = re.compile(r"Traceback|site-packages|\.py\b|sha256\$|root:x:0")


@dataclass(frozen=True)
class Route:
    """A method and a path, with values for its parameters."""

    method: str
    path: str


@pytest.fixture(scope="module")
def server(world_index: Path, language_model: dict[str, object]) -> Iterator[Running]:
    """One without keys."""
    settings = Settings(decoders=1, max_body_bytes=MOST_BYTES, max_text=2000, max_tokens=8)
    with serving({"world": world_index}, settings=settings, options=language_model) as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The keys of a user and of an admin."""
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    found = {name: new_key(path, name, Role(name)) for name in ("user", "admin")}
    return {"file": str(path), **found}


@pytest.fixture(scope="module")
def closed(
    world_index: Path, language_model: dict[str, object], keys: dict[str, str]
) -> Iterator[Running]:
    """One that asks for keys."""
    settings = Settings(decoders=1, api_keys_file=Path(keys["file"]))
    with serving({"world": world_index}, settings=settings, options=language_model) as running:
        yield running


@pytest.fixture(scope="module")
def routes(server: Running) -> list[Route]:
    with server.client() as client:
        schema = client.get("/openapi.json").raise_for_status().json()
    found = [
        Route(method.upper(), path.replace("{item}", "3").replace("{model}", "x"))
        for path, methods in schema["paths"].items()
        for method in methods
    ]
    assert len(found) >= 17
    return found


@pytest.fixture(scope="module")
def posts(routes: list[Route]) -> list[str]:
    """Paths that take a body."""
    return [
        route.path
        for route in routes
        if route.method == "POST" and not route.path.endswith("reload")
    ]


def refused(response: httpx.Response, *statuses: int) -> None:
    """Fail unless a response is an error in words that tells nothing of the machine."""
    assert response.status_code in statuses, (response.status_code, response.text[:300])
    assert response.headers["content-type"].endswith("json")
    assert not SECRETS.search(response.text), response.text
    json.loads(response.text)


# --------------------------------------------------------------------------------- who may ask


def test_nothing_but_pages_and_health_is_open_without_a_key(
    closed: Running, routes: list[Route], keys: dict[str, str]
) -> None:
    """No key, a wrong one, half of one, its hash, and the right one where it is not looked for."""
    user = keys["user"]
    stored = Path(keys["file"]).read_text().splitlines()[0].rpartition("$")[2]
    attempts: list[dict[str, Any]] = [
        {},
        {"headers": {"authorization": "Bearer ab_" + "0" * 43}},
        {"headers": {"authorization": f"Bearer {user[:-1]}"}},
        {"headers": {"authorization": f"Bearer {stored}"}},
        {"headers": {"authorization": f"Digest {user}"}},
        {"headers": {"authorization": "Basic !!!"}},
        {"headers": {"cookie": f"key={user}"}},
        {"params": {"key": user, "api_key": user, "access_token": user}},
    ]
    others = [Route("GET", path) for path in (*OPEN, "/metrics", "/v2", "/docs/x", "/page")]
    with closed.client() as client:
        for route in [*routes, *others]:
            if route.path in OPEN:
                assert client.request(route.method, route.path).status_code == 200
                continue
            for attempt in attempts:
                refused(client.request(route.method, route.path, **attempt), 401)


def test_other_spellings_of_an_open_path_open_nothing(closed: Running) -> None:
    for path in (
        "/page/../v1/index",
        "/page/%2e%2e/v1/index",
        "/static-offline-docs/../v1/index",
        "/static-offline-docs/%2e%2e/%2e%2e/metrics",
        "/page/..%2fv1/index",
        "//v1/index",
        "/healthz/../metrics",
        "/healthz%00/../metrics",
        "/v1/index?path=/healthz",
        "/v1/index;/page/",
    ):
        status = raw(closed, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status in (400, 401, 404), (path, status)


def test_a_user_is_no_admin(closed: Running, keys: dict[str, str]) -> None:
    with closed.client() as client:
        for name, status in (("user", 403), ("admin", 200)):
            bearer = {"authorization": f"Bearer {keys[name]}"}
            response = client.post("/v1/index/reload", headers=bearer)
            assert response.status_code == status, response.text


def test_with_keys_strangers_hear_no_reasons(
    tmp_path: Path, world_index: Path, keys: dict[str, str]
) -> None:
    """Of a part that failed, whose reason names a folder."""
    settings = Settings(decoders=1, api_keys_file=Path(keys["file"]))
    with serving({"gone": tmp_path / "gone"}, settings=settings, ready=False) as running:
        with running.client() as client:
            end = time.monotonic() + 60
            while "loading" in (response := client.get("/readyz")).text:
                assert time.monotonic() < end, response.text
                time.sleep(0.05)
            assert response.status_code == 503 and str(tmp_path) not in response.text


# ---------------------------------------------------------------------------- pages in a browser


def test_a_page_of_another_origin_can_do_nothing(server: Running, routes: list[Route]) -> None:
    """Cross-site request forgery, by forms and by scripts that need no leave."""
    page = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    with server.client() as client:
        for route in routes:
            response = client.request(route.method, route.path, headers=page, content=b"{}")
            assert "access-control-allow-origin" not in response.headers
            if route.method == "POST":
                refused(response, 403)
        for origin in ("null", "http://localhost.evil.example", f"{server.url}.evil.example"):
            refused(client.post("/v1/index/reload", headers={"origin": origin}), 403)
        own = {"origin": server.url}
        assert client.post("/v1/index/reload", headers=own).status_code == 200


def test_a_name_that_was_rebound_to_loopback_is_refused(
    server: Running, routes: list[Route]
) -> None:
    """DNS rebinding: to the browser the attacker's page and this server are one origin then."""
    evil = {"host": "evil.example", "origin": "http://evil.example"}
    with server.client() as client:
        for route in routes:
            refused(client.request(route.method, route.path, headers=evil), 421)
        for host in (
            "evil.example:80",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "[",
            "",
        ):
            status = raw(server, f"GET /v1/index HTTP/1.1\r\nHost: {host}\r\n\r\n")
            assert status in ((200,) if host == "" else (400, 421)), (host, status)
        for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "127.8.8.8"):
            assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_hosts_are_what_the_operator_says(world_index: Path) -> None:
    settings = Settings(decoders=1, allowed_hosts=("find.example",))
    with serving({"world": world_index}, settings=settings) as running, running.client() as client:
        for host, status in (("find.example", 200), ("FIND.example:80", 200), ("x.example", 421)):
            assert client.get("/v1/index", headers={"host": host}).status_code == status


# ------------------------------------------------------------------------------------- bodies


def test_bodies_that_are_too_large_are_refused(server: Running, posts: list[str]) -> None:
    """Announced, in chunks without a length, and with a length that lies."""
    with server.client() as client:
        for path in posts:
            announced = client.post(path, content=b"[" * (MOST_BYTES + 1))
            refused(announced, 413)
            chunks = client.post(path, content=iter([b" " * 60_000] * 3))
            refused(chunks, 413, 415, 422)  # some routes refuse what it is before they read it
    for length in ("-1", "1e9", "9" * 30, "0x10"):
        head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        assert raw(server, head) in (400, 413), length


def test_json_that_attacks_its_parser_is_refused(server: Running, posts: list[str]) -> None:
    """Depth, numbers beyond numbers, broken text, other types, and names twice."""
    attacks = [
        b"[" * 90_000,
        b'{"inputs":' * 9_000,
        b'{"inputs":' + b"[" * 40_000 + b"]" * 40_000 + b"}",
        b'{"k": 1e999, "inputs": [{"text": "a"}]}',
        b'{"k": ' + b"9" * 50_000 + b"}",
        b'{"inputs": [{"embedding": [NaN, Infinity]}], "input": NaN}',
        b'{"inputs": [{"text": "\xff\xfe"}]}',
        b'{"inputs": [{"text": "\\ud800"}], "question": "\\ud800", "input": "\\ud800"}',
        b"null",
        b"[]",
        b'"a"',
        b"",
        b"\x00",
        b'{"__proto__": {"k": 1}, "constructor": 3}',
    ]
    with server.client() as client:
        for path in posts:
            for attack in attacks:
                headers = {"content-type": "application/json"}
                refused(client.post(path, content=attack, headers=headers), 400, 422)


def test_json_of_very_many_wrong_values_is_refused_by_the_first(
    server: Running, posts: list[str]
) -> None:
    """Wide, not deep: each wrong value would be an error of its own, listed by the event loop."""
    wide = {
        **dict.fromkeys(("inputs", "queries", "history", "messages"), [0] * 4_000),
        **dict.fromkeys(("ids", "embedding_input"), ["x"] * 4_000),
    }
    unknown = {f"x{i}": 1 for i in range(4_000)}
    with server.client() as client:
        for path in posts:
            for attack in (wide, unknown):
                response = client.post(path, json=attack)
                refused(response, 400, 422)
                assert len(response.text) < 2000, response.text
                told = "fields are missing" in response.text
                assert attack is unknown or not told, response.text  # the first, by its place


def test_json_of_more_values_than_any_request_needs_is_not_parsed(world_index: Path) -> None:
    """Six megabytes of numbers or of empty strings would be hundreds in memory."""
    with serving({"world": world_index}, settings=Settings(decoders=1)) as running:
        with running.client() as client:
            for attack in (b"[" + b"1," * 3_000_000 + b"1]", b"[" + b'"",' * 200_000 + b'""]'):
                for path in ("/v1/search", "/v1/embeddings"):
                    refused(client.post(path, content=attack), 413)


def test_numbers_that_no_machine_counts_with_are_refused(server: Running) -> None:
    """Ids and seeds beyond 64 bits."""
    huge = 10**30
    question = {"question": "what?", "inputs": [{"text": "a"}], "seed": huge}
    words = {"role": "user", "content": "what?"}
    shown = {"role": "user", "content": [{"type": "anybind", "anybind": {"id": huge}}]}
    attacks: list[tuple[str, dict[str, object]]] = [
        ("/v1/search", {"inputs": [{"id": huge}]}),
        ("/v1/search", {"inputs": [{"id": 2**63}]}),
        ("/v1/search", {"inputs": [{"text": "a"}], "cache": {"k": huge}}),
        ("/v1/embed", {"inputs": [{"id": huge}]}),
        ("/metadata", {"ids": [huge]}),
        ("/metadata", {"ids": [-1]}),
        ("/v1/ask", question),
        ("/v1/chat/completions", {"model": "llama-mini", "messages": [words], "seed": -huge}),
        ("/v1/chat/completions", {"model": "llama-mini", "messages": [shown]}),
    ]
    with server.client() as client:
        for path, attack in attacks:
            refused(client.post(path, json=attack), 400, 404, 422)
        refused(client.get(f"/v1/items/{huge}"), 404, 422)


LONG = "a" * 51
MANY: list[tuple[str, dict[str, Any], int]] = [  # path, body beyond a limit, the limit
    ("/v1/search", {"inputs": [{"id": 1}, {"id": 2}], "minus": [{"id": 3}], "k": 1}, 2),
    ("/v1/embed", {"inputs": [{"id": 1}, {"id": 2}, {"id": 3}]}, 2),
    ("/v1/ask", {"question": "?", "inputs": [{"id": 1}, {"id": 2}, {"id": 3}]}, 2),
    ("/v1/search", {"queries": [{"inputs": [{"id": 1}], "k": 1}] * 4}, 3),
    ("/v1/search", {"queries": [{"inputs": [{"id": 1}], "k": 3}] * 3}, 8),
    ("/v1/search", {"inputs": [{"id": 1}], "k": 6}, 5),
    ("/v1/search", {"inputs": [{"id": 1}], "k": 1, "offset": 5}, 5),
    ("/knn-service", {"text": "a", "num_result_ids": 6}, 5),
    ("/metadata", {"ids": [1] * 6}, 5),
    ("/v1/search", {"inputs": [{"text": LONG}], "k": 1}, 50),
    ("/v1/embed", {"inputs": [{"text": LONG}]}, 50),
    ("/v1/ask", {"question": LONG}, 50),
    ("/v1/embeddings", {"model": "world", "input": LONG}, 50),
    ("/knn-service", {"text": LONG, "num_images": 1}, 50),
    ("/v1/ask", {"question": "?", "history": [{"question": "a", "answer": "b"}] * 2}, 1),
    (
        "/v1/ask",
        {"question": "?", "history": [{"question": LONG[:25], "answer": LONG[:25]}]},
        50,
    ),
    ("/v1/embeddings", {"model": "world", "input": ["a"] * 2049}, 2048),
]


@pytest.fixture(scope="module")
def strict(world_index: Path, language_model: dict[str, object]) -> Iterator[Running]:
    """One that allows little."""
    settings = Settings(
        decoders=1, max_parts=2, max_queries=3, max_k=5, max_results=8, max_turns=1, max_text=50
    )
    with serving({"world": world_index}, settings=settings, options=language_model) as running:
        yield running


@pytest.mark.parametrize(("path", "body", "limit"), MANY)
def test_what_is_beyond_a_limit_is_refused_with_the_limit(
    strict: Running, path: str, body: dict[str, Any], limit: int
) -> None:
    with strict.client() as client:
        response = client.post(path, json=body)
        refused(response, 400)
        assert re.search(rf"\b{limit}\b", response.text), response.text
        most = {"inputs": [{"id": 1}, {"text": LONG[:50]}], "k": 5}
        assert client.post("/v1/search", json=most).status_code == 200


def test_forms_in_other_charsets_are_refused(server: Running) -> None:
    """One that is none, and one in which a name becomes half a character."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="+2AA-"; filename="a"\r\n\r\na\r\n--x--\r\n'
    )
    with server.client() as client:
        for charset in ("undefined", "utf-7", "idna", "x" * 500):
            kind = f"multipart/form-data; boundary=x; charset={charset}"
            refused(client.post("/v1/search", content=body, headers={"content-type": kind}), 415)


def test_who_sends_a_body_byte_by_byte_does_not_keep_a_place(world_index: Path) -> None:
    """The only place of a search: it is free again after half a second."""
    settings = Settings(decoders=1, max_searches=1, upload_seconds=0.5)
    head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
    with serving({"world": world_index}, settings=settings) as running:
        assert raw(running, head) == 408
        with running.client() as client:
            found = client.post("/v1/search", json={"inputs": [{"text": "a dog"}], "k": 1})
            assert found.status_code == 200


def test_a_prefix_of_a_proxy_goes_around_no_limit(world_index: Path, keys: dict[str, str]) -> None:
    """With a proxy that takes the prefix off, and with one that leaves it."""
    settings = Settings(
        decoders=1, root_path="/any", api_keys_file=Path(keys["file"]), rate=0.001, burst=1
    )
    bearer = {"authorization": f"Bearer {keys['user']}"}
    query = {"inputs": [{"text": "a dog"}], "k": 1}
    with serving({"world": world_index}, settings=settings, ready=False) as running:
        with running.client() as client:
            for prefix in ("", "/any"):
                assert client.get(f"{prefix}/healthz").status_code == 200
                assert client.get(f"{prefix}/page/app.js").status_code == 200
                refused(client.get(f"{prefix}/metrics"), 401)
                refused(client.post(f"{prefix}/v1/search", json=query), 401)
                error = client.post(f"{prefix}/knn-service", json={}).json()
                assert list(error) == ["message"]
            client.post("/any/v1/search", json=query, headers=bearer)  # the only one of its key
            for prefix in ("", "/any"):
                refused(client.post(f"{prefix}/v1/search", json=query, headers=bearer), 429)


def test_forms_that_attack_their_parser_are_refused(server: Running) -> None:
    """Thousands of fields, a cut, no boundary, a path as a file's name, and a packed body."""
    line = "multipart/form-data; boundary=x"
    part = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\na\r\n'
    named = b'--x\r\nContent-Disposition: form-data; name="image"; filename="/etc/passwd"\r\n\r\n'
    attacks = {
        "fields": (line, part * 1500 + b"--x--\r\n"),
        "cut off": (line, part + b"--x\r\nContent-Disposition: form-data; name="),
        "no boundary": ("multipart/form-data", part),
        "a long boundary": ("multipart/form-data; boundary=" + "x" * 9000, part),
        "heads": (line, b"--x\r\n" + b"A: b\r\n" * 9000 + b"\r\n\r\n--x--\r\n"),
        "a path": (line, named + b"\r\n--x--\r\n"),
        "urlencoded": ("application/x-www-form-urlencoded", b"text=a&" * 9000),
        "xml": ("application/xml", b"<!ENTITY x SYSTEM 'file:///etc/passwd'>"),
        "packed": ("application/json", b"\x1f\x8b\x08\x00" + b"\x00" * 100),
    }
    with server.client() as client:
        for path in ("/v1/search", "/v1/embed", "/v1/ask"):
            for name, (kind, body) in attacks.items():
                response = client.post(path, content=body, headers={"content-type": kind})
                if name == "cut off":  # read as far as it goes
                    assert response.status_code in (200, 422), response.text
                else:
                    refused(response, 400, 413, 415, 422)


def test_a_request_smuggled_behind_another_is_not_answered(server: Running) -> None:
    """Content-Length and Transfer-Encoding that contradict each other: one answer, then the end."""
    inner = "GET /v1/index HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
    for headers in (
        f"Content-Length: {len(inner)}\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nContent-Length: 44\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
    ):
        answers = list(statuses(server, f"{head}{headers}\r\n0\r\n\r\n{inner}"))
        assert answers[:1] == [400] and 200 not in answers, (headers, answers)


# ---------------------------------------------------------------------------------- the disk


def test_no_path_of_the_disk_can_be_read(server: Running, posts: list[str]) -> None:
    """Traversal in paths, in names of indices and in what stands for a medium."""
    climbs = ("../" * 8 + "etc/passwd", "..%2f" * 8 + "etc%2fpasswd", "%2e%2e/" * 8 + "etc/passwd")
    starts = ("/", "/page/", "/page/media/", "/v1/items/", "/v1/items/3/", "/v1/models/", "/docs/")
    for start in starts:
        for climb in (*climbs, "/etc/passwd", "%2fetc%2fpasswd", "C:%5cboot.ini", "x%00.js"):
            status = raw(server, f"GET {start}{climb} HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status in (400, 404, 422), (start, climb, status)
    with server.client() as client:
        for name in ("../world", "/etc", "world/../world", "world\x00"):
            refused(client.get("/v1/items/3", params={"index": name}), 404)
            refused(client.post("/v1/index/reload", params={"index": name}), 404)
            body = {"inputs": [{"text": "a"}], "index": name, "indice_name": name, "text": "a"}
            refused(client.post("/v1/search", json=body), 404, 422)
        for path in ("/etc/passwd", "file:///etc/passwd", "\\\\host\\share"):
            for key in ("data", "url"):
                body = {"inputs": [{"modality": "image", key: path}]}
                refused(client.post("/v1/search", json=body), 400, 403)
            body = {"image": path, "indice_name": "world", "modality": "image"}
            refused(client.post("/knn-service", json=body), 400, 403, 422)
            chat = {
                "model": "x",
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": path}}],
                    }
                ],
            }
            refused(client.post("/v1/chat/completions", json=chat), 400, 403, 404, 422)


# ------------------------------------------------------------------------------- headers and log


def test_headers_cannot_forge_lines_of_the_log(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), server.client() as client:
        number = {"x-request-id": "a\tb"}
        response = client.get("/v1/items/%0aINFO%20forged", headers=number)
        refused(response, 422)
        assert response.headers["x-request-id"] != "a\tb"
    assert not [r for r in caplog.records if "\n" in r.getMessage()]


def test_secrets_do_not_reach_the_log(
    closed: Running, keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Keys where they belong and where they do not, right and wrong ones."""
    wrong = "ab_" + "7" * 43
    with caplog.at_level(logging.DEBUG), closed.client() as client:
        for key in (keys["user"], wrong):
            basic = base64.b64encode(f"x:{key}".encode()).decode()
            for given in (f"Bearer {key}", f"Basic {basic}", key):
                client.get("/v1/index", headers={"authorization": given, "x-api-key": key})
        client.get("/v1/index", params={"key": keys["user"]})
    own = [record for record in caplog.records if record.name.startswith("anybind")]
    said = "\n".join(f"{record.getMessage()} {vars(record)}" for record in own)
    assert "/v1/index" in said
    assert keys["user"] not in said and wrong not in said


def test_every_answer_tells_a_browser_to_be_careful(server: Running, routes: list[Route]) -> None:
    with server.client() as client:
        for route in [*routes, Route("GET", "/"), Route("GET", "/nowhere")]:
            headers = client.request(route.method, route.path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-resource-policy"] == "same-site"
            assert headers["x-request-id"]
        policy = client.get("/").headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy


# ------------------------------------------------------------------------------------ raw HTTP


def raw(server: Running, request: str) -> int:
    """The status of the first answer to a request that no client would send."""
    return next(statuses(server, request))


def statuses(server: Running, request: str) -> Iterator[int]:
    """The statuses of all answers to it, until the server closes or is silent."""
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port or 80), timeout=10) as sent:
        sent.sendall(request.encode("latin-1"))
        answer, n_told = b"", 0
        with suppress(TimeoutError):
            while chunk := sent.recv(65_536):
                answer += chunk
                found = re.findall(rb"HTTP/1\.1 (\d{3})", answer)
                yield from map(int, found[n_told:])
                n_told = len(found)
                sent.settimeout(SILENCE_SECONDS)
