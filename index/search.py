"""Index: a finished index folder, open for searching.

Everything is mapped from disk rather than read, so opening is fast and many processes share the
memory. A search carries its own parameters and leaves the index as it was; any number of threads
may call at once.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import faiss
import numpy as np
import numpy.typing as npt

from ..encoders.modality import Modality, Vectors
from ..errors import IndexFolderError, UsageError
from . import faiss_index
from .catalog import Catalog
from .dedup import check_threshold, distinct
from .embeddings import Embeddings, check_ids
from .faiss_index import Selection
from .filters import Filter
from .layout import CATALOG
from .manifest import Generation, Manifest
from .neighbours import Neighbours, exact_search
from .protocols import EncoderFacts
from .shards import Row
from .thumbnails import read_thumbnail

if TYPE_CHECKING:
    from .originals import Original

# What a filter leaves is compared vector by vector where it is less than this share of the index:
# asking for every code costs 3 ns, reading and comparing a vector of 256 floats 2 µs (FAISS 1.15.1,
# one core, 100,000 vectors, 2026-11-21).
FEW = 1 / 500
FILTERS_BYTES = 64 << 20  # of ids, kept of the filters that came last
FILTERS_KEPT = 64  # at most
CANDIDATES = 50_000  # results among which copies are looked for, unless more are asked for


class Index:
    """Vectors with their neighbours, metadata and small pictures. See :meth:`open`."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        generation: Generation,
        *,
        vectors: faiss.Index,
        embeddings: Embeddings,
        catalog: Catalog,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.generation = generation
        self.dim = manifest.encoder.dim
        self._faiss = vectors
        self._embeddings = embeddings
        self._catalog = catalog
        self._n_lists = faiss_index.n_lists(vectors)
        self._rows = faiss_index.rows_of(vectors)
        at_most = FILTERS_BYTES // (np.dtype(np.int64).itemsize * max(1, len(embeddings)))
        self._selection = lru_cache(min(max(1, at_most), FILTERS_KEPT))(self._select)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        encoder: EncoderFacts | None = None,
        catalog_url: str | None = None,
    ) -> "Index":
        """Open a finished index folder.

        Args:
            folder: What ``build-index`` wrote; it may have been moved or be read-only.
            encoder: What queries will be encoded with; compared with the one that built the index.
            catalog_url: A database that :func:`.catalog.fill_catalog` filled, as SQLAlchemy names
                it; by default the SQLite file in the folder.

        Raises:
            IndexFolderError: The folder is missing, unfinished or damaged, its parts do not fit
                together, or another encoder built it.
        """
        folder = Path(folder)
        manifest = Manifest.load(folder)
        generation = manifest.generation
        if manifest.state != "complete" or generation is None:
            raise IndexFolderError(
                f"the build of {folder} stopped after {manifest.counts.input} items; "
                "run the same build-index command again to finish it"
            )
        if encoder is not None:
            manifest.check_encoder(folder, encoder)
        vectors = faiss_index.load(folder / generation.index, n_bytes=generation.bytes)
        embeddings = Embeddings(folder, manifest.shards, manifest.encoder.dim)
        catalog = Catalog(folder / CATALOG if catalog_url is None else catalog_url)
        sizes = {
            "the manifest": manifest.counts.indexed,
            "the shards": len(embeddings),
            generation.index: vectors.ntotal,
            "the catalog": catalog.end,
        }
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{n} in {name}" for name, n in sizes.items())
            raise IndexFolderError(
                f"{folder} does not hold together: items are {listed}; "
                "copy the index folder again or rebuild it with --restart"
            )
        if vectors.d != embeddings.dim or not faiss_index.is_inner_product(vectors):
            raise IndexFolderError(
                f"{folder / generation.index} is no inner-product index of dim {embeddings.dim}; "
                "copy the index folder again or rebuild it with --restart"
            )
        return cls(
            folder, manifest, generation, vectors=vectors, embeddings=embeddings, catalog=catalog
        )

    def __len__(self) -> int:
        return len(self._embeddings)

    @property
    def modality(self) -> Modality:
        """What the items are."""
        return Modality(self.manifest.modality)

    def check_encoder(self, encoder: EncoderFacts) -> None:
        """Refuse an encoder other than the one that built the index.

        Raises:
            IndexFolderError: With both names and fingerprints.
        """
        self.manifest.check_encoder(self.folder, encoder)

    def search(
        self, queries: Vectors, k: int, *, nprobe: int | None = None, filter: Filter | None = None
    ) -> Neighbours:
        """The ``k`` items nearest to each query, best first.

        Should the index lead to fewer (a graph may not be connected), every vector is compared.

        Args:
            queries: ``(n, dim)`` unit rows (scores scale with their length).
            k: Neighbours a query, 1 to the size of the index.
            nprobe: Lists to visit in an inverted file, for this call; by default the number that
                met the recall when the index was built, or with a filter so many more that as many
                items are compared. More are visited if fewer than ``k`` items turn up.
            filter: Search among the items that pass it; if those are fewer than ``k``, all of them
                are returned.

        Raises:
            UsageError: ``k`` or ``nprobe`` is out of range, ``nprobe`` is given for an exact index,
                or the queries are not finite rows of ``dim``.
            IndexFolderError: The catalog, which a filter asks, is damaged.
        """
        queries = np.asarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise UsageError(
                f"queries have shape {queries.shape}; this index searches rows (n, {self.dim})"
            )
        if not np.isfinite(queries).all():
            raise UsageError("a query holds values that are not finite; encode it again")
        if k < 1:
            raise UsageError(f"asked for {k} neighbours; ask for at least 1")
        if k > len(self):
            raise UsageError(
                f"asked for {k} neighbours of an index of {len(self)} vectors; "
                f"add vectors to the index or ask for at most {len(self)}"
            )
        if nprobe is not None and (self._n_lists is None or nprobe < 1):
            kind = self.generation.factory
            raise UsageError(
                f"asked to visit {nprobe} lists of a {kind} index; "
                + ("visit at least 1" if self._n_lists else "it is exact and has none")
            )
        among = self._selection(filter) if filter is not None and filter.conditions else None
        if among is not None:
            k = min(k, len(among.ids))
            if k == 0 or len(among.ids) < FEW * len(self):
                return exact_search(self._embeddings, queries, k, among=among.ids)
        if self._n_lists is None:
            scores, ids = faiss_index.search(self._faiss, queries, k, among=among)
        else:
            visited = nprobe or self.generation.search["nprobe"]
            if among is not None and nprobe is None:
                visited = among.widened(visited)
            visited = min(visited, self._n_lists)
            scores, ids = faiss_index.search(self._faiss, queries, k, nprobe=visited, among=among)
            while visited < self._n_lists and len(short := np.flatnonzero(ids[:, -1] < 0)):
                visited = min(4 * visited, self._n_lists)
                scores[short], ids[short] = faiss_index.search(
                    self._faiss, queries[short], k, nprobe=visited, among=among
                )
        if len(short := np.flatnonzero(ids[:, -1] < 0)):
            selected = None if among is None else among.ids
            exact = exact_search(self._embeddings, queries[short], k, among=selected)
            scores[short], ids[short] = exact.scores, exact.ids
        return Neighbours(scores=scores, ids=ids)

    def search_distinct(
        self, query: Vectors, k: int, *, threshold: float, filter: Filter | None = None
    ) -> Neighbours:
        """The ``k`` items nearest to one query that are no copies of each other, best first.

        Where copies are dropped, the items that follow take their places, until there are ``k`` or
        the index ends, or :data:`CANDIDATES` items (twice ``k``, if that is more) were looked at.

        Args:
            query: ``(1, dim)``, a unit row.
            k: As :meth:`search`.
            threshold: The cosine from which an item is a copy of a better one, 0 to 1.
            filter: As :meth:`search`.

        Returns:
            Of ``(1, <= k)`` items.

        Raises:
            UsageError: As :meth:`search`, or the threshold is out of range.
            IndexFolderError: As :meth:`search`.
        """
        check_threshold(threshold)
        end = min(len(self), max(CANDIDATES, 2 * k))
        n = k
        while True:
            n = min(2 * n, end)
            found = self.search(query, max(n, k), filter=filter)
            places = distinct(found.ids[0], self.vectors, threshold=threshold, most=k)
            if len(places) == k or n == end or found.ids.shape[1] < n:
                return Neighbours(scores=found.scores[:, places], ids=found.ids[:, places])

    def _select(self, filter: Filter) -> Selection:
        """The items that pass a filter; ``_selection`` remembers those of the last few filters."""
        return Selection(ids=self._catalog.matching(filter), n=len(self))

    def vectors(self, ids: npt.ArrayLike) -> Vectors:
        """The vectors of some items: ``ids`` of any shape to ``(..., dim)`` unit rows.

        Raises:
            UsageError: An id is outside the index.
        """
        if self._rows is None:
            return self.stored(ids)
        wanted = np.asarray(ids, dtype=np.int64)
        check_ids(wanted, len(self))
        found: Vectors = self._rows.reconstruct_batch(wanted.ravel())
        return found.reshape(*wanted.shape, self.dim)

    def stored(self, ids: npt.ArrayLike) -> Vectors:
        """The same vectors out of the shards, whatever the index itself holds.

        Raises:
            UsageError: An id is outside the index.
        """
        return self._embeddings.take(ids)

    def rows(self, ids: Sequence[int] | npt.NDArray[np.int64]) -> list[Row]:
        """What is known of some items, in the order asked for.

        Raises:
            UsageError: An id is outside the index.
            IndexFolderError: The catalog is damaged.
        """
        wanted = np.asarray(ids, dtype=np.int64).ravel()
        check_ids(wanted, len(self))
        return self._catalog.rows(wanted.tolist())

    def original(self, item: int) -> "Original | None":
        """The picture that an item was indexed from; None where its source is not there as it was,
        or the items are no pictures.

        Raises:
            UsageError: The id is outside the index.
        """
        from .originals import read_original

        row, root = self.rows([item])[0], self.manifest.source.root
        if self.modality is not Modality.IMAGE or root is None or row.image_path is None:
            return None
        return read_original(self.folder / root, row.image_path, row.sha256)

    def thumbnail(self, item: int) -> bytes | None:
        """An item's small picture as WebP; None when the index was built without.

        Raises:
            UsageError: The id is outside the index.
            IndexFolderError: The thumbnails are missing or damaged.
        """
        row = self.rows([item])[0]
        tar = self.manifest.shards[self._embeddings.shard_of(item)].thumbnails
        if tar is None or row.thumbnail_offset is None or row.thumbnail_size is None:
            return None
        return read_thumbnail(self.folder / tar, row.thumbnail_offset, row.thumbnail_size)
