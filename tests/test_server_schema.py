"""The OpenAPI schema tells everything, and requests made up from it never fail the server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from anybind.parts import KINDS
from anybind.server.keys import new_key
from anybind.server.settings import Settings

from .serving import Running, serving, write_language_model

EXAMPLES = 12  # of requests to each operation, in each phase
SECONDS = 300
FASTAPIS = {"HTTPValidationError", "ValidationError"}  # models that are not ours
PICTURE = "image/webp"
JSON = "application/json"
PROBLEM = "application/problem+json"
STATUSES = {400, 401, 403, 404, 408, 413, 415, 421, 422, 429, 503}  # of what a request may meet


@pytest.fixture(scope="module")
def server(world_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = write_language_model(tmp_path_factory.mktemp("language"), dim=256)
    settings = Settings(decoders=1, max_tokens=8)
    with serving({"world": world_index}, settings=settings, options=model) as running:
        yield running


@pytest.fixture(scope="module")
def schema(server: Running) -> dict[str, Any]:
    with server.client() as client:
        found = client.get("/openapi.json").raise_for_status().json()
    assert isinstance(found, dict)
    return found


def test_every_field_and_parameter_is_described(schema: dict[str, Any]) -> None:
    silent = [
        f"{name}.{field}"
        for name, model in schema["components"]["schemas"].items()
        if name not in FASTAPIS
        for field, facts in model.get("properties", {}).items()
        if not facts.get("description")
    ]
    for path, method, operation in operations(schema):
        assert operation["summary"] and operation["description"], path
        for parameter in operation.get("parameters", ()):
            if not parameter.get("description"):
                silent.append(f"{method} {path} {parameter['name']}")
    assert silent == []


def test_every_route_has_an_example_that_its_schema_allows(schema: dict[str, Any]) -> None:
    paths = set()
    for path, _, operation in operations(schema):
        paths.add(path)
        asked = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in asked.get("examples", {}).values():
            check(example["value"], asked["schema"], schema)
        answered = operation["responses"]["200"]["content"]
        shown = [media["example"] for media in answered.values() if "example" in media]
        assert asked.get("examples") or shown or PICTURE in answered, path
        for media in answered.values():
            if "example" in media and "schema" in media:
                check(media["example"], media["schema"], schema)
    assert len(paths) >= 15


SAID = [{"role": "user", "content": "What is it?"}]
SHOWN = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "?"}, {"type": "anybind", "anybind": {"text": "red"}}],
    }
]
PULLED = {"inputs": [{"text": "red"}], "cache": {"k": 2}}
ASKED: list[tuple[str, str, object, int]] = [  # method, path, body, status
    ("get", "/healthz", None, 200),
    ("get", "/readyz", None, 200),
    ("get", "/v1/index", None, 200),
    ("post", "/v1/index/reload", None, 200),
    ("get", "/v1/items/3", None, 200),
    ("get", "/v1/items/999999", None, 404),
    ("post", "/v1/search", PULLED, 200),
    ("post", "/v1/search", {"queries": [PULLED, {"inputs": [{"id": 3}]}]}, 200),
    ("post", "/v1/search", {"colour": "red"}, 422),
    ("post", "/v1/embed", {"inputs": [{"text": "red"}]}, 200),
    ("post", "/v1/embed", {"inputs": [{"text": "red"}, {"id": 3}], "mix": True}, 200),
    ("post", "/v1/ask", {"question": "?", "inputs": [{"text": "red"}]}, 200),
    ("post", "/v1/ask", {"question": "?"}, 200),
    ("get", "/v1/models", None, 200),
    ("get", "/v1/models/imagebind-mini", None, 200),
    ("get", "/v1/models/x", None, 404),
    ("post", "/v1/embeddings", {"model": "world", "input": ["a", "b"]}, 200),
    ("post", "/v1/embeddings", {"model": "world", "input": "a", "encoding_format": "base64"}, 200),
    ("post", "/v1/embeddings", {"model": "world", "input": [1]}, 400),
    ("post", "/v1/chat/completions", {"model": "llama-mini", "messages": SAID}, 200),
    ("post", "/v1/chat/completions", {"model": "llama-mini", "messages": SHOWN}, 200),
    ("post", "/v1/chat/completions", {"model": "x", "messages": SAID}, 404),
    ("get", "/indices-list", None, 200),
    ("post", "/knn-service", {"text": "red", "num_images": 2, "num_result_ids": 4}, 200),
    ("post", "/knn-service", {}, 400),
    ("post", "/metadata", {"ids": [3, 4]}, 200),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), ASKED)
def test_replies_are_what_the_schema_says(
    server: Running, schema: dict[str, Any], method: str, path: str, body: object, status: int
) -> None:
    """A field that the schema does not have is a failure too."""
    template = re.sub(r"items/\d+", "items/{item}", path)
    template = re.sub(r"models/.+", "models/{model}", template)
    responses = schema["paths"][template][method]["responses"]
    with server.client() as client:
        reply = client.request(method, path, json=body)
    assert reply.status_code == status, reply.text
    told = responses.get(str(status), responses.get("default"))["content"]
    kind = reply.headers["content-type"].partition(";")[0]
    jsonschema_rs.validate(whole(told[kind]["schema"], schema), reply.json())


def test_every_route_with_json_has_its_reply_checked(schema: dict[str, Any]) -> None:
    told = {
        path
        for path, _, operation in operations(schema)
        if JSON in operation["responses"]["200"]["content"]
    }
    checked = {re.sub(r"items/\d+", "items/{item}", path) for _, path, _, s in ASKED if s == 200}
    assert told == {re.sub(r"models/.+", "models/{model}", path) for path in checked}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "llama-mini", "messages": SHOWN}),
        (
            "/v1/chat/completions",
            {
                "model": "llama-mini",
                "messages": SAID,
                "stream_options": {"include_usage": True},
            },
        ),
    ],
)
def test_events_are_what_the_schema_says(
    server: Running, schema: dict[str, Any], path: str, body: dict[str, object]
) -> None:
    told = schema["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]
    with server.client() as client:
        reply = client.post(path, json={**body, "stream": True}).raise_for_status().text
    data = re.findall(r"^data: (.*)$", reply, re.MULTILINE)
    assert len(data) >= 4 and data.pop() == "[DONE]"
    for event in data:
        content = whole(told["schema"]["contentSchema"], schema)
        jsonschema_rs.validate(content, json.loads(event))


def whole(model: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A model with those that it refers to, none of which may have more fields than it says."""
    models = {
        name: {**facts, "additionalProperties": False} if "properties" in facts else facts
        for name, facts in schema["components"]["schemas"].items()
    }
    return {**model, "components": {"schemas": models}}


