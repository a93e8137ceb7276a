"""An answer as OpenAI's client reads it: whole, or in chunks.

What is ours stands under ``anybind``: the images that the cache blended in, what became of the
media, and how many of the oldest turns had no room.
"""

import time
from collections.abc import AsyncGenerator, Sequence

from fastapi import Request
from pydantic_core import to_json

from .engine import Answering
from .openai_schemas import ChatRequest
from .problems import as_json, problem_of, route_path
from .routes.common import facts_of

DONE = b"data: [DONE]\n\n"


class Stops:
    """Ends a text in front of the first of some strings, which may come in pieces.

    Attributes:
        hit: Whether one came.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.hit = False
        self._stops = stops
        self._held = ""  # the beginning of a stop, perhaps

    def add(self, piece: str) -> str:
        """The text that is certain now."""
        text = self._held + piece
        places = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if places:
            self.hit, self._held = True, ""
            return text[: min(places)]
        n_held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - n_held :]
        return text[: len(text) - n_held]

    def end(self) -> str:
        """What is left when no more comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The longest beginning of ``stop`` that ``text`` ends with, in characters."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


class Completion:
    """An answer that is being drawn, as OpenAI's client reads it."""

    def __init__(self, request: Request, body: ChatRequest, answering: Answering) -> None:
        self._request = request
        self._body = body
        self._answering = answering
        self._stops = Stops(body.stops)
        self._number = str(request.scope.get("request_id", ""))
        self._created = int(time.time())

    async def whole(self) -> dict[str, object]:
        """A chat.completion."""
        answer = "".join([text async for text in self._texts()])
        message = {"role": "assistant", "content": answer, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": self._usage,
            "anybind": self._facts,
        }

    async def events(self) -> AsyncGenerator[bytes]:
        """Chunks as server-sent events: who speaks, the text, why it ends, and what it cost.

        The first one has what the answer draws on.
        """
        options = self._body.stream_options
        counts = options is not None and options.include_usage
        texts = self._texts()
        try:
            yield self._chunk({"role": "assistant", "content": ""}, anybind=self._facts)
            async for text in texts:
                yield self._chunk({"content": text})
            yield self._chunk({}, finish=self._finish)
            if counts:
                head = self._head("chat.completion.chunk")
                yield _event(to_json({**head, "choices": [], "usage": self._usage}))
            yield DONE
        except Exception as error:
            path = route_path(self._request.scope)
            yield _event(as_json(problem_of(error), instance=path, request_id=self._number))
        finally:
            await texts.aclose()

    async def _texts(self) -> AsyncGenerator[str]:
        """The answer up to a stop, as it is drawn."""
        pieces = self._answering.pieces()
        try:
            async for piece in pieces:
                if text := self._stops.add(piece):
                    yield text
                if self._stops.hit:
                    return
            if text := self._stops.end():
                yield text
        finally:
            await pieces.aclose()

    @property
    def _finish(self) -> str:
        """Why the answer ended."""
        cut = self._answering.ticket.finish == "length" and not self._stops.hit
        return "length" if cut else "stop"

    @property
    def _usage(self) -> dict[str, int]:
        """Tokens of the language model; those of the answer, as far as they were drawn."""
        ticket = self._answering.ticket
        return {
            "prompt_tokens": ticket.n_prompt,
            "completion_tokens": ticket.n_tokens,
            "total_tokens": ticket.n_prompt + ticket.n_tokens,
        }

    @property
    def _facts(self) -> dict[str, object]:
        """What became of the last message's media, and the images that the cache blended in."""
        begun = self._answering.begun
        query = None if begun.query is None else facts_of(begun.query)
        citations = [] if query is None else query.pop("citations")
        return {"citations": citations, "query": query, "forgotten": begun.forgotten}

    def _head(self, kind: str) -> dict[str, object]:
        return {
            "id": f"chatcmpl-{self._number}",
            "object": kind,
            "created": self._created,
            "model": self._body.model,
        }

    def _chunk(
        self, delta: dict[str, str], *, finish: str | None = None, anybind: object = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        content = {**self._head("chat.completion.chunk"), "choices": [choice], "usage": None}
        return _event(to_json(content if anybind is None else {**content, "anybind": anybind}))


def _event(content: bytes) -> bytes:
    return b"data: " + content + b"\n\n"
