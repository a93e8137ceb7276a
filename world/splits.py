"""Which scene ids belong to training, validation and the two test sets.

A split is a range of ids. One tenth of all pairs of category and colour is held out: those pairs
occur in scenes of the ``compositional`` split only, so that split asks for things whose parts are
known and whose combination is new.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ..errors import UsageError
from .categories import CATEGORY_NAMES
from .colours import COLOUR_NAMES

SPLIT_SIZE = 10_000_000  # ids a split
SPLITS: tuple[str, ...] = ("train", "validation", "test", "compositional")


def _held_out_colours() -> Mapping[str, str]:
    """Choose one colour a category; every colour is chosen equally often."""
    n = len(COLOUR_NAMES)
    return MappingProxyType(
        {category: COLOUR_NAMES[(7 * i + i // n) % n] for i, category in enumerate(CATEGORY_NAMES)}
    )


HELD_OUT_COLOUR: Mapping[str, str] = _held_out_colours()  # category → its colour kept for the test


def is_held_out(category: str, colour: str) -> bool:
    """Return whether a pair occurs in the compositional split alone."""
    return HELD_OUT_COLOUR[category] == colour


def split_of(scene_id: int) -> str:
    """Return the name of the split that an id belongs to.

    Raises:
        UsageError: The id is negative or beyond the last split.
    """
    if not 0 <= scene_id < len(SPLITS) * SPLIT_SIZE:
        raise UsageError(
            f"scene {scene_id} does not exist; ids run from 0 to {len(SPLITS) * SPLIT_SIZE - 1}"
        )
    return SPLITS[scene_id // SPLIT_SIZE]


def split_ids(split: str, limit: int, offset: int = 0) -> range:
    """Return ``limit`` consecutive ids of a split, beginning ``offset`` after its first.

    Raises:
        UsageError: No such split, or it has no such ids.
    """
    if split not in SPLITS:
        raise UsageError(f"no split is called {split!r}; there are {', '.join(SPLITS)}")
    if limit < 0 or offset < 0 or offset + limit > SPLIT_SIZE:
        raise UsageError(
            f"asked for scenes {offset} to {offset + limit} of the {split} split; "
            f"it has scenes 0 to {SPLIT_SIZE}"
        )
    first = SPLITS.index(split) * SPLIT_SIZE + offset
    return range(first, first + limit)
