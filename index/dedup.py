"""Copies among results: an item too like a better one is dropped.

Results are gone through best first; what is within a cosine of one that was kept is dropped, what
is like something dropped alone stays. clip-retrieval instead joins everything that is linked by a
chain of likenesses and keeps one item of it, so that pictures which are unlike may fall together.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..encoders.modality import Vectors
from ..errors import UsageError
from .faiss_index import Ids
from .neighbours import TIE

BLOCK_ROWS = 256  # results compared with each other at once


def check_threshold(threshold: float) -> None:
    """Refuse what is no cosine by which two items could be called alike.

    Raises:
        UsageError: It is not in 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise UsageError(
            f"dedup is {threshold}; give the cosine from which two items are copies, 0 to 1 "
            "(clip-retrieval: 0.94)"
        )


def distinct(
    ids: Ids, vectors_of: Callable[[npt.ArrayLike], Vectors], *, threshold: float, most: int
) -> Ids:
    """The places of those results that are like no better one that was kept.

    Args:
        ids: Of the results, ``(n,)``, best first.
        vectors_of: Gives their unit vectors, ``(n, dim)``; asked for some ids at a time.
        threshold: The cosine from which two items are alike, 0 to 1.
        most: How many to find at most.

    Returns:
        Places in ``ids``, ascending, ``(<= most,)``.
    """
    limit = threshold - TIE  # copies have a cosine of 1 but for rounding
    kept: list[Vectors] = []  # those of each block before
    places: list[int] = []
    for start in range(0, len(ids), BLOCK_ROWS):
        rows = vectors_of(ids[start : start + BLOCK_ROWS])
        unlike = np.ones(len(rows), bool)
        for better in kept:
            unlike &= (rows @ better.T).max(axis=1) < limit
        like = rows @ rows.T >= limit  # (n, n)
        own: list[int] = []
        for place in np.flatnonzero(unlike).tolist():
            if unlike[place]:
                own.append(place)
                unlike[place:] &= ~like[place, place:]
        places += [start + place for place in own]
        if len(places) >= most:
            break
        if own:
            kept.append(rows[own])
    return np.array(places[:most], np.int64)
