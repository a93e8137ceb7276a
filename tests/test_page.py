"""The web page as a person uses it: Debian's Chromium drives it against a real server.

What a browser shows is compared with what the library says to the same query. Every test fails on
an error in the browser's console and on a request to anywhere but the server.
"""

import base64
import html.parser
import io
import json
import math
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

import anybind
from anybind.cli import main
from anybind.server.problems import install
from anybind.server.routes import page as page_routes

from .browser import chromium
from .conftest import N_PICTURES as N
from .programs import package, program
from .serving import serving, write_language_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route

PATIENCE_MS = 30_000  # of the browser, on a busy machine
FOLDER = Path(__file__).parents[1] / "server" / "page"
MODALITIES = ("image", "audio", "video", "points", "depth", "thermal", "imu")
FOLDERS = {"image": "images", "video": "videos"}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A scene as a file of each modality."""
    folder = tmp_path_factory.mktemp("media")
    what = ("--limit", "1", "--size", "96", "--modality", ",".join(MODALITIES))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as err:
        code = main(["world", "export", "--split", "test", *what, "--out", str(folder)])
    assert code == 0, err.getvalue()
    found = {}
    for modality in MODALITIES:
        (found[modality],) = (folder / FOLDERS.get(modality, modality)).iterdir()
    return found


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A small random language model, as options of ``anybind.load``."""
    return write_language_model(tmp_path_factory.mktemp("speaker"), dim=256)


@pytest.fixture(scope="module")
def library(world_index: Path, speaker: dict[str, Any]) -> anybind.AnyBind:
    """The same index and language model, without a server: the oracle."""
    return anybind.load(world_index, **speaker)


@pytest.fixture(scope="module")
def address(world_index: Path, speaker: dict[str, object]) -> Iterator[str]:
    """A server with the index under two names, with everything loaded."""
    with serving({"demo": world_index, "again": world_index}, options=speaker) as running:
        yield running.url + "/"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, with a microphone that beeps."""
    microphone = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with chromium(*microphone) as opened:
        yield opened


@dataclass(kw_only=True)
class Visit:
    """A window with the page, and what went on behind it."""

    page: "Page"
    address: str
    searches: list[dict[str, Any]] = field(default_factory=list)  # bodies of requests
    complaints: list[str] = field(default_factory=list)  # of the browser
    expected: list[str] = field(default_factory=list)  # parts of complaints that a test provokes

    def open(self, state: str = "") -> None:
        """Go to the page with a state in the address."""
        self.page.goto(self.address + state)
        self.page.locator("#examples button").first.wait_for(state="attached")

    def until(self, condition: str) -> None:
        """Wait until an expression holds. Asked from here, as the page's policy forbids that it
        evaluates expressions by itself."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(50)

    def add(self, *texts: str) -> None:
        """Write parts."""
        for text in texts:
            self.page.fill("#text", text)
            self.page.press("#text", "Enter")

    def weigh(self, part: int, *weights: float) -> None:
        """Move the slider of a part from weight to weight, faster than a hand would."""
        self.part(part).locator("input[type=range]").evaluate(
            """(slider, weights) => {
              for (slider.value of weights) slider.dispatchEvent(new Event("input"));
            }""",
            weights,
        )

    def part(self, number: int) -> "Locator":
        """A part's card."""
        return self.page.locator(".part").nth(number)

    def found(self) -> list[str]:
        """Captions and scores as they are shown once the page is at rest."""
        self.page.wait_for_timeout(200)  # longer than the page waits for the hand to be still
        self.page.wait_for_selector("#wall[aria-busy=false]")
        tiles = self.page.locator(".tile button").all()
        return [tile.get_attribute("aria-label") or "" for tile in tiles]


