"""Large requests wait for themselves: they are neither refused nor hold everything at once."""

import asyncio
import io
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from anybind.llm.config import Generation
from anybind.llm.decoding import Finish
from anybind.llm.serving import ContinuousBatch
from anybind.pipeline import Encoded
from anybind.server.engine import Engine, Question
from anybind.server.fetching import Fetcher
from anybind.server.hub import Collection, Hub, Opener
from anybind.server.inputs import Part, Url
from anybind.server.metrics import Metrics
from anybind.server.settings import Settings

from .answering import open_small
from .serving import serving


def test_a_request_of_many_inputs_is_no_overload(world_index: Path) -> None:
    """256 texts, one encoded at a time: 16 may wait, and the server is idle otherwise."""
    settings = Settings(decoders=1, encode_batch=1, max_parts=4)
    words = [f"a dog {i}" for i in range(256)]
    queries = [
        {"inputs": [{"text": w} for w in words[i : i + 4]], "k": 1} for i in range(0, 256, 4)
    ]
    with serving({"world": world_index}, settings=settings) as running, running.client() as client:
        response = client.post("/v1/search", json={"queries": queries})
        assert response.status_code == 200, response.text
        assert len(response.json()["answers"]) == 64
        few = client.post("/v1/search", json={"queries": [{**queries[0], "k": 5_000}] * 64})
        assert few.status_code == 400 and "100000: send several" in few.json()["detail"]


def test_few_files_are_fetched_and_in_memory_at_once(world_index: Path) -> None:
    """Of eight URLs two at a time, until each is decoded."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "PNG")

    class Web:
        now, most = 0, 0

        async def fetch(self, url: str) -> bytes:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.01)
            self.now -= 1
            return file.getvalue()

        async def aclose(self) -> None:
            """Nothing is open."""

    async def work(web: Web) -> list[Encoded]:
        hub = Hub({"world": world_index}, Opener(), answers=False)
        settings = Settings(max_fetches=2)
        engine = Engine(hub, settings, Metrics(), cast(Fetcher, web), n_decoders=1)
        await engine.load()
        parts = [
            Part(modality="image", value=Url(f"http://a.example/{i}"), weight=1.0) for i in range(8)
        ]
        found = await engine.inputs(hub.get(), parts)
        await engine.close()
        return [cast(Encoded, part.value) for part in found]

    web = Web()
    vectors = [each.vector for each in asyncio.run(work(web))]
    assert web.most == 2
    for vector in vectors[1:]:
        np.testing.assert_array_equal(vector, vectors[0])


def test_an_answer_whose_client_left_while_it_was_asked_for_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between asking for a place and having it."""
    ab = open_small(tmp_path)
    submitting, go_on = threading.Event(), threading.Event()
    submit = ContinuousBatch.submit
    tickets: list[Any] = []

    def slow(self: ContinuousBatch, *args: Any, **options: Any) -> Any:
        submitting.set()
        assert go_on.wait(60)
        tickets.append(submit(self, *args, **options))
        return tickets[0]

    monkeypatch.setattr(ContinuousBatch, "submit", slow)

    class Ready(Hub):
        def check_answers(self) -> None:
            """It is there."""

    async def work() -> None:
        hub = Ready({"it": tmp_path}, Opener())
        engine = Engine(hub, Settings(), Metrics(), None, n_decoders=1)
        question = Question(
            text="w5",
            inputs=[],
            history=[],
            cache=None,
            centre=False,
            settings=Generation(temperature=0, max_tokens=64),
        )
        asking = asyncio.ensure_future(engine.ask(Collection(name="it", ab=ab), question))
        await asyncio.to_thread(submitting.wait, 60)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        go_on.set()
        while not tickets or tickets[0].finish is None:
            await asyncio.sleep(0.01)
        await engine.close()

    asyncio.run(asyncio.wait_for(work(), 60))
    assert tickets[0].finish is Finish.CANCELLED
