"""The native routes give what the library gives, in the shapes they promise."""

import base64
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import anybind
from anybind.server import schemas
from anybind.server.problems import ProblemModel
from anybind.server.settings import Settings

from .serving import Running, serving

QUESTION = "w5 w9 w20"  # the small language model speaks in such words
DRAWN = {"temperature": 1, "top_p": 0.9, "max_tokens": 8, "seed": 3}


@pytest.fixture(scope="module")
def server(world_index: Path, language_model: dict[str, object]) -> Iterator[Running]:
    settings = Settings(decoders=1, max_parts=4, max_queries=3, max_k=30, max_text=5000)
    folders = {"world": world_index, "again": world_index}
    with serving(folders, settings=settings, options=language_model) as running:
        yield running


@pytest.fixture(scope="module")
def ab(world_index: Path, language_model: dict[str, Any]) -> anybind.AnyBind:
    """What the server's answers are compared with."""
    return anybind.load(world_index, **language_model)


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def picture(world_pictures: Path) -> Path:
    return sorted(world_pictures.glob("*.png"))[3]


def b64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def check_hits(found: list[dict[str, Any]], hits: list[anybind.Hit]) -> None:
    assert [each["id"] for each in found] == [hit.id for hit in hits]
    scores = [each["score"] for each in found]
    np.testing.assert_allclose(scores, [hit.score for hit in hits], atol=1e-5)
    for each, hit in zip(found, hits, strict=True):
        assert {**each, "score": 0} == {**vars(hit), "score": 0}


def test_a_mixture_is_searched_as_the_library_does(
    client: httpx.Client, ab: anybind.AnyBind, picture: Path
) -> None:
    body = {
        "inputs": [
            {"modality": "image", "data": b64(picture), "weight": 0.5},
            {"text": "red"},
            {"id": 7, "weight": 0.3},
        ],
        "minus": [{"text": "blue"}],
        "k": 6,
    }
    answer = client.post("/v1/search", json=body).raise_for_status().json()
    schemas.SearchResponse.model_validate(answer)
    inputs = [
        anybind.Input("image", picture, weight=0.5),
        anybind.Input("text", "red"),
        anybind.Input("id", 7, weight=0.3),
        anybind.Input("text", "blue", weight=-1),
    ]
    check_hits(answer["results"], ab.search(*inputs, k=6))
    mixture = ab.mix(*inputs)
    assert answer["query"]["weights"] == [0.5, 1.0, 0.3, -1.0] == list(mixture.weights)
    assert abs(answer["query"]["norm"] - mixture.norm) < 1e-5


def test_a_form_asks_the_same_as_json(
    client: httpx.Client, ab: anybind.AnyBind, picture: Path
) -> None:
    """A file, texts, a text taken away, weights by modality and position, a filter."""
    fields = {
        "text": ["red", "a car"],
        "minus.text": "blue",
        "weight": ["image=0.25", "text=2", "text:1=0.5"],
        "k": "4",
        "filter": json.dumps({"caption": {"contains": "a"}}),
        "dedup": "0.99",
    }
    files = {"image": (picture.name, picture.read_bytes())}
    answer = client.post("/v1/search", data=fields, files=files).raise_for_status().json()
    inputs = [
        anybind.Input("text", "red", weight=2),
        anybind.Input("text", "a car", weight=0.5),
        anybind.Input("text", "blue", weight=-2),
        anybind.Input("image", picture, weight=0.25),
    ]
    hits = ab.search(*inputs, k=4, filter={"caption": {"contains": "a"}}, dedup=0.99)
    check_hits(answer["results"], hits)


@pytest.mark.parametrize(
    ("route", "fields", "said"),
    [
        ("embed", {"text": "red", "minus.text": "blue"}, "minus are for mixing"),
        ("search", {"text": "red", "inputs": '[{"text": "a car"}]'}, "inputs stand in a field"),
        ("search", {"minus.text": "red", "minus": '[{"text": "a car"}]'}, "minus stand in a field"),
    ],
)
def test_a_form_that_would_lose_a_part_is_refused(
    client: httpx.Client, route: str, fields: dict[str, str], said: str
) -> None:
    files = {name: (None, value) for name, value in fields.items()}
    response = client.post(f"/v1/{route}", files=files)
    assert response.status_code in (400, 422) and said in response.json()["detail"]


