"""Which examples a step learns from, and those examples as tensors.

The order follows from a seed and the step alone, so a run continues anywhere without remembering
anything, and any number of processes sees the same batches, each its share of them.
"""

from collections.abc import Sequence

import numpy as np
import torch

from ..encoders.modality import Vectors
from .examples import NOTHING, Examples, Ints
from .network import IGNORED, Batch

WINDOW = 64  # batches among which examples of like length are put together
_PASS, _EPOCH, _BATCHES = range(3)  # what a stream of random numbers is for


class Order:
    """Batches of examples, endlessly.

    An epoch shows each source ``weight`` times, in random order: a source of weight 2 twice, of
    weight 0.5 one half and in the next epoch the other. Examples of like length come into one
    batch, so little of it is padding; batches come in random order again.
    """

    def __init__(
        self,
        ids: Sequence[Ints],
        weights: Sequence[float],
        lengths: Ints,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        """Order the examples ``ids`` of each source, whose ``lengths`` are given by example."""
        self.batch_size = batch_size
        self._ids, self._lengths, self._seed = ids, lengths, seed
        self._counts = [
            max(1, round(weight * len(some))) for some, weight in zip(ids, weights, strict=True)
        ]
        self._epoch: tuple[int, Ints] = (-1, np.empty(0, np.int64))
        self._window: tuple[int, list[Ints]] = (-1, [])

    @property
    def epoch_size(self) -> int:
        """Examples an epoch."""
        return sum(self._counts)

    def batch(self, step: int) -> Ints:
        """The examples of a step, shortest first: ``(batch_size,)``."""
        number, place = divmod(step, WINDOW)
        if self._window[0] != number:
            self._window = (number, self._batches(number))
        return self._window[1][place]

    def _batches(self, window: int) -> list[Ints]:
        first, size = window * WINDOW * self.batch_size, WINDOW * self.batch_size
        found: list[Ints] = []
        while size:
            epoch, place = divmod(first, self.epoch_size)
            some = self._examples(epoch)[place : place + size]
            found.append(some)
            first, size = first + len(some), size - len(some)
        examples = np.concatenate(found)
        by_length = examples[np.argsort(self._lengths[examples], kind="stable")]
        batches = by_length.reshape(WINDOW, self.batch_size)
        return list(batches[self._random(_BATCHES, window).permutation(WINDOW)])

    def _examples(self, epoch: int) -> Ints:
        """The examples of an epoch in random order."""
        if self._epoch[0] != epoch:
            parts = [
                self._stream(source, epoch * count, (epoch + 1) * count)
                for source, count in enumerate(self._counts)
            ]
            mixed = self._random(_EPOCH, epoch).permutation(np.concatenate(parts))
            self._epoch = (epoch, mixed)
        return self._epoch[1]

    def _stream(self, source: int, start: int, end: int) -> Ints:
        """A part of the endless row of a source's examples, pass after pass."""
        ids = self._ids[source]
        first, last = start // len(ids), (end - 1) // len(ids)
        passes = [self._random(_PASS, source, n).permutation(ids) for n in range(first, last + 1)]
        return np.concatenate(passes)[start - first * len(ids) : end - first * len(ids)]

    def _random(self, *what: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *what])


def shares(batch: Ints, *, process: int, n_processes: int, accumulation: int) -> list[Ints]:
    """What one process learns from a batch, in ``accumulation`` parts of like length."""
    return np.array_split(batch[process::n_processes], accumulation)


def collate(examples: Examples, ids: Ints, vectors: Vectors) -> Batch:
    """Examples as tensors, padded to the longest of them.

    Args:
        examples: Settled.
        ids: Which of them; at least one.
        vectors: Of all pictures, ``(n, dim)``.
    """
    width = int(examples.lengths[ids].max())
    rows = [examples.rows(i) for i in ids]
    n_vectors = max(map(len, rows))
    tokens = np.zeros((len(ids), width), np.int64)
    labels = np.full((len(ids), width), IGNORED, np.int64)
    segments = np.zeros((len(ids), width), np.int64)
    seen = np.zeros((len(ids), n_vectors, vectors.shape[1]), np.float32)
    for line, (i, shown) in enumerate(zip(ids, rows, strict=True)):
        own, learned = examples.tokens(i), examples.learned(i)
        tokens[line, : len(own)] = own
        labels[line, : len(own)][learned] = own[learned]
        segments[line, : len(own)] = examples.segments(i)
        there = shown != NOTHING
        seen[line, : len(shown)][there] = vectors[shown[there]]
    return Batch(
        tokens=torch.from_numpy(tokens),
        labels=torch.from_numpy(labels),
        vectors=torch.from_numpy(seen if n_vectors > 1 else seen[:, 0]),
        segments=torch.from_numpy(segments) if n_vectors > 1 else None,
    )


def n_learned(examples: Examples, ids: Ints) -> int:
    """Tokens that are learned in some examples; the first of a sequence cannot be."""
    return sum(int(examples.learned(i)[1:].sum()) for i in ids)
