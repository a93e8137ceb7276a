"""clip-retrieval's own client and web front, unmodified, get what the library gives.

Both come from the wheel of clip-retrieval 2.45.0, installed without its dependencies.
"""

import base64
import http.server
import importlib.metadata
import importlib.util
import io
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

import anybind
from anybind.encoders.encoder import Encoder
from anybind.index.generation import build_generation
from anybind.index.manifest import EncoderId, Manifest, SourceInfo
from anybind.index.shards import write_shard
from anybind.server.fetching import Fetcher
from anybind.server.keys import Role, new_key
from anybind.server.routes.clip_retrieval import MOST_PICTURES
from anybind.server.settings import Settings

from .browser import chromium
from .folders import rows_of, unit_rows, webp
from .programs import lacking, package
from .serving import Running, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route

N_ITEMS = 130  # more than three pages of the front
PICTURED = 7  # the item whose vector is that of the picture
TEXT, NAMED = "a red train on snow", 11  # a text, and the item whose vector is its
COPY = 12  # an item nearly like the one before
MARKED = 3  # an item of which the source knew more
HOST = "pictures.example"  # a name that only the tests' resolver and browser know
PUBLIC = "93.184.215.14"  # an address that the guard lets pass; nothing is sent there
PLAIN, LINKED = "plain", "linked"  # an index without URLs, and one with


@pytest.fixture(scope="module")
def picture() -> bytes:
    """Noise, as PNG."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, picture: bytes) -> Mapping[str, Path]:
    """Two indices of the same pictures."""
    encoder = anybind.load_encoder()
    folder = tmp_path_factory.mktemp("clip")
    for name in (PLAIN, LINKED):
        write_index(folder / name, encoder, picture, linked=name == LINKED)
    return {name: folder / name for name in (PLAIN, LINKED)}


def write_index(folder: Path, encoder: Encoder, picture: bytes, *, linked: bool) -> None:
    """An index of coloured squares with random vectors, but for those named above."""
    vectors = unit_rows(N_ITEMS, seed=0, dim=encoder.dim)
    vectors[PICTURED] = encoder.encode("image", [picture])[0]
    vectors[NAMED] = encoder.encode("text", [TEXT])[0]
    copy = vectors[NAMED] + 0.2 * vectors[COPY]  # their cosine is about 0.98
    vectors[COPY] = copy / np.linalg.norm(copy)
    rows = rows_of(range(N_ITEMS))
    rows[MARKED] = replace(rows[MARKED], extra='{"NSFW": "UNLIKELY", "rating": NaN}')
    if linked:
        rows = [replace(row, url=f"http://{HOST}/{row.key}.png") for row in rows]
    thumbnails = {row.id: webp(row.id) for row in rows}
    entry = write_shard(folder, "image", 0, vectors, rows, thumbnails=thumbnails)
    own = EncoderId(
        name=encoder.name, fingerprint=encoder.fingerprint, dim=encoder.dim, reference=False
    )
    source = SourceInfo(kind="folder", input=("photos",))
    Manifest(modality="image", encoder=own, source=source).with_shard(entry).save(folder)
    build_generation(folder)


class Web(httpx.AsyncBaseTransport):
    """A web of one picture."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self.content)


async def resolve(host: str, port: int) -> list[str]:
    assert host == HOST
    return [PUBLIC]


@pytest.fixture(scope="module")
def server(folders: Mapping[str, Path], picture: bytes) -> Iterator[Running]:
    """A server that fetches URLs, from a web that is made up."""
    settings = Settings(
        decoders=1, allow_url_fetch=True, cors_origins=("*",), max_k=3000, max_body_bytes=2**20
    )
    with pytest.MonkeyPatch.context() as patch:
        own = partial(Fetcher, resolver=resolve, transport=Web(picture))
        patch.setattr("anybind.server.app.Fetcher", own)
        with serving(folders, settings=settings) as running:
            yield running


@pytest.fixture(scope="module")
def ab(folders: Mapping[str, Path]) -> anybind.AnyBind:
    """What the server's results are compared with."""
    return anybind.load(folders[PLAIN])