def test_the_cache_a_filter_and_pages_are_those_of_the_library(
    client: httpx.Client, ab: anybind.AnyBind
) -> None:
    body = {
        "inputs": [{"text": "a dog"}],
        "k": 3,
        "offset": 2,
        "filter": {"width": {"gt": 10}},
        "cache": {"k": 4, "alpha": 0.7, "weighting": "linear"},
    }
    answer = client.post("/v1/search", json=body).raise_for_status().json()
    cache = anybind.Cache(k=4, alpha=0.7, weighting="linear")
    hits = ab.search(text="a dog", k=3, offset=2, filter={"width": {"gt": 10}}, cache=cache)
    check_hits(answer["results"], hits)
    citations = ab.mix(text="a dog", cache=cache).citations
    assert [c["id"] for c in answer["query"]["citations"]] == [c.id for c in citations]
    weights = [c["weight"] for c in answer["query"]["citations"]]
    np.testing.assert_allclose(weights, [c.weight for c in citations], atol=1e-5)


def test_a_vector_may_say_what_it_is_of(client: httpx.Client, ab: anybind.AnyBind) -> None:
    """The cache leaves pictures alone and pulls the rest; centring takes out their own mean."""
    vector = ab.embed(text="a dog")
    cache = {"k": 4, "alpha": 0.7}

    def cited(**kind: str) -> list[object]:
        body = {"inputs": [{**kind, "embedding": vector.tolist()}], "k": 1, "cache": cache}
        answer = client.post("/v1/search", json=body).raise_for_status().json()
        return list(answer["query"]["citations"])

    assert len(cited()) == len(cited(modality="text")) == 4 and not cited(modality="image")
    part = {"modality": "text", "embedding": vector.tolist()}
    body = {"inputs": [part], "mix": True, "centre": True}
    mixed = client.post("/v1/embed", json=body).raise_for_status().json()["mixture"]
    expected = ab.mix(text="a dog", centre=True).vector
    np.testing.assert_allclose(mixed["vector"], expected, atol=1e-5)


def test_several_queries_are_answered_in_their_order(
    client: httpx.Client, ab: anybind.AnyBind
) -> None:
    vector = ab.embed(text="snow")
    queries = [
        {"inputs": [{"text": "a dog"}], "k": 2},
        {"inputs": [{"embedding": vector.tolist()}], "k": 5},
    ]
    body = {"index": "again", "queries": queries}
    answer = client.post("/v1/search", json=body).raise_for_status().json()
    schemas.SearchResponses.model_validate(answer)
    first, second = answer["answers"]
    check_hits(first["results"], ab.search(text="a dog", k=2))
    check_hits(second["results"], ab.search(embedding=vector, k=5))