def test_every_status_of_a_problem_is_described(schema: dict[str, Any]) -> None:
    """Routes in other servers' languages have one default error; those for operators few."""
    own = {
        path: {int(status) for status, answer in responses.items() if is_problem(answer)}
        for path, _, operation in operations(schema)
        if "default" not in (responses := operation["responses"]) and path.startswith("/v1/")
    }
    routes = {"search", "embed", "ask", "items/{item}", "items/{item}/image", "index"}
    assert set(own) == {f"/v1/{route}" for route in [*routes, "index/reload"]}
    assert own == dict.fromkeys(own, STATUSES)


def test_a_key_is_asked_for_where_the_schema_says_so(tmp_path: Path) -> None:
    """The reference is what a server with keys answers, without a key and in each way of bringing
    one. Its index is not there, so that it answers at once."""
    key = new_key(tmp_path / "keys.txt", "ann")
    headers = {"bearer": {"Authorization": f"Bearer {key}"}, "header": {"X-API-Key": key}}
    settings = Settings(decoders=1, api_keys_file=tmp_path / "keys.txt")
    with (
        serving({"gone": tmp_path / "gone"}, settings=settings, ready=False) as running,
        running.client() as client,
    ):
        found = client.get("/openapi.json").raise_for_status().json()
        schemes = found["components"]["securitySchemes"]
        ways = {(each["type"], each.get("scheme") or each["name"]) for each in schemes.values()}
        assert ways == {("http", "bearer"), ("apiKey", "X-API-Key")}
        closed = 0
        for path, method, operation in operations(found):
            address = path.replace("{item}", "3")
            status = client.request(method, address).status_code
            assert (status == 401) == ("security" in operation), (method, path, status)
            for choice in operation.get("security", ()):
                (name,) = choice
                allowed = client.request(method, address, headers=headers[name]).status_code
                assert allowed != 401, (method, path, name)
                closed += 1
        assert closed >= 15 * len(schemes)


