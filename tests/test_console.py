"""The interactive chat, its lines piped in."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from anybind import Generation
from anybind.console import Console
from anybind.pipeline import AnyBind, Citation, Input

from .answering import open_small

GREEDY = Generation(temperature=0, max_tokens=6)


@pytest.fixture(scope="module")
def ab(tmp_path_factory: pytest.TempPathFactory) -> AnyBind:
    return open_small(tmp_path_factory.mktemp("console"))


@pytest.fixture
def sheets() -> list[tuple[list[str], int, Path]]:
    """What was drawn: modalities, how many citations, where."""
    return []


@pytest.fixture
def console(ab: AnyBind, sheets: list[tuple[list[str], int, Path]]) -> Console:
    def save_sheet(inputs: Sequence[Input], citations: Sequence[Citation], path: Path) -> None:
        sheets.append(([part.modality for part in inputs], len(citations), path))

    return Console(ab.chat(), cache="default", settings=GREEDY, save_sheet=save_sheet)


def run(console: Console, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Pipe lines in."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    console.run()


def test_lines_are_answered_and_media_shown_on_the_way(
    console: Console,
    ab: AnyBind,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    sheets: list[tuple[list[str], int, Path]],
) -> None:
    """The reference is the same conversation in Python; after ``/quit`` nothing is read."""
    sound = tmp_path / "my dog.wav"
    sound.write_bytes(b"woof")
    saved, sheet = tmp_path / "chat.json", tmp_path / "cache.png"
    run(
        console,
        monkeypatch,
        *("w5", f"/audio '{sound}'", "/text a dog", "w6", "", "w7", "/show-cache"),
        *(f"/show-cache {sheet}", f"/save {saved}", "/reset", "w5", "/quit", "w9"),
    )
    chat = ab.chat()
    shown = (Input("audio", sound), Input("text", "a dog"))
    expected = [chat.ask("w5", settings=GREEDY), chat.ask("w6", *shown, settings=GREEDY)]
    expected.append(chat.ask("w7", settings=GREEDY))
    out, err = capsys.readouterr()
    assert out.splitlines() == [*(answer.text for answer in expected), expected[0].text]
    best = expected[1].citations[0]
    assert f"{best.weight:.3f}  {best.id}  picture {best.id}" in err
    assert "shown with the next question: audio, text" in err
    assert sheets == [(["audio", "text"], 10, sheet)]
    assert [turn["question"] for turn in json.loads(saved.read_text())["turns"]] == [
        *("w5", "w6", "w7")
    ]


def test_an_interrupt_while_media_are_read_ends_the_question_alone(
    console: Console,
    ab: AnyBind,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The conversation goes on as if the question had not been asked; what was shown is kept."""
    view = AnyBind.view
    stops = iter([True])

    def stopping(*args: Any, **options: Any) -> Any:
        if next(stops, False):
            raise KeyboardInterrupt
        return view(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(AnyBind, "view", stopping)
        run(console, patch, "/text a dog", "w6", "w6", "/quit")
    expected = ab.chat().ask("w6", Input("text", "a dog"), settings=GREEDY)
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if line] == [expected.text]
    assert "stopped; this question is no part of the conversation" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/sing", "there is no command /sing; /help lists them"),
        ("/audio none.wav", "there is no file none.wav"),
        ("/image", "/image needs the name of a file"),
        ("/id x", "/id needs the number of an item"),
        ("/text", "/text needs words"),
        ("/save", "/save needs the name of a file"),
        ("/show-cache", "nothing was shown yet"),
        ("w5 " * 2000, "shorten the prompt"),
        ("/help", "/reset"),
    ],
)
def test_a_line_that_fails_is_one_line_and_the_chat_goes_on(
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    message: str,
) -> None:
    run(console, monkeypatch, line, "/reset")
    out, err = capsys.readouterr()
    assert message in err and out == ""
    assert err.splitlines()[-1] == "the conversation begins anew"


def test_what_was_left_out_is_said(
    console: Console, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four turns of 300 words in a context of 1024 tokens."""
    run(console, monkeypatch, *["w5 " * 300] * 4)
    _, err = capsys.readouterr()
    assert "the first 1 of 4 turns were left out" in err
