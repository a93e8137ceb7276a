"""anybind.index.factory: which index suits how many vectors."""

import faiss
import pytest

from anybind.index.factory import POINTS_PER_LIST, choose_factory


@pytest.mark.parametrize(
    ("n", "factory"),
    [
        (1, "Flat"),
        (5_000, "Flat"),
        (9_999, "Flat"),
        (10_000, "IVF128,SQfp16"),  # 4 √n = 400, but 10,000 / 40 = 250 lists can be trained
        (100_000, "IVF1024,SQfp16"),  # 4 √n = 1265
        (1_000_000, "IVF4096,SQfp16"),  # 4000
        (2_905_954, "IVF8192,SQfp16"),  # CC3M: 6819
    ],
)
def test_the_ladder(n: int, factory: str) -> None:
    """4 √n to the nearest power of two, by hand."""
    assert choose_factory(n) == factory
    assert not faiss.index_factory(16, factory, faiss.METRIC_INNER_PRODUCT).ntotal


def test_there_are_always_vectors_enough_to_train() -> None:
    """FAISS asks for 39 a list."""
    for n in range(10_000, 200_000, 999):
        n_lists = int(choose_factory(n).removeprefix("IVF").removesuffix(",SQfp16"))
        assert n_lists * POINTS_PER_LIST <= n
