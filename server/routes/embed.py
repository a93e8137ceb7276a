"""Vectors of inputs, one each or one of all."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...errors import UsageError
from ...index.mixing import unit_rows
from ...parts import EMBEDDING, ID
from ..inputs import read_body
from ..schemas import EmbedRequest, EmbedResponse
from .common import (
    PROBLEMS,
    body_of,
    cache_of,
    engine_of,
    facts_of,
    json_response,
    read_inputs,
    while_listening,
)

router = APIRouter(tags=["embed"])

EXAMPLES = {
    "two texts": {"inputs": [{"text": "a dog"}, {"text": "a cat"}]},
    "a mixture": {
        "inputs": [{"modality": "audio", "data": "UklGRiQAAABXQVZF…"}, {"text": "a forest"}],
        "mix": True,
    },
}


@router.post(
    "/v1/embed",
    response_model=EmbedResponse,
    responses=PROBLEMS,
    openapi_extra=body_of(EmbedRequest, EXAMPLES),
    summary="The vectors of inputs",
)
async def embed(request: Request) -> Response:
    """Embed inputs of any modality: a vector each, or with ``mix`` one of all."""
    engine = engine_of(request)
    body = await read_body(request, EmbedRequest, engine.settings)
    collection = engine.hub.get(body.index)
    if body.scaled and any(part.modality in (ID, EMBEDDING) for part in body.inputs):
        raise UsageError("items and ready vectors have no scale of their own; leave out scaled")
    inputs = await while_listening(
        request,
        read_inputs(request, collection, body.inputs, body.minus, scaled=body.scaled),
    )
    encoder = collection.ab.encoder
    facts = {"encoder": encoder.name, "dim": encoder.dim}
    if body.mix:
        mixture = await engine.mix(
            collection,
            inputs,
            centre=body.centre,
            mixing=body.mixing,
            cache=cache_of(body.cache),
        )
        mixed = {**facts_of(mixture), "vector": mixture.vector.tolist()}
        return json_response({**facts, "mixture": mixed})
    if not inputs:
        raise UsageError("nothing to embed; give at least one input")
    rows = await engine.in_thread(lambda: collection.ab.vectors_of(inputs))
    vectors = rows if body.scaled else unit_rows(rows)
    embeddings = [
        {"modality": part.modality, "embedding": row.tolist()}
        for part, row in zip(inputs, vectors, strict=True)
    ]
    return json_response({**facts, "embeddings": embeddings})
