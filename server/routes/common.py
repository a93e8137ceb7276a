"""What routes share: the engine of a request, answers as JSON, and how bodies are documented."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ...errors import UsageError
from ..engine import Answering, Engine, Question
from ..hub import Collection
from ..inputs import check_text, form_of, read_parts
from ..problems import ClientLeft
from ..schemas import REFERENCE, CacheModel, InputModel, TurnModel

if TYPE_CHECKING:
    from ...index.cache import Cache
    from ...llm.config import Generation
    from ...pipeline import Hit, Input, Mixture

T = TypeVar("T")
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    for status, text in {
        400: "The request cannot be done: an input cannot be read, or a value does not fit.",
        401: "A key is asked for.",
        403: "A page of another origin asks, a reload needs an admin, or URLs are not fetched.",
        404: "There is no such index or item.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
        415: "The body is neither JSON nor a form, or is not written in UTF-8.",
        421: "The server is asked under a name that is not one of its own.",
        422: "A field is missing, unknown or of a wrong type.",
        429: "There is more to do than can wait; see Retry-After.",
        503: "A part of the server is not ready.",
    }.items()
}


def engine_of(request: Request) -> Engine:
    """The engine of the server that got a request."""
    engine = request.app.state.engine
    assert isinstance(engine, Engine)
    return engine


async def read_inputs(
    request: Request,
    collection: Collection,
    inputs: Sequence[InputModel],
    minus: Sequence[InputModel] = (),
    *,
    scaled: bool = False,
) -> "list[Input]":
    """The parts of a query, embedded: at unit length, or in ImageBind's own scale."""
    engine = engine_of(request)
    parts = await read_parts(inputs, minus, engine.settings)
    if not hasattr(request.state, "places"):  # one for all queries of the request
        request.state.places = asyncio.Semaphore(engine.settings.max_parts)
    return await engine.inputs(collection, parts, request.state.places, scaled=scaled)


async def question_of(
    request: Request,
    collection: Collection,
    text: str,
    *,
    inputs: Sequence[InputModel],
    minus: Sequence[InputModel] = (),
    history: Sequence[TurnModel],
    cache: CacheModel | Literal["default"] | None,
    centre: bool = False,
    settings: "Generation",
) -> Question:
    """A question with what came before, its media embedded.

    Raises:
        UsageError: The conversation is longer than the server reads.
    """
    limits = engine_of(request).settings
    if len(history) > limits.max_turns:
        raise UsageError(
            f"{len(history)} earlier turns; this server reads at most {limits.max_turns}"
        )
    said = [part for turn in history for part in (turn.question, turn.answer)]
    check_text("".join([*said, text]), "conversation" if said else "question", limits)
    return Question(
        text=text,
        inputs=await read_inputs(request, collection, inputs, minus),
        history=[
            (turn.question, turn.answer, await read_inputs(request, collection, turn.inputs))
            for turn in history
        ],
        cache=cache.cache() if isinstance(cache, CacheModel) else cache,
        centre=centre,
        settings=settings,
    )


async def while_listening(request: Request, work: Coroutine[object, object, T]) -> T:
    """What some work gives, unless the client leaves before: then it is cancelled.

    Args:
        request: Whose body was read.
        work: The rest of it.

    Raises:
        ClientLeft: Nobody waits for an answer any more.
    """

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(left())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()


class Events(StreamingResponse):
    """An answer as server-sent events. A reader who leaves stops the drawing, also one who left
    before the first event."""

    def __init__(self, answering: Answering, events: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._answering = answering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answering.ticket.cancel()


def holds(request: Request, etag: str) -> bool:
    """Whether a client has what an ETag names already."""
    held = request.headers.get("if-none-match", "")
    return etag in (tag.strip().removeprefix("W/") for tag in held.split(","))


def cache_of(model: CacheModel | None) -> "Cache | None":
    """Cache settings as the library takes them."""
    return None if model is None else model.cache()


def json_response(content: object, *, status: int = 200) -> Response:
    """Models, dataclasses and plain values as JSON; fields that are ``None`` stay."""
    return Response(to_json(content), status_code=status, media_type="application/json")


async def json_of_each(
    engine: Engine, values: Sequence[T], show: Callable[[T], object], *, large: bool
) -> list[bytes]:
    """Each of some values as JSON; many in a thread, one by one, so that others get their turn."""
    if large:
        return await engine.in_thread(lambda: [to_json(show(value)) for value in values])
    return [to_json(show(value)) for value in values]


def facts_of(mixture: "Mixture") -> dict[str, object]:
    """What became of the parts, as QueryFacts has it."""
    return {
        "norm": mixture.norm,
        "weights": mixture.weights,
        "centred": mixture.centred,
        "citations": [vars(citation) for citation in mixture.citations],
    }


def result_of(hit: "Hit") -> dict[str, object]:
    """A neighbour, as Result has it."""
    return vars(hit)


def shown(example: object) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI shows what a route answers, by an example."""
    return {HTTPStatus.OK: {"content": {"application/json": {"example": example}}}}


def events_of(model: type[BaseModel], description: str) -> dict[str, Any]:
    """How OpenAPI shows server-sent events, each of which has JSON of a model as its data."""
    data = {"$ref": REFERENCE.format(model=model.__name__)}
    schema = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {"text/event-stream": {"schema": {**schema, "description": description}}}


def body_of(
    model: type[BaseModel], examples: Mapping[str, object], *, form: bool = True
) -> dict[str, Any]:
    """How OpenAPI shows a body that is JSON, or a form.

    Args:
        model: Of the JSON.
        examples: By name.
        form: Whether it may be a form too.
    """
    schema = {"$ref": REFERENCE.format(model=model.__name__)}
    named = {name: {"value": value} for name, value in examples.items()}
    content: dict[str, object] = {"application/json": {"schema": schema, "examples": named}}
    if form:
        content["multipart/form-data"] = form_of(model)
    return {"requestBody": {"required": True, "content": content}}
