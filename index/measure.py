"""How good and how fast an index is, by the kind of query asked of it.

Queries of other modalities lie off the distribution of the indexed vectors, so an index looks
better measured on its own vectors than it is; each modality is measured for itself.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import faiss
import numpy as np

from ..encoders.modality import Vectors
from . import faiss_index
from .embeddings import Embeddings
from .neighbours import Neighbours, exact_search, recall

K = 10  # neighbours: recall is recall@10
MAX_QUERIES = 256  # of a modality: recall is then known to about ±0.01
MAX_SINGLE = 100  # of them timed one by one
NOISE = 0.5  # length of the noise on a unit vector: cosine with the original about 0.89
SIMILARITY_BINS = 48
BATCH_SECONDS = 0.2  # a batch is searched repeatedly for about this long


@dataclass(frozen=True, kw_only=True)
class QuerySet:
    """Queries of one modality, with their exact neighbours."""

    queries: Vectors  # (n, dim) unit rows
    exact: Neighbours  # (n, min(K, vectors))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured with the queries of one modality."""

    queries: int
    recall_at_10: float  # share of the exact neighbours found
    p50_ms: float  # one query at a time
    p95_ms: float
    batch_qps: float  # all queries in one call
    modality_gap: float  # between the centroids of the queries and of the index; 0 to 2
    similarity: float  # mean cosine with the nearest item


def query_sets(
    embeddings: Embeddings, modality: str, given: Mapping[str, Vectors], *, seed: int
) -> dict[str, QuerySet]:
    """Queries by modality, each with its exact neighbours.

    Args:
        embeddings: The indexed vectors.
        modality: Theirs; without queries of it, indexed vectors with noise on them stand in.
        given: Unit rows by modality, as encoded from held-out items; at most ``MAX_QUERIES`` of
            each are used.
        seed: Of the sample and the noise.
    """
    queries = {name: rows[:MAX_QUERIES] for name, rows in given.items() if len(rows)}
    if modality not in queries:
        queries[modality] = perturbed(embeddings, MAX_QUERIES, seed=seed)
    k = min(K, len(embeddings))
    return {
        name: QuerySet(queries=rows, exact=exact_search(embeddings, rows, k))
        for name, rows in queries.items()
    }


def perturbed(embeddings: Embeddings, n: int, *, seed: int) -> Vectors:
    """``n`` indexed vectors (or all, if fewer) moved in a random direction, at unit length."""
    rng = np.random.default_rng(seed)
    rows = embeddings.take(rng.choice(len(embeddings), min(n, len(embeddings)), replace=False))
    noise = rng.standard_normal(rows.shape, dtype=np.float32)
    moved = rows + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    unit: Vectors = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit


def recall_of(
    index: faiss.Index, embeddings: Embeddings, asked: QuerySet, *, nprobe: int | None
) -> float:
    """Recall@10 against exact search."""
    k = asked.exact.ids.shape[1]
    _, found = faiss_index.search(index, asked.queries, k, nprobe=nprobe)
    return recall(embeddings, asked.queries, found, asked.exact)


def measure(
    index: faiss.Index,
    embeddings: Embeddings,
    centroid: Vectors,
    asked: QuerySet,
    *,
    nprobe: int | None,
) -> Figures:
    """Recall, speed and distance for the queries of one modality.

    Args:
        index: The index as it will be searched.
        embeddings: The vectors in it.
        centroid: Their mean, ``(dim,)``.
        asked: The queries.
        nprobe: Lists to visit in an inverted file.
    """
    queries, k = asked.queries, asked.exact.ids.shape[1]
    milliseconds = []
    for query in queries[:MAX_SINGLE]:
        start = time.perf_counter()
        faiss_index.search(index, query[None], k, nprobe=nprobe)
        milliseconds.append(1000 * (time.perf_counter() - start))
    searched = 0
    start = time.perf_counter()
    while (seconds := time.perf_counter() - start) < BATCH_SECONDS or not searched:
        faiss_index.search(index, queries, k, nprobe=nprobe)
        searched += len(queries)
    return Figures(
        queries=len(queries),
        recall_at_10=recall_of(index, embeddings, asked, nprobe=nprobe),
        p50_ms=float(np.percentile(milliseconds, 50)),
        p95_ms=float(np.percentile(milliseconds, 95)),
        batch_qps=searched / seconds,
        modality_gap=float(np.linalg.norm(queries.mean(axis=0) - centroid)),
        similarity=float(asked.exact.scores[:, 0].mean()),
    )


def similarity_histogram(sets: Mapping[str, QuerySet]) -> tuple[list[float], dict[str, list[int]]]:
    """How near the nearest item is: bin edges, and the number of queries in each, by modality."""
    nearest = {name: asked.exact.scores[:, 0] for name, asked in sets.items()}
    every = np.concatenate(list(nearest.values()))
    edges = np.linspace(every.min() - 1e-3, every.max() + 1e-3, SIMILARITY_BINS + 1)
    counts = {name: np.histogram(scores, edges)[0].tolist() for name, scores in nearest.items()}
    return edges.tolist(), counts
