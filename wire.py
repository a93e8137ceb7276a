"""What clients ask of a server and what it answers, in the library's own types.

Requests are made and responses read here, once, for clients that wait in different ways; nothing is
sent. Local media are read and become the content of files, so that no path leaves this machine.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Generic, Literal, TypeVar, cast

import httpx
import numpy as np
from pydantic import BaseModel, ValidationError

from .answers import Answer, CacheChoice
from .encoders.media import as_array, label, one_line
from .encoders.modality import Modality, Vectors
from .encoders.pack import pack
from .errors import (
    AnyBindError,
    IndexFolderError,
    MediaError,
    Overloaded,
    UsageError,
    WeightsError,
)
from .index.cache import OTHER_THAN_PICTURES, Cache
from .index.filters import Filter
from .index.mixing import MIXINGS, Mixing
from .llm.config import Generation
from .parts import EMBEDDING, ID, row_number
from .pipeline import Citation, Hit, Input, Media, Mixture, Query, inputs_of, only_medium
from .server.schemas import (
    Answered,
    AskResponse,
    EmbedResponse,
    IndicesModel,
    ItemModel,
    QueryFacts,
    ReloadModel,
    SearchResponse,
    SearchResponses,
)

KEY_VARIABLE = "ANYBIND_API_KEY"  # of the environment
BODY_BYTES = 32 * 2**20  # of base64 in one of several requests; half of what servers take
MOST_INPUTS = 16  # in one request, as servers take unless told otherwise
MOST_QUERIES = 64  # the same
NOT_SENT = np.empty(0, np.float32)  # the vector of a query whose server tells only its norm

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)
Wire = Mapping[str, object]  # what becomes an object of JSON


class Searching(Query, total=False):
    """A query by name, and what is wanted of its neighbours; as :meth:`.AnyBind.search` says."""

    k: int  # neighbours; 10 if not given
    centre: bool  # take out of each part the mean of its modality
    cache: Cache | None  # pull the query toward images
    filter: Filter | Mapping[str, object] | None  # which items count: {"width": {"gt": 512}}
    dedup: float | None  # cosine from which an item is a copy of a better one
    offset: int  # better ones to skip


class OneOfMany(Searching, total=False):
    """One of several queries, whose parts may also be in a list."""

    inputs: Sequence[Input]


class Asking(Query, total=False):
    """What is shown with a question, and how it is answered; as :meth:`.AnyBind.ask` says."""

    cache: CacheChoice  # "default" if not given: as the language model was tuned
    centre: bool  # take out of each part the mean of its modality
    settings: Generation | None  # how the answer is drawn


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """How far a server is."""

    ready: bool  # every part is
    parts: Mapping[str, str]  # each one: ready, loading, or why it failed


@dataclass(frozen=True, kw_only=True, eq=False)
class RemoteTurn:
    """A question that was answered."""

    question: str
    inputs: tuple[Wire, ...]  # shown with it, as they were sent
    answer: Answer


@dataclass(frozen=True, kw_only=True, eq=False)
class Request(Generic[T]):
    """One request, and how its response is read."""

    method: Literal["GET", "POST"]
    path: str
    read: Callable[[httpx.Response], T]
    content: bytes | None = None  # JSON
    params: Mapping[str, str | int] | None = None
    also: frozenset[int] = frozenset()  # statuses from 400 on that are no errors here


class Requests:
    """What a client asks, as requests. Reads files; knows nothing of connections.

    Args:
        index: The name of the index that is asked; ``None``: the server's first.
    """

    def __init__(self, index: str | None) -> None:
        self._index = index

    def embed(
        self, media: Media, batch_size: int | None, scaled: bool
    ) -> Iterator[Request[Vectors]]:
        """As many requests as the items of one modality take, each for ``(n, dim)``."""
        most = MOST_INPUTS if batch_size is None else batch_size
        if most < 1:
            raise UsageError(f"batch_size is {most}; give at least 1")
        modality, value = only_medium(media)
        items: Sequence[object] = value if isinstance(value, list | tuple) else [value]
        if not items:
            raise UsageError(f"the list of {modality} is empty; give at least one")
        for inputs in _batches((_wire(Input(modality, item)) for item in items), most):
            yield self._post("v1/embed", {"inputs": inputs, "scaled": scaled}, _vectors)

    def mix(
        self,
        inputs: Sequence[Input],
        centre: bool,
        mixing: str | Mixing,
        cache: Cache | None,
        query: Query,
    ) -> Request[Mixture]:
        """Parts as one vector."""
        body = {
            "inputs": _wires(inputs, query),
            "mix": True,
            "centre": centre,
            "mixing": _mixing(mixing),
            "cache": None if cache is None else _cache(cache),
        }
        return self._post("v1/embed", body, _mixture)

    def search(self, inputs: Sequence[Input], asked: Searching) -> Request[list[Hit]]:
        """The neighbours of one query."""
        return self._post("v1/search", _search(inputs, asked), _hits)

    def search_many(self, queries: Sequence[OneOfMany]) -> Iterator[Request[list[list[Hit]]]]:
        """The neighbours of several, in as many requests as they take."""
        for start in range(0, len(queries), MOST_QUERIES):
            some = [
                _search(query.get("inputs", ()), query)
                for query in queries[start : start + MOST_QUERIES]
            ]
            yield self._post("v1/search", {"queries": some}, _all_hits)

    def ask(
        self,
        question: str,
        parts: Sequence[Wire],
        asked: Asking,
        history: Sequence[RemoteTurn],
        *,
        stream: bool,
    ) -> Request[Answer]:
        """A question about parts, or about what earlier turns showed."""
        cache = asked.get("cache", "default")
        settings = asked.get("settings")
        body = {
            "question": question,
            "inputs": parts,
            "history": [
                {"question": turn.question, "answer": turn.answer.text, "inputs": turn.inputs}
                for turn in history
            ],
            "cache": _cache(cache) if isinstance(cache, Cache) else cache,
            "centre": asked.get("centre", False),
            "stream": stream,
            **({} if settings is None else asdict(settings)),
        }
        return self._post("v1/ask", body, _answer)

    def item(self, id: int) -> Request[ItemModel]:
        """What the index knows of an item."""
        return self._get(f"v1/items/{row_number(id)}", lambda response: _model(ItemModel, response))

    def image(self, id: int, size: int | None) -> Request[bytes]:
        """An item's picture."""
        more = {} if size is None else {"size": size}
        return self._get(
            f"v1/items/{row_number(id)}/image", lambda response: response.content, **more
        )

    def indices(self) -> Request[IndicesModel]:
        """What is served."""
        return Request(
            method="GET", path="v1/index", read=lambda response: _model(IndicesModel, response)
        )

    def reload(self) -> Request[list[str]]:
        """Swap to the newest generation of the index, or of all where none is named."""
        return Request(
            method="POST",
            path="v1/index/reload",
            read=lambda response: _model(ReloadModel, response).changed,
            params=self._params,
        )

    def healthz(self) -> Request[bool]:
        """Whether the process answers."""
        return Request(method="GET", path="healthz", read=lambda response: True)

    def readyz(self) -> Request[Readiness]:
        """How far it is."""
        unready = frozenset({HTTPStatus.SERVICE_UNAVAILABLE})
        return Request(method="GET", path="readyz", read=_readiness, also=unready)

    @property
    def _params(self) -> dict[str, str | int]:
        return {} if self._index is None else {"index": self._index}

    def _get(self, path: str, read: Callable[[httpx.Response], T], **params: int) -> Request[T]:
        return Request(method="GET", path=path, read=read, params={**self._params, **params})

    def _post(self, path: str, body: Wire, read: Callable[[httpx.Response], T]) -> Request[T]:
        try:
            content = json.dumps({"index": self._index, **body}, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise UsageError(f"a value cannot be sent as JSON: {one_line(error)}") from None
        return Request(method="POST", path=path, read=read, content=content)


class Told:
    """A streamed answer, out of the bytes of its server-sent events."""

    def __init__(self) -> None:
        self.begun = Answer(text="")  # without its text, once the first piece came
        self._rest = b""  # of an event that is not all there
        self._ended = False

    def pieces(self, chunk: bytes) -> Iterator[str]:
        """The pieces of text in the bytes that came, after an empty one where the answer begins.

        Raises:
            AnyBindError: The server failed while it drew; whatever class the error has there.
        """
        *events, self._rest = (self._rest + chunk).split(b"\n\n")
        for event in events:
            lines = [line.partition(b": ") for line in event.split(b"\n")]
            fields = {name: value for name, _, value in lines}
            content = _object(fields.get(b"data", b"{}"))
            match fields.get(b"event"):
                case b"begin":
                    self.begun = _answer_of({**content, "answer": "", "took_ms": 0})
                    yield ""
                case b"text":
                    yield str(content.get("text", ""))
                case b"error":
                    status = content.get("status")
                    status = status if isinstance(status, int) else 500
                    raise _problem(status, content, retry_after=0)
                case b"end":
                    self._ended = True
                case _:
                    pass

    def check(self) -> None:
        """Refuse an answer that was broken off.

        Raises:
            AnyBindError: It was.
        """
        if not self._ended:
            raise AnyBindError("the server broke off in the middle of its answer; ask again")


# ---------------------------------------------------------------------------------- what is asked


def parts_of(inputs: Sequence[Input], asked: Searching | Asking) -> list[Wire]:
    """All parts as they are sent, without the settings beside them."""
    settings = Searching.__annotations__.keys() | Asking.__annotations__.keys() | {"inputs"}
    others = settings - Query.__annotations__.keys()
    query = {name: value for name, value in asked.items() if name not in others}
    return _wires(inputs, cast(Query, query))


def _search(inputs: Sequence[Input], asked: Searching) -> Wire:
    cache, filter = asked.get("cache"), asked.get("filter")
    return {
        "inputs": parts_of(inputs, asked),
        "k": asked.get("k", 10),
        "offset": asked.get("offset", 0),
        "dedup": asked.get("dedup"),
        "cache": None if cache is None else _cache(cache),
        "filter": filter.to_dict() if isinstance(filter, Filter) else filter,
        "centre": asked.get("centre", False),
    }


def _cache(cache: Cache) -> Wire:
    if cache.modalities != OTHER_THAN_PICTURES:
        raise UsageError("a server decides which modalities the cache pulls; leave modalities out")
    return {
        "k": cache.k,
        "alpha": cache.alpha,
        "weighting": cache.weighting,
        "temperature": cache.temperature,
        "normalize": cache.normalize,
    }


def _mixing(mixing: str | Mixing) -> str:
    """A way of mixing by its name, which is what servers know."""
    names = [name for name, rule in MIXINGS.items() if mixing in (name, rule)]
    if not names:
        raise UsageError(
            f"a server has no way of mixing {mixing!r}; there are {', '.join(MIXINGS)}"
        )
    return names[0]


def _wires(inputs: Sequence[Input], query: Query) -> list[Wire]:
    """All parts as they are sent, with signed weights."""
    return [_wire(part) for part in inputs_of(inputs, query)]


def _wire(part: Input) -> Wire:
    """One part as it is sent: an address by its name, any other medium by its content."""
    value = part.value
    weight = float(part.weight)
    if part.modality == ID:
        return {"id": row_number(value), "weight": weight}
    if part.modality == EMBEDDING:
        return {"embedding": _floats(value), "weight": weight}
    if part.modality == Modality.TEXT:
        if not isinstance(value, str):
            raise UsageError(f"text is a {type(value).__name__}; give a string")
        return {"text": value, "weight": weight}
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return {"modality": part.modality, "url": value, "weight": weight}
    data = base64.b64encode(pack(Modality(part.modality), value)).decode("ascii")
    return {"modality": part.modality, "data": data, "weight": weight}


def _floats(value: object) -> list[float]:
    """The numbers of a ready vector."""
    array = as_array(value)
    try:
        row = np.asarray(value if array is None else array, np.float32)
    except (TypeError, ValueError):
        raise UsageError(f"the embedding {label(value)} is no array of numbers (dim,)") from None
    if row.ndim != 1 or not np.isfinite(row).all():
        raise UsageError(f"an embedding is finite numbers (dim,); this has shape {row.shape}")
    numbers: list[float] = row.tolist()
    return numbers


def _batches(parts: Iterable[Wire], most: int) -> Iterator[list[Wire]]:
    """Parts for one request each: at most so many, and of no more bytes than a body may have."""
    batch: list[Wire] = []
    n_bytes = 0
    for part in parts:
        size = len(str(part.get("data", "")))
        if batch and (len(batch) == most or n_bytes + size > BODY_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(part)
        n_bytes += size
    yield batch


# ------------------------------------------------------------------------------- what is answered


def is_error(response: httpx.Response, asked: Request[T]) -> bool:
    return not response.is_success and response.status_code not in asked.also


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to be left alone; ``None`` where it does not."""
    try:
        return max(float(response.headers["Retry-After"]), 0.0)
    except (KeyError, ValueError):
        return None


def error_of(response: httpx.Response) -> AnyBindError:
    """The error that a response is, as the library raises it."""
    kind = response.headers.get("Content-Type", "")
    if not kind.startswith("application/problem+json"):
        phrase = f"{response.status_code} {response.reason_phrase}".strip()
        return AnyBindError(
            f"{response.url} answered {phrase}, and not as a server of anybind does; is it one?"
        )
    wait = retry_after(response) or 0.0
    return _problem(response.status_code, _object(response.content), retry_after=wait)


def _problem(status: int, content: Wire, *, retry_after: float) -> AnyBindError:
    """A problem (RFC 9457) as the error that the server had."""
    detail = str(content.get("detail", "the server does not say what is wrong"))
    kind = str(content.get("type", "")).partition("#")[2]
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Overloaded(detail, retry_after=retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        return UsageError(f"{detail}; here: key=, or {KEY_VARIABLE} in the environment")
    if kind == "media":
        return MediaError(detail)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return UsageError(detail)
    if kind == "internal":
        return AnyBindError(f"{detail} ({content.get('request_id', 'none')})")
    return {"index": IndexFolderError, "weights": WeightsError}.get(kind, AnyBindError)(detail)


def _object(content: bytes) -> Wire:
    """An object of JSON."""
    try:
        found: object = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise AnyBindError("the server's answer is no JSON; does it run another version?")
    return found


def _model(model: type[Model], response: httpx.Response) -> Model:
    """A response as the server's own model of it."""
    return _checked(model, _object(response.content))


def _checked(model: type[Model], content: Wire) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise AnyBindError(
            f"the server's answer is no {model.__name__} of this version of anybind: "
            f"{one_line(error)}"
        ) from None


def _vectors(response: httpx.Response) -> Vectors:
    embeddings = _model(EmbedResponse, response).embeddings or []
    return np.array([each.embedding for each in embeddings], np.float32)


def joined(media: Media, rows: Sequence[Vectors]) -> Vectors:
    """The rows of all requests; the only one where no list was given."""
    _, value = only_medium(media)
    vectors: Vectors = np.concatenate(rows)
    one: Vectors = vectors[0]
    return vectors if isinstance(value, list | tuple) else one


def _mixture(response: httpx.Response) -> Mixture:
    mixture = _model(EmbedResponse, response).mixture
    if mixture is None:
        raise AnyBindError("the server's answer has no mixture; does it run another version?")
    return _mixed(mixture, np.array(mixture.vector, np.float32))


def _mixed(facts: QueryFacts, vector: Vectors) -> Mixture:
    return Mixture(
        vector=vector,
        norm=facts.norm,
        weights=tuple(facts.weights),
        centred=facts.centred,
        citations=tuple(Citation(**dict(citation)) for citation in facts.citations),
    )


def _hits(response: httpx.Response) -> list[Hit]:
    return _hits_of(_model(SearchResponse, response))


def _all_hits(response: httpx.Response) -> list[list[Hit]]:
    return [_hits_of(answered) for answered in _model(SearchResponses, response).answers]


def _hits_of(answered: Answered) -> list[Hit]:
    return [Hit(**dict(result)) for result in answered.results]


def _answer(response: httpx.Response) -> Answer:
    return _answer_of(_object(response.content))


def _answer_of(content: Wire) -> Answer:
    found = _checked(AskResponse, content)
    query = None if found.query is None else _mixed(found.query, NOT_SENT)
    return Answer(text=found.answer, query=query, forgotten=found.forgotten)


def _readiness(response: httpx.Response) -> Readiness:
    content = _object(response.content)
    parts = content.get("parts")
    return Readiness(
        ready=content.get("ready") is True,
        parts={str(name): str(state) for name, state in parts.items()}
        if isinstance(parts, dict)
        else {},
    )
