"""AnyBind: an encoder, an index and a language model, together.

What a person does with the parts: embed media, mix them, search an index with them, and ask about
them. The command line and every other front call this class and add nothing of their own.
"""

import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypedDict, Unpack, cast, overload

import numpy as np

from .answers import Answer, AnswerStream, CacheChoice, Chat
from .encoders.encoder import PRESETS, Encoder, load_encoder
from .encoders.maps import MILLIMETRES
from .encoders.modality import Modality, Vectors
from .errors import IndexFolderError, UsageError
from .index.cache import Cache, enhance_each
from .index.dedup import check_threshold
from .index.filters import Filter
from .index.mixing import (
    MIXINGS,
    Centres,
    Mixing,
    centred,
    mixing_of,
    shares,
    unit_rows,
    weighted_sum,
)
from .index.neighbours import Neighbours
from .index.search import Index
from .index.shards import Row
from .llm.config import Generation
from .llm.presets import LanguageModels, Preset, Task, preset_of
from .parts import EMBEDDING, ID, KINDS, row_number

logger = logging.getLogger(__name__)

LANGUAGE_MODEL = "llama-mini"  # where none is named


class Media(TypedDict, total=False):
    """What a person hands over: an item, or a list of items, named by its modality."""

    image: object
    text: object
    audio: object
    video: object
    points: object
    depth: object
    thermal: object
    imu: object


class Query(Media, total=False):
    """What a query is mixed of, by name: media (a list is several parts) and the following."""

    id: int | Sequence[int] | None  # items of the index
    embedding: Vectors | Sequence[Vectors] | None  # (dim,) or (n, dim), of any length but zero
    # Of the parts given by name: a number for all of a modality, or one for each, those in `minus`
    # last. 1 if not given.
    weights: Mapping[str, float | Sequence[float]] | None
    minus: Mapping[str, object] | None  # parts by name whose weights count negative


@dataclass(frozen=True, eq=False)
class Input:
    """One part of a query, with its share in it: ``Input("audio", "dog.wav", weight=0.6)``."""

    modality: str  # of KINDS: a modality, "id" (an item of the index) or "embedding" (a vector)
    value: object  # as AnyBind.embed takes it; a row number; or numbers (dim,)
    _: KW_ONLY
    weight: float = 1.0  # of its unit vector in the sum; negative takes it away

    def __post_init__(self) -> None:
        if self.modality not in KINDS:
            raise UsageError(f"an input is called {self.modality!r}; there are {', '.join(KINDS)}")
        if not math.isfinite(self.weight):
            raise UsageError(f"the weight of {self.modality} is {self.weight}; give a number")


