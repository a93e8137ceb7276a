"""What the native routes take and give, as JSON.

One part of a query is an :class:`InputModel`; everything else is built around lists of them. Form
fields of the same names work too, with files under the name of their modality
(:mod:`.inputs`).
"""

import re
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from ..encoders.modality import Modality
from ..index.cache import Cache
from ..llm.config import Generation
from ..parts import EMBEDDING, ID, KINDS

TEXT = str(Modality.TEXT)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)  # RFC 3986, section 3
Kind = Literal[  # of pipeline.KINDS, which a test compares
    "image", "text", "audio", "video", "points", "depth", "thermal", "imu", "id", "embedding"
]
MixingName = Literal["anybind", "imagebind-llm"]  # of mixing.MIXINGS, which a test compares
assert set(Kind.__args__) == set(KINDS)  # type: ignore[attr-defined]

T = TypeVar("T")
Several = Annotated[list[T], Field(fail_fast=True)]  # told is the first wrong one of a million
REFERENCE = "#/components/schemas/{model}"  # how OpenAPI names a model
MOST_DIM = 65_536  # numbers of a vector
MOST_INT = 2**63 - 1  # what the index and torch count with
ItemId = Annotated[int, Field(ge=0, le=MOST_INT)]
Seed = Annotated[int, Field(ge=-MOST_INT, le=MOST_INT)]


class Body(BaseModel):
    """A request body: a field that is not known is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class InputModel(Body):
    """One part of a query: a medium, a text, a ready vector or an item of the index."""

    modality: Kind | None = Field(
        default=None,
        description="what it is; may be left out of a text, an embedding and an id",
        examples=["audio"],
    )
    data: str | SkipJsonSchema[bytes] | None = Field(  # bytes come from forms
        default=None,
        description="the file, as base64 or as a data: URL",
        examples=["UklGRiQAAABXQVZF…"],
    )
    url: str | None = Field(
        default=None,
        description="where the server fetches the file, if it was started with --allow-url-fetch",
    )
    text: str | None = Field(default=None, description="a text", examples=["a red train on snow"])
    embedding: Several[float] | None = Field(
        default=None,
        max_length=MOST_DIM,
        description="a ready vector of the index's encoder, of any length but zero; with a "
        "modality it is of such a medium, which the cache and centring ask about",
    )
    id: ItemId | None = Field(default=None, description="an item of the index")
    weight: float = Field(
        default=1.0,
        allow_inf_nan=False,
        description="of its unit vector in the sum; negative takes it away",
    )

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        values = {"data", "url", TEXT, EMBEDDING, ID}
        given = [name for name in values if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"an input has {' and '.join(sorted(given)) or 'no value'}; give exactly one of "
                "data, url, text, embedding, id"
            )
        (value,) = given
        if self.modality is None and value in ("data", "url"):
            raise ValueError(f"an input given by {value} needs its modality, which is not guessed")
        wanted = {TEXT: (TEXT, EMBEDDING), ID: (ID,), EMBEDDING: (EMBEDDING,)}.get(
            self.modality or value, ("data", "url", EMBEDDING)
        )
        if value not in wanted:
            raise ValueError(
                f"an input of modality {self.modality} is given by {' or '.join(wanted)}, not by "
                f"{value}"
            )
        return self


def medium(modality: Kind, given: str) -> InputModel:
    """A medium as other servers' clients send it: its URL, a ``data:`` URL, or base64."""
    if ADDRESS.match(given):
        return InputModel(modality=modality, url=given)
    return InputModel(modality=modality, data=given)


class CacheModel(Body):
    """How strongly a query is pulled toward its nearest images."""

    k: int = Field(default=Cache.k, ge=1, description="images blended")
    alpha: float = Field(
        default=Cache.alpha,
        ge=0,
        le=1,
        description="share taken from them: 0 leaves the query alone, 1 replaces it",
    )
    weighting: Literal["softmax", "linear"] = Field(
        default="softmax",
        description="softmax: as the published weights expect; linear: as the paper says",
    )
    temperature: float = Field(
        default=Cache.temperature, ge=0, allow_inf_nan=False, description="of the softmax"
    )
    normalize: bool = Field(default=Cache.normalize, description="bring the result to unit length")

    def cache(self) -> Cache:
        """As the library takes it."""
        return Cache(**self.model_dump())


