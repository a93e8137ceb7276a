"""The cache: pull a query toward the images nearest to it.

The language model and the image generator were tuned on vectors of images alone, and vectors of
other modalities lie apart from those. Blended with its nearest images, a sound or a text comes
nearer to what they know. The images that were used are handed back, best first, with what each of
them counted, so that an answer can name its sources.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ..encoders.modality import TOWER_OF, Modality, Tower, Vectors
from ..errors import UsageError
from .mixing import CANCELLED

if TYPE_CHECKING:  # settings of a cache are wanted where there is no index
    from .faiss_index import Ids
    from .neighbours import Neighbours

BLOCK_BYTES = 4 << 20  # of neighbours' vectors held at once; about what a core's caches keep
OTHER_THAN_PICTURES = frozenset(m for m in Modality if TOWER_OF[m] is not Tower.VISION)


class Weighting(StrEnum):
    """How much each neighbour counts."""

    SOFTMAX = "softmax"  # softmax(temperature · s), as the published code does
    LINEAR = "linear"  # s itself, as the paper says


class Searchable(Protocol):
    """What the cache asks of an index; :class:`.search.Index` is one."""

    @property
    def modality(self) -> Modality:
        """What the items are."""
        ...

    def search(self, queries: Vectors, k: int) -> "Neighbours":
        """The ``k`` items nearest to each query ``(n, dim)``; ``k`` beyond its size is refused."""
        ...

    def vectors(self, ids: npt.ArrayLike) -> Vectors:
        """The unit vectors of items, ``(..., dim)``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Cache:
    """How much of a query comes from its neighbours in an index of images."""

    k: int = 10  # neighbours blended
    alpha: float = 0.5  # share taken from the index: 0 leaves the query alone, 1 replaces it
    weighting: str = Weighting.SOFTMAX  # of Weighting
    temperature: float = 20.0  # softmax: multiplies the cosines; 0 is a plain mean
    normalize: bool = True  # bring the result to unit length
    modalities: frozenset[Modality] = OTHER_THAN_PICTURES  # that are pulled; see applies

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"k is {self.k}; the cache blends at least 1 neighbour")
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha is {self.alpha}; a share lies between 0 and 1")
        if self.weighting not in Weighting.__members__.values():
            raise UsageError(
                f"no weighting is called {self.weighting!r}; there are {', '.join(Weighting)}"
            )
        if not 0 <= self.temperature < math.inf:
            raise UsageError(
                f"the temperature is {self.temperature}; give a number from 0 (a plain mean) up"
            )
        unknown = [name for name in self.modalities if name not in Modality.__members__.values()]
        if unknown:
            raise UsageError(
                f"no modality is called {unknown[0]!r}; there are {', '.join(Modality)}"
            )

    def applies(self, modalities: Iterable[Modality | None]) -> bool:
        """Whether a query of these parts is to be enhanced: one of them is to be pulled.

        By default all but images and videos are; a query of those alone is where it belongs.

        Args:
            modalities: Of the parts; None for a ready vector, which does not tell and is pulled.
        """
        return any(part is None or part in self.modalities for part in modalities)

    def enhance(self, queries: Vectors, index: Searchable) -> "Enhanced":
        """Blend each query with its nearest images.

        Args:
            queries: ``(n, dim)``; unit length for one modality, shorter for a mixture that is
                not normalised.
            index: The images.

        Raises:
            UsageError: The index is none of images or holds fewer than ``k``, the queries are not
                finite rows of its ``dim``, or a query and its neighbours cancel each other.

        Source: ImageBind-LLM, https://arxiv.org/abs/2309.03905, eq. (3)-(4), for ``linear``
        without ``normalize``; OpenGVLab/LLaMA-Adapter, imagebind_LLM, for ``softmax`` with it.
        """
        return enhance_each(queries, index, [self] * len(queries))


@dataclass(frozen=True, kw_only=True)
class Enhanced:
    """Queries after the cache, and the images they were blended with, best first."""

    vectors: Vectors  # (n, dim); unit rows, or of any length without Cache.normalize
    ids: "Ids"  # (n, k) items of the index
    weights: Vectors  # (n, k) what each counted: softmax sums to 1, linear is the scores
    scores: Vectors  # (n, k) inner products of query and item: cosines, for unit queries


