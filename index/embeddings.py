"""All vectors of an index, read from its shards through memory maps.

Stored as float16, handed out as float32 unit rows; only the rows asked for are read.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..encoders.modality import Vectors
from ..errors import UsageError
from .manifest import ShardEntry
from .shards import Halves, open_npy


class Embeddings:
    """The shards of a folder as one array ``(len(self), dim)``. Safe to read from many threads."""

    def __init__(self, folder: Path, shards: Sequence[ShardEntry], dim: int) -> None:
        """Map every shard and compare its shape with the manifest's.

        Raises:
            IndexFolderError: A shard is missing, damaged, or of another shape.
        """
        self.dim = dim
        self._shards: list[Halves] = [  # plain arrays: a row of a memmap costs ten times as much
            np.asarray(open_npy(folder / entry.embeddings, (entry.rows, dim))) for entry in shards
        ]
        self._starts = np.cumsum([0, *(entry.rows for entry in shards)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def iter_chunks(self) -> Iterator[tuple[int, Vectors]]:
        """The vectors in order, a shard at a time, each with the id of its first row."""
        for start, shard in zip(self._starts[:-1], self._shards, strict=True):
            if len(shard):
                yield int(start), _unit(shard.astype(np.float32))

    def shard_of(self, item: int) -> int:
        """The number of the shard that holds an item."""
        return int(np.searchsorted(self._starts, item, side="right")) - 1

    def take(self, ids: npt.ArrayLike) -> Vectors:
        """The vectors of some items.

        Args:
            ids: Integers of any shape.

        Returns:
            Unit vectors, of the shape of ``ids`` and one axis of ``dim`` more.

        Raises:
            UsageError: An id is outside the index.
        """
        wanted = np.asarray(ids, dtype=np.int64)
        flat = wanted.ravel()
        check_ids(flat, len(self))
        holders = np.searchsorted(self._starts, flat, side="right") - 1
        places = flat - self._starts[holders]
        out = np.empty((len(flat), self.dim), np.float32)
        # Row by row: neighbours of a query lie scattered over the shards.
        for row, number, place in zip(out, holders.tolist(), places.tolist(), strict=True):
            row[:] = self._shards[number][place]
        return _unit(out).reshape(*wanted.shape, self.dim)


def check_ids(ids: npt.NDArray[np.int64], n: int) -> None:
    """Refuse ids outside an index of ``n`` items.

    Raises:
        UsageError: One is negative, or ``n`` or more.
    """
    outside = ids[(ids < 0) | (ids >= n)]
    if len(outside):
        raise UsageError(
            f"asked for item {outside[0]} of an index of {n} items; its ids run from 0 to {n - 1}"
        )


def _unit(rows: Vectors) -> Vectors:
    """Bring rows to unit length again, in place: rounding to float16 had moved them."""
    rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows
