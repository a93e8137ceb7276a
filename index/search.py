"""Index: a finished index folder, open for searching.

Everything is mapped from disk rather than read, so opening is fast and many processes share the
memory. A search carries its own parameters and leaves the index as it was; any number of threads
may call at once.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from ..encoders.modality import Modality, Vectors
from ..errors import IndexFolderError, UsageError
from . import faiss_index
from .catalog import Catalog
from .embeddings import Embeddings, check_ids
from .layout import CATALOG
from .manifest import Generation, Manifest
from .neighbours import Neighbours, exact_search
from .protocols import EncoderFacts
from .shards import Row
from .thumbnails import read_thumbnail


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

    def search(self, queries: Vectors, k: int, *, nprobe: int | None = None) -> Neighbours:
        """The ``k`` items nearest to each query, best first.

        Should the index lead to fewer (a graph may not be connected), every vector is compared.

        Args:
            queries: ``(n, dim)`` unit rows (scores scale with their length).
            k: Neighbours a query, 1 to the size of the index.
            nprobe: Lists to visit in an inverted file, for this call; by default the number that
                met the recall when the index was built. More are visited if fewer than ``k``
                items turn up.

        Raises:
            UsageError: ``k`` or ``nprobe`` is out of range, ``nprobe`` is given for an exact index,
                or the queries are not finite rows of ``dim``.
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
        if self._n_lists is None:
            scores, ids = faiss_index.search(self._faiss, queries, k)
        else:
            visited = min(nprobe or self.generation.search["nprobe"], self._n_lists)
            scores, ids = faiss_index.search(self._faiss, queries, k, nprobe=visited)
            while visited < self._n_lists and len(short := np.flatnonzero(ids[:, -1] < 0)):
                visited = min(4 * visited, self._n_lists)
                scores[short], ids[short] = faiss_index.search(
                    self._faiss, queries[short], k, nprobe=visited
                )
        if len(short := np.flatnonzero(ids[:, -1] < 0)):
            exact = exact_search(self._embeddings, queries[short], k)
            scores[short], ids[short] = exact.scores, exact.ids
        return Neighbours(scores=scores, ids=ids)

    def vectors(self, ids: npt.ArrayLike) -> Vectors:
        """The vectors of some items: ``ids`` of any shape to ``(..., dim)`` unit rows.

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
