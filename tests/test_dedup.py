"""anybind.index.dedup: copies among results."""

import numpy as np
import numpy.typing as npt
import pytest

from anybind.encoders.modality import Vectors
from anybind.errors import UsageError
from anybind.index.dedup import BLOCK_ROWS, check_threshold, distinct

from .folders import unit_rows

N = 3 * BLOCK_ROWS + 50


def plainly(vectors: Vectors, threshold: float) -> list[int]:
    """The rule in a double loop: kept is what is like nothing that was kept before."""
    kept: list[int] = []
    for i, row in enumerate(vectors):
        if all(float(row @ vectors[better]) < threshold for better in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("most", [1, 100, N])
def test_what_is_kept_is_what_a_double_loop_keeps(threshold: float, most: int) -> None:
    """Noisy copies of 200 directions in any order, over several blocks of results."""
    rng = np.random.default_rng(20)
    vectors = unit_rows(200, seed=21)[rng.integers(200, size=N)]
    vectors = vectors + 0.05 * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = rng.permutation(N)  # as a search would rank them

    def vectors_of(some: npt.ArrayLike) -> Vectors:
        found: Vectors = vectors[np.asarray(some)]
        return found

    places = distinct(ids, vectors_of, threshold=threshold, most=most)
    expected = plainly(vectors[ids], threshold)
    assert 10 < len(expected) < N
    assert places.tolist() == expected[:most]


def test_a_chain_of_likenesses_is_no_group() -> None:
    """Three directions 25 degrees apart at 0.9 (26 degrees): the middle one is like both, the
    outer two are unlike; clip-retrieval keeps the first alone."""
    angles = np.radians([0, 25, 50])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    places = distinct(np.arange(3), lambda some: vectors[np.asarray(some)], threshold=0.9, most=3)
    assert places.tolist() == [0, 2]


def test_no_result_is_no_result() -> None:
    def never(some: npt.ArrayLike) -> Vectors:
        raise AssertionError(some)

    assert distinct(np.empty(0, np.int64), never, threshold=0.9, most=5).tolist() == []


@pytest.mark.parametrize("threshold", [-0.1, 1.01, float("nan")])
def test_a_threshold_is_a_share_of_likeness(threshold: float) -> None:
    """What is no cosine between 0 and 1 is refused, clip-retrieval's value named."""
    with pytest.raises(UsageError, match=r"dedup is .*0 to 1 \(clip-retrieval: 0.94\)"):
        check_threshold(threshold)