Inputs = Annotated[Several[InputModel], Field(description="the parts; their weighted sum is asked")]
TookMs = Annotated[float, Field(description="milliseconds in the server")]
Filter = dict[str, object]  # by column; index.filters says which values it may have


class QueryModel(Body):
    """One query, mixed of any number of parts."""

    inputs: Inputs = []
    minus: Several[InputModel] = Field(
        default=[],
        description="parts that are taken away: as inputs, with the sign of the weight turned",
    )
    k: int = Field(default=10, ge=1, description="neighbours")
    offset: int = Field(default=0, ge=0, description="neighbours left out in front, to turn pages")
    dedup: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="leave out what is this similar to a better neighbour; 0.94 is usual",
        examples=[0.94],
    )
    cache: CacheModel | None = Field(
        default=None, description="pull the query toward images; null: not"
    )
    filter: Filter | None = Field(
        default=None,
        description="conditions on columns, which all have to hold: eq, in, gt, lt, contains; "
        "k is filled all the same",
        examples=[{"width": {"gt": 512}, "caption": {"contains": "train"}}],
    )
    centre: bool = Field(
        default=False, description="take out of each part the mean of its modality"
    )


class SearchRequest(QueryModel):
    """One query, or several under ``queries``."""

    index: str | None = Field(default=None, description="name of an index; by default the first")
    queries: Several[QueryModel] | None = Field(
        default=None, description="several queries; nothing else but index stands beside them"
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        alone = self.model_fields_set <= {"index", "queries"}
        if self.queries is not None and not alone:
            beside = sorted(self.model_fields_set - {"index", "queries"})
            raise ValueError(f"{', '.join(beside)} stand beside queries; put them into each query")
        if self.queries == []:
            raise ValueError("queries is an empty list; give at least one")
        return self


class _Row(BaseModel):
    """What stands in the index about an item."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(description="row of the index, from 0")
    key: str = Field(description="the item's name in its source")
    caption: str | None = Field(description="the source's, if it has one")
    url: str | None = Field(description="where the source got it, if it says so")
    image_path: str | None = Field(description="of a picture, from the source's root")
    path: str | None = Field(description="of any other medium, from the source's root")
    width: int | None = Field(description="pixels of the original picture")
    height: int | None = Field(description="pixels of the original picture")


class Result(_Row):
    """One neighbour."""

    score: float = Field(description="cosine similarity to the query, -1 to 1")


class CitationModel(Result):
    """An image that the cache blended into the query."""

    weight: float = Field(description="what it counted")


class PartsFacts(BaseModel):
    """What became of the parts."""

    norm: float = Field(description="length of the sum: small where the parts disagree")
    weights: list[float] = Field(description="of the parts, as they entered the sum")
    centred: bool = Field(description="whether the modalities' means were taken out")


class QueryFacts(PartsFacts):
    """What became of the parts, and what was blended in."""

    citations: list[CitationModel] = Field(
        default=[], description="images the cache blended in, best first"
    )


class Answered(BaseModel):
    """The answer to one query."""

    results: list[Result] = Field(description="neighbours, the nearest first")
    query: QueryFacts = Field(description="what became of its parts")


class SearchResponse(Answered):
    """The answer to one query."""

    took_ms: TookMs


class SearchResponses(BaseModel):
    """The answers to several queries, in their order."""

    answers: list[Answered] = Field(description="one a query")
    took_ms: TookMs


class EmbedRequest(Body):
    """Inputs to embed, one by one or mixed."""

    index: str | None = Field(
        default=None, description="whose encoder embeds; by default the first's"
    )
    inputs: Inputs = []
    minus: Several[InputModel] = Field(
        default=[], description="parts that are taken away; with mix only"
    )
    scaled: bool = Field(
        default=False,
        description="ImageBind's own scale instead of unit length; of media and texts, without mix",
    )
    mix: bool = Field(default=False, description="one vector of all inputs instead of one each")
    centre: bool = Field(
        default=False, description="with mix: take out the modalities' means first"
    )
    mixing: MixingName = Field(
        default="anybind",
        description="with mix: anybind brings the sum to unit length; imagebind-llm divides the "
        "weights by their sum and leaves the result as short as the inputs disagree",
    )
    cache: CacheModel | None = Field(
        default=None, description="with mix: pull the mixture toward images; null: not"
    )

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        own = {"minus", "centre", "mixing", "cache"}
        if not self.mix and (given := [name for name in sorted(own) if self._asks(name)]):
            raise ValueError(f"{' and '.join(given)} are for mixing; set mix to true")
        if self.mix and self.scaled:
            raise ValueError("a mixture takes every input at unit length; leave out scaled")
        return self

    def _asks(self, name: str) -> bool:
        """Whether a field asks for anything but what is done anyway."""
        return bool(getattr(self, name) != type(self).model_fields[name].default)


class Embedded(BaseModel):
    """One input, embedded."""

    modality: Kind = Field(description="what it is")
    embedding: list[float] = Field(description="its vector, of unit length unless scaled")


class MixtureModel(QueryFacts):
    """Inputs, mixed."""

    vector: list[float] = Field(description="their sum, of unit length unless mixing leaves it")


class EmbedResponse(BaseModel):
    """Vectors, one an input or one of all; the other field is absent."""

    encoder: str = Field(description="whose vectors they are")
    dim: int = Field(description="numbers in each")
    embeddings: list[Embedded] | None = Field(default=None, description="one an input")
    mixture: MixtureModel | None = Field(default=None, description="with mix: one of all inputs")


class TurnModel(Body):
    """A question that was answered, and what was shown with it."""

    question: str = Field(description="what was asked")
    answer: str = Field(description="what was answered")
    inputs: Inputs = []


class AskRequest(Body):
    """A question about media, or about what was shown before."""

    index: str | None = Field(default=None, description="name of an index; by default the first")
    question: str = Field(
        description="what is asked, in words", examples=["What is making this sound?"]
    )
    inputs: Inputs = []
    minus: Several[InputModel] = Field(default=[], description="parts that are taken away")
    history: Several[TurnModel] = Field(default=[], description="earlier turns, the oldest first")
    cache: CacheModel | Literal["default"] | None = Field(
        default="default", description="default: as the language model was tuned; null: none"
    )
    centre: bool = Field(
        default=False, description="take out of each part the mean of its modality"
    )
    temperature: float = Field(
        default=Generation.temperature,
        ge=0,
        allow_inf_nan=False,
        description="0 takes the likeliest token each time; more draws more freely",
    )
    top_p: float = Field(
        default=Generation.top_p,
        gt=0,
        le=1,
        description="tokens are drawn from the likeliest that have this share together",
    )
    repetition_penalty: float = Field(
        default=Generation.repetition_penalty,
        gt=0,
        allow_inf_nan=False,
        description="above 1, fewer repetitions",
    )
    max_tokens: int | None = Field(default=None, ge=1, description="of the answer, at most")
    seed: Seed | None = Field(default=None, description="the same seed gives the same answer")
    stream: bool = Field(default=False, description="answer piece by piece, as server-sent events")


class AskResponse(BaseModel):
    """An answer, and what it drew on."""

    answer: str = Field(description="the words")
    query: QueryFacts | None = Field(description="what was shown with this question; null: nothing")
    forgotten: int = Field(description="oldest turns that the context had no room for")
    took_ms: TookMs


class ItemModel(_Row):
    """What the index knows of an item."""

    duration: float | None = Field(description="seconds, of sounds and videos")
    n_points: int | None = Field(description="of clouds")
    sha256: str = Field(description="of the file")


class ReadyModel(BaseModel):
    """How far the server is."""

    ready: bool = Field(description="every part is")
    parts: dict[str, str] = Field(
        description="each one: ready, loading, or why it failed; with keys, only that it did"
    )


class IndexModel(BaseModel):
    """One index that is served."""

    name: str = Field(description="what requests call it")
    modality: str = Field(description="of its items")
    encoder: str = Field(description="whose vectors it holds")
    dim: int = Field(description="numbers in a vector")
    items: int = Field(description="how many it holds")
    factory: str = Field(description="FAISS's name of the kind of index")
    recall_at_10: float | None = Field(description="measured when it was built")
    generation: int = Field(description="how often it was built; reload takes the newest")
    created: str = Field(description="when it was begun, ISO 8601")


class IndicesModel(BaseModel):
    """All that is served, and what can be asked."""

    indices: list[IndexModel] = Field(description="the first one answers where none is named")
    modalities: list[str] = Field(description="that a query may be made of")
    language_model: str = Field(description="which one answers")
    can_answer: bool = Field(description="whether the language model is loaded")
    anybind: str = Field(description="version")


class ReloadModel(BaseModel):
    """What a reload changed."""

    generations: dict[str, int] = Field(description="by index")
    changed: list[str] = Field(description="indices that got a newer generation")