@pytest.fixture
def http_client(server: Running) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def installed(end: str) -> Path:
    """A file of clip-retrieval's wheel."""
    try:
        files = importlib.metadata.files("clip-retrieval") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [file for file in files if str(file).endswith(end)]
    if not found:
        lacking("needs clip-retrieval (pip install --no-deps clip-retrieval==2.45.0)")
    return Path(str(found[0].locate()))


@pytest.fixture(scope="module")
def clip_client() -> ModuleType:
    """``clip_client.py`` alone; its package would import a hundred others."""
    package("requests")
    spec = importlib.util.spec_from_file_location("clip_client", installed("clip_client.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_results(found: list[dict[str, Any]], hits: list[anybind.Hit]) -> None:
    """The same items in the same order, and scores to 1e-6."""
    assert [each["id"] for each in found] == [hit.id for hit in hits]
    scores = [each["similarity"] for each in found]
    np.testing.assert_allclose(scores, [hit.score for hit in hits], atol=1e-6)


# ------------------------------------------------------------------------------------ the client


@pytest.mark.parametrize("given", ["text", "image", "url", "embedding"])
def test_its_client_finds_what_the_library_finds(
    server: Running,
    ab: anybind.AnyBind,
    clip_client: ModuleType,
    picture: bytes,
    tmp_path: Path,
    given: str,
) -> None:
    """By text, by an image file, by the URL of an image, by a vector; with its defaults, which drop
    near duplicates."""
    path = tmp_path / "a.png"
    path.write_bytes(picture)
    vector = 2 * unit_rows(1, seed=5, dim=ab.encoder.dim)[0]
    asked: dict[str, Any] = {
        "text": {"text": TEXT},
        "image": {"image": str(path)},
        "url": {"image": f"http://{HOST}/a.png"},
        "embedding": {"embedding_input": vector.tolist()},
    }
    same: dict[str, Any] = {
        "text": {"text": TEXT},
        "image": {"image": path},
        "url": {"image": path},
        "embedding": {"embedding": vector},
    }
    own = clip_client.ClipClient(url=f"{server.url}/knn-service", indice_name=PLAIN)
    hits = ab.search(k=40, dedup=0.94, **same[given])
    found = own.query(**asked[given])
    is_results(found, hits)
    for each, hit in zip(found, hits, strict=True):
        assert (each["caption"], each["image_path"]) == (hit.caption, hit.image_path)
        assert None not in each.values()
    first = {"text": NAMED, "image": PICTURED, "url": PICTURED}.get(given, hits[0].id)
    assert found[0]["id"] == first
    assert given != "text" or COPY not in [each["id"] for each in found]


def test_its_client_brings_a_key_in_the_url(
    folders: Mapping[str, Path], ab: anybind.AnyBind, clip_client: ModuleType, tmp_path: Path
) -> None:
    """It knows no keys, but sends a URL's password."""
    path = tmp_path / "keys.txt"
    key = new_key(path, "ann", Role.USER)
    with serving(folders, settings=Settings(decoders=1, api_keys_file=path)) as running:
        address = running.url.removeprefix("http://")
        for password in (key, key[:-1]):
            url = f"http://ann:{password}@{address}/knn-service"
            own = clip_client.ClipClient(url=url, indice_name=PLAIN)
            if password == key:
                is_results(own.query(text=TEXT), ab.search(text=TEXT, k=40, dedup=0.94))
            else:
                assert "key" in own.query(text=TEXT)["message"]


def test_its_clients_options_are_followed(
    server: Running, ab: anybind.AnyBind, clip_client: ModuleType
) -> None:
    """How many, with duplicates, another index; what is asked of an index of images as if it were
    of texts comes back as a message, as this client returns it."""
    own = clip_client.ClipClient(
        url=f"{server.url}/knn-service", indice_name=LINKED, num_images=5, deduplicate=False
    )
    found = own.query(text=TEXT)
    is_results(found, ab.search(text=TEXT, k=5))
    assert [NAMED, COPY] == [each["id"] for each in found[:2]]
    assert found[0]["url"] == f"http://{HOST}/{found[0]['id']:06d}.png"
    own.modality = clip_client.Modality.TEXT.value
    said = own.query(text=TEXT)["message"]
    assert said == f"the index {LINKED} is of image, and was asked for text; send modality image"


# ------------------------------------------------------------------------------------- the front


class Front(http.server.SimpleHTTPRequestHandler):
    """The front's files, and the configuration that its operator writes."""

    config = b"{}"

    def do_GET(self) -> None:
        """A file, ``config.json``, or no icon."""
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        elif self.path == "/config.json":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.config)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def front(server: Running) -> Iterator[str]:
    """Where the front is served, beside the server that it asks."""
    config = {"defaultBackend": server.url, "defaultIndex": PLAIN}
    own = type("Configured", (Front,), {"config": json.dumps(config).encode()})
    folder = installed("front/build/index.html").parent
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(own, directory=str(folder))
    ) as beside:
        thread = threading.Thread(target=beside.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{beside.server_port}/"
        beside.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: "Browser", server: Running, front: str, picture: bytes) -> "Iterator[Page]":
    """A window that fails the test on an error in its console, and whose web is the front, the
    server, and one picture."""
    errors: list[str] = []

    def web(route: "Route") -> None:
        if route.request.url.startswith(f"http://{HOST}/"):
            route.fulfill(body=picture, content_type="image/png")
        else:
            assert route.request.url.startswith((server.url, front))
            route.continue_()

    def note(said: "ConsoleMessage") -> None:
        missing = f"{front}vendor/"  # the wheel lacks a file for old browsers, and asks for it
        if said.type == "error" and not said.location["url"].startswith(missing):
            errors.append(said.text)

    with closing(browser.new_page(viewport={"width": 1000, "height": 700})) as opened:
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("console", note)
        opened.route(lambda url: url.startswith("http"), web)
        yield opened
    assert errors == []


