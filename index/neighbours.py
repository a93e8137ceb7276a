"""Neighbours, and the exact search that every other search is measured against.

Exact search is a matrix product over all vectors, a shard at a time, so it needs no more memory
than one shard whatever the size of the index.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..encoders.modality import Vectors
from .embeddings import Embeddings
from .faiss_index import Ids

CHUNK_ROWS = 4096  # selected vectors compared at once
TIE = 1e-6  # cosine; closer than this two scores are equal, being sums of up to 1024 float32


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The items nearest to each of n queries, best first."""

    scores: Vectors  # (n, k), cosine similarity
    ids: Ids  # (n, k)


def exact_search(
    embeddings: Embeddings, queries: Vectors, k: int, *, among: Ids | None = None
) -> Neighbours:
    """Compare every query with every vector.

    Args:
        embeddings: At least ``k`` vectors.
        queries: Unit rows, ``(n, dim)``.
        k: Neighbours a query.
        among: Compare with these items alone, at least ``k``.
    """
    n = len(queries)
    scores = np.empty((n, 0), np.float32)
    ids = np.empty((n, 0), np.int64)
    for chunk_ids, chunk in _chunks(embeddings, among):
        scores = np.concatenate([scores, queries @ chunk.T], axis=1)  # (n, <= k + rows)
        ids = np.concatenate([ids, np.broadcast_to(chunk_ids, (n, len(chunk)))], axis=1)
        if scores.shape[1] > k:
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            scores = np.take_along_axis(scores, best, axis=1)
            ids = np.take_along_axis(ids, best, axis=1)
    order = np.lexsort((ids, -scores), axis=1)  # by score, then by id
    return Neighbours(
        scores=np.take_along_axis(scores, order, axis=1), ids=np.take_along_axis(ids, order, axis=1)
    )


def _chunks(embeddings: Embeddings, among: Ids | None) -> Iterator[tuple[Ids, Vectors]]:
    """Ids and their vectors, a part of them at a time."""
    if among is None:
        for start, chunk in embeddings.iter_chunks():
            yield np.arange(start, start + len(chunk)), chunk
    else:
        for start in range(0, len(among), CHUNK_ROWS):
            ids = among[start : start + CHUNK_ROWS]
            yield ids, embeddings.take(ids)


def recall(embeddings: Embeddings, queries: Vectors, found: Ids, exact: Neighbours) -> float:
    """The share of found items that belong to the exact neighbours, 0 to 1.

    Where several items are equally near (copies of a picture), any of them counts.

    Args:
        embeddings: The vectors searched.
        queries: Unit rows, ``(n, dim)``.
        found: What the search under test returned, ``(n, k)``; -1 is none.
        exact: The same queries' exact neighbours, the same ``k``.
    """
    candidates = embeddings.take(np.maximum(found, 0))  # (n, k, dim)
    scores = np.einsum("nd,nkd->nk", queries, candidates)
    belongs = (scores >= exact.scores[:, -1:] - TIE) & (found >= 0)
    return float(belongs.mean())