@contextmanager
def visiting(browser: "Browser", address: str) -> Iterator[Visit]:
    """A fresh window at the width of a laptop."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    made = Visit(page=context.new_page(), address=address)
    abroad: list[str] = []

    def request(asked: "Request") -> None:
        if not asked.url.startswith((address, "blob:", "data:")):
            abroad.append(asked.url)
        if asked.url == address + "v1/search":
            made.searches.append(json.loads(asked.post_data or "{}"))

    def console(said: "ConsoleMessage") -> None:
        if said.type == "error":
            made.complaints.append(said.text)

    made.page.on("request", request)
    made.page.on("console", console)
    made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
    yield made
    context.close()
    unforeseen = [c for c in made.complaints if not any(e in c for e in made.expected)]
    assert not abroad and not unforeseen, (abroad, unforeseen)


@pytest.fixture
def visit(browser: "Browser", address: str) -> Iterator[Visit]:
    """A window of a test's own."""
    with visiting(browser, address) as made:
        yield made


@pytest.fixture(scope="module")
def bench(browser: "Browser", address: str) -> Iterator[Visit]:
    """A window whose modules are called one by one."""
    with visiting(browser, address) as made:
        made.open()
        yield made


def labels(hits: Sequence[anybind.Hit]) -> list[str]:
    """What the tiles of some hits are called."""
    return [
        f"{rank}. {hit.caption}, similarity {hit.score:.2f}" for rank, hit in enumerate(hits, 1)
    ]


# -- searching ---------------------------------------------------------------------------------


def test_texts_find_what_the_library_finds(visit: Visit, library: anybind.AnyBind) -> None:
    visit.open()
    visit.add("a red train", "snow")
    assert visit.found() == labels(library.search(text=["a red train", "snow"], k=N))
    assert visit.page.locator("#status").inner_text().startswith(f"Nearest of {N} pictures")


def test_a_moved_slider_asks_again_and_takes_away(visit: Visit, library: anybind.AnyBind) -> None:
    """The oracle is the library's search with the same weights; ten moves in a row are one
    request, as the page waits for the hand."""
    visit.open()
    visit.add("a train", "the moon")
    visit.found()
    before = len(visit.searches)
    visit.weigh(1, *(-0.05 * step - 0.15 for step in range(10)))
    expected = library.search(text=["a train", "the moon"], weights={"text": [1, -0.6]}, k=N)
    assert visit.found() == labels(expected)
    assert len(visit.searches) - before == 1
    assert [part["weight"] for part in visit.searches[-1]["inputs"]] == [1, -0.6]
    assert visit.part(1).locator("output").inner_text() == "−0.60"
    assert visit.part(1).get_attribute("data-sign") == "minus"
    visit.part(1).locator("input[type=range]").dblclick()
    assert visit.part(1).locator("output").inner_text() == "+1.00"


def test_files_of_every_modality_are_mixed_and_shown_as_what_they_are(
    visit: Visit, library: anybind.AnyBind, media: dict[str, Path]
) -> None:
    """The oracle is the library's search with the same files. A file is sent once; later requests
    carry its vector."""
    visit.open()
    visit.page.set_input_files("#files", [media[modality] for modality in MODALITIES])
    visit.until(f"document.querySelectorAll('.part').length === {len(MODALITIES)}")
    kinds = [visit.part(i).get_attribute("data-modality") for i in range(len(MODALITIES))]
    assert kinds == ["image", "audio", "video", "points", "depth", "image", "imu"]
    visit.part(5).locator("select").select_option("thermal")  # greys: a photo or a heat image
    visit.found()
    shown = {"image": "img", "audio": ".player canvas", "video": "video"}
    for place, modality in enumerate(MODALITIES):
        wanted = visit.part(place).locator(f".preview {shown.get(modality, 'canvas')}")
        wanted.wait_for()
        if wanted.evaluate("node => node.tagName") == "CANVAS":
            colours = "new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
            visit.page.wait_for_timeout(300)
            assert wanted.evaluate(f"c => ({colours}).size") > 8, modality
    visit.weigh(0, -0.25)
    parts = [
        anybind.Input(modality, media[modality], weight=-0.25 if modality == "image" else 1)
        for modality in MODALITIES
    ]
    assert visit.found() == labels(library.search(*parts, k=N))
    assert all("embedding" in part for part in visit.searches[-1]["inputs"])
    assert visit.page.locator("#hint").is_visible()


