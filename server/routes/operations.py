"""For those who run the server: health, readiness, metrics, what is served, reload."""

from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...encoders.modality import Modality
from ..hub import LOADING, READY, Collection
from ..keys import Role
from ..problems import Problem
from ..schemas import IndexModel, IndicesModel, ReadyModel, ReloadModel
from ..settings import is_loopback
from .common import PROBLEMS, engine_of, json_response, shown

router = APIRouter(tags=["operations"])

METRICS = """\
# HELP anybind_index_generation Of each index
# TYPE anybind_index_generation gauge
anybind_index_generation{index="demo"} 1.0
"""
INDICES = {
    "indices": [
        {
            "name": "demo",
            "modality": "image",
            "encoder": "imagebind-mini",
            "dim": 256,
            "items": 5000,
            "factory": "Flat",
            "recall_at_10": 1.0,
            "generation": 1,
            "created": "2026-11-22T08:00:00+00:00",
        }
    ],
    "modalities": [str(modality) for modality in Modality],
    "language_model": "llama-mini",
    "can_answer": True,
    "anybind": "0.1.0",
}
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/healthz", responses=shown({"status": "ok"}))
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    response_model=ReadyModel,
    responses={
        **shown({"ready": True, "parts": {"index demo": READY, "language model": READY}}),
        503: {"model": ReadyModel, "description": "A part is loading, or failed"},
    },
)
async def readyz(request: Request) -> Response:
    """Whether every part is loaded; the parts by name, with the reason where one failed."""
    engine = engine_of(request)
    parts = dict(engine.parts)
    ready = all(state == READY for state in parts.values())
    if engine.settings.api_keys_file is not None:  # strangers may ask here
        parts = {name: _without_reason(state) for name, state in parts.items()}
    return json_response({"ready": ready, "parts": parts}, status=200 if ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": METRICS}}}},
)
async def metrics(request: Request) -> Response:
    """Figures in Prometheus's text format."""
    return Response(engine_of(request).metrics.text(), media_type=METRICS_TYPE)


@router.get("/v1/index", response_model=IndicesModel, responses={**PROBLEMS, **shown(INDICES)})
async def indices(request: Request) -> Response:
    """The indices that are served, and what can be asked."""
    hub = engine_of(request).hub
    first = hub.get()
    models = [_model(hub.get(name)) for name in hub.names if hub.parts[f"index {name}"] == READY]
    return json_response(
        IndicesModel(
            indices=models,
            modalities=[str(modality) for modality in first.ab.encoder.modalities],
            language_model=first.ab.language_models.preset.name,
            can_answer=hub.can_answer,
            anybind=version("anybind"),
        )
    )


@router.post(
    "/v1/index/reload",
    response_model=ReloadModel,
    responses={**PROBLEMS, **shown({"generations": {"demo": 2}, "changed": ["demo"]})},
)
async def reload(
    request: Request,
    index: Annotated[str | None, Query(description="name of an index; by default all")] = None,
) -> Response:
    """Swap to the newest generations. Requests in work finish on those they began with."""
    _check_admin(request)
    engine = engine_of(request)
    changed = await engine.reload(index)
    return json_response(ReloadModel(generations=dict(engine.hub.generations), changed=changed))


def _without_reason(state: str) -> str:
    return state if state in (READY, LOADING) else "failed; the server's log says why"


def _check_admin(request: Request) -> None:
    """Let only admins change the server; without keys, those who sit at the machine."""
    key = request.scope.get("key")
    host = request.client.host if request.client else ""
    if key.role is Role.ADMIN if key is not None else is_loopback(host):
        return
    raise Problem(
        HTTPStatus.FORBIDDEN,
        "reloading takes the key of an admin (anybind serve-key new --admin), or on a server "
        "without keys a request from its own machine",
        kind="key",
    )


def _model(collection: Collection) -> IndexModel:
    ab = collection.ab
    manifest, generation = ab.index.manifest, ab.index.generation
    return IndexModel(
        name=collection.name,
        modality=str(ab.index.modality),
        encoder=manifest.encoder.name,
        dim=manifest.encoder.dim,
        items=len(ab.index),
        factory=generation.factory,
        recall_at_10=generation.recall_at_10,
        generation=generation.number,
        created=manifest.created,
    )