def test_a_form_has_the_fields_that_the_server_takes(
    server: Running, schema: dict[str, Any]
) -> None:
    """The reference is what the server says of each name: to one that it does not know, that it is
    not permitted. The value is of none of the fields, so that nothing else is done."""
    unknown = {"colour", "weights", "minus.k", "minus.", "minus.minus.text", "modality", "data"}
    n_forms = 0
    with server.client() as client:
        for path, _, operation in operations(schema):
            content = operation.get("requestBody", {}).get("content", {})
            if "multipart/form-data" not in content:
                continue
            form = content["multipart/form-data"]["schema"]
            names = set(form["properties"])
            assert not unknown & names
            assert all(field["description"] for field in form["properties"].values())
            parts = [form["properties"][name]["items"] for name in KINDS]
            assert not any("anyOf" in part for part in parts)  # null is no part of a form
            for name in names | unknown:
                said = client.post(path, files={name: (None, "{")}).json().get("detail", "")
                known = f"{name}: Extra inputs are not permitted" not in said
                assert known == (name in names), (path, name, said)
            model = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            facts = schema["components"]["schemas"][model]
            assert set(facts["properties"]) < names  # as in JSON, and parts by name
            assert form["required"] == facts.get("required", [])
            n_forms += 1
    assert n_forms == 3


def test_files_of_a_form_can_be_picked_and_its_lists_are_json(schema: dict[str, Any]) -> None:
    """So a page that is made from the schema shows a button for a file and a field for a filter."""
    form = schema["paths"]["/v1/search"]["post"]["requestBody"]["content"]["multipart/form-data"]
    fields = form["schema"]["properties"]
    files = {name for name, field in fields.items() if is_file(field)}
    media = {"image", "audio", "video", "points", "depth", "thermal", "imu"}
    assert files == media | {f"minus.{name}" for name in media}
    as_json = {name for name, how in form["encoding"].items() if how == {"contentType": JSON}}
    lists = {"inputs", "minus", "queries", "embedding", "minus.embedding"}
    assert as_json == lists | {"cache", "filter"}


def is_file(field: dict[str, Any]) -> bool:
    """Whether a field of a form is for files, any number of them."""
    return field.get("items") == {"type": "string", "format": "binary"}


@pytest.mark.parametrize("prefix", ["", "/any"])
def test_a_browser_opens_the_schema_of_a_server_with_keys(tmp_path: Path, prefix: str) -> None:
    """It sends no key, also for what the pages load; a proxy may have put a prefix in front."""
    new_key(tmp_path / "keys.txt", "ann")
    settings = Settings(decoders=1, api_keys_file=tmp_path / "keys.txt", root_path=prefix)
    with (
        serving({"gone": tmp_path / "gone"}, settings=settings, ready=False) as running,
        running.client() as client,
    ):
        for page in ("/docs", "/redoc"):
            text = client.get(prefix + page).raise_for_status().text
            loaded = re.findall(r"""(?:src|href|url|spec-url)(?:=|: )["']([^"']+)""", text)
            assert f"{prefix}/openapi.json" in loaded and len(loaded) >= 3
            for address in loaded:
                assert address.startswith(f"{prefix}/"), address  # nothing from elsewhere
                assert client.get(address).status_code == 200, address


def test_without_keys_no_key_is_asked_for(schema: dict[str, Any]) -> None:
    assert "securitySchemes" not in schema["components"] and "security" not in schema
    assert not [path for path, _, operation in operations(schema) if "security" in operation]


def is_problem(answer: dict[str, Any]) -> bool:
    """Whether a response is documented as a problem, in words and with its model."""
    model = answer.get("content", {}).get(PROBLEM, {}).get("schema")
    return bool(answer["description"]) and model == {"$ref": "#/components/schemas/Problem"}


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and what the schema says of them."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def check(example: object, model: dict[str, Any], schema: dict[str, Any]) -> None:
    """Fail where an example does not fit its model. FastAPI shows no null, so they are missing."""
    if isinstance(example, dict) and "$ref" in model:
        fields = schema["components"]["schemas"][model["$ref"].rpartition("/")[2]]["properties"]
        nullable = [name for name, facts in fields.items() if {"type": "null"} in types(facts)]
        example = {**dict.fromkeys(nullable), **example}
    whole = {**model, "components": schema["components"]}
    jsonschema_rs.validate(whole, example)


def types(facts: dict[str, Any]) -> list[Any]:
    """What a field may be."""
    found = facts.get("anyOf", [])
    assert isinstance(found, list)
    return found


def test_no_made_up_request_is_a_server_error(server: Running) -> None:
    """schemathesis makes them up; a 500 is a failure, and so is a broken connection."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    options = ["--checks=not_a_server_error", f"--max-examples={EXAMPLES}", "--seed=1"]
    more = ["--phases=examples,coverage,fuzzing", "--no-color", "--generation-database=none"]
    done = subprocess.run(
        [*command, *options, *more], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None and int(tested.group(1)) >= 15, done.stdout[-2000:]