def test_dropped_and_pasted_media_become_parts(visit: Visit, media: dict[str, Path]) -> None:
    visit.open()
    content = base64.b64encode(media["audio"].read_bytes()).decode()
    drop = """([content, kind]) => {
      const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], "bark.wav", { type: "audio/wav" }));
      const event = kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
        : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
      document.body.dispatchEvent(event);
    }"""
    visit.page.evaluate(drop, [content, "drop"])
    visit.page.evaluate(drop, [content, "paste"])
    visit.until("document.querySelectorAll('.part').length === 2")
    assert visit.page.locator(".part-name").all_inner_texts() == ["bark.wav", "bark.wav"]
    assert len(visit.found()) == N


def test_the_microphone_becomes_a_sound(visit: Visit) -> None:
    """Chromium's stand-in for a microphone beeps."""
    visit.open()
    visit.page.click("#record")
    visit.until("parseFloat(document.querySelector('#seconds').textContent) > 1")
    visit.page.click("#recorded")
    visit.page.wait_for_selector(".part[data-modality=audio]")
    assert visit.page.locator(".part-name").inner_text() == "recording.wav"
    assert len(visit.found()) == N


def test_the_example_sound_is_one(visit: Visit) -> None:
    visit.open()
    visit.page.click("#examples >> text=siren")
    assert len(visit.found()) == N
    assert visit.part(0).get_attribute("data-modality") == "audio"


def test_a_file_that_cannot_be_read_says_so_on_its_card(visit: Visit) -> None:
    """The server's own words; the other parts are searched with all the same."""
    visit.expected = ["400"]
    visit.open()
    visit.add("a train")
    visit.page.set_input_files(
        "#files", {"name": "broken.wav", "mimeType": "audio/wav", "buffer": b"RIFF but no sound"}
    )
    visit.page.wait_for_selector(".part-error:not([hidden])")
    words = visit.part(1).locator(".part-error").inner_text()
    assert len(words) > 10 and "[object" not in words
    assert len(visit.found()) == N
    visit.page.set_input_files(
        "#files", {"name": "notes.pdf", "mimeType": "application/pdf", "buffer": b"%PDF"}
    )
    visit.page.wait_for_selector("#notice:not([hidden])")
    assert "notes.pdf" in visit.page.locator("#notice").inner_text()


def test_words_of_the_index_are_never_markup(visit: Visit) -> None:
    """A caption with a script in it is shown letter by letter, wherever it is shown."""
    evil = "<img src=x onerror=document.title='taken'>"

    def forge(route: "Route") -> None:
        reply = route.fetch()
        content = reply.json()
        for hit in content.get("results", [content]):
            hit |= {"caption": evil, "url": "javascript:document.title='taken'"}
        route.fulfill(response=reply, json=content)

    visit.page.route("**/v1/search", forge)
    visit.page.route(re.compile(r"/v1/items/\d+\?"), forge)
    visit.open()
    visit.add("a train")
    visit.found()
    assert visit.page.locator(".caption").first.inner_text() == evil
    visit.page.locator(".tile button").first.click()
    visit.page.click("#menu >> text=Look closer")
    visit.page.wait_for_selector("#viewer dd")
    assert visit.page.locator("#viewer h2").inner_text() == evil
    assert visit.page.locator("#viewer a").count() == 0
    assert visit.page.title() == "anybind"


def test_another_index_can_be_chosen(visit: Visit) -> None:
    visit.open("#text=1:a+train&id=0.5:3")
    visit.found()
    visit.page.select_option("#index", "again")
    assert len(visit.found()) == N
    assert [search["index"] for search in visit.searches] == ["demo", "again"]
    assert [part.get("id") for part in visit.searches[-1]["inputs"]] == [None]  # of the other one
    assert "index=again" in visit.page.url


# -- results -----------------------------------------------------------------------------------


