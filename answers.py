"""Answers about media, one at a time or in a conversation, with the images they drew on.

A question sees what was shown last. In a conversation a medium counts from its own turn on, and
what was said before stays as it was.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack, overload

from .encoders.media import label
from .encoders.modality import Vectors
from .files import write_atomically
from .index.cache import Cache
from .llm.chat import Seen, n_forgotten, prompt_of
from .llm.config import Generation
from .llm.presets import Task
from .llm.prompt import Piece, Turn

if TYPE_CHECKING:
    from .llm.model import LanguageModel
    from .pipeline import AnyBind, Citation, Input, Mixture, Query

CacheChoice = Cache | Literal["default"] | None  # the language model's own, another, or none
FORMAT = "anybind-chat 1"  # of a saved conversation


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What the language model said; as a string, its text."""

    text: str
    query: "Mixture | None" = None  # what was shown with the question; None: nothing new
    forgotten: int = 0  # oldest turns of the conversation that the context had no room for

    @property
    def citations(self) -> "tuple[Citation, ...]":
        """The images that the cache blended in, best first; none where it was not used."""
        return () if self.query is None else self.query.citations

    def __str__(self) -> str:
        return self.text


class AnswerStream(Iterator[str]):
    """An answer as it is drawn: pieces of text, none of them empty.

    Args:
        pieces: As they are drawn.
        begun: The answer without its text.
        done: Called with the whole answer, if it is read to its end.
    """

    def __init__(
        self,
        pieces: Generator[str, None, None],
        begun: Answer,
        done: Callable[[Answer], None],
    ) -> None:
        self._pieces = pieces
        self._answer = begun
        self._done: Callable[[Answer], None] | None = done

    @property
    def answer(self) -> Answer:
        """As far as it was read; its citations are there from the start."""
        return self._answer

    def __next__(self) -> str:
        try:
            piece = next(self._pieces)
        except StopIteration:
            if self._done is not None:
                self._done(self._answer)
            self._done = None
            raise
        self._answer = replace(self._answer, text=self._answer.text + piece)
        return piece

    def close(self) -> None:
        """Stop the drawing."""
        self._done = None
        self._pieces.close()