def is_search(request: "Request") -> bool:
    return request.url.endswith("/knn-service")


def figures(page: "Page") -> "Locator":
    """The results that are shown."""
    return page.locator("clip-front figure")


def captions(page: "Page") -> list[str]:
    """Of the results, best first."""
    return [text.strip() for text in figures(page).locator("figcaption").all_inner_texts()]


def test_its_front_finds_texts_and_turns_pages(
    page: "Page", front: str, ab: anybind.AnyBind
) -> None:
    """All results come page by page as the window is scrolled: 40 with the search, which asks for
    3000 ids, the rest through /metadata. The front hides what has no caption, URL or picture."""
    page.goto(front)
    page.locator("#searchBar").fill(TEXT)
    with page.expect_request(is_search) as asked:
        page.locator("#searchBar").press("Enter")
    body = json.loads(asked.value.post_data or "")
    assert (body["num_images"], body["num_result_ids"]) == (40, 3000)
    assert asked.value.headers["content-type"] == "text/plain;charset=UTF-8"
    expected = [hit.caption for hit in ab.search(text=TEXT, k=N_ITEMS, dedup=0.94)]
    figures(page).nth(39).wait_for()
    assert captions(page)[:40] == expected[:40]
    for _ in range(20):
        if figures(page).count() == len(expected):
            break
        page.mouse.wheel(0, 3000)
        page.wait_for_timeout(200)
    assert captions(page) == expected
    shown = figures(page).locator("img.pic").first
    assert shown.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [8, 8]


def test_its_front_finds_pictures_and_what_is_like_a_result(
    page: "Page", front: str, picture: bytes, ab: anybind.AnyBind
) -> None:
    """A file; then the picture of a result, then its caption, by a click on them."""
    page.goto(front)
    file: Any = {"name": "a.png", "mimeType": "image/png", "buffer": picture}
    page.locator("#filechooser").set_input_files(file)
    figures(page).nth(39).wait_for()
    hits = ab.search(image=picture, k=40, dedup=0.94)
    assert hits[0].id == PICTURED and captions(page)[:40] == [hit.caption for hit in hits]
    figures(page).nth(1).hover()
    with page.expect_response(lambda response: is_search(response.request)) as found:
        figures(page).nth(1).locator(".subImageSearch").click()
    shown = base64.b64decode(json.loads(found.value.request.post_data or "")["image"])
    hits = ab.search(image=shown, k=40, dedup=0.94)
    assert [each["id"] for each in found.value.json()[:40]] == [hit.id for hit in hits]
    first = figures(page).filter(has_text=str(hits[0].caption)).first
    first.hover()
    with page.expect_response(lambda response: is_search(response.request)) as found:
        first.locator(".subTextSearch").click()
    hits = ab.search(text=hits[0].caption, k=40, dedup=0.94)
    assert [each["id"] for each in found.value.json()[:40]] == [hit.id for hit in hits]