def test_a_result_is_searched_with_added_and_taken_away(
    visit: Visit, library: anybind.AnyBind
) -> None:
    """The oracle is the library's search by id."""
    visit.open()
    visit.add("a train")
    visit.found()
    hits = library.search(text="a train", k=N)
    visit.page.locator(".tile button").nth(1).click()
    visit.page.click("#menu >> text=Search with it")
    first = hits[1].id
    assert visit.found() == labels(library.search(id=first, k=N))
    visit.page.locator(".tile button").nth(2).click()
    visit.page.click("#menu >> text=Take away")
    second = library.search(id=first, k=N)[2].id
    expected = library.search(id=[first, second], weights={"id": [1, -0.5]}, k=N)
    assert visit.found() == labels(expected)
    visit.page.go_back()
    assert visit.found() == labels(library.search(id=first, k=N))
    visit.page.go_back()
    assert visit.found() == labels(hits)


def test_more_results_come_with_scrolling(visit: Visit, library: anybind.AnyBind) -> None:
    visit.page.set_viewport_size({"width": 1280, "height": 400})
    visit.open("#text=1:a+train&k=10")
    visit.page.wait_for_selector(".tile")
    for _ in range(3):
        visit.page.mouse.wheel(0, 4000)
        visit.page.wait_for_timeout(400)
    assert visit.found() == labels(library.search(text="a train", k=N))
    offsets = sorted({search["offset"] for search in visit.searches})
    assert offsets == [0, 10, 20]


def test_the_keyboard_reaches_everything(visit: Visit) -> None:
    visit.open()
    keyboard = visit.page.keyboard
    keyboard.press("/")
    keyboard.type("a train")
    keyboard.press("Enter")
    visit.found()
    focused = "document.activeElement.closest('.tile') && document.activeElement.ariaLabel"
    for _ in range(40):
        keyboard.press("Tab")
        if visit.page.evaluate(focused):
            break
    assert str(visit.page.evaluate(focused)).startswith("1. ")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowLeft")
    assert str(visit.page.evaluate(focused)).startswith("2. ")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowUp")
    keyboard.press("Enter")
    assert visit.page.locator("#menu").is_visible()
    keyboard.press("ArrowDown")
    assert visit.page.evaluate("document.activeElement.textContent") == "Add"
    keyboard.press("Escape")
    assert visit.page.locator("#menu").is_hidden()
    assert str(visit.page.evaluate(focused)).startswith("2. ")
    keyboard.press("Enter")
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    visit.found()
    assert visit.page.locator(".part").count() == 2


# -- cache and answers -------------------------------------------------------------------------


def test_the_cache_pulls_and_shows_what_it_blended(visit: Visit, library: anybind.AnyBind) -> None:
    """The oracle is the library's search and mixture with the same cache."""
    visit.open("#text=1:a+train&cache=1&alpha=0.8&blend=4&weighting=linear")
    cache = anybind.Cache(k=4, alpha=0.8, weighting="linear")
    assert visit.found() == labels(library.search(text="a train", cache=cache, k=N))
    visit.page.click("#cache summary")
    shown = [
        node.get_attribute("aria-label") for node in visit.page.locator("#citations button").all()
    ]
    citations = library.mix(text="a train", cache=cache).citations
    assert shown == [f"{each.caption}, weight {each.weight:.2f}" for each in citations]


def test_an_answer_streams_in_with_its_pictures(visit: Visit, library: anybind.AnyBind) -> None:
    """The answer is what the server's last event says, its pictures those of the library's
    mixture with the usual cache. A follow-up carries the first turn, and no part twice."""
    asked: list[dict[str, Any]] = []

    def note(request: "Request") -> None:
        if request.url.endswith("v1/ask"):
            asked.append(json.loads(request.post_data or "{}"))

    visit.page.on("request", note)
    visit.open("#text=1:a+train&question=w5+w9")
    visit.found()
    assert visit.page.input_value("#question") == "w5 w9"
    visit.page.press("#question", "Enter")
    visit.page.wait_for_selector(".turn .answer:not(.running)")
    answer = visit.page.locator(".turn .answer").inner_text()
    assert re.fullmatch(r"(w\d+ ?)+", answer)
    citations = library.mix(text="a train", cache=anybind.Cache()).citations
    shown = visit.page.locator(".turn .citations button").all()
    assert [node.get_attribute("title") for node in shown] == [each.caption for each in citations]
    visit.page.fill("#question", "w7")
    visit.page.press("#question", "Enter")
    visit.page.wait_for_selector(".turn:nth-child(2) .answer:not(.running)")
    first = {"question": "w5 w9", "answer": answer, "inputs": [{"text": "a train", "weight": 1}]}
    assert asked[1]["history"] == [first] and asked[1]["inputs"] == []
    visit.page.click("#forget")
    assert visit.page.locator(".turn").count() == 0


