"""anybind.index.neighbours: exact search and recall."""

from pathlib import Path

import numpy as np
import pytest

from anybind.index.embeddings import Embeddings
from anybind.index.neighbours import exact_search, recall

from .folders import DIM, unit_rows, write_folder

VECTORS = unit_rows(100, seed=3)
VECTORS[[10, 50, 90]] = VECTORS[20]  # copies of a picture, in three shards
QUERIES = unit_rows(7, seed=4)


@pytest.fixture
def embeddings(tmp_path: Path) -> Embeddings:
    """100 vectors in shards of 40, 40 and 20."""
    return Embeddings(tmp_path, write_folder(tmp_path, VECTORS).shards, DIM)


@pytest.mark.parametrize("k", [1, 10, 60, 100])
def test_exact_search_is_a_matrix_product_and_a_sort(embeddings: Embeddings, k: int) -> None:
    """numpy over all vectors at once; k may exceed a shard's rows."""
    scores = QUERIES @ embeddings.take(np.arange(100)).T
    found = exact_search(embeddings, QUERIES, k)
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :k], atol=1e-6)
    own = np.take_along_axis(scores, found.ids, axis=1)
    np.testing.assert_allclose(own, found.scores, atol=1e-6)
    assert all(len(set(row)) == k for row in found.ids)


@pytest.mark.parametrize("k", [0, 1, 9, 20])
def test_exact_search_among_some_items(
    embeddings: Embeddings, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy over those rows, a few of which are read at a time."""
    monkeypatch.setattr("anybind.index.neighbours.CHUNK_ROWS", 7)
    among = np.arange(3, 100, 5)  # 20 items
    scores = QUERIES @ embeddings.take(among).T
    found = exact_search(embeddings, QUERIES, k, among=among)
    np.testing.assert_array_equal(found.ids, among[np.argsort(-scores, axis=1)[:, :k]])
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :k], atol=1e-6)


def test_recall_is_the_share_of_exact_neighbours(embeddings: Embeddings) -> None:
    """Replace 1 of 5 by the farthest item, then 1 more by nothing: 1, 0.8, 0.6 by definition."""
    exact = exact_search(embeddings, QUERIES, 5)
    found = exact.ids.copy()
    assert recall(embeddings, QUERIES, found, exact) == 1
    found[:, 1] = np.argmin(QUERIES @ VECTORS.T, axis=1)
    assert recall(embeddings, QUERIES, found, exact) == pytest.approx(0.8)
    found[:, 3] = -1
    assert recall(embeddings, QUERIES, found, exact) == pytest.approx(0.6)


def test_any_of_equally_near_items_counts(embeddings: Embeddings) -> None:
    """Four copies of the query's own vector: whichever two are returned are right."""
    query = embeddings.take([20])
    exact = exact_search(embeddings, query, 2)
    assert recall(embeddings, query, np.array([[90, 50]]), exact) == 1