@dataclass(frozen=True, kw_only=True, eq=False)
class ChatTurn:
    """A question that was answered."""

    inputs: "tuple[Input, ...]"  # shown with the question
    answer: Answer
    seen: Seen  # as the language model reads it


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A question as the language model reads it."""

    pieces: list[Piece]
    vectors: Vectors | None  # (pieces, dim); None: nothing to see
    settings: Generation
    begun: Answer  # without its text
    done: Callable[[Answer], None]  # to be called with the whole answer


class Chat:
    """A conversation. See :meth:`.pipeline.AnyBind.chat`; each thread needs its own.

    Args:
        ab: Encoder, index and language models.
        task: Chooses the adapter.
    """

    def __init__(self, ab: "AnyBind", task: Task = Task.CHAT) -> None:
        self._ab = ab
        self._task = task
        self._turns: list[ChatTurn] = []

    @property
    def model(self) -> "LanguageModel":
        """The language model, loaded at its first use; raises as :meth:`.LanguageModels.get`."""
        return self._ab.language_models.get(self._task, self._ab.encoder)

    @property
    def turns(self) -> tuple[ChatTurn, ...]:
        """What was asked and answered, the oldest first."""
        return tuple(self._turns)

    @overload
    def ask(
        self,
        question: str,
        *inputs: "Input",
        cache: CacheChoice = "default",
        centre: bool = False,
        settings: Generation | None = None,
        stream: Literal[False] = False,
        **query: Unpack["Query"],
    ) -> Answer: ...

    @overload
    def ask(
        self,
        question: str,
        *inputs: "Input",
        cache: CacheChoice = "default",
        centre: bool = False,
        settings: Generation | None = None,
        stream: Literal[True],
        **query: Unpack["Query"],
    ) -> AnswerStream: ...

    def ask(
        self,
        question: str,
        *inputs: "Input",
        cache: CacheChoice = "default",
        centre: bool = False,
        settings: Generation | None = None,
        stream: bool = False,
        **query: Unpack["Query"],
    ) -> Answer | AnswerStream:
        """Answer a question; arguments and errors are those of :meth:`.pipeline.AnyBind.ask`.

        Without new media it is about what was shown last. Turns that the context has no room for
        are left out, the oldest first, and counted in ``Answer.forgotten``. A stream that is not
        read to its end leaves the conversation as it was.
        """
        asked = self.prepare(
            question, *inputs, cache=cache, centre=centre, settings=settings, **query
        )
        if stream:
            pieces = self.model.stream(asked.pieces, asked.vectors, asked.settings)
            return AnswerStream(pieces, asked.begun, asked.done)
        vectors = None if asked.vectors is None else [asked.vectors]
        (text,) = self.model.generate([asked.pieces], vectors, asked.settings)
        answer = replace(asked.begun, text=text)
        asked.done(answer)
        return answer

    def prepare(
        self,
        question: str,
        *inputs: "Input",
        cache: CacheChoice = "default",
        centre: bool = False,
        settings: Generation | None = None,
        **query: Unpack["Query"],
    ) -> Prepared:
        """A question ready to be answered, by :meth:`ask` or by who draws many answers at once."""
        settings = settings or Generation()
        turn = Turn(question=question.strip())
        Seen(turn=turn)  # refuses an empty question before anything is encoded
        parts, mixture = self._ab.view(*inputs, cache=cache, centre=centre, **query)
        vector = self._in_view(mixture)
        turns = [*(past.seen for past in self._turns), Seen(turn=turn, vector=vector)]
        forgotten = n_forgotten(self.model, turns, settings)
        pieces, vectors = prompt_of(turns[forgotten:])

        def done(answer: Answer) -> None:
            seen = Seen(turn=replace(turn, answer=answer.text), vector=vector)
            self._turns.append(ChatTurn(inputs=parts, answer=answer, seen=seen))

        return Prepared(
            pieces=pieces,
            vectors=vectors,
            settings=settings,
            begun=Answer(text="", query=mixture, forgotten=forgotten),
            done=done,
        )

    def remember(
        self,
        question: str,
        answer: str,
        *inputs: "Input",
        cache: CacheChoice = "default",
        centre: bool = False,
        **query: Unpack["Query"],
    ) -> None:
        """Take a turn of an earlier conversation into this one; arguments as :meth:`ask`."""
        parts, mixture = self._ab.view(*inputs, cache=cache, centre=centre, **query)
        turn = Turn(question=question.strip(), answer=answer)
        seen = Seen(turn=turn, vector=self._in_view(mixture))
        said = Answer(text=answer, query=mixture)
        self._turns.append(ChatTurn(inputs=parts, answer=said, seen=seen))

    def _in_view(self, mixture: "Mixture | None") -> Vectors | None:
        """What a new turn sees: what is shown with it, or what was shown last."""
        if mixture is not None:
            return mixture.vector
        return self._turns[-1].seen.vector if self._turns else None

    def reset(self) -> None:
        """Begin anew: nothing asked, nothing shown."""
        self._turns.clear()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation as JSON: what was asked, shown, answered and drawn on.

        Raises:
            WriteError: The file cannot be written.
        """
        folder = self._ab.folder
        content = {
            "format": FORMAT,
            "encoder": self._ab.encoder.name,
            "language_model": self._ab.language_models.preset.name,
            "index": None if folder is None else str(folder),
            "turns": [_saved(turn) for turn in self._turns],
        }
        write_atomically(
            Path(path), (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
        )


def _saved(turn: ChatTurn) -> dict[str, object]:
    inputs = [
        {"modality": part.modality, "value": label(part.value), "weight": part.weight}
        for part in turn.inputs
    ]
    return {
        "question": turn.seen.turn.question,
        "inputs": inputs,
        "citations": [vars(citation) for citation in turn.answer.citations],
        "answer": turn.answer.text,
    }