def test_an_answer_can_be_stopped(visit: Visit) -> None:
    """The server is made never to answer; the button sends the request away."""
    visit.expected = ["ERR_FAILED", "ERR_ABORTED"]
    visit.page.route("**/v1/ask", lambda route: None)
    visit.open("#text=1:a+train")
    visit.found()
    visit.page.fill("#question", "w5")
    visit.page.press("#question", "Enter")
    visit.page.wait_for_selector("#send[aria-label=Stop]")
    visit.page.click("#send")
    assert visit.page.locator(".turn .note").inner_text() == "Stopped."
    assert visit.page.locator("#send").get_attribute("aria-label") == "Ask"


# -- state, keys and overload ------------------------------------------------------------------


def test_the_address_restores_everything_but_files(visit: Visit) -> None:
    visit.open()
    visit.add("a train: 50%, & more", "the moon")
    visit.weigh(1, -0.35)
    visit.page.click("#cache summary")
    visit.page.locator("#alpha").fill("0.8")
    visit.page.check("#cache-search")
    visit.page.check("#dedup")
    before = visit.found()
    visit.page.reload()
    assert visit.found() == before
    texts = [node.input_value() for node in visit.page.locator(".part-text").all()]
    assert texts == ["a train: 50%, & more", "the moon"]
    assert visit.part(1).locator("output").inner_text() == "−0.35"
    last = visit.searches[-1]
    assert last["cache"] == {"k": 10, "alpha": 0.8, "weighting": "softmax"}
    assert last["dedup"] == 0.94


def test_an_address_written_by_hand_is_read(bench: Visit) -> None:
    """Weights are held between -1 and 1, and nonsense is the default."""
    read = bench.page.evaluate(
        """async () => (await import('./page/url.js')).read(
          '#text=a+forest&text=-0.5:12:30&id=7:3&id=x&k=0&alpha=2&blend=x&weighting=odd')"""
    )
    assert read["parts"] == [
        {"text": "a forest", "weight": 1},
        {"text": "12:30", "weight": -0.5},
        {"id": 3, "weight": 1},
    ]
    assert read["k"] == 1 and read["cache"] == {"k": 10, "alpha": 1, "weighting": "softmax"}


def test_a_key_is_asked_for_and_sent(visit: Visit) -> None:
    """The server in between wants one; a picture is then fetched with the key, too."""
    visit.expected = ["401"]
    sent: list[str] = []

    def guard(route: "Route") -> None:
        key = route.request.headers.get("authorization", "")
        sent.append(key)
        if key == "Bearer ab_right":
            route.continue_()
            return
        problem = {
            "title": "Unauthorized",
            "status": 401,
            "detail": "that is no key of this server",
        }
        route.fulfill(status=401, json=problem, content_type="application/problem+json")

    visit.page.route("**/v1/**", guard)
    visit.page.goto(visit.address + "#text=1:a+train")
    visit.page.wait_for_selector("#key[open]")
    visit.page.fill("#key-value", "ab_wrong")
    visit.page.press("#key-value", "Enter")
    visit.until("document.querySelector('#key-reason').textContent")
    assert visit.page.locator("#key-reason").inner_text() == "that is no key of this server"
    visit.page.fill("#key-value", "ab_right")
    visit.page.press("#key-value", "Enter")
    visit.page.wait_for_selector(".tile img[src^='blob:']")
    assert sent[-1] == "Bearer ab_right" and "" in sent and "Bearer ab_wrong" in sent


