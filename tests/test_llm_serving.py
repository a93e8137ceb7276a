"""Answers for many at once: the same ones as alone, in order, bounded, and in spite of failures."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anybind.errors import AnyBindError, Overloaded, UsageError
from anybind.llm.config import Generation
from anybind.llm.decoding import Finish
from anybind.llm.model import LanguageModel, Prompt, load_language_model
from anybind.llm.prompt import Piece
from anybind.llm.serving import Closed, ContinuousBatch, Said, Ticket

from .llm_folders import write_adapter, write_base
from .parity import Floats, fill

DIM = 40  # of the joint space
SECONDS = 60  # after which a test gives up
ENDLESS = Generation(temperature=0, max_tokens=900)
SETTINGS = [
    Generation(max_tokens=14, temperature=0),
    Generation(max_tokens=9, temperature=1, top_p=0.9, seed=7, repetition_penalty=1.3),
    Generation(max_tokens=20, temperature=0.5, top_p=1, seed=8),
    Generation(max_tokens=1, temperature=0, repetition_penalty=1.5),
    Generation(max_tokens=11, temperature=5, seed=9),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("llm")
    write_base(folder / "hf", "hf")
    write_adapter(folder / "7B.pth", "finetune")
    return load_language_model(folder / "hf", folder / "7B.pth")


@pytest.fixture(scope="module")
def endless(model: LanguageModel) -> LanguageModel:
    """The same model; nothing that it says ends an answer."""
    return LanguageModel(replace(model.base, eos=()), model.network)


class Listener:
    """Keeps what one answer says, and lets a test wait for it."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self._new: queue.SimpleQueue[Said] = queue.SimpleQueue()

    def __call__(self, said: Said) -> None:
        self.said.append(said)
        self._new.put(said)

    def next(self) -> Said:
        """What is said next."""
        return self._new.get(timeout=SECONDS)

    def text(self) -> str:
        """The rest of the answer; raises what ended it early."""
        found = ""
        while (said := self.next()) is not None:
            if isinstance(said, Exception):
                raise said
            found += said
        return found


def ask(
    batch: ContinuousBatch,
    prompt: Prompt,
    vector: Floats | None = None,
    settings: Generation | None = None,
) -> tuple[Ticket, Listener]:
    listener = Listener()
    return batch.submit(prompt, vector, settings, on_piece=listener), listener


def questions() -> Iterator[tuple[Prompt, Floats | None, Generation]]:
    """Twelve: of 3 to 80 tokens, with a vector, with none, with one a piece, with a zero one."""
    vectors = fill.unit_rows(3, "serving", (12, DIM))
    for i in range(12):
        words = [f"w{(5 + 11 * i + 3 * place) % 100 + 10}" for place in range(3 + 7 * i)]
        settings = SETTINGS[i % len(SETTINGS)]
        if i % 4 == 1:
            yield " ".join(words), None, settings
        elif i % 4 == 2:
            pieces = [Piece(text=" ".join(words[:2])), Piece(text="w17", answer=True)]
            yield [*pieces, Piece(text=" ".join(words[2:]))], vectors[i - 2 : i + 1], settings
        else:
            yield " ".join(words), vectors[i] * np.float32(i != 4), settings


@pytest.mark.parametrize("adapted", [True, False])
def test_answers_drawn_together_are_those_drawn_alone(
    model: LanguageModel, adapted: bool, tmp_path: Path
) -> None:
    """The reference is ``generate`` of each prompt; requests come in while others run, and long
    prompts are read in parts. Without an adapter, too."""
    asked = list(questions())
    if not adapted:
        model = LanguageModel(load_language_model(write_base(tmp_path / "hf", "hf")).base, None)
        asked = [(prompt, None, settings) for prompt, _, settings in asked]
    expected = [
        model.generate([prompt], None if vector is None else [vector], settings)[0]
        for prompt, vector, settings in asked
    ]
    sizes: list[int] = []
    with closing(
        ContinuousBatch(model, max_batch=4, read_tokens=24, observe=sizes.append)
    ) as batch:
        found: list[tuple[Ticket, Listener]] = []
        for i, (prompt, vector, settings) in enumerate(asked):
            found.append(ask(batch, prompt, vector, settings))
            if i % 3 == 2:
                found[i - 1][1].next()  # the next three come once this one speaks
        for _, listener in found:
            while listener.said[-1:] != [None]:
                listener.next()
    assert batch.n_waiting == batch.n_running == 0
    for (ticket, listener), text in zip(found, expected, strict=True):
        pieces = [said for said in listener.said if isinstance(said, str)]
        assert "".join(pieces) == text and all(pieces)
        assert listener.said[-1] is None and listener.said.count(None) == 1
        assert ticket.finish in (Finish.STOP, Finish.LENGTH)
        assert ticket.n_tokens == len(text.split())  # a word a token
    assert batch.n_tokens == sum(ticket.n_tokens for ticket, _ in found)
    assert max(sizes) > 1 and max(sizes) <= 4


