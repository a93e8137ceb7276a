"""The routes of OpenAI's API, for its own client: embeddings, answers about media, models.

What is ours in a response stands under ``anybind``, where OpenAI's client keeps what it does not
know (``model_extra``).
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request
from pydantic_core import to_json
from starlette.responses import Response

from ...encoders.modality import Modality, Vectors
from ..completions import Completion
from ..engine import Answering
from ..hub import READY, Collection, Hub
from ..inputs import read_json
from ..openai_responses import (
    ChatCompletion,
    ChatCompletionChunk,
    EmbeddingList,
    ModelFacts,
    ModelList,
    OpenAIError,
)
from ..openai_schemas import ChatRequest, EmbeddingsRequest, conversation_of
from ..problems import Problem
from ..schemas import InputModel
from .common import (
    Events,
    body_of,
    engine_of,
    events_of,
    json_of_each,
    json_response,
    question_of,
    read_inputs,
    shown,
    while_listening,
)

if TYPE_CHECKING:
    from ...pipeline import Input

router = APIRouter(tags=["OpenAI"])

OWNER = "anybind"
LARGE = 20_000  # numbers that are written in a thread
ERROR = {
    "message": "…",
    "type": "invalid_request_error",
    "param": "model",
    "code": "model_not_found",
}
ERRORS: dict[int | str, dict[str, object]] = {
    "default": {
        "model": OpenAIError,
        "description": "What was asked, what there is and what to do",
        "content": {"application/json": {"example": {"error": ERROR}}},
    }
}
MODEL = {"id": "llama-mini", "object": "model", "created": 1_795_000_000, "owned_by": OWNER}
EMBEDDED = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.12, -0.03]}],
    "model": "imagebind-mini",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
COMPLETION = {
    "id": "chatcmpl-0984e918b5649ec3",
    "object": "chat.completion",
    "created": 1_795_000_000,
    "model": "llama-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a red train on snow"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18},
    "anybind": {
        "citations": [],
        "query": {"norm": 1.0, "weights": [1.0], "centred": False},
        "forgotten": 0,
    },
}
EMBEDDINGS = {
    "a text": {"model": "imagebind-mini", "input": "a red train on snow"},
    "a sound": {"model": "imagebind-mini", "input": "UklGRiQAAABXQVZF…", "modality": "audio"},
}
CHATS = {
    "about a picture": {
        "model": "llama-mini",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in the picture?"},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,…"}},
                ],
            }
        ],
    },
    "about a cloud and a text, streamed": {
        "model": "llama-mini",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Describe it."},
                    {"type": "anybind", "anybind": {"modality": "points", "data": "k05VTVBZ…"}},
                    {"type": "anybind", "anybind": {"text": "red", "weight": 0.5}},
                ],
            }
        ],
        "stream": True,
    },
}


# ---------------------------------------------------------------------------------------- models


@router.get(
    "/v1/models",
    response_model=ModelList,
    responses={**shown({"object": "list", "data": [MODEL]}), **ERRORS},
    summary="The encoders and the language model",
)
async def models(request: Request) -> dict[str, object]:
    """The language model, once it is loaded, and the encoders of the indices."""
    return {"object": "list", "data": list(_models(engine_of(request).hub).values())}


@router.get(
    "/v1/models/{model:path}",
    response_model=ModelFacts,
    responses={**shown(MODEL), **ERRORS},
    summary="One of them",
)
async def model(
    request: Request,
    model: Annotated[str, Path(description="its name", examples=["llama-mini"])],
) -> dict[str, object]:
    """An encoder or the language model."""
    found = _models(engine_of(request).hub)
    if model not in found:
        raise _unknown(model, list(found))
    return found[model]


def _models(hub: Hub) -> dict[str, dict[str, object]]:
    """What can be asked now, by name."""
    ready = _ready(hub)
    names = [ready[0].ab.language_models.preset.name] if hub.can_answer else []
    names += [collection.ab.encoder.name for collection in ready]
    created = int(datetime.fromisoformat(ready[0].ab.index.manifest.created).timestamp())
    return {
        name: {"id": name, "object": "model", "created": created, "owned_by": OWNER}
        for name in names
    }


def _ready(hub: Hub) -> list[Collection]:
    """The indices that are loaded, at least the first.

    Raises:
        Problem: The first one is loading, or failed.
    """
    hub.get()
    return [hub.get(name) for name in hub.names if hub.parts[f"index {name}"] == READY]


def _unknown(model: str, names: Sequence[str]) -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND,
        f"no model is called {model!r} here; there are {', '.join(names)}",
        kind="model_not_found",
        field="model",
    )


# ------------------------------------------------------------------------------------ embeddings


@router.post(
    "/v1/embeddings",
    response_model=EmbeddingList,
    responses={**shown(EMBEDDED), **ERRORS},
    openapi_extra=body_of(EmbeddingsRequest, EMBEDDINGS, form=False),
    summary="The vectors of inputs, as OpenAI has it",
)
async def embeddings(request: Request) -> Response:
    """Embed texts, or with ``modality`` and ``data:`` URLs any medium: a unit vector each."""
    engine = engine_of(request)
    body = await read_json(request, EmbeddingsRequest)
    collection = _embedding_model(engine.hub, body.model)
    encoder = collection.ab.encoder
    if body.dimensions not in (None, encoder.dim):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"dimensions is {body.dimensions}; vectors of {encoder.name} have {encoder.dim}",
            kind="dimensions",
            field="dimensions",
        )
    inputs = body.inputs
    embedded: list[Input] = []
    for start in range(0, len(inputs), engine.settings.max_parts):  # others get in between
        some = inputs[start : start + engine.settings.max_parts]
        embedded += await while_listening(request, read_inputs(request, collection, some))
    rows = await engine.in_thread(lambda: collection.ab.vectors_of(embedded))
    n_tokens = await engine.in_thread(lambda: _count(collection, inputs))
    as_base64 = body.encoding_format == "base64"

    def show(place: int) -> dict[str, object]:
        vector = _base64(rows[place]) if as_base64 else rows[place].tolist()
        return {"object": "embedding", "index": place, "embedding": vector}

    large = rows.size > LARGE
    data = b",".join(await json_of_each(engine, range(len(rows)), show, large=large))
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    rest = to_json({"object": "list", "model": encoder.name, "usage": usage})
    return Response(rest[:-1] + b',"data":[' + data + b"]}", media_type="application/json")


def _embedding_model(hub: Hub, model: str) -> Collection:
    """The index with an encoder, or the index of that name.

    Raises:
        Problem: There is neither (404), or it is loading (503).
    """
    if model in hub.names:
        return hub.get(model)
    ready = _ready(hub)
    for collection in ready:
        if collection.ab.encoder.name == model:
            return collection
    encoders = dict.fromkeys(collection.ab.encoder.name for collection in ready)
    raise _unknown(model, [*encoders, *hub.names])


def _count(collection: Collection, inputs: Sequence[InputModel]) -> int:
    """Tokens that the text tower reads, with those that open and end a text; media have none."""
    prepare = collection.ab.encoder.preprocessor(Modality.TEXT)
    texts = [given.text for given in inputs if given.text is not None]
    return sum(int(prepare(text).argmax()) + 1 for text in texts)  # the last one's id is largest


def _base64(row: Vectors) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


# ------------------------------------------------------------------------------------------ chat


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses={
        200: {
            "description": "A chat.completion; with stream, events of chat.completion.chunk",
            "content": {
                "application/json": {"example": COMPLETION},
                **events_of(ChatCompletionChunk, "chunks; the data of the last event is [DONE]"),
            },
        },
        **ERRORS,
    },
    openapi_extra=body_of(ChatRequest, CHATS, form=False),
    summary="An answer about media, as OpenAI has it",
)
async def chat(request: Request) -> Response:
    """Answer the last message of a conversation, about the media that its messages show."""
    engine = engine_of(request)
    body = await read_json(request, ChatRequest)
    collection = engine.hub.get(body.index)
    name = collection.ab.language_models.preset.name
    if body.model != name:
        raise _unknown(body.model, [name])
    engine.hub.check_answers()

    async def begin() -> Answering:
        said = conversation_of(body.messages)
        question = await question_of(
            request,
            collection,
            said.question,
            inputs=said.inputs,
            history=said.history,
            cache=body.cache,
            settings=body.generation(engine.settings.max_tokens),
        )
        return await engine.ask(collection, question)

    answering = await while_listening(request, begin())
    completion = Completion(request, body, answering)
    if body.stream:
        return Events(answering, completion.events())
    return json_response(await while_listening(request, completion.whole()))