def test_its_front_finds_by_url_and_changes_the_index(page: "Page", front: str) -> None:
    """The URL of a picture stands in the front's own address. Results with URLs are shown from
    there, and searched by them; the front has no way to send a vector."""
    page.goto(f"{front}?imageUrl=http://{HOST}/a.png")
    figures(page).nth(39).wait_for()
    assert captions(page)[0] == f"picture {PICTURED}"
    with page.expect_response(lambda response: is_search(response.request)) as found:
        page.locator("#filter select").first.select_option(LINKED)
    assert found.value.json()[0]["id"] == PICTURED
    shown = f"http://{HOST}/{PICTURED:06d}.png"
    page.locator(f'clip-front img.pic[src="{shown}"]').wait_for()
    figures(page).first.hover()
    with page.expect_response(lambda response: is_search(response.request)) as found:
        figures(page).first.locator(".subImageSearch").click()
    assert json.loads(found.value.request.post_data or "")["image_url"] == shown
    assert found.value.json()[0]["id"] == PICTURED


# ------------------------------------------------------------------------------------ the bodies

QUERY = {"text": TEXT, "modality": "image", "indice_name": PLAIN, "num_images": 3}


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded"],
)
def test_a_body_is_read_whatever_its_content_type(
    http_client: httpx.Client, ab: anybind.AnyBind, content_type: str | None
) -> None:
    """What the front sends, its numbers as strings and ``""`` for nothing: 3 results in full, and
    ids and similarities up to the end of the index."""
    body = {
        **QUERY,
        **{"image": None, "image_url": None, "embedding_input": None, "use_mclip": False},
        **{"num_images": "3", "num_result_ids": "3000", "deduplicate": True},
        **{"use_safety_model": True, "use_violence_detector": True},
        **{"aesthetic_score": "", "aesthetic_weight": "0.5"},
    }
    headers = {} if content_type is None else {"content-type": content_type}
    response = http_client.post("/knn-service", content=json.dumps(body), headers=headers)
    found = response.json()
    is_results(found, ab.search(text=TEXT, k=N_ITEMS, dedup=0.94))
    assert len(found) == N_ITEMS - 1  # the copy is dropped
    assert all(set(each) == {"id", "similarity"} for each in found[3:])
    assert all({"caption", "image_path", "image"} <= set(each) for each in found[:3])
    assert response.headers["x-anybind-ignored"] == "use_safety_model, use_violence_detector"


def test_text_wins_over_image_over_url_over_vector(
    http_client: httpx.Client, ab: anybind.AnyBind, picture: bytes
) -> None:
    """What is ``""`` or ``null`` is not there; the reference is in clip-retrieval's source."""
    image, vector = base64.b64encode(picture).decode(), unit_rows(1, seed=5, dim=256)[0].tolist()
    nearest = ab.search(embedding=np.array(vector, np.float32), k=1)[0].id
    other = f"http://{HOST}/a.png"
    for first, asked in (
        (NAMED, {"text": TEXT, "image": image}),
        (PICTURED, {"text": "", "image": image, "embedding_input": vector}),
        (PICTURED, {"text": None, "image": None, "image_url": other, "embedding_input": vector}),
        (nearest, {"text": "", "image": "", "image_url": "", "embedding_input": vector}),
    ):
        found = http_client.post("/knn-service", json={**QUERY, **asked}).json()
        assert found[0]["id"] == first


