"""The routes of clip-retrieval's back end, for its own client and web front.

Both send options that are not built here (safety, violence, aesthetics, multilingual CLIP) with
every request, so those are taken without effect; ``X-Anybind-Ignored`` and the log name the ones
that ask for something. Numbers may be strings, ``""`` is nothing, and no Content-Type is asked for.

Source: clip-retrieval 2.45.0, ``clip_retrieval/{clip_client,clip_back}.py``.
"""

import base64
import io
import json
import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, NotRequired

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response
from typing_extensions import TypedDict  # pydantic takes typing's only from Python 3.12 on

from ...errors import UsageError
from ..engine import Engine, Wanted
from ..hub import Collection
from ..inputs import read_json
from ..problems import Problem
from ..schemas import MOST_DIM, InputModel, ItemId, Several, medium
from .common import body_of, engine_of, json_response, read_inputs, shown, while_listening

if TYPE_CHECKING:
    from ...index.search import Index
    from ...index.shards import Row

logger = logging.getLogger(__name__)
router = APIRouter(tags=["clip-retrieval"])

DEDUP = 0.94  # the cosine from which clip-retrieval calls two results near duplicates
MOST_PICTURES = 100  # in one response; each is compressed anew
JPEG_QUALITY = 85
IGNORED = "X-Anybind-Ignored"
MOST_IGNORED = 20  # options that it names
NAME = re.compile(r"\w{1,40}", re.ASCII)  # of an option that may stand in a header


class Lenient(BaseModel):
    """A body in which ``null`` and ``""`` are what is not there."""

    @model_validator(mode="before")
    @classmethod
    def _given(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value not in ("", None)}


class KnnRequest(Lenient):
    """A search, as ClipClient and the front ask for it."""

    model_config = ConfigDict(extra="allow")

    text: str | None = Field(default=None, description="what to look for; wins over the following")
    image: str | None = Field(
        default=None, description="a picture, as base64; wins over the following"
    )
    image_url: str | None = Field(
        default=None,
        description="of a picture; wins over the following. It is fetched only if the server was "
        "started with --allow-url-fetch",
    )
    embedding_input: Several[float] | None = Field(
        default=None, max_length=MOST_DIM, description="a ready vector"
    )
    indice_name: str | None = Field(
        default=None, description="name of an index; by default the first"
    )
    modality: str | None = Field(default=None, description="what the items of that index are")
    num_images: int = Field(default=40, ge=0, description="results with metadata")
    num_result_ids: int | None = Field(
        default=None, ge=1, description="results; by default num_images"
    )
    deduplicate: bool = Field(
        default=False, description=f"leave out what is {DEDUP} similar to a better result"
    )
    use_safety_model: bool = Field(default=False, description="has no effect")
    use_violence_detector: bool = Field(default=False, description="has no effect")
    use_mclip: bool = Field(default=False, description="has no effect")
    aesthetic_score: float | None = Field(default=None, description="has no effect")
    aesthetic_weight: float | None = Field(default=None, description="has no effect")

    @property
    def ignored(self) -> list[str]:
        """Options that ask for something that is not done."""
        switches = ("use_safety_model", "use_violence_detector", "use_mclip")
        found = [name for name in switches if getattr(self, name)]
        if self.aesthetic_score is not None:  # without it, its weight does nothing there either
            found += ["aesthetic_score", "aesthetic_weight"]
        found += [name for name in self.model_extra or {} if NAME.fullmatch(name)]
        return found[:MOST_IGNORED]


class MetadataRequest(Lenient):
    """Items to tell about."""

    ids: Several[ItemId] = Field(description="of results; may be strings")
    indice_name: str | None = Field(
        default=None, description="name of an index; by default the first"
    )


class Known(TypedDict):
    """What is known of an item; what is not is absent, since the front takes a null for a value."""

    url: NotRequired[Annotated[str, Field(description="where the source got it")]]
    image_path: NotRequired[Annotated[str, Field(description="from the source's root")]]
    caption: NotRequired[Annotated[str, Field(description="the source's")]]
    NSFW: NotRequired[Annotated[str, Field(description="as the source says it")]]
    image: NotRequired[
        Annotated[
            str, Field(description="its small picture where no URL gives one, JPEG in base64")
        ]
    ]


class KnnResult(Known):
    """One neighbour; of those behind the first num_images only id and similarity are told."""

    id: Annotated[int, Field(description="row of the index, from 0")]
    similarity: Annotated[float, Field(description="cosine to the query, -1 to 1")]


class MetadataResult(TypedDict):
    """One item."""

    id: Annotated[int, Field(description="row of the index, from 0")]
    metadata: Annotated[Known, Field(description="what is known of it")]


class ClipRetrievalError(BaseModel):
    """An error."""

    message: str = Field(description="what was asked, what there is and what to do")


QUERY = {
    "text": "a red train on snow",
    "image": None,
    "image_url": None,
    "embedding_input": None,
    "deduplicate": True,
    "indice_name": "demo",
    "modality": "image",
    "num_images": 40,
    "num_result_ids": 3000,
}
ERRORS: dict[int | str, dict[str, object]] = {
    "default": {
        "model": ClipRetrievalError,
        "description": "What was asked, what there is and what to do",
        "content": {"application/json": {"example": {"message": "no index is called 'x'; …"}}},
    }
}