def test_a_busy_server_is_asked_again(visit: Visit) -> None:
    visit.expected = ["429"]
    turned_away: list[float] = []

    def busy(route: "Route") -> None:
        if turned_away:
            route.continue_()
            return
        turned_away.append(time.monotonic())
        route.fulfill(status=429, headers={"Retry-After": "1"}, json={"detail": "busy"})

    visit.page.route("**/v1/search", busy)
    visit.open("#text=1:a+train")
    visit.page.wait_for_selector(".tile")
    assert time.monotonic() - turned_away[0] >= 1
    assert visit.page.locator("#notice").is_hidden()


# -- looks -------------------------------------------------------------------------------------


def test_dark_colours_are_kept(visit: Visit) -> None:
    visit.open()
    background = "getComputedStyle(document.body).backgroundColor"
    assert visit.page.evaluate(background) == "rgb(250, 248, 245)"
    visit.page.click("#theme")
    assert visit.page.evaluate(background) == "rgb(19, 18, 17)"
    visit.page.reload()
    assert visit.page.evaluate(background) == "rgb(19, 18, 17)"
    visit.page.click("#theme")
    visit.page.emulate_media(color_scheme="dark")
    assert visit.page.evaluate(background) == "rgb(250, 248, 245)"  # the button is stronger


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1600])
def test_nothing_is_wider_than_the_window(visit: Visit, media: dict[str, Path], width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 800})
    wide = "document.documentElement.scrollWidth > innerWidth"
    visit.open()
    assert not visit.page.evaluate(wide)
    visit.page.set_input_files("#files", [media["audio"], media["video"]])
    visit.add("a very long description " * 8)
    visit.found()
    visit.page.click("#same summary")
    visit.page.click("#cache summary")
    assert not visit.page.evaluate(wide)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_words_stand_out_from_their_ground(scheme: int) -> None:
    """A contrast of 4.5 as WCAG 2.2 AA asks, for every pair that the style sheet uses."""
    style = (FOLDER / "style.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)
    colours = {name: values[scheme] for name, *values in pairs}
    used = [(words, ground) for words in ("ink", "soft") for ground in ("paper", "card", "sunk")]
    used += [("accent", "card"), ("accent", "paper"), ("on-accent", "accent"), ("ink", "tint")]
    for words, ground in used:
        bright, dim = sorted((luminance(colours[name]) for name in (words, ground)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (words, ground)


# -- code --------------------------------------------------------------------------------------


def snippet(visit: Visit, language: str) -> str:
    """The same query as code."""
    if not visit.page.locator("#same").evaluate("node => node.open"):
        visit.page.click("#same summary")
    visit.page.click(f"#tabs >> text={language}")
    return visit.page.locator("#snippet").inner_text()


def asked_everywhere(visit: Visit, media: dict[str, Path], library: anybind.AnyBind) -> list[str]:
    """Ask by a sound and a text with a quote in it; what the library finds."""
    visit.open("#k=5&cache=1&alpha=0.3")
    visit.page.set_input_files("#files", media["audio"])
    visit.add("it's a train")
    visit.weigh(1, -0.5)
    audio = anybind.Input("audio", media["audio"])
    text = anybind.Input("text", "it's a train", weight=-0.5)
    hits = library.search(audio, text, k=5, cache=anybind.Cache(alpha=0.3))
    assert visit.found()[:5] == labels(hits)
    return [hit.caption or "" for hit in hits]


def test_the_line_for_curl_runs_as_it_stands(
    visit: Visit, media: dict[str, Path], library: anybind.AnyBind
) -> None:
    program("curl")
    captions = asked_everywhere(visit, media, library)
    line = shlex.split(snippet(visit, "curl").replace("\\\n", " "))
    done = subprocess.run(
        [*line, "--silent"], cwd=media["audio"].parent, capture_output=True, check=True
    )
    assert [hit["caption"] for hit in json.loads(done.stdout)["results"]] == captions


@pytest.mark.parametrize("language", ["Python", "openai"])
def test_the_code_runs_as_it_stands(
    visit: Visit, media: dict[str, Path], library: anybind.AnyBind, language: str
) -> None:
    """Search and question; without seeds nobody can say what the answer is, but it is one."""
    if language == "openai":
        package("openai")
    captions = asked_everywhere(visit, media, library)
    visit.page.fill("#question", "w5 w9")
    visit.page.press("#question", "Enter")
    visit.page.wait_for_selector(".turn .answer:not(.running)")
    out = io.StringIO()
    with chdir(media["audio"].parent), redirect_stdout(out):
        exec(compile(snippet(visit, language), "snippet", "exec"), {})
    *hits, answer = out.getvalue().splitlines()
    assert [line.split("  ")[-1] for line in hits] == captions
    assert re.fullmatch(r"(w\d+ ?)+", answer)


# -- reading files in the browser --------------------------------------------------------------


def in_page(bench: Visit, module: str, call: str, content: bytes, name: str = "file") -> Any:
    """What a function of a module makes of a file."""
    script = f"""async ([content, name]) => {{
      const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
      const file = new File([bytes], name);
      const module = await import('./page/{module}');
      const made = await ({call})(module, file, bytes.buffer);
      return made && made.data ? {{ shape: made.shape, data: Array.from(made.data) }} : made;
    }}"""
    return bench.page.evaluate(script, [base64.b64encode(content).decode(), name])


def test_greys_of_sixteen_bits_are_read_to_the_bit(bench: Visit) -> None:
    """Pillow wrote the file, with whatever filters it chose; a slope and noise make it choose."""
    slope = np.add.outer(np.arange(40) * 900, np.arange(31) * 400)
    noise = np.random.default_rng(0).integers(0, 3000, slope.shape)
    pixels = (slope + noise).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    read = in_page(bench, "media/png16.js", "(m, f, b) => m.readPng16(b)", buffer.getvalue())
    np.testing.assert_array_equal(np.reshape(read["data"], read["shape"]), pixels)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "<i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_numpy_wrote_them(bench: Visit, dtype: str, order: str) -> None:
    array = np.asarray(np.arange(24).reshape(8, 3), np.dtype(dtype), order=order)  # type: ignore[call-overload]
    buffer = io.BytesIO()
    np.save(buffer, array)
    read = in_page(bench, "media/npy.js", "(m, f, b) => m.readNpy(b)", buffer.getvalue())
    np.testing.assert_array_equal(np.reshape(read["data"], read["shape"]), array)


CORNERS = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.5]]
PLY = "ply\nformat {}\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n{}"
FACE = "element face 1\nproperty list uchar int vertex_index\nend_header\n"
LINES = "\n".join(" ".join(map(str, corner)) for corner in CORNERS)
CLOUDS = {
    "text.ply": (PLY.format("ascii 1.0", FACE) + LINES + "\n3 0 1 2\n").encode(),
    "binary.ply": PLY.format("binary_little_endian 1.0", FACE).encode()
    + np.array(CORNERS, "<f4").tobytes()
    + b"\3" + np.arange(3, dtype="<i4").tobytes(),
    "mesh.obj": ("\n".join(f"v {line}" for line in LINES.split("\n")) + "\nf 1 2 3\n").encode(),
    "mesh.off": f"OFF\n3 1 0\n{LINES}\n3 0 1 2\n".encode(),
    "cloud.xyz": LINES.encode(),
    "cloud.pts": f"3\n{LINES}\n".encode(),
    "cloud.pcd": (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 3\n"
        f"HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\nDATA ascii\n{LINES}\n"
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_are_read_from_every_kind_of_file(bench: Visit, name: str) -> None:
    """The same three corners in each."""
    read = in_page(bench, "media/cloudfile.js", "(m, f) => m.readCloud(f)", CLOUDS[name], name)
    np.testing.assert_allclose(read, CORNERS)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("a.npy", (8192, 3), ["points", "depth"]),
        ("a.npy", (240, 320), ["depth", "points"]),
        ("a.npy", (6, 2000), ["imu", "depth"]),
        ("a.npy", (2000, 6), ["imu", "points"]),
        ("a.npy", (5,), ["points", "depth", "imu"]),
        ("a.WAV", None, ["audio"]),
        ("a.webm", None, ["video", "audio"]),
        ("a.pdf", None, []),
    ],
)
def test_what_a_file_may_be_is_offered(
    bench: Visit, name: str, shape: tuple[int, ...] | None, expected: list[str]
) -> None:
    """The most likely comes first; arrays are told by their shape."""
    buffer = io.BytesIO()
    if shape is not None:
        np.save(buffer, np.zeros(shape, np.float32))
    call = "(m, f) => m.modalitiesOf(f)"
    assert in_page(bench, "kinds.js", call, buffer.getvalue(), name) == expected


def test_a_wav_that_the_page_writes_is_read_by_the_library(
    bench: Visit, library: anybind.AnyBind
) -> None:
    """A tone's samples come back to a 16-bit step, and it is embedded as those are."""
    from soundfile import read as read_sound

    script = """async () => {
      const { wav } = await import('./page/media/record.js');
      const samples = Float32Array.from({ length: 16000 }, (_, i) => 0.5 * Math.sin(i / 8));
      const bytes = Array.from(new Uint8Array(wav(samples, 16000)));
      return btoa(bytes.map((byte) => String.fromCharCode(byte)).join(""));
    }"""
    content = base64.b64decode(bench.page.evaluate(script))
    samples, rate = read_sound(io.BytesIO(content))
    assert rate == 16_000
    tone = 0.5 * np.sin(np.arange(16_000) / 8)
    np.testing.assert_allclose(samples, tone, atol=1 / 32767 + 1e-4)
    vector = library.embed(audio=content)
    assert math.isclose(float(np.linalg.norm(vector)), 1, rel_tol=1e-5)


# -- the files of the page ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def files() -> TestClient:
    """The page's routes alone."""
    app = FastAPI()
    install(app)
    app.include_router(page_routes.router)
    return TestClient(app)


def test_the_page_may_talk_to_its_server_only(files: TestClient) -> None:
    found = files.get("/")
    policy = dict(
        part.split(" ", 1) for part in found.headers["content-security-policy"].split("; ")
    )
    assert found.headers["content-type"] == "text/html; charset=utf-8"
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"


def test_every_file_that_the_page_names_is_served(files: TestClient) -> None:
    """The reference is the folder: what is imported, linked or shown is there, and the rest is
    imported by something."""
    served = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    named = {"index.html"}
    for name in served:
        text = (FOLDER / name).read_text()
        folder = (FOLDER / name).parent
        for imported in re.findall(r"""from "(\.[^"]+)\"""", text):
            named.add(str((folder / imported).resolve().relative_to(FOLDER)))
        named |= set(re.findall(r'(?:href|src)="page/([^"]+)"', text))
    assert named == served
    types = {
        "js": "text/javascript",
        "css": "text/css",
        "svg": "image/svg+xml",
        "html": "text/html",
    }
    for name in served:
        found = files.get(f"/page/{name}")
        assert found.content == (FOLDER / name).read_bytes()
        assert found.headers["content-type"].startswith(types[name.rpartition(".")[2]])


def test_a_file_that_the_browser_has_is_not_sent_again(files: TestClient) -> None:
    found = files.get("/page/app.js")
    again = files.get(
        "/page/app.js", headers={"If-None-Match": f'"other", W/{found.headers["etag"]}'}
    )
    assert again.status_code == 304 and not again.content
    assert files.get("/page/app.js", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path", ["../settings.py", "..%2fsettings.py", "%2e%2e/settings.py", "/etc/passwd", "media", ""]
)
def test_nothing_but_the_page_is_served(files: TestClient, path: str) -> None:
    assert files.get(f"/page/{path}").status_code == 404


class Markup(html.parser.HTMLParser):
    """Collects what a strict policy would forbid, and ids that are labelled."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note inline styles, handlers and scripts, and addresses elsewhere."""
        given = dict(attrs)
        for name, value in attrs:
            if name == "style" or name.startswith("on") or "//" in (value or ""):
                self.forbidden.append(f"{tag} {name}={value}")
        if tag == "style" or (tag == "script" and "src" not in given):
            self.forbidden.append(tag)


def test_the_markup_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    """Scripts never make markup out of strings either."""
    markup = Markup()
    markup.feed((FOLDER / "index.html").read_text())
    assert not markup.forbidden
    for path in FOLDER.rglob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()
        )
