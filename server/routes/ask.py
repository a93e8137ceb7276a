"""Answers about media, whole or piece by piece."""

import time
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from ...llm.config import Generation
from ..engine import Answering
from ..hub import Collection
from ..inputs import read_body
from ..problems import as_json, problem_of, route_path
from ..schemas import AskRequest, AskResponse
from .common import (
    PROBLEMS,
    Events,
    body_of,
    engine_of,
    facts_of,
    json_response,
    question_of,
    while_listening,
)

router = APIRouter(tags=["ask"])

EXAMPLES = {
    "about a sound": {
        "question": "What is making this sound?",
        "inputs": [{"modality": "audio", "data": "UklGRiQAAABXQVZF…"}],
    },
    "a follow-up, streamed": {
        "question": "What colour is it?",
        "history": [
            {
                "question": "What is in the picture?",
                "answer": "A train.",
                "inputs": [{"modality": "image", "data": "data:image/jpeg;base64,…"}],
            }
        ],
        "stream": True,
    },
}


@router.post(
    "/v1/ask",
    response_model=AskResponse,
    responses={
        **PROBLEMS,
        200: {
            "description": "The answer; with stream, events: begin, text (several), end or error",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    },
    openapi_extra=body_of(AskRequest, EXAMPLES),
    summary="An answer about media",
)
async def ask(request: Request) -> Response:
    """Answer a question about inputs of any modality, or about what earlier turns showed."""
    started = time.perf_counter()
    engine = engine_of(request)
    body = await read_body(request, AskRequest, engine.settings)
    collection = engine.hub.get(body.index)
    engine.hub.check_answers()
    answering = await while_listening(request, _begin(request, collection, body))
    if body.stream:
        return Events(answering, _events(request, answering, started))
    answer = await while_listening(request, answering.text())
    return json_response({"answer": answer, **_facts(answering), "took_ms": _since(started)})


async def _begin(request: Request, collection: Collection, body: AskRequest) -> Answering:
    """Embed what is shown, and take a place among the answers."""
    engine = engine_of(request)
    question = await question_of(
        request,
        collection,
        body.question,
        inputs=body.inputs,
        minus=body.minus,
        history=body.history,
        cache=body.cache,
        centre=body.centre,
        settings=Generation(
            temperature=body.temperature,
            top_p=body.top_p,
            repetition_penalty=body.repetition_penalty,
            max_tokens=min(body.max_tokens or Generation.max_tokens, engine.settings.max_tokens),
            seed=body.seed,
        ),
    )
    return await engine.ask(collection, question)


async def _events(request: Request, answering: Answering, started: float) -> AsyncIterator[bytes]:
    """Server-sent events."""
    answer, pieces = "", answering.pieces()
    try:
        yield _event("begin", _facts(answering))
        async for piece in pieces:
            answer += piece
            yield _event("text", {"text": piece})
    except Exception as error:
        number = str(request.scope.get("request_id", ""))
        path = route_path(request.scope)
        problem = as_json(problem_of(error), instance=path, request_id=number)
        yield b"event: error\ndata: " + problem + b"\n\n"
        return
    finally:
        await pieces.aclose()
    yield _event("end", {"answer": answer, "took_ms": _since(started)})


def _event(name: str, content: object) -> bytes:
    return f"event: {name}\ndata: ".encode() + to_json(content) + b"\n\n"


def _facts(answering: Answering) -> dict[str, object]:
    begun = answering.begun
    return {
        "query": None if begun.query is None else facts_of(begun.query),
        "forgotten": begun.forgotten,
    }


def _since(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 3)
