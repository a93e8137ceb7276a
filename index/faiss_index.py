"""The few things asked of FAISS; plain ``faiss.read_index`` opens the files written here.

Every index ranks by inner product, and the id of a vector is its row number. Parameters of a search
travel with the call and never change the index, which many threads share.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from ..encoders.modality import Vectors
from ..errors import IndexFolderError
from ..files import writing

Ids = npt.NDArray[np.int64]

MAP = faiss.IO_FLAG_MMAP_IFC  # codes stay in the file and are paged in when searched

# A flat index is compared with small batches query by query, with larger ones by matrix products.
# Those are faster from 4 queries of 1024 on, 7 times so for 64 (FAISS 1.15.1, one core,
# 2026-11-21); FAISS itself waits for 20 queries, or for 125 of 1024 since it counts the numbers in
# a batch: its default tells which it counts.
FAISS_COUNTS_QUERIES = faiss.cvar.distance_compute_blas_threshold == 20
MATRIX_PRODUCT_QUERIES = 4
MATRIX_PRODUCT_NUMBERS = 4096  # queries × dim
faiss.cvar.distance_compute_blas_threshold = (
    MATRIX_PRODUCT_QUERIES if FAISS_COUNTS_QUERIES else MATRIX_PRODUCT_NUMBERS
)


def make(factory: str, dim: int) -> faiss.Index:
    """An empty inner-product index from FAISS's factory string."""
    return faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)


def n_lists(index: faiss.Index) -> int | None:
    """How many lists an inverted-file index has; None for other kinds."""
    lists = faiss.try_extract_index_ivf(index)
    return None if lists is None else lists.nlist


def set_nprobe(index: faiss.Index, nprobe: int) -> None:
    """Store the default of an inverted-file index in it, for readers that know nothing else."""
    lists = faiss.try_extract_index_ivf(index)
    if lists is not None:
        lists.nprobe = nprobe


def rows_of(index: faiss.Index) -> faiss.IndexFlat | None:
    """Where an index keeps its vectors as they were added, bit by bit; None where it holds codes.

    Such an index, an exact one or a graph over one, gives out rows faster than they are gathered
    from shards.
    """
    part = faiss.downcast_index(index.storage) if isinstance(index, faiss.IndexHNSW) else index
    return part if isinstance(part, faiss.IndexFlat) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Some of the vectors of an index, for searches among those alone."""

    ids: Ids  # (m,), ascending
    n: int  # vectors in the index

    def widened(self, effort: int) -> int:
        """How far to search for as many of the selected vectors as ``effort`` leads to of all."""
        return math.ceil(effort * self.n / max(1, len(self.ids)))

    @cached_property
    def selector(self) -> faiss.IDSelector:
        """The same for FAISS, a bit a vector: which of them is asked for every code it visits."""
        chosen = np.zeros(self.n, bool)
        chosen[self.ids] = True
        bits = np.packbits(chosen, bitorder="little")  # which the selector holds on to
        return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]  # wrong stubs


def search(
    index: faiss.Index,
    queries: Vectors,
    k: int,
    *,
    nprobe: int | None = None,
    among: Selection | None = None,
) -> tuple[Vectors, Ids]:
    """Search with the parameters of this call alone.

    Args:
        index: What :func:`load` opened.
        queries: ``(n, dim)``.
        k: Neighbours a query; where fewer are found, the last ids are -1.
        nprobe: Lists to visit, of an inverted file.
        among: Pass over all other vectors. A graph is searched so much farther that as many of
            these are compared as without it of all; of an inverted file ``nprobe`` says how far.
    """
    selector = None if among is None else among.selector  # FAISS does not hold on to it
    params: faiss.SearchParameters | None = None
    if nprobe is not None:
        params = of_lists = faiss.SearchParametersIVF()
        of_lists.nprobe = nprobe
    elif among is not None and isinstance(index, faiss.IndexHNSW):
        params = of_graph = faiss.SearchParametersHNSW()  # type: ignore[attr-defined]
        of_graph.efSearch = min(among.widened(index.hnsw.efSearch), index.ntotal)
    elif among is not None:
        params = faiss.SearchParameters()
    if params is not None:
        params.sel = selector
    return index.search(np.ascontiguousarray(queries, np.float32), k, params=params)


def save(index: faiss.Index, path: Path) -> None:
    """Write an index file.

    Raises:
        IndexFolderError: The disk is full, or the folder cannot be written.
    """
    with writing(path):
        faiss.write_index(index, str(path))


def load(path: Path, *, n_bytes: int) -> faiss.Index:
    """Open an index file without reading its codes.

    Args:
        path: What :func:`save` wrote.
        n_bytes: Its size; FAISS itself maps some files that end too early without complaint.

    Raises:
        IndexFolderError: The file is missing or damaged.
    """
    advice = "copy the index folder again or rebuild it with --restart"
    if not path.is_file():
        raise IndexFolderError(f"{path} is missing; {advice}")
    if (size := path.stat().st_size) != n_bytes:
        raise IndexFolderError(f"{path} has {size} bytes, the manifest says {n_bytes}; {advice}")
    try:
        return faiss.read_index(str(path), MAP)
    except RuntimeError as error:
        raise IndexFolderError(f"{path} is damaged, FAISS cannot read it; {advice}") from error


def is_inner_product(index: faiss.Index) -> bool:
    """Whether a higher score is nearer."""
    return bool(index.metric_type == faiss.METRIC_INNER_PRODUCT)
