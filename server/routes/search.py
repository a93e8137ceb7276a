"""Neighbours of queries of any modality."""

import time

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from ...errors import UsageError
from ..engine import Found, Wanted, all_of
from ..hub import Collection
from ..inputs import read_body
from ..schemas import QueryModel, SearchRequest, SearchResponse, SearchResponses
from .common import (
    PROBLEMS,
    body_of,
    cache_of,
    engine_of,
    facts_of,
    json_of_each,
    read_inputs,
    result_of,
    while_listening,
)

router = APIRouter(tags=["search"])

LARGE = 1000  # neighbours that are written in a thread

EXAMPLES = {
    "a text": {"inputs": [{"text": "a red train on snow"}], "k": 5},
    "a picture in another colour": {
        "inputs": [
            {"modality": "image", "data": "data:image/jpeg;base64,…"},
            {"text": "red"},
            {"text": "blue", "weight": -1},
        ]
    },
    "a sound, pulled toward pictures": {
        "inputs": [{"modality": "audio", "data": "UklGRiQAAABXQVZF…"}],
        "cache": {"k": 10, "alpha": 0.5},
    },
    "like item 7, wide, without near duplicates": {
        "inputs": [{"id": 7}],
        "filter": {"width": {"gt": 512}},
        "dedup": 0.94,
    },
    "two queries": {"queries": [{"inputs": [{"text": "a dog"}]}, {"inputs": [{"text": "a cat"}]}]},
}


@router.post(
    "/v1/search",
    response_model=SearchResponse | SearchResponses,
    responses=PROBLEMS,
    openapi_extra=body_of(SearchRequest, EXAMPLES),
    summary="The items nearest to a query",
)
async def search(request: Request) -> Response:
    """Mix inputs of any modality into one query, and find its neighbours, best first."""
    started = time.perf_counter()
    engine = engine_of(request)
    body = await read_body(request, SearchRequest, engine.settings)
    collection = engine.hub.get(body.index)
    queries = [body] if body.queries is None else body.queries
    most = engine.settings.max_queries
    if len(queries) > most:
        raise UsageError(f"{len(queries)} queries in one request; this server takes {most}")

    n_results, most = sum(query.k for query in queries), engine.settings.max_results
    if n_results > most:
        raise UsageError(
            f"{n_results} neighbours in one request; this server gives at most {most}: send several"
        )

    async def work() -> list[Found]:
        wanted = await all_of([_wanted(request, collection, each) for each in queries])
        return await engine.search(collection, wanted)

    found = await while_listening(request, work())
    answers = await json_of_each(engine, found, _answered, large=n_results > LARGE)
    took = b'"took_ms":' + to_json(round(1000 * (time.perf_counter() - started), 3))
    if body.queries is None:
        content = answers[0][:-1] + b"," + took + b"}"
    else:
        content = b'{"answers":[' + b",".join(answers) + b"]," + took + b"}"
    return Response(content, media_type="application/json")


async def _wanted(request: Request, collection: Collection, query: QueryModel) -> Wanted:
    from ...index.filters import Filter

    most = engine_of(request).settings.max_k
    if query.k + query.offset > most:
        raise UsageError(
            f"k and offset ask for {query.k + query.offset} neighbours; this server finds at most "
            f"{most}"
        )
    return Wanted(
        inputs=await read_inputs(request, collection, query.inputs, query.minus),
        k=query.k,
        offset=query.offset,
        dedup=query.dedup,
        filter=None if query.filter is None else Filter.parse(query.filter),
        cache=cache_of(query.cache),
        centre=query.centre,
    )


def _answered(found: Found) -> dict[str, object]:
    return {
        "results": [result_of(hit) for hit in found.hits],
        "query": facts_of(found.mixture),
    }
