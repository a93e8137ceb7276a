"""Answers that are kept: what is asked again, and what is not."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anybind.encoders.modality import Vectors
from anybind.llm.config import Generation
from anybind.llm.presets import MINI
from anybind.llm.prompt import CAPTION, format_prompt

from .scripts import script

answer_book = script("answer_book")


class Parrot:
    """In place of a language model: says the prompt and the vector's first number."""

    def __init__(self) -> None:
        self.base = SimpleNamespace(fingerprint="sha256:1", llama=SimpleNamespace(dtype="float32"))
        self.asked: list[str] = []

    def generate(
        self, prompts: Sequence[str], vectors: Vectors, settings: Generation, *, batch_size: int
    ) -> list[str]:
        self.asked += prompts
        return [f"{p} {v[0]:g}" for p, v in zip(prompts, vectors, strict=True)]


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> Parrot:
    made = Parrot()
    monkeypatch.setattr(answer_book, "load_language_model", lambda *_, **__: made)
    return made


VECTORS = np.array([[1, 0], [1, 0], [2, 0], [1, 0]], np.float32)
PROMPTS = ["who", "who", "who", "what"]
SAID = ["who 1", "who 1", "who 2", "what 1"]


def test_equal_prompts_with_equal_vectors_are_asked_once(parrot: Parrot, tmp_path: Path) -> None:
    """Of four questions two are the same; every one has its answer, in order."""
    adapter = tmp_path / "adapter"
    adapter.write_bytes(b"one")
    with answer_book.AnswerBook(tmp_path, adapter, folder=tmp_path / "books") as book:
        assert book.ask(PROMPTS, VECTORS, what="test") == SAID
        assert book.made == 3
    assert sorted(parrot.asked) == ["what", "who", "who"]


def test_a_second_run_asks_what_the_first_left_open(
    parrot: Parrot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is stopped after one answer was written; another adapter has its own book."""
    adapter = tmp_path / "adapter"
    adapter.write_bytes(b"one")
    monkeypatch.setattr(answer_book, "CHUNK", 1)

    def stop(*args: object, **settings: object) -> list[str]:
        if parrot.asked:
            raise KeyboardInterrupt
        return Parrot.generate(parrot, *args, **settings)  # type: ignore[arg-type]

    with answer_book.AnswerBook(tmp_path, adapter, folder=tmp_path / "books") as book:
        with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
            stopping.setattr(parrot, "generate", stop)
            book.ask(PROMPTS, VECTORS, what="test")
    assert len(parrot.asked) == 1
    with answer_book.AnswerBook(tmp_path, adapter, folder=tmp_path / "books") as book:
        assert book.ask(PROMPTS, VECTORS, what="test") == SAID
    assert len(parrot.asked) == 3
    adapter.write_bytes(b"two")
    with answer_book.AnswerBook(tmp_path, adapter, folder=tmp_path / "books") as book:
        assert book.ask(PROMPTS, VECTORS, what="test") == SAID
    assert len(parrot.asked) == 6


def test_processes_answer_as_one_does(tmp_path: Path) -> None:
    """The shipped model, shown a few directions, with as many chunks as processes and more."""
    adapter = MINI / "adapter.safetensors"
    vectors = np.random.default_rng(0).standard_normal((5, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    prompts = [format_prompt(CAPTION)] * 4 + [format_prompt("What is this?")]
    said = []
    for workers in (0, 2):
        with (
            pytest.MonkeyPatch.context() as patch,
            answer_book.AnswerBook(
                MINI, adapter, folder=tmp_path / str(workers), workers=workers
            ) as book,
        ):
            patch.setattr(answer_book, "CHUNK", 2)
            said.append(book.ask(prompts, vectors, what="test"))
    assert said[0] == said[1]
    assert len(set(said[0])) > 1