def test_a_stream_says_what_the_model_says_alone(model: LanguageModel) -> None:
    """Piece by piece; the reference is the stream of the model itself."""
    prompt, vector, settings = next(questions())
    with closing(ContinuousBatch(model)) as batch:
        assert list(batch.stream(prompt, vector, settings)) == list(
            model.stream(prompt, vector, settings)
        )


def test_an_asyncio_program_is_told_in_its_loop(model: LanguageModel) -> None:
    """The reference is ``generate``."""
    prompt, vector, settings = next(questions())

    async def answer(batch: ContinuousBatch) -> str:
        loop = asyncio.get_running_loop()
        said: asyncio.Queue[Said] = asyncio.Queue()
        batch.submit(
            prompt,
            vector,
            settings,
            on_piece=lambda piece: loop.call_soon_threadsafe(said.put_nowait, piece),
        )
        found = ""
        while (piece := await asyncio.wait_for(said.get(), SECONDS)) is not None:
            assert isinstance(piece, str)
            found += piece
        return found

    with closing(ContinuousBatch(model)) as batch:
        text = asyncio.run(answer(batch))
    assert [text] == model.generate([prompt], None if vector is None else [vector], settings)


@pytest.mark.parametrize(
    ("prompt", "vector", "message"),
    [
        (" ", None, "the prompt is empty"),
        ("w5 " * 1023, None, "has 1024 tokens"),
        ("w5", np.zeros(39, np.float32), "where 1 of 40 numbers are meant"),
        ("w5", np.full(DIM, np.nan, np.float32), "not finite"),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(
    model: LanguageModel, prompt: str, vector: Floats | None, message: str
) -> None:
    """With the errors of ``generate``."""
    with closing(ContinuousBatch(model)) as batch, pytest.raises(UsageError, match=message):
        batch.stream(prompt, vector)


def test_an_answer_ends_where_the_context_is_full(model: LanguageModel) -> None:
    """1021 tokens and the opening one leave room for two; the reference is ``generate``."""
    settings = Generation(temperature=0, max_tokens=50)
    with closing(ContinuousBatch(model, read_tokens=300)) as batch:
        ticket, listener = ask(batch, "w5 " * 1021, None, settings)
        assert [listener.text()] == model.generate(["w5 " * 1021], None, settings)
    assert ticket.n_prompt == 1022 and ticket.n_tokens <= 2


def test_more_than_may_wait_are_refused(endless: LanguageModel) -> None:
    """One runs and two wait; the fourth is told so. Those that wait keep their turn."""
    with closing(ContinuousBatch(endless, max_batch=1, max_waiting=2)) as batch:
        first, listener = ask(batch, "w5", None, ENDLESS)
        listener.next()
        order: list[int] = []
        done = [threading.Event(), threading.Event()]
        for i in range(2):

            def note(said: Said, i: int = i) -> None:
                order.append(i)
                if said is None:
                    done[i].set()

            batch.submit("w6", None, Generation(max_tokens=3, temperature=0), on_piece=note)
        assert batch.n_waiting == 2 and batch.n_running == 1
        with pytest.raises(Overloaded, match="2 questions wait for the language model and 2 may"):
            ask(batch, "w7")
        first.cancel()
        assert all(event.wait(SECONDS) for event in done)
        assert order == [0, 0, 0, 0, 1, 1, 1, 1]  # three pieces and the end of each


def test_a_cancelled_answer_ends_and_frees_its_place(endless: LanguageModel) -> None:
    """Running and waiting ones; the next answer is that of ``generate``."""
    short = Generation(max_tokens=4, temperature=0)
    with closing(ContinuousBatch(endless, max_batch=1)) as batch:
        running, listener = ask(batch, "w5", None, ENDLESS)
        waiting, unheard = ask(batch, "w6", None, ENDLESS)
        _, last = ask(batch, "w7", None, short)
        listener.next()
        waiting.cancel()
        running.cancel()
        assert [last.text()] == endless.generate(["w7"], None, short)
        assert unheard.said == [None]
        assert listener.said[-1] is None and running.n_tokens < 900
        assert running.finish is waiting.finish is Finish.CANCELLED
        stream = batch.stream("w5", None, ENDLESS)
        next(stream)
        stream.close()
        _, after = ask(batch, "w8", None, short)
        assert [after.text()] == endless.generate(["w8"], None, short)


def test_a_long_prompt_does_not_hold_up_a_running_answer(endless: LanguageModel) -> None:
    """600 tokens are read 16 at a time; the running answer speaks after each part."""
    heard: list[str] = []
    begun, spoken = threading.Event(), threading.Event()

    def running(said: Said) -> None:
        heard.append("running")
        begun.set()

    def long(said: Said) -> None:
        heard.append("long")
        spoken.set()

    with closing(ContinuousBatch(endless, read_tokens=16)) as batch:
        batch.submit("w5", None, ENDLESS, on_piece=running)
        assert begun.wait(SECONDS)
        batch.submit("w6 " * 600, None, ENDLESS, on_piece=long)
        assert spoken.wait(SECONDS)
    assert heard.index("long") >= 600 // 16


@pytest.mark.parametrize("work", ["read", "step"])
def test_a_failure_is_told_to_those_it_hit_and_to_nobody_else(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """Memory runs out once; the next answer is that of ``generate``."""
    decoder = model.decoder()
    monkeypatch.setattr(model, "decoder", lambda: decoder)
    plain: Callable[..., object] = getattr(decoder, work)

    def fail(*_: object) -> object:
        if decoder.running or decoder.reading:
            monkeypatch.setattr(decoder, work, plain)
            raise MemoryError
        return ()

    with closing(ContinuousBatch(model)) as batch:
        monkeypatch.setattr(decoder, work, fail)
        ticket, listener = ask(batch, "w5", None, SETTINGS[0])
        with pytest.raises(AnyBindError, match="no memory for so many answers"):
            listener.text()
        assert ticket.finish is Finish.FAILED
        text = ask(batch, "w6", None, SETTINGS[0])[1].text()
    monkeypatch.undo()
    assert [text] == model.generate(["w6"], None, SETTINGS[0])


def test_a_listener_that_fails_ends_its_own_answer_alone(endless: LanguageModel) -> None:
    """The other answer is that of ``generate``."""

    def deaf(said: Said) -> None:
        raise ZeroDivisionError

    with closing(ContinuousBatch(endless)) as batch:
        ticket = batch.submit("w5", None, ENDLESS, on_piece=deaf)
        settings = Generation(max_tokens=40, temperature=0)
        text = ask(batch, "w6", None, settings)[1].text()
    assert [text] == endless.generate(["w6"], None, settings)
    assert ticket.finish is Finish.CANCELLED


@pytest.mark.parametrize("drain", [True, False])
def test_closing_refuses_those_that_wait(endless: LanguageModel, drain: bool) -> None:
    """Draining finishes what runs, as ``generate`` says it; else that fails, too."""
    settings = Generation(max_tokens=200, temperature=0)
    batch = ContinuousBatch(endless, max_batch=1)
    running, listener = ask(batch, "w5", None, settings)
    _, unheard = ask(batch, "w6", None, settings)
    listener.next()
    batch.close(drain=drain)
    assert len(unheard.said) == 1 and isinstance(unheard.said[0], Closed)
    text = "".join(said for said in listener.said if isinstance(said, str))
    if drain:
        assert [text] == endless.generate(["w5"], None, settings) and listener.said[-1] is None
    else:
        assert isinstance(listener.said[-1], Closed) and running.n_tokens < 200
    with pytest.raises(Closed, match="is being shut down"):
        ask(batch, "w7")
