"""Indices load, fail and are swapped without a failed request; the command starts and stops."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from anybind.errors import UsageError
from anybind.pipeline import AnyBind
from anybind.server.engine import Engine
from anybind.server.hub import LANGUAGE_MODEL, LOADING, READY, Hub, Opener
from anybind.server.metrics import Metrics
from anybind.server.problems import Problem
from anybind.server.serve import check_exposure, folders_of
from anybind.server.settings import Settings

from .folders import build_folder, unit_rows
from .serving import serving, write_language_model

DIM = 256  # of imagebind-mini


@pytest.fixture
def changing(world_index: Path, tmp_path: Path) -> Path:
    """A copy of an index, to be replaced."""
    return shutil.copytree(world_index, tmp_path / "changing", symlinks=True)


def replace_index(folder: Path, other: Path) -> None:
    """Put another index where one is, as a build that replaced it would."""
    aside = folder.with_name("aside")
    shutil.copytree(other, aside, symlinks=True)
    folder.rename(folder.with_name("before"))
    aside.rename(folder)


def test_parts_load_in_the_background_and_are_named(world_index: Path, tmp_path: Path) -> None:
    """A folder that is no index, and a language model that is not there, fail alone."""
    (tmp_path / "empty").mkdir()
    none = tmp_path / "none"
    opener = Opener(base=none, adapter=none)
    hub = Hub({"world": world_index, "empty": tmp_path / "empty"}, opener)
    assert set(hub.parts.values()) == {LOADING}
    with pytest.raises(Problem, match="world is loading") as early:
        hub.get()
    assert early.value.status == 503 and early.value.headers["Retry-After"] == "1"
    begun: list[str] = []
    hub.open_indices(lambda collection: begun.append(collection.name))
    hub.load_language_model()
    assert begun == ["world"] and hub.parts["index world"] == READY
    assert "manifest" in hub.parts["index empty"] and str(none) in hub.parts[LANGUAGE_MODEL]
    assert not hub.can_answer
    with pytest.raises(Problem, match="empty could not be opened") as failed:
        hub.get("empty")
    assert failed.value.status == 503
    with pytest.raises(Problem, match="could not be loaded") as mute:
        hub.check_answers()
    assert mute.value.status == 503
    with pytest.raises(Problem, match="'x'; there are world, empty") as unknown:
        hub.get("x")
    assert unknown.value.status == 404


def test_indices_of_one_encoder_share_it_and_the_language_model(
    world_index: Path, tmp_path: Path
) -> None:
    opener = Opener(**write_language_model(tmp_path, DIM))
    hub = Hub({"a": world_index, "b": world_index}, opener)
    hub.open_indices()
    hub.load_language_model()
    a, b = hub.get("a").ab, hub.get("b").ab
    assert a.encoder is b.encoder and a.language_models is b.language_models
    assert set(hub.parts.values()) == {READY} and hub.can_answer


def test_a_reload_takes_what_is_newer_and_keeps_what_cannot_be_read(
    changing: Path, tmp_path: Path
) -> None:
    hub = Hub({"it": changing}, Opener(), answers=False)
    hub.open_indices()
    before = hub.get()
    assert hub.reload() == ([], {}) and hub.get() is before
    build_folder(tmp_path / "smaller", unit_rows(9, seed=1))
    replace_index(changing, tmp_path / "smaller")
    changed, failed = hub.reload()
    assert changed == [] and "encoder" in failed["it"]  # another one built it
    assert hub.get() is before and len(before.ab.index) == 24
    shutil.rmtree(changing)
    changed, failed = hub.reload("it")
    assert changed == [] and "no such folder" in failed["it"]
    assert hub.get() is before
    with pytest.raises(Problem, match="no index is called"):
        hub.reload("x")


def test_a_folder_that_cannot_be_opened_does_not_hold_up_the_others(
    world_index: Path, tmp_path: Path
) -> None:
    """The broken one stands in front; what happened to both is told."""
    later = tmp_path / "later"
    folders = {"broken": tmp_path / "none", "it": later}
    with serving(folders, ready=False) as running, running.client() as client:
        end = time.monotonic() + 60
        while "loading" in (said := client.get("/readyz").text):
            assert time.monotonic() < end, said
            time.sleep(0.05)
        shutil.copytree(world_index, later)
        response = client.post("/v1/index/reload")
        assert response.status_code == 503
        detail = response.json()["detail"]
        assert "broken could not be opened" in detail and "reloaded: it" in detail
        found = client.post("/v1/search", json={"index": "it", "inputs": [{"id": 3}], "k": 1})
        assert [hit["id"] for hit in found.json()["results"]] == [3]


def test_a_reload_that_brings_the_first_index_makes_the_server_ready(
    world_index: Path, tmp_path: Path
) -> None:
    """Until then decoders and language model say what they wait for; then a text is found."""
    folder = tmp_path / "later"
    options = write_language_model(tmp_path, DIM)
    with (
        serving({"later": folder}, options=options, ready=False) as running,
        running.client() as client,
    ):
        end = time.monotonic() + 60
        while "loading" in (response := client.get("/readyz")).text:
            assert time.monotonic() < end, response.text
            time.sleep(0.05)
        assert response.status_code == 503
        parts = response.json()["parts"]
        assert "none could be opened" in parts["decoders"]
        assert "there is none" in parts[LANGUAGE_MODEL]
        shutil.copytree(world_index, folder)
        assert client.post("/v1/index/reload").json()["changed"] == ["later"]
        assert client.get("/readyz").json() == {
            "ready": True,
            "parts": {"index later": READY, "decoders": READY, LANGUAGE_MODEL: READY},
        }
        found = client.post("/v1/search", json={"inputs": [{"text": "a dog"}], "k": 3}).json()
        assert len(found["results"]) == 3


def test_a_reload_while_the_first_index_is_opened_waits_for_it(world_index: Path) -> None:
    """And finds nothing newer."""
    opening, go_on = threading.Event(), threading.Event()

    class Slow(Opener):
        def __call__(self, folder: Path, *shared: Any) -> AnyBind:
            opening.set()
            assert go_on.wait(60)
            return super().__call__(folder, *shared)

    async def work() -> list[str]:
        hub = Hub({"world": world_index}, Slow(), answers=False)
        engine = Engine(hub, Settings(decoders=1), Metrics(), None, n_decoders=1)
        loading = asyncio.create_task(engine.load())
        await asyncio.to_thread(opening.wait, 60)
        reloading = asyncio.create_task(engine.reload())
        await asyncio.sleep(0.1)
        go_on.set()
        await loading
        changed = await reloading
        await engine.close()
        return changed

    assert asyncio.run(work()) == []


def test_swapping_generations_under_load_fails_no_request(
    world_index: Path, changing: Path, tmp_path: Path
) -> None:
    """Eight clients search while the index is replaced twenty times by one and the other; every
    answer is right for one of them."""
    import anybind

    half = tmp_path / "half"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    thumbnails = anybind.load(world_index).index
    for item in range(12):
        content = thumbnails.thumbnail(item)
        assert content is not None
        (pictures / f"{item:02}.webp").write_bytes(content)
    inputs = (str(pictures),)
    options = anybind.BuildOptions(source="folder", inputs=inputs, out=half, workers=1)
    anybind.build_index(options, anybind.load_encoder())
    vector = np.eye(1, DIM, dtype=np.float32)[0]
    right = {
        tuple(hit.id for hit in anybind.load(each).search(embedding=vector, k=5))
        for each in (world_index, half)
    }
    assert len(right) == 2
    body = {"inputs": [{"embedding": vector.tolist()}], "k": 5}
    done = threading.Event()

    def search(url: str) -> set[tuple[int, ...]]:
        found: set[tuple[int, ...]] = set()
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            while not done.is_set():
                answer = client.post("/v1/search", json=body)
                assert answer.status_code == 200, answer.text
                found.add(tuple(hit["id"] for hit in answer.json()["results"]))
        return found

    with (
        serving({"it": changing}, settings=Settings(decoders=1, max_searches=64)) as running,
        ThreadPoolExecutor(8) as threads,
        running.client() as client,
    ):
        searching = [threads.submit(search, running.url) for _ in range(8)]
        try:
            for turn in range(20):
                link = changing.with_name("before")
                if link.exists():
                    shutil.rmtree(link)
                replace_index(changing, half if turn % 2 == 0 else world_index)
                answer = client.post("/v1/index/reload").raise_for_status().json()
                assert answer["changed"] == ["it"]
        finally:
            done.set()
        seen = set().union(*(each.result() for each in searching))
    assert seen == right


def test_names_of_folders_come_from_them_or_are_given(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    demo = tmp_path / "demo"
    assert folders_of([str(demo), f"b={demo}"]) == {"demo": demo, "b": demo}
    with pytest.raises(UsageError, match="is no folder"):
        folders_of([str(tmp_path / "none")])
    with pytest.raises(UsageError, match="two indices are called demo"):
        folders_of([str(demo), str(demo)])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_is_open_without_keys(host: str) -> None:
    check_exposure(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "127.0.0.1.x"])
def test_other_addresses_want_keys_or_an_insecure_will(host: str) -> None:
    with pytest.raises(UsageError, match="serve-key new"):
        check_exposure(Settings(host=host))
    check_exposure(Settings(host=host, insecure=True))
    check_exposure(Settings(host=host, api_keys_file=Path("keys.txt")))


def test_the_application_comes_up_without_anything_heavy() -> None:
    """So that the server listens at once; what is heavy is imported behind that."""
    heavy = "{'torch', 'faiss', 'transformers', 'sqlalchemy', 'pyarrow', 'av'}"
    code = f"import sys, anybind.server.app; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# ---------------------------------------------------------------------------------- the command


@contextmanager
def command(*arguments: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """``anybind serve`` in a process of its own."""
    program = [sys.executable, "-c", "import sys; from anybind.cli import main; sys.exit(main())"]
    process = subprocess.Popen(
        [*program, "serve", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (env or {}),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(url: str, path: str, seconds: float = 120) -> httpx.Response:
    end = time.monotonic() + seconds
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        while time.monotonic() < end:
            try:
                response = client.get(path)
                if response.status_code == 200:
                    return response
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise AssertionError(f"{url}{path} does not answer")


def test_the_command_serves_reloads_on_sighup_and_stops_on_sigterm(
    changing: Path, tmp_path: Path
) -> None:
    model = write_language_model(tmp_path, DIM)
    options = [f"--{name}={value}" for name, value in model.items()]
    with command(f"it={changing}", "--port=0", "--decoders=1", *options) as process:
        assert process.stderr is not None
        url = process.stderr.readline().strip().rstrip("/")
        assert wait_for(url, "/healthz").json() == {"status": "ok"}
        parts = wait_for(url, "/readyz").json()["parts"]
        assert set(parts) == {"index it", "language model", "decoders"}
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            body = {"inputs": [{"text": "a dog"}], "k": 3}
            assert len(client.post("/v1/search", json=body).json()["results"]) == 3
        process.send_signal(signal.SIGHUP)
        lines = iter(process.stderr.readline, "")
        assert any("reloaded on SIGHUP: nothing new" in line for line in lines)
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--host=0.0.0.0"], {}, "serve-key new"),
        (["--max-k=0"], {}, "max_k: Input should be greater than or equal to 1"),
        ([], {"ANYBIND_MAX_K": "many"}, "max_k: Input should be a valid integer"),
        (["--api-keys-file=none.txt"], {}, "none.txt"),
        (["--host=no.such.host.invalid", "--insecure"], {}, "cannot listen on"),
        (["--port=x"], {}, "invalid int value"),
    ],
)
def test_wrong_settings_are_one_line(
    world_index: Path, arguments: list[str], env: dict[str, str], said: str
) -> None:
    with command(str(world_index), *arguments, env=env) as process:
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2 and said in stderr and "Traceback" not in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_an_address_that_is_taken_is_said(world_index: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with command(str(world_index), f"--port={port}") as process:
            _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2 and "choose others with --host and --port" in stderr


def test_a_key_is_printed_once_and_works(world_index: Path, tmp_path: Path) -> None:
    from anybind.cli import main

    path = tmp_path / "keys.txt"
    assert main(["serve-key", "new", "--file", str(path), "--name", "ann"]) == 0
    assert main(["serve-key", "new", "--file", str(path), "--name", "ann"]) == 2
    content = path.read_text()
    assert "ann:user:" in content and path.stat().st_mode & 0o077 == 0
