"""Items of an index: what is known of them, and their pictures."""

import io
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from ..engine import Engine
from ..hub import Collection
from ..problems import Problem
from ..schemas import ItemModel
from .common import PROBLEMS, engine_of, holds, json_response, shown

if TYPE_CHECKING:
    from ...index.originals import Original

router = APIRouter(tags=["items"])

CACHING = "private, no-cache"  # browsers keep a picture, and ask each time whether it still holds
ITEM = {
    "id": 17,
    "key": "000000017",
    "caption": "a red train on snow",
    "url": None,
    "image_path": "00000.tar#000000017.jpg",
    "path": None,
    "width": 96,
    "height": 96,
    "duration": None,
    "n_points": None,
    "sha256": "9f2c…",
}
Item = Annotated[int, Path(description="row of the index, from 0", examples=[17])]
Name = Annotated[str | None, Query(description="name of an index; by default the first")]


@router.get("/v1/items/{item}", response_model=ItemModel, responses={**PROBLEMS, **shown(ITEM)})
async def item(request: Request, item: Item, index: Name = None) -> Response:
    """What the index knows of an item."""
    engine = engine_of(request)
    collection = engine.hub.get(index)
    _check(collection, item)
    (row,) = await engine.read_items(lambda: collection.ab.index.rows([item]))
    fields = ItemModel.model_validate(row)
    return json_response(fields)


@router.get(
    "/v1/items/{item}/image",
    responses={
        **PROBLEMS,
        200: {
            "content": {"image/webp": {}, "image/*": {}},
            "description": "The picture, with an ETag; WebP, unless it is the original",
        },
        304: {"description": "The picture is the one whose ETag If-None-Match names"},
    },
    response_class=Response,
)
async def image(
    request: Request,
    item: Item,
    index: Name = None,
    size: Annotated[
        int | None, Query(ge=16, le=256, description="longer side at most, pixels")
    ] = None,
) -> Response:
    """An item's picture: the original where the index's source is there, else the small one that
    the index keeps; with ``size`` that one or a smaller one, as WebP."""
    engine = engine_of(request)
    collection = engine.hub.get(index)
    _check(collection, item)
    if size is None and not engine.settings.no_originals:
        original = await engine.read_items(lambda: collection.ab.index.original(item))
        if original is not None:
            return _whole(request, original)
    headers = {"Cache-Control": CACHING, "ETag": _etag(collection, item, size)}
    if holds(request, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    content = await engine.read_items(lambda: collection.ab.index.thumbnail(item))
    if content is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"the index {collection.name} keeps no picture of item {item}: it was built without "
            "thumbnails, or of a medium that has none",
            kind="item",
        )
    if size is not None:
        content = await _resized(engine, content, size)
    return Response(content, media_type="image/webp", headers=headers)


def _whole(request: Request, original: "Original") -> Response:
    """A picture as its owner made it, which is why a browser may do nothing but show it."""
    headers = {
        "Cache-Control": CACHING,
        "ETag": f'"{original.sha256[:32]}"',
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    if holds(request, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(original.content, media_type=original.media_type, headers=headers)


def _etag(collection: Collection, item: int, size: int | None) -> str:
    """What names a picture. A rebuilt index counts its generations from 1 again, so the number
    alone does not."""
    generation = collection.ab.index.generation
    return f'"{generation.number}-{generation.sha256[:16]}-{item}-{size or "kept"}"'


async def _resized(engine: Engine, content: bytes, size: int) -> bytes:
    from PIL import Image

    def resize() -> bytes:
        picture = Image.open(io.BytesIO(content))
        if max(picture.size) <= size:
            return content
        picture.thumbnail((size, size))
        file = io.BytesIO()
        picture.save(file, "WEBP")
        return file.getvalue()

    return await engine.read_items(resize)


def _check(collection: Collection, item: int) -> None:
    """Refuse an item that the index does not have."""
    n_items = len(collection.ab.index)
    if item < 0 or item >= n_items:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"the index {collection.name} has no item {item}; its items are 0 to {n_items - 1}",
            kind="item",
        )
