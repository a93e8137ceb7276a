"""anybind.index.embeddings: all vectors of a folder, through memory maps."""

from pathlib import Path

import numpy as np
import pytest

from anybind.errors import IndexFolderError, UsageError
from anybind.index.embeddings import Embeddings

from .folders import DIM, unit_rows, write_folder

VECTORS = unit_rows(100, seed=3)


@pytest.fixture
def embeddings(tmp_path: Path) -> Embeddings:
    """100 vectors in shards of 40, 40 and 20."""
    return Embeddings(tmp_path, write_folder(tmp_path, VECTORS).shards, DIM)


def test_vectors_come_back_at_unit_length_within_the_rounding(embeddings: Embeddings) -> None:
    """float16 moves each value by at most 2**-12; the length is 1 to float32."""
    rows = embeddings.take(np.arange(100))
    np.testing.assert_allclose(rows, VECTORS, atol=2**-11, rtol=0)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_ids_of_any_shape_and_order_across_shards(embeddings: Embeddings) -> None:
    """Fancy indexing into the whole array is the reference; 39|40 and 79|80 are shard borders."""
    whole = np.concatenate([chunk for _, chunk in embeddings.iter_chunks()])
    ids = np.array([[99, 0, 40], [39, 79, 80], [40, 40, 5]])
    np.testing.assert_array_equal(embeddings.take(ids), whole[ids])
    np.testing.assert_array_equal(embeddings.take(7), whole[7])
    assert embeddings.take([]).shape == (0, DIM)


def test_chunks_name_the_id_of_their_first_row(embeddings: Embeddings) -> None:
    """Shards of 40, 40 and 20."""
    assert [(start, len(chunk)) for start, chunk in embeddings.iter_chunks()] == [
        *((0, 40), (40, 40), (80, 20)),
    ]
    assert [embeddings.shard_of(i) for i in (0, 39, 40, 79, 80, 99)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("item", [-1, 100])
def test_an_id_outside_is_refused(embeddings: Embeddings, item: int) -> None:
    """-1 is FAISS's word for nothing found; it must not become the last vector."""
    with pytest.raises(UsageError, match=f"asked for item {item} of an index of 100 items"):
        embeddings.take([3, item])


def test_a_shard_of_another_size_is_refused(tmp_path: Path) -> None:
    """The manifest is the reference."""
    manifest = write_folder(tmp_path, VECTORS)
    np.save(tmp_path / manifest.shards[1].embeddings, np.zeros((39, DIM), np.float16))
    with pytest.raises(IndexFolderError, match=r"holds float16 \(39, 32\), the manifest says"):
        Embeddings(tmp_path, manifest.shards, DIM)