@dataclass(frozen=True, eq=False)
class Encoded:
    """A medium that was embedded before: the value of an :class:`Input` of its modality."""

    vector: Vectors  # (dim,), of any length but zero


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """What several inputs became."""

    vector: Vectors  # (dim,), after the cache
    norm: float  # of the weighted sum before it was normalised: small where inputs disagree
    weights: tuple[float, ...]  # of the inputs, as they entered the sum
    centred: bool  # whether the modalities' means were taken out
    citations: tuple["Citation", ...] = ()  # images the cache blended in, best first


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """One ready vector to search with, and which of its neighbours to return."""

    vector: Vectors  # (dim,), of any length but zero
    k: int = 10  # how many
    offset: int = 0  # how many better ones to skip; beyond the last item there are none
    filter: Filter | None = None  # which items count
    dedup: float | None = None  # cosine from which an item is a copy of a better one, 0 to 1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"asked for {self.k} neighbours; ask for at least 1")
        if self.offset < 0:
            raise UsageError(f"the offset is {self.offset}; results are counted from 0")
        if self.dedup is not None:
            check_threshold(self.dedup)


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One neighbour of a query."""

    id: int  # row of the index, from 0
    score: float  # cosine similarity to the query, -1 to 1
    key: str  # the item's name in its source
    caption: str | None
    url: str | None
    image_path: str | None  # of a picture: file, or archive#member, from the source's root
    path: str | None  # the same of any other medium
    width: int | None  # of the original picture, pixels
    height: int | None


@dataclass(frozen=True, kw_only=True)
class Citation(Hit):
    """An image that the cache blended into a query."""

    weight: float  # what it counted: shares that sum to 1 (softmax), or its score (linear)


class AnyBind:
    """Embed media, mix them, search an index with them, ask about them.

    Safe to call from many threads.

    Args:
        encoder: What turns media into vectors.
        index: What is searched and what the cache draws on.
        language_models: What answers; by default ``llama-mini``.
    """

    def __init__(
        self,
        encoder: Encoder,
        index: Index | None = None,
        language_models: LanguageModels | None = None,
    ) -> None:
        self.encoder = encoder
        self.language_models = language_models or LanguageModels(preset_of(LANGUAGE_MODEL))
        self._index = index

    @property
    def index(self) -> Index:
        """The index.

        Raises:
            UsageError: None was opened.
        """
        if self._index is None:
            raise UsageError("no index is open; name its folder: anybind.load('indices/demo')")
        return self._index

    @property
    def folder(self) -> Path | None:
        """Where the index is; ``None`` without one."""
        return None if self._index is None else self._index.folder

    @property
    def default_cache(self) -> Cache | None:
        """What :meth:`ask` pulls queries toward images by, unless told otherwise."""
        facts = self.language_models.preset.cache
        return None if facts is None else Cache(**facts)

    def embed(
        self,
        *,
        scaled: bool = False,
        batch_size: int | None = None,
        progress: bool | None = None,
        **media: Unpack[Media],
    ) -> Vectors:
        """Embed one item, or a list of items, of one modality.

        Args:
            media: The modality by name, with the item: ``text="a dog"``, ``image="dog.jpg"``. Texts
                are strings; the rest are paths, bytes, file objects, or arrays as the modality's
                preprocessor documents them. A list or tuple is a batch.
            scaled: ImageBind's own scale instead of unit length.
            batch_size: Items encoded at once; chosen by the encoder if not given.
            progress: A bar on stderr; by default for several batches, on a terminal.

        Returns:
            float32 ``(dim,)`` for one item, ``(n, dim)`` for a list; unit rows.

        Raises:
            UsageError: Not exactly one modality, one that the encoder lacks, or an empty text.
            MediaError: An item cannot be read.
        """
        modality, value = only_medium(media)
        items: Sequence[object] = value if isinstance(value, list | tuple) else [value]
        if modality is Modality.TEXT:
            _check_texts(items)
        several = len(items) > (batch_size or self.encoder.batch_size(modality))
        vectors = self.encoder.encode(
            modality,
            items,
            batch_size=batch_size,
            scaled=scaled,
            progress=several and sys.stderr.isatty() if progress is None else progress,
        )
        return vectors if items is value else vectors[0]

    @cached_property
    def centres(self) -> Centres:
        """The means of modalities that are known: the index's own before the encoder's."""
        if self._index is None:
            return self.encoder.centres
        own = self._index.manifest.centres
        return dict(self.encoder.centres) | {
            Modality(name): np.array(centre, np.float32) for name, centre in own.items()
        }

    def mix(
        self,
        *inputs: Input,
        centre: bool = False,
        mixing: str | Mixing = "anybind",
        cache: Cache | None = None,
        **query: Unpack[Query],
    ) -> Mixture:
        """Mix inputs into one vector: the sum of their unit vectors times their weights.

        Args:
            inputs: Parts with their weights; beside them, or instead:
            query: Parts by name, their weights, and what is taken away, as :class:`Query` says.
            centre: Take out of each part the mean of its modality.
            mixing: A name of :data:`.mixing.MIXINGS`, or one of your own.
            cache: Pull the mixture toward its nearest images in the index. It is left alone where
                ``alpha`` is 0 or :meth:`.Cache.applies` says so.

        Raises:
            UsageError: There is no part or no such modality, a part has no direction, weights do
                not fit or are all zero, the parts cancel each other, or their means are not known;
                or the cache has no index of images, or one smaller than its ``k``.
            MediaError: A part cannot be read.
        """
        parts = inputs_of(inputs, query)
        if not parts:
            raise UsageError(f"got nothing to mix or to look for; give one of {', '.join(KINDS)}")
        rule = mixing_of(mixing) if isinstance(mixing, str) else mixing
        rows = self.vectors_of(parts)
        if centre:
            rows = self._centred(parts, rows)
        factors = [part.weight for part in parts]
        total, norm = weighted_sum(rows, shares(factors) if rule.shares else factors)
        logger.info("mixed inputs=%d centred=%s norm=%.3f", len(parts), centre, norm)
        mixture = Mixture(
            vector=(total / norm if rule.normalise else total).astype(np.float32),
            norm=norm,
            weights=tuple(shares(factors).tolist() if rule.shares else factors),
            centred=centre,
        )
        if cache is None or not self.is_pulled(parts, cache):
            return mixture
        return self.enhance([mixture], [cache])[0]

    def search(
        self,
        *inputs: Input,
        k: int = 10,
        centre: bool = False,
        cache: Cache | None = None,
        filter: Filter | Mapping[str, object] | None = None,
        dedup: float | None = None,
        offset: int = 0,
        **query: Unpack[Query],
    ) -> list[Hit]:
        """Find the items of the index nearest to one query, mixed of any number of parts.

        Args:
            inputs: As all other arguments, the query as :meth:`mix` takes it.
            k: Neighbours to return, at most the size of the index.
            filter: Which items count, as :meth:`.Filter.parse` reads it:
                ``{"width": {"gt": 512}}``.
            dedup: Drop items of this cosine or more to a better one, 0 to 1; those that follow
                take their places.
            offset: Skip as many of the best; then ``k`` may reach beyond the last item.

        Returns:
            ``k`` hits, best first; fewer where fewer pass the filter, are no copies, or are left
            behind the offset.

        Raises:
            UsageError: As :meth:`mix`; ``k`` is outside the index, the filter or another argument
                is not as it should be, or no index is open.
            MediaError: A part of the query cannot be read.
        """
        _ = self.index  # before anything is encoded
        if filter is not None and not isinstance(filter, Filter):
            filter = Filter.parse(filter)
        mixture = self.mix(*inputs, centre=centre, cache=cache, **query)
        asked = Asked(vector=mixture.vector, k=k, offset=offset, filter=filter, dedup=dedup)
        return self.neighbours([asked])[0]

    def neighbours(self, asked: Sequence[Asked]) -> list[list[Hit]]:
        """Search with several ready vectors at once, each by its own settings.

        Those of one filter, and without ``dedup``, are searched together.

        Args:
            asked: At least one, of vectors ``(dim,)``.

        Returns:
            The hits of each, best first, as :meth:`search` returns them.

        Raises:
            UsageError: A vector is no ``(dim,)`` or has no direction, ``k`` is outside the index,
                or no index is open.
        """
        index = self.index
        vectors = [_vector(each.vector, index.dim) for each in asked]
        queries = unit_rows(np.stack(vectors)).astype(np.float32)
        found: dict[int, Neighbours] = {}  # by the place of the query, one row each
        together: dict[Filter | None, list[int]] = {}
        for i, each in enumerate(asked):
            if each.dedup is None:
                together.setdefault(each.filter, []).append(i)
            else:
                found[i] = index.search_distinct(
                    queries[i : i + 1], self._reach(each), threshold=each.dedup, filter=each.filter
                )
        for filter, places in together.items():
            k = max(self._reach(asked[i]) for i in places)
            all_found = index.search(queries[places], k, filter=filter)
            for row, i in enumerate(places):
                found[i] = Neighbours(
                    scores=all_found.scores[row : row + 1], ids=all_found.ids[row : row + 1]
                )
        pages = [slice(each.offset, each.offset + each.k) for each in asked]
        ids = [found[i].ids[0, page] for i, page in enumerate(pages)]
        rows = iter(index.rows(np.concatenate(ids)))
        return [
            [_hit(next(rows), score) for score in found[i].scores[0, page]]
            for i, page in enumerate(pages)
        ]

    def _reach(self, asked: Asked) -> int:
        """How many neighbours to look for; a page behind an offset may be short or empty."""
        n = asked.offset + asked.k
        return min(n, len(self.index)) if asked.offset else n

    def view(
        self,
        *inputs: Input,
        cache: CacheChoice = "default",
        centre: bool = False,
        **query: Unpack[Query],
    ) -> tuple[tuple[Input, ...], Mixture | None]:
        """What the language model is shown, mixed as it was tuned with.

        Args:
            inputs: As all other arguments, as :meth:`ask` takes them.

        Returns:
            All parts, and their mixture; no part and ``None`` where nothing was given.

        Raises:
            UsageError: As :meth:`mix`.
            MediaError: A part cannot be read.
        """
        parts = tuple(inputs_of(inputs, query))
        if not parts:
            return parts, None
        normalize = self.language_models.preset.normalize_mixtures
        return parts, self.mix(
            *parts,
            centre=centre,
            mixing=MIXINGS["anybind" if normalize else "imagebind-llm"],
            cache=self.default_cache if isinstance(cache, str) else cache,
        )

    @overload
    def ask(
        self,
        question: str,
        *inputs: Input,
        cache: CacheChoice = "default",
        centre: bool = False,
        settings: Generation | None = None,
        stream: Literal[False] = False,
        **query: Unpack[Query],
    ) -> Answer: ...

    @overload
    def ask(
        self,
        question: str,
        *inputs: Input,
        cache: CacheChoice = "default",
        centre: bool = False,
        settings: Generation | None = None,
        stream: Literal[True],
        **query: Unpack[Query],
    ) -> AnswerStream: ...

    def ask(
        self,
        question: str,
        *inputs: Input,
        cache: CacheChoice = "default",
        centre: bool = False,
        settings: Generation | None = None,
        stream: bool = False,
        **query: Unpack[Query],
    ) -> Answer | AnswerStream:
        """Answer a question about media, or about nothing but what the language model knows.

        Several parts mix as in :meth:`search`, in the way the language model was tuned with. It was
        tuned on images alone, so the mixture is pulled toward its nearest images in the index
        first, unless every part is an image or a video.

        Args:
            question: In any language that the model knows.
            inputs: Parts with their weights; beside them, or instead:
            cache: How strongly to pull; ``default`` is the language model's own way, ``None`` does
                not.
            centre: Take out of each part the mean of its modality. The language model has never
                seen such vectors.
            settings: How the answer is drawn.
            stream: Return the pieces of the answer as they are drawn.
            query: Parts by name, their weights, and what is taken away, as :class:`Query` says.

        Returns:
            The answer with the images it drew on; or its pieces, and ``answer`` among their
            attributes.

        Raises:
            UsageError: As :meth:`mix`; the question is empty or longer than the context, or the
                language model's weights have to be named.
            MediaError: A part cannot be read.
            WeightsError: The language model's weights are missing or damaged, or do not fit each
                other or the encoder.
            AnyBindError: They do not fit into memory.
        """
        chat = Chat(self, Task.ASK)
        if stream:
            return chat.ask(
                question,
                *inputs,
                cache=cache,
                centre=centre,
                settings=settings,
                stream=True,
                **query,
            )
        return chat.ask(question, *inputs, cache=cache, centre=centre, settings=settings, **query)

    def chat(self) -> Chat:
        """Begin a conversation, whose turns may each show media of their own."""
        return Chat(self)

    def is_pulled(self, parts: Sequence[Input], cache: Cache) -> bool:
        """Whether a cache changes what is mixed of these parts."""
        return cache.alpha > 0 and cache.applies(map(self._modality_of, parts))

    def enhance(self, mixtures: Sequence[Mixture], caches: Sequence[Cache]) -> list[Mixture]:
        """Pull mixtures toward their nearest images, each by its own settings, all at once.

        Whether a cache applies to what was mixed is not asked here; see :meth:`is_pulled`.

        Raises:
            UsageError: As :meth:`.Cache.enhance`, or no index is open.
        """
        if self._index is None:
            raise UsageError(
                "the cache draws on an index of images, and none is open; open one with "
                "anybind.load('indices/demo'), or go without: cache=None"
            )
        queries = np.stack([mixture.vector for mixture in mixtures])
        found = enhance_each(queries, self._index, caches)
        used = [ids[: cache.k] for ids, cache in zip(found.ids, caches, strict=True)]
        rows = iter(self._index.rows(np.concatenate(used)))
        return [
            replace(
                mixture,
                vector=found.vectors[i],
                citations=tuple(
                    Citation(weight=float(weight), **vars(_hit(next(rows), score)))
                    for weight, score in zip(
                        found.weights[i, : cache.k], found.scores[i, : cache.k], strict=True
                    )
                ),
            )
            for i, (mixture, cache) in enumerate(zip(mixtures, caches, strict=True))
        ]

    def vectors_of(self, parts: Sequence[Input]) -> Vectors:
        """The vectors of parts, ``(n, dim)``; those of one modality are encoded together.

        Media have unit length; ready vectors and items of the index are as they are.

        Raises:
            UsageError: A part has no direction, or is no item of the index.
            MediaError: A part cannot be read.
        """
        rows = np.empty((len(parts), self.encoder.dim), np.float32)
        rest: list[int] = []
        for i, part in enumerate(parts):
            if isinstance(part.value, Encoded):
                rows[i] = _vector(part.value.vector, self.encoder.dim)
            else:
                rest.append(i)
        for kind in dict.fromkeys(parts[i].modality for i in rest):
            places = [i for i in rest if parts[i].modality == kind]
            values = [parts[i].value for i in places]
            if kind == ID:
                rows[places] = self.index.vectors([row_number(value) for value in values])
            elif kind == EMBEDDING:
                rows[places] = [_vector(value, self.encoder.dim) for value in values]
            else:
                rows[places] = self.embed(**cast(Media, {kind: values}))
        return rows

    def _modality_of(self, part: Input) -> Modality | None:
        """What a part is of; a ready vector does not tell."""
        if part.modality == ID:
            return self.index.modality
        return None if part.modality == EMBEDDING else Modality(part.modality)

    def _centred(self, parts: Sequence[Input], rows: Vectors) -> Vectors:
        """Take the mean of its modality out of each part."""
        out = np.empty_like(rows)
        modalities = [self._modality_of(part) for part in parts]
        for modality in dict.fromkeys(modalities):
            if modality is None:
                raise UsageError(
                    "an embedding does not say what it is of, so it cannot be centred; mix without "
                    "centring"
                )
            places = [i for i, found in enumerate(modalities) if found is modality]
            out[places] = centred(rows[places], modality, self.centres)
        return out


def load(
    folder: str | os.PathLike[str] | None = None,
    *,
    encoder: str | os.PathLike[str] | Encoder | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    depth_scale: float = MILLIMETRES,
    language_model: str | Preset = LANGUAGE_MODEL,
    base: str | os.PathLike[str] | None = None,
    adapter: str | os.PathLike[str] | None = None,
    lm_precision: str | None = None,
    expect_base: str | None = None,
    force: bool = False,
) -> AnyBind:
    """Open an index folder together with the encoder that built it.

    The language model is read when it is first asked.

    Args:
        folder: An index folder; ``None`` opens an encoder alone.
        encoder: A preset, a weight file or an open encoder; by default the one in the manifest
            (``imagebind-mini`` without a folder).
        weights: The encoder's weight file, if it lies elsewhere than the preset says.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        depth_scale: Metres per unit of depth maps that hold integers.
        language_model: A preset, which also says how queries are mixed and enhanced for it.
        base: The folder of a base language model, instead of the preset's.
        adapter: An adapter's file, instead of the preset's.
        lm_precision: The language model's, if another than ``precision``; also ``int8``, in which
            the base's large matrices take a quarter of fp32.
        expect_base: The fingerprint the base must have.
        force: Put the adapter on another base or encoder than its own all the same.

    Raises:
        IndexFolderError: The folder is no finished index, or another encoder built it.
        UsageError: No such encoder or language model.
    """
    language_models = LanguageModels(
        preset_of(language_model) if isinstance(language_model, str) else language_model,
        base=base,
        adapter=adapter,
        device=device,
        precision=lm_precision or precision,
        expect_base=expect_base,
        force=force,
    )
    index = None if folder is None else Index.open(folder)
    if not isinstance(encoder, Encoder):
        if encoder is None and index is not None:
            encoder = index.manifest.encoder.name
            if encoder not in PRESETS and weights is None and not os.path.isfile(encoder):
                raise IndexFolderError(
                    f"{folder} was built by the encoder {encoder}, which is no preset and no file "
                    "here; name its weight file with encoder="
                )
        encoder = load_encoder(
            encoder or "imagebind-mini",
            weights=weights,
            device=device,
            precision=precision,
            depth_scale=depth_scale,
            reference=index is not None and index.manifest.encoder.reference,
        )
    if index is not None:
        index.check_encoder(encoder)
    return AnyBind(encoder, index, language_models)


def only_medium(media: Media) -> tuple[Modality, object]:
    """The one modality that was given, with its value."""
    _check_names(media)
    given = {name: value for name, value in media.items() if value is not None}
    if len(given) != 1:
        raise UsageError(
            f"embed takes one modality, and got {' and '.join(given) or 'none'}; "
            f"give one of {', '.join(Modality)}"
        )
    name, value = given.popitem()
    return Modality(name), value


def _check_names(names: Iterable[str]) -> None:
    """Refuse a keyword that is no modality, as Python refuses one that a function does not have."""
    unknown = [name for name in names if name not in Modality.__members__.values()]
    if unknown:
        raise TypeError(f"unexpected keyword {unknown[0]!r}; modalities are {', '.join(Modality)}")


def _check_texts(texts: Sequence[object]) -> None:
    """Refuse what has no meaning: an empty text, or something that is no text."""
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"text is a {type(text).__name__}; give a string")
        if not text.strip():
            raise UsageError("the text is empty; say what to look for")


def _hit(row: Row, score: float) -> Hit:
    return Hit(
        id=row.id,
        score=float(score),
        key=row.key,
        caption=row.caption,
        url=row.url,
        image_path=row.image_path,
        path=row.path,
        width=row.width,
        height=row.height,
    )


def inputs_of(inputs: Sequence[Input], query: Query) -> list[Input]:
    """All parts with their weights, those given by name last."""
    own = ("embedding", "weights", "minus")
    weights, minus = query.get("weights") or {}, query.get("minus") or {}
    given: dict[str, object] = {name: v for name, v in query.items() if name not in own}
    _check_names(name for name in given if name != ID)
    embedding = query.get("embedding")
    given[EMBEDDING] = None if embedding is None else _vectors(embedding)
    values = [(name, v, 1.0) for name, value in given.items() for v in _several(name, value)]
    values += [(name, v, -1.0) for name, value in minus.items() for v in _several(name, value)]
    counts = Counter(name for name, _, _ in values)
    factors: dict[str, Iterator[float]] = {}
    for name in counts:
        weight = weights.get(name, 1.0)
        each = [weight] * counts[name] if isinstance(weight, int | float) else list(weight)
        if len(each) != counts[name]:
            raise UsageError(
                f"{len(each)} weights for {counts[name]} inputs of {name}; give one for each, "
                "those in minus last, or one number for all"
            )
        factors[name] = iter(each)
    unused = [name for name in weights if name not in counts]
    if unused:
        raise UsageError(
            f"a weight is given for {unused[0]}, of which there is no input; there are inputs of "
            f"{', '.join(counts) or 'nothing'}"
        )
    named = [Input(name, value, weight=sign * next(factors[name])) for name, value, sign in values]
    return [*inputs, *named]


def _several(name: str, value: object) -> Sequence[object]:
    """What was given under a name: nothing, one item, or a list of them."""
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        if not value:
            raise UsageError(f"the list of {name} is empty; give at least one, or leave it out")
        return value
    return (value,)


def _vectors(embedding: object) -> list[object]:
    """The rows of what was given as one vector or several."""
    try:
        rows = np.asarray(embedding, np.float32)
    except (TypeError, ValueError):
        raise UsageError("the embedding is no array of numbers (dim,) or (n, dim)") from None
    return list(rows) if rows.ndim == 2 else [rows]


def _vector(value: object, dim: int) -> Vectors:
    """One ready vector, checked."""
    try:
        row = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise UsageError("the embedding is no array of numbers (dim,)") from None
    if row.shape != (dim,):
        raise UsageError(
            f"the embedding has shape {row.shape}; vectors of this encoder have {dim} numbers"
        )
    if not np.isfinite(row).all() or not row.any():
        raise UsageError("the embedding is zero or not finite; it has no direction")
    return row
