"""The application: routes around an engine, behind the edge.

Nothing heavy is imported before the server listens: torch, FAISS and the weights come in the
background, and until they are there requests are told so.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from ..cores import available_cores
from .edge import OPEN, Edge
from .engine import Engine
from .fetching import Fetcher, FetchLimits
from .hub import Hub
from .keys import Keys
from .metrics import Metrics
from .openai_responses import ChatCompletionChunk
from .openai_schemas import ChatRequest, EmbeddingsRequest
from .problems import ProblemModel, install
from .refusals import Refusals
from .rooms import Rooms
from .routes import ask, clip_retrieval, embed, items, openai, operations, page, search
from .routes.clip_retrieval import KnnRequest, MetadataRequest
from .schemas import REFERENCE, AskRequest, EmbedRequest, SearchRequest
from .settings import Settings

logger = logging.getLogger(__name__)

MOST_DECODERS = 4  # processes, unless more are asked for
READ = (  # by routes themselves
    SearchRequest,
    EmbedRequest,
    AskRequest,
    EmbeddingsRequest,
    ChatRequest,
    KnnRequest,
    MetadataRequest,
)
WRITTEN = (ProblemModel, ChatCompletionChunk)  # in errors and in events
SCHEMES = {  # how a request brings its key; any one of them will do
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key: ab_…"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "a key: ab_…"},
}
DESCRIPTION = """Search with any medium, mix media in one query, ask about what is found.

Errors are problem details (RFC 9457) whose `detail` says what was asked, what there is and what to
do. A server with keys wants `Authorization: Bearer ab_…`. At 429, wait for `Retry-After` seconds.
"""


def create_app(settings: Settings, hub: Hub) -> FastAPI:
    """The application for some indices, which it loads in the background once it runs.

    Raises:
        UsageError: The file of keys cannot be read.
    """
    metrics = Metrics()
    keys = None if settings.api_keys_file is None else Keys.load(settings.api_keys_file)
    if keys is not None:
        logger.info("asking for keys n=%d", len(keys))
    fetcher = None
    if settings.allow_url_fetch:
        fetcher = Fetcher(
            FetchLimits(max_bytes=settings.fetch_bytes, seconds=settings.fetch_seconds)
        )
    app = FastAPIOffline(  # whose page at /docs asks nobody else
        title="anybind",
        version=version("anybind"),
        description=DESCRIPTION,
        lifespan=_lifespan(settings, hub, metrics, fetcher),
    )
    install(app)
    for routes in (search, embed, ask, items, openai, clip_retrieval, operations, page):
        app.include_router(routes.router)
    # FastAPI's documented way
    app.openapi = lambda: _openapi(app, keys=keys is not None)  # type: ignore[method-assign]
    rooms = Rooms(settings, metrics)
    app.add_middleware(Edge, settings=settings, metrics=metrics, keys=keys, rooms=rooms)
    take = keys is None and not settings.rate
    app.state.refusals = Refusals(rooms, metrics, root_path=settings.root_path, take=take)
    return app


def _lifespan(
    settings: Settings, hub: Hub, metrics: Metrics, fetcher: Fetcher | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Load in the background; at the end, finish what runs and let go of everything."""
        engine = Engine(hub, settings, metrics, fetcher, n_decoders=_n_decoders(settings))
        app.state.engine = engine
        loading = asyncio.create_task(engine.load())
        try:
            yield
        finally:
            loading.cancel()
            await engine.close()
            if fetcher is not None:
                await fetcher.aclose()

    return lifespan


def _n_decoders(settings: Settings) -> int:
    return settings.decoders or min(MOST_DECODERS, available_cores())


def _openapi(app: FastAPI, *, keys: bool) -> dict[str, object]:
    """The schema with what FastAPI does not see: what routes read and write themselves, and where
    keys are asked for."""
    from fastapi.openapi.utils import get_openapi

    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        models = schema.setdefault("components", {}).setdefault("schemas", {})
        for model in (*READ, *WRITTEN):
            own = model.model_json_schema(ref_template=REFERENCE)
            models |= own.pop("$defs", {})
            models["Problem" if model is ProblemModel else model.__name__] = own
        if keys:
            schema["components"]["securitySchemes"] = SCHEMES
            for path, operations in schema["paths"].items():
                if path not in OPEN:
                    for operation in operations.values():
                        operation["security"] = [{name: []} for name in SCHEMES]
        app.openapi_schema = schema
    return app.openapi_schema
