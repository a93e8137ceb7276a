"""anybind.index.measure: recall and speed by query modality."""

from pathlib import Path

import numpy as np
import pytest

from anybind.index import faiss_index
from anybind.index.embeddings import Embeddings
from anybind.index.measure import measure, perturbed, query_sets, similarity_histogram

from .folders import DIM, unit_rows, write_folder

VECTORS = unit_rows(300, seed=6)


@pytest.fixture
def embeddings(tmp_path: Path) -> Embeddings:
    """300 vectors."""
    return Embeddings(tmp_path, write_folder(tmp_path, VECTORS, per_shard=100).shards, DIM)


def test_stand_in_queries_lie_near_vectors_but_not_on_them(embeddings: Embeddings) -> None:
    """Noise of length 0.5 at about a right angle: cosine 1 / √1.25 = 0.894, in high dimension."""
    queries = perturbed(embeddings, 200, seed=0)
    nearest = (queries @ VECTORS.T).max(axis=1)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-6)
    assert nearest.mean() == pytest.approx(1.25**-0.5, abs=0.02)
    np.testing.assert_array_equal(queries, perturbed(embeddings, 200, seed=0))


def test_the_own_modality_is_always_measured(embeddings: Embeddings) -> None:
    """Given queries are kept, at most 256; the index's own modality is added when absent."""
    sets = query_sets(embeddings, "image", {"text": unit_rows(400, seed=7)}, seed=0)
    assert {name: len(asked.queries) for name, asked in sets.items()} == {"text": 256, "image": 256}
    given = unit_rows(9, seed=8)
    (only,) = query_sets(embeddings, "image", {"image": given}, seed=0).values()
    np.testing.assert_array_equal(only.queries, given)
    np.testing.assert_allclose(only.exact.scores[:, 0], (given @ VECTORS.T).max(axis=1), atol=1e-3)


def test_an_exact_index_has_recall_one_and_the_gap_is_between_centroids(
    embeddings: Embeddings,
) -> None:
    """Recall by definition; the gap from numpy's means."""
    index = faiss_index.make("Flat", DIM)
    index.add(embeddings.take(np.arange(300)))
    queries = unit_rows(20, seed=9) * np.float32(0.6)
    queries[:, 0] += 0.8
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    asked = query_sets(embeddings, "text", {"text": queries}, seed=0)["text"]
    figures = measure(index, embeddings, VECTORS.mean(axis=0), asked, nprobe=None)
    gap = np.linalg.norm(queries.mean(axis=0) - VECTORS.mean(axis=0))
    assert figures.recall_at_10 == 1
    assert figures.modality_gap == pytest.approx(gap, abs=1e-4)
    assert figures.similarity == pytest.approx((queries @ VECTORS.T).max(axis=1).mean(), abs=1e-3)
    assert 0 < figures.p50_ms <= figures.p95_ms and figures.batch_qps > 0


def test_the_histogram_holds_every_query_once(embeddings: Embeddings) -> None:
    """Counts sum to the number of queries of each modality."""
    sets = query_sets(embeddings, "image", {"text": unit_rows(30, seed=7)}, seed=0)
    edges, counts = similarity_histogram(sets)
    assert len(edges) == 49 and edges == sorted(edges)
    assert {name: sum(row) for name, row in counts.items()} == {"text": 30, "image": 256}