def _responds(example: object) -> dict[int | str, dict[str, object]]:
    return {**shown(example), **ERRORS}


@router.get("/indices-list", responses=_responds(["demo"]), summary="The names of the indices")
async def indices_list(request: Request) -> list[str]:
    """The names of the indices, the default one first."""
    return list(engine_of(request).hub.names)


@router.post(
    "/knn-service",
    response_model=list[KnnResult],
    responses=_responds([{"caption": "a red train", "id": 14, "similarity": 0.31}]),
    openapi_extra=body_of(KnnRequest, {"a text": QUERY}, form=False),
    summary="A search, as clip-retrieval's clients ask",
)
async def knn_service(request: Request) -> Response:
    """The items nearest to a text, a picture or a vector, best first.

    All have ``id`` and ``similarity``; the first ``num_images`` also what is known of them.
    """
    engine = engine_of(request)
    body = await read_json(request, KnnRequest)
    collection = _collection(engine, body)
    wanted = Wanted(
        inputs=await while_listening(request, read_inputs(request, collection, [_input(body)])),
        k=_k(engine, collection, body.num_result_ids or max(body.num_images, 1)),
        dedup=DEDUP if body.deduplicate else None,
    )
    (found,) = await while_listening(request, engine.search(collection, [wanted]))
    ids = [hit.id for hit in found.hits]
    known = await _metadata(engine, collection, ids[: body.num_images])
    known += [{}] * (len(ids) - len(known))
    results = [
        {**metadata, "id": hit.id, "similarity": hit.score}
        for metadata, hit in zip(known, found.hits, strict=True)
    ]
    response = json_response(results)
    if body.ignored:
        response.headers[IGNORED] = ", ".join(body.ignored)
        logger.info("ignored options=%s", ",".join(body.ignored))
    return response


@router.post(
    "/metadata",
    response_model=list[MetadataResult],
    responses=_responds([{"id": 14, "metadata": {"caption": "a red train"}}]),
    openapi_extra=body_of(MetadataRequest, {"two items": {"ids": [14, 15]}}, form=False),
    summary="What is known of items",
)
async def metadata(request: Request) -> Response:
    """What is known of items, in the order asked for."""
    engine = engine_of(request)
    body = await read_json(request, MetadataRequest)
    collection = engine.hub.get(body.indice_name)
    _k(engine, collection, len(body.ids))
    known = await _metadata(engine, collection, body.ids)
    return json_response(
        [{"id": item, "metadata": fields} for item, fields in zip(body.ids, known, strict=True)]
    )


def _collection(engine: Engine, body: KnnRequest) -> Collection:
    """The index that is searched.

    Raises:
        Problem: There is none of that name, or its items are of another modality (404).
    """
    collection = engine.hub.get(body.indice_name)
    modality = collection.ab.index.modality
    if body.modality not in (None, modality):
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"the index {collection.name} is of {modality}, and was asked for {body.modality}; "
            f"send modality {modality}",
            kind="index",
            field="modality",
        )
    return collection


def _input(body: KnnRequest) -> InputModel:
    """What is looked for.

    Raises:
        UsageError: Nothing.
    """
    if body.text is not None:
        return InputModel(text=body.text)
    if body.image is not None:
        return InputModel(modality="image", data=body.image)
    if body.image_url is not None:
        return medium("image", body.image_url)
    if body.embedding_input is not None:
        return InputModel(embedding=body.embedding_input)
    raise UsageError("nothing to look for; give text, image, image_url or embedding_input")


def _k(engine: Engine, collection: Collection, n: int) -> int:
    """How many results there can be: at most as many as there are items.

    Raises:
        UsageError: More were asked for than the server finds.
    """
    most = engine.settings.max_k
    if n > most:
        raise UsageError(f"asked for {n} results; this server gives at most {most}")
    return min(n, len(collection.ab.index))


async def _metadata(
    engine: Engine, collection: Collection, ids: Sequence[int]
) -> list[dict[str, str]]:
    """What is known of items, without what is not: the front takes a null for a value.

    A picture comes along where the client could not get it elsewhere: where it has no URL, or
    where this server fetches none, so that a search by that URL would be refused.
    """
    index = collection.ab.index
    fetches = engine.settings.allow_url_fetch

    def read() -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        for place, row in enumerate(index.rows(ids)):
            fields = _fields(row)
            if place < MOST_PICTURES and not (fetches and row.url):
                picture = _picture(index, row.id)
                if picture is not None:
                    fields["image"] = picture
            found.append(fields)
        return found

    return await engine.in_thread(read) if ids else []


def _fields(row: "Row") -> dict[str, str]:
    """The columns that clip-retrieval returns by default, as far as an item has them."""
    extra: object = json.loads(row.extra) if row.extra else None
    nsfw = extra.get("NSFW") if isinstance(extra, dict) else None
    values = {"url": row.url, "image_path": row.image_path, "caption": row.caption, "NSFW": nsfw}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _picture(index: "Index", item: int) -> str | None:
    """An item's small picture as JPEG in base64; ``None`` if the index keeps none."""
    from PIL import Image

    content = index.thumbnail(item)
    if content is None:
        return None
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").save(file, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(file.getvalue()).decode()
