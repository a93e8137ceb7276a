"""anybind.index.faiss_index: FAISS files and per-call parameters."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from anybind.errors import IndexFolderError, WriteError
from anybind.index import faiss_index

from .folders import DIM, unit_rows

VECTORS = unit_rows(2000, seed=5)


def filled(factory: str) -> faiss.Index:
    """An index of 2000 vectors."""
    index = faiss_index.make(factory, DIM)
    index.train(VECTORS)
    index.add(VECTORS)
    return index


@pytest.mark.parametrize("factory", ["Flat", "IVF16,SQfp16"])
def test_a_mapped_file_answers_like_the_index_in_memory(tmp_path: Path, factory: str) -> None:
    """Also after the file is renamed, as a generation is when it is published."""
    index, path = filled(factory), tmp_path / "x.index"
    faiss_index.save(index, path)
    mapped = faiss_index.load(path, n_bytes=path.stat().st_size)
    path.rename(tmp_path / "moved.index")
    for ours, theirs in zip(
        faiss_index.search(mapped, VECTORS[:20], 5), index.search(VECTORS[:20], 5), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_nprobe_belongs_to_the_call() -> None:
    """Visiting all lists is exact search up to float16; the stored default stays as it was."""
    index = filled("IVF16,SQfp16")
    faiss_index.set_nprobe(index, 2)
    _, ids = faiss_index.search(index, VECTORS[:50], 1, nprobe=16)
    np.testing.assert_array_equal(ids[:, 0], np.arange(50))
    assert faiss.extract_index_ivf(index).nprobe == 2
    assert faiss_index.n_lists(index) == 16
    assert faiss_index.n_lists(filled("Flat")) is None


def test_small_and_large_batches_agree_with_a_matrix_product() -> None:
    """numpy, for batches on both sides of the size from which FAISS takes matrix products too."""
    index, exact = filled("Flat"), VECTORS[:200] @ VECTORS.T
    best = -np.sort(-exact, axis=1)[:, :5]
    for n in (1, 3, 127, 128, 200):  # 128 queries of 32 are 4096 numbers
        scores, ids = faiss_index.search(index, VECTORS[:n], 5)
        np.testing.assert_allclose(scores, best[:n], atol=1e-6)
        np.testing.assert_allclose(np.take_along_axis(exact[:n], ids, axis=1), best[:n], atol=1e-6)


@pytest.mark.parametrize("factory", ["Flat", "IVF16,SQfp16"])
@pytest.mark.parametrize("cut", [1, 100, 10_000])
def test_a_cut_file_is_one_line(tmp_path: Path, factory: str, cut: int) -> None:
    """FAISS itself maps an inverted file that is one byte short."""
    path = tmp_path / "x.index"
    faiss_index.save(filled(factory), path)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    with pytest.raises(IndexFolderError, match=f"bytes, the manifest says {len(content)}"):
        faiss_index.load(path, n_bytes=len(content))


def test_what_is_no_faiss_file_is_one_line(tmp_path: Path) -> None:
    """Text, and nothing at all."""
    path = tmp_path / "x.index"
    with pytest.raises(IndexFolderError, match="is missing"):
        faiss_index.load(path, n_bytes=5)
    path.write_text("hello")
    with pytest.raises(IndexFolderError, match="FAISS cannot read it") as caught:
        faiss_index.load(path, n_bytes=5)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    """/dev/full refuses every write with ENOSPC."""
    with pytest.raises(WriteError, match="disk is full"):
        faiss_index.save(filled("Flat"), Path("/dev/full"))