def test_what_has_no_effect_is_named(
    http_client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what asks for something: not ``false``, not ``""``, not a weight without a score."""
    quiet = {"use_safety_model": False, "aesthetic_score": "", "aesthetic_weight": 0.5}
    assert (
        "x-anybind-ignored" not in http_client.post("/knn-service", json={**QUERY, **quiet}).headers
    )
    loud = {"use_mclip": "true", "aesthetic_score": "9", "new_option": 1, "not\na name": 2}
    with caplog.at_level("INFO", logger="anybind.server"):
        response = http_client.post("/knn-service", json={**QUERY, **loud})
    ignored = ["use_mclip", "aesthetic_score", "aesthetic_weight", "new_option"]
    assert response.headers["x-anybind-ignored"].split(", ") == ignored
    assert f"ignored options={','.join(ignored)}" in caplog.messages


def test_pictures_come_as_jpeg_where_there_is_no_url(http_client: httpx.Client) -> None:
    """The colour tells the item. With a URL that this server would fetch there is none, and there
    are at most so many."""
    found = http_client.post("/knn-service", json={**QUERY, "num_images": N_ITEMS}).json()
    assert ["image" in each for each in found] == [i < MOST_PICTURES for i in range(N_ITEMS)]
    for each in found[:3]:
        shown = Image.open(io.BytesIO(base64.b64decode(each["image"])))
        assert shown.format == "JPEG"
        colour = np.asarray(shown).mean((0, 1))
        np.testing.assert_allclose(colour, (each["id"], 60, 90), atol=6)  # JPEG loses a little
    linked = http_client.post("/knn-service", json={**QUERY, "indice_name": LINKED}).json()
    assert all("url" in each and "image" not in each for each in linked)


def test_without_fetching_pictures_come_along_with_urls(folders: Mapping[str, Path]) -> None:
    """So that a search by a result's picture needs no URL, which would be refused."""
    with serving({LINKED: folders[LINKED]}) as running, running.client() as client:
        query = {**QUERY, "indice_name": ""}  # the first
        found = client.post("/knn-service", json=query).json()
        assert all("url" in each and "image" in each for each in found)
        by_url = {**query, "text": "", "image_url": f"http://{HOST}/a.png"}
        response = client.post("/knn-service", json=by_url)
        assert response.status_code == 403 and "--allow-url-fetch" in response.json()["message"]


def test_metadata_is_told_by_id(http_client: httpx.Client) -> None:
    """In the order asked for, by numbers or strings; what the source knew more is there too."""
    body = {"ids": [MARKED, "12"], "indice_name": PLAIN}
    response = http_client.post("/metadata", content=json.dumps(body))
    first, second = response.json()
    assert (first["id"], second["id"]) == (MARKED, 12)
    assert first["metadata"].pop("image") != second["metadata"].pop("image")
    assert first["metadata"] == {
        "caption": "picture 3",
        "image_path": "00000.tar#000003.jpg",
        "NSFW": "UNLIKELY",
    }
    assert second["metadata"] == {"caption": "picture 12", "image_path": "00000.tar#000012.jpg"}
    assert http_client.post("/metadata", json={"ids": [], "indice_name": PLAIN}).json() == []


def test_indices_are_listed(http_client: httpx.Client) -> None:
    assert http_client.get("/indices-list").json() == [PLAIN, LINKED]


@pytest.mark.parametrize(
    ("path", "given", "status", "said"),
    [
        ("/knn-service", {"indice_name": "x"}, 404, "no index is called 'x'; there are plain"),
        ("/knn-service", {"modality": "text"}, 404, "send modality image"),
        ("/knn-service", {"text": ""}, 400, "nothing to look for"),
        ("/knn-service", {"text": "", "image": "%"}, 400, "no base64"),
        ("/knn-service", {"text": "", "embedding_input": [1, 2]}, 400, "have 256 numbers"),
        ("/knn-service", {"num_images": "many"}, 400, "num_images: "),
        ("/knn-service", {"num_result_ids": 3001}, 400, "gives at most 3000"),
        ("/metadata", {"ids": [N_ITEMS]}, 400, str(N_ITEMS)),
        ("/metadata", {"ids": ["a"]}, 400, "ids.0: "),
        ("/metadata", {"ids": [0] * 3001}, 400, "gives at most 3000"),
        ("/knn-service", {"text": "x" * 2**20}, 413, "the body is larger"),
    ],
)
def test_errors_are_messages(
    http_client: httpx.Client, path: str, given: dict[str, Any], status: int, said: str
) -> None:
    """clip-retrieval answers all of them with 500 and ``{"message": "Internal Server Error"}``."""
    base = QUERY if path == "/knn-service" else {}
    response = http_client.post(path, json={**base, **given})
    assert response.status_code == status and said in response.json()["message"]
    assert set(response.json()) == {"message"}