def test_inputs_are_embedded_one_by_one_or_mixed(
    client: httpx.Client, ab: anybind.AnyBind, picture: Path
) -> None:
    inputs = [{"text": "a dog"}, {"modality": "image", "data": b64(picture), "weight": 2}]
    answer = client.post("/v1/embed", json={"inputs": inputs}).raise_for_status().json()
    schemas.EmbedResponse.model_validate(answer)
    assert [each["modality"] for each in answer["embeddings"]] == ["text", "image"]
    expected = [ab.embed(text="a dog"), ab.embed(image=picture)]
    found = [each["embedding"] for each in answer["embeddings"]]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    body = {"inputs": inputs, "mix": True, "centre": True}
    mixed = client.post("/v1/embed", json=body).raise_for_status().json()["mixture"]
    own = ab.mix(
        anybind.Input("text", "a dog"), anybind.Input("image", picture, weight=2), centre=True
    )
    np.testing.assert_allclose(mixed["vector"], own.vector, atol=1e-5)
    assert mixed["centred"] is True


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Server-sent events as (name, data)."""
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_an_answer_is_that_of_the_library_whole_and_in_pieces(
    client: httpx.Client, ab: anybind.AnyBind, picture: Path
) -> None:
    """The same seed draws the same; the text of the pieces is the text of the answer."""
    body = {"question": QUESTION, "inputs": [{"text": "a dog"}], **DRAWN}
    answer = client.post("/v1/ask", json=body).raise_for_status().json()
    schemas.AskResponse.model_validate(answer)
    own = ab.ask(QUESTION, text="a dog", settings=anybind.Generation(**DRAWN))  # type: ignore[arg-type]
    assert answer["answer"] == own.text != ""
    cited = [citation["id"] for citation in answer["query"]["citations"]]
    assert cited == [citation.id for citation in own.citations] != []
    streamed = client.post("/v1/ask", json={**body, "stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    (first, begun), *pieces, (last, end) = events(streamed.text)
    assert (first, last) == ("begin", "end")
    assert [c["id"] for c in begun["query"]["citations"]] == cited
    assert "".join(data["text"] for _, data in pieces) == end["answer"] == own.text


def test_earlier_turns_are_what_the_chat_of_the_library_remembers(
    client: httpx.Client, ab: anybind.AnyBind, picture: Path
) -> None:
    body = {
        "question": QUESTION,
        "history": [
            {
                "question": "w7",
                "answer": "w8 w9",
                "inputs": [{"modality": "image", "data": b64(picture)}],
            }
        ],
        **DRAWN,
    }
    answer = client.post("/v1/ask", json=body).raise_for_status().json()
    chat = ab.chat()
    chat.remember("w7", "w8 w9", anybind.Input("image", picture))
    own = chat.ask(QUESTION, settings=anybind.Generation(**DRAWN))  # type: ignore[arg-type]
    assert answer["answer"] == own.text != "" and answer["query"] is None


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_drawing(server: Running, stream: bool) -> None:
    """An answer that would have 400 tokens is cut short, and its place is free again."""
    body = {"question": QUESTION, "temperature": 0, "max_tokens": 400, "stream": stream}
    with server.client() as client:
        client.post("/v1/ask", json={**body, "max_tokens": 1, "stream": False})
        (batch,) = {each for each in server.app.state.engine._answers.values() if each.n_tokens}
        before = batch.n_tokens
        if stream:
            with client.stream("POST", "/v1/ask", json=body) as response:
                next(response.iter_raw())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/ask", json=body, timeout=httpx.Timeout(60, read=0.05))
    end = time.monotonic() + 30
    while (batch.n_running or batch.n_waiting) and time.monotonic() < end:
        time.sleep(0.01)
    assert batch.n_running == 0 and batch.n_tokens - before < 300


def test_items_and_their_pictures_come_from_the_index(
    client: httpx.Client, ab: anybind.AnyBind
) -> None:
    row = ab.index.rows([5])[0]
    item = client.get("/v1/items/5").raise_for_status().json()
    assert item == {name: getattr(row, name) for name in schemas.ItemModel.model_fields}
    picture = client.get("/v1/items/5/image", params={"size": 256}).raise_for_status()
    assert picture.content == ab.index.thumbnail(5)
    small = client.get("/v1/items/5/image", params={"size": 32}).raise_for_status()
    assert len(small.content) < len(picture.content)


def test_a_picture_that_a_browser_has_is_not_sent_again(
    client: httpx.Client, ab: anybind.AnyBind
) -> None:
    """Its ETag names the generation, the item and the size, or the content of an original; lists
    and weak tags count too."""
    generation = ab.index.generation
    of = f"{generation.number}-{generation.sha256[:16]}"
    tags = {f"/v1/items/5/image?size={size}": f'"{of}-5-{size}"' for size in (32, 256)}
    tags["/v1/items/5/image"] = f'"{ab.index.rows([5])[0].sha256[:32]}"'
    for path, etag in tags.items():
        sent = client.get(path).raise_for_status()
        assert sent.headers["etag"] == etag
        assert sent.headers["cache-control"] == "private, no-cache"
        for held in (etag, f'"x", W/{etag}'):
            again = client.get(path, headers={"If-None-Match": held})
            assert again.status_code == 304 and again.content == b""
            assert again.headers["etag"] == etag
            assert again.headers["cache-control"] == "private, no-cache"
        for other in ("/v1/items/6/image", "/v1/items/5/image?size=33"):
            assert client.get(other, headers={"If-None-Match": etag}).status_code == 200
    assert client.get("/v1/items/99/image", headers={"If-None-Match": "*"}).status_code == 404


def test_a_picture_of_a_rebuilt_index_is_sent_although_the_old_one_is_held(
    world_index: Path, world_pictures: Path, tmp_path: Path
) -> None:
    """The index is built anew, without its first picture: generation 1 again, with another item 0.
    The reference is the picture that the new index keeps."""
    folder, fewer, newer = tmp_path / "index", tmp_path / "pictures", tmp_path / "newer"
    shutil.copytree(world_index, folder, symlinks=True)
    shutil.copytree(world_pictures, fewer)
    for path in fewer.glob(f"{min(fewer.glob('*.png')).stem}.*"):
        path.unlink()
    options = anybind.BuildOptions(source="folder", inputs=(str(fewer),), out=newer, workers=1)
    anybind.build_index(options, anybind.load_encoder())
    settings = Settings(decoders=1, no_originals=True)
    with serving({"world": folder}, settings=settings) as running, running.client() as client:
        before = client.get("/v1/items/0/image").raise_for_status()
        shutil.move(folder, tmp_path / "before")
        shutil.move(newer, folder)
        reloaded = client.post("/v1/index/reload").raise_for_status().json()
        assert reloaded["changed"] == ["world"] and reloaded["generations"] == {"world": 1}
        held = {"If-None-Match": before.headers["etag"]}
        after = client.get("/v1/items/0/image", headers=held)
        assert after.status_code == 200 and after.headers["etag"] != before.headers["etag"]
        new = anybind.load(folder).index
        assert after.content == new.thumbnail(0) != before.content


def test_what_is_served_is_listed(client: httpx.Client, ab: anybind.AnyBind) -> None:
    found = client.get("/v1/index").raise_for_status().json()
    schemas.IndicesModel.model_validate(found)
    assert [each["name"] for each in found["indices"]] == ["world", "again"]
    assert found["indices"][0]["items"] == len(ab.index) and found["can_answer"]


@pytest.mark.parametrize(
    ("route", "body", "status", "said"),
    [
        ("search", {"inputs": [{"text": "a"}], "page": 2}, 422, "page: Extra inputs"),
        ("search", {"inputs": [{"modality": "audio"}]}, 422, "has no value"),
        ("search", {"inputs": [{"data": "aGk="}]}, 422, "needs its modality"),
        ("search", {"inputs": [{"modality": "id", "embedding": [1]}]}, 422, "is given by id, not"),
        ("search", {"inputs": [{"modality": "text", "id": 1}]}, 422, "given by text or embedding"),
        ("search", {"inputs": [{"text": "a", "id": 3}]}, 422, "give exactly one of"),
        ("search", {"inputs": [{"modality": "smell", "data": "aGk="}]}, 422, "'image', 'text'"),
        ("search", {"k": 3, "queries": [{}]}, 422, "k stand beside queries"),
        ("search", {"queries": []}, 422, "empty list"),
        ("search", {}, 400, "give one of image"),
        ("search", {"inputs": [{"text": " "}]}, 400, "the text is empty"),
        ("search", {"inputs": [{"text": "a" * 5001}]}, 400, "at most 5000"),
        ("search", {"inputs": [{"text": "a"}] * 5}, 400, "at most 4"),
        ("search", {"queries": [{"inputs": [{"text": "a"}]}] * 4}, 400, "this server takes 3"),
        ("search", {"inputs": [{"text": "a"}], "k": 31}, 400, "at most 30"),
        ("search", {"inputs": [{"text": "a"}], "k": 25}, 400, "25 neighbours of an index of 24"),
        ("search", {"inputs": [{"text": "a"}], "index": "x"}, 404, "there are world, again"),
        ("search", {"inputs": [{"id": 24}]}, 400, "24"),
        ("search", {"inputs": [{"embedding": [1, 2]}]}, 400, "have 256 numbers"),
        ("search", {"inputs": [{"embedding": [0] * 256}]}, 400, "no direction"),
        ("search", {"inputs": [{"text": "a"}], "minus": [{"text": "a"}]}, 400, "cancel"),
        ("search", {"inputs": [{"text": "a"}], "filter": {"size": 3}}, 400, "size"),
        ("search", {"inputs": [{"modality": "image", "data": "%%"}]}, 400, "no base64"),
        ("search", {"inputs": [{"modality": "image", "data": "aGk="}]}, 400, "image"),
        ("search", {"inputs": [{"modality": "image", "url": "http://x/a.png"}]}, 403, "--allow-"),
        ("embed", {"inputs": []}, 400, "nothing to embed"),
        ("embed", {"inputs": [{"text": "a"}], "minus": [{"text": "b"}]}, 422, "set mix to true"),
        ("ask", {"inputs": [{"text": "a"}]}, 422, "question: Field required"),
        ("ask", {"question": " "}, 400, "the question is empty"),
        ("ask", {"question": "w1 " * 1600}, 400, "tokens"),
        (
            "ask",
            {"question": "w1", "history": [{"question": "w1", "answer": "w2"}] * 65},
            400,
            "64",
        ),
        (
            "ask",
            {"question": "w1", "history": [{"question": "w1 " * 900, "answer": "w1 " * 900}]},
            400,
            "the conversation has 5402 characters; this server reads at most 5000",
        ),
        ("ask", {"question": QUESTION, "top_p": 2}, 422, "top_p"),
    ],
)
def test_what_is_wrong_is_said_as_a_problem(
    client: httpx.Client, route: str, body: dict[str, object], status: int, said: str
) -> None:
    response = client.post(f"/v1/{route}", json=body)
    assert response.status_code == status, response.text
    problem = ProblemModel.model_validate(response.json())
    assert response.headers["content-type"] == "application/problem+json"
    assert said in problem.detail and problem.status == status
    assert problem.request_id == response.headers["x-request-id"]
    assert problem.instance == f"/v1/{route}"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/items/24", 404, "its items are 0 to 23"),
        ("/v1/items/-1", 404, "has no item -1"),
        ("/v1/items/x", 422, "item"),
        ("/v1/items/3/image?size=4000", 422, "size"),
        ("/v1/items/3?index=x", 404, "no index is called 'x'"),
        ("/v1/imagine", 404, "Not Found"),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    client: httpx.Client, path: str, status: int, said: str
) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert said in ProblemModel.model_validate(response.json()).detail


def test_a_body_of_another_kind_is_refused(client: httpx.Client) -> None:
    response = client.post("/v1/search", content=b"<x/>", headers={"Content-Type": "text/xml"})
    assert response.status_code == 415 and "send application/json" in response.json()["detail"]
    response = client.post("/v1/search", content=b"{", headers={"Content-Type": "text/plain"})
    assert response.status_code == 422
    deep = b"[" * 100_000
    response = client.post("/v1/search", content=deep, headers={"Content-Type": ""})
    assert response.status_code == 422 and "recursion" in response.json()["detail"]


def test_a_request_may_bring_its_number(client: httpx.Client) -> None:
    response = client.get("/healthz", headers={"X-Request-ID": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    for strange in ("a b", "x" * 65):
        response = client.get("/healthz", headers={"X-Request-ID": strange})
        assert response.headers["x-request-id"] != strange


def test_openapi_names_every_route_with_an_example(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").raise_for_status().json()
    for path in ("/v1/search", "/v1/embed", "/v1/ask"):
        body = schema["paths"][path]["post"]["requestBody"]["content"]
        assert body["application/json"]["examples"] and "multipart/form-data" in body
        name = body["application/json"]["schema"]["$ref"].rpartition("/")[2]
        fields = schema["components"]["schemas"][name]["properties"]
        model = getattr(schemas, name)
        assert set(fields) == set(model.model_fields)
        for example in body["application/json"]["examples"].values():
            model.model_validate(example["value"])


def test_the_page_of_the_schema_asks_nobody_else(client: httpx.Client) -> None:
    """Every address in it is the server's own, and is there."""
    page = client.get("/docs").raise_for_status().text
    found = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert found and not [address for address in found if "//" in address]
    for address in found:
        client.get(address).raise_for_status()


def test_a_picture_without_a_size_is_the_original(
    client: httpx.Client, ab: anybind.AnyBind, world_pictures: Path
) -> None:
    """The reference is the file of the item's key."""
    sent = client.get("/v1/items/5/image").raise_for_status()
    file = world_pictures / f"{ab.index.rows([5])[0].key}.png"
    assert sent.content == file.read_bytes() and sent.headers["content-type"] == "image/png"


def test_originals_may_be_kept_back(world_index: Path, ab: anybind.AnyBind) -> None:
    settings = Settings(decoders=1, no_originals=True)
    with serving({"world": world_index}, settings=settings) as running, running.client() as client:
        sent = client.get("/v1/items/5/image").raise_for_status()
        assert sent.content == ab.index.thumbnail(5)
        assert sent.headers["content-type"] == "image/webp"