def enhance_each(queries: Vectors, index: Searchable, caches: Sequence[Cache]) -> Enhanced:
    """Blend each query with its nearest images, every query by its own settings.

    The index is searched once, for the largest ``k`` of all. A query of a smaller one gets as many
    neighbours as the others; those beyond its own ``k`` weigh 0, and their scores are the index's.

    Args:
        queries: ``(n, dim)``, as :meth:`Cache.enhance` takes them.
        index: The images.
        caches: The settings of each query, ``n``.

    Raises:
        UsageError: As :meth:`Cache.enhance`, or queries and settings are not equally many.
    """
    if index.modality is not Modality.IMAGE:
        raise UsageError(
            f"the cache draws on images, and this is an index of {index.modality}; open an index "
            "of images, or go without the cache"
        )
    queries = np.asarray(queries, dtype=np.float32)
    if len(queries) != len(caches):
        raise UsageError(
            f"{len(queries)} queries were given the settings of {len(caches)}; give one for each"
        )
    found = index.search(queries, max((cache.k for cache in caches), default=1))
    enhanced = Enhanced(
        vectors=np.empty_like(queries),
        ids=found.ids,
        weights=np.zeros_like(found.scores),
        scores=found.scores,
    )
    alike: dict[Cache, list[int]] = {}  # numbers of the queries that share their settings
    for number, cache in enumerate(caches):
        alike.setdefault(cache, []).append(number)
    for cache, numbers in alike.items():
        n = max(1, BLOCK_BYTES // (queries.itemsize * queries.shape[1] * cache.k))
        for start in range(0, len(numbers), n):
            _blend(queries, np.array(numbers[start : start + n]), index, cache, enhanced)
    return enhanced


def _blend(
    queries: Vectors, numbers: "Ids", index: Searchable, cache: Cache, out: Enhanced
) -> None:
    """Blend some of the queries with their neighbours.

    Args:
        queries: All of them.
        numbers: Which ones, ``(n,)``.
        index: Where their neighbours are.
        cache: The settings.
        out: Holds their neighbours by the index's ranking; gets the rest.
    """
    alpha, rest = np.array([cache.alpha, 1 - cache.alpha], np.float32)
    asked, ids = queries[numbers], out.ids[numbers, : cache.k]
    images = index.vectors(ids)  # (n, k, dim)
    # The index may hold codes, whose scores are approximate; those of the vectors are exact.
    scores: Vectors = (images @ asked[:, :, None])[:, :, 0]  # (n, k)
    softmax = cache.weighting == Weighting.SOFTMAX
    weights = _softmax(np.float32(cache.temperature) * scores) if softmax else scores
    retrieved: Vectors = (weights[:, None, :] @ images)[:, 0]  # (n, dim)
    size: Vectors = np.ones(len(numbers), np.float32) if softmax else np.abs(weights).sum(axis=1)
    if softmax:
        _make_unit(retrieved, size, numbers)
    blended: Vectors = alpha * retrieved + rest * asked
    if cache.normalize:
        size = alpha * size + rest * _lengths(asked)
        _make_unit(blended, size, numbers)
    out.vectors[numbers] = blended
    order = np.argsort(-scores, axis=1, kind="stable")
    rows = np.arange(len(numbers))[:, None]
    out.ids[numbers, : cache.k] = ids[rows, order]
    out.weights[numbers, : cache.k] = weights[rows, order]
    out.scores[numbers, : cache.k] = scores[rows, order]


def _softmax(logits: Vectors) -> Vectors:
    """Rows that sum to 1."""
    exponentials: Vectors = np.exp(logits - logits.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def _lengths(rows: Vectors) -> Vectors:
    """``(n, dim)`` to ``(n,)``."""
    lengths: Vectors = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    return lengths


def _make_unit(rows: Vectors, size: Vectors, numbers: "Ids") -> None:
    """Bring rows to unit length, in place.

    Args:
        rows: ``(n, dim)``.
        size: The lengths of the parts that each is the sum of, added up, ``(n,)``.
        numbers: The queries they belong to, ``(n,)``.

    Raises:
        UsageError: The parts of a row cancel each other.
    """
    lengths = _lengths(rows)
    cancelled = lengths <= CANCELLED * size
    if cancelled.any():
        raise UsageError(
            f"query {numbers[cancelled][0]} and its neighbours cancel each other, so their blend "
            "points nowhere; choose another alpha or k"
        )
    rows /= lengths[:, None]
