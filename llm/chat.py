"""A conversation as a prompt: its turns in order, each with the vector in view there.

A vector is injected at the positions of its own turns alone. So a medium shown later leaves what
came before as it was, and one that never changes gives the published model exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..encoders.modality import Vectors
from ..errors import UsageError
from .prompt import Piece, Turn, format_turns

if TYPE_CHECKING:
    from .config import Generation
    from .model import LanguageModel

ROOM = 4  # an answer finds at least 1 / ROOM of the context free, or as much as it may have


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A turn, and what is in view there."""

    turn: Turn
    vector: Vectors | None = None  # (dim,); None: nothing to see

    def __post_init__(self) -> None:
        if not self.turn.question.strip():
            raise UsageError("the question is empty; ask something")


def prompt_of(turns: Sequence[Seen]) -> tuple[list[Piece], Vectors | None]:
    """What :meth:`.model.LanguageModel.generate` takes for a conversation.

    Returns:
        The pieces, and ``(pieces, dim)`` vectors, zero where there is nothing to see; ``None`` if
        that is so everywhere.
    """
    pieces = format_turns([seen.turn for seen in turns])
    given = [seen.vector for seen in turns if seen.vector is not None]
    if not given:
        return pieces, None
    nothing = np.zeros_like(given[0])
    rows = [
        nothing if seen.vector is None else seen.vector
        for seen in turns
        for _ in range(1 if seen.turn.answer is None else 2)
    ]
    return pieces, np.stack(rows)


def n_forgotten(model: "LanguageModel", turns: Sequence[Seen], settings: "Generation") -> int:
    """How many of the oldest turns have to be left out so that the last one can be answered.

    The last turn stays whatever its length; the language model refuses what it cannot read.
    """
    room = min(settings.max_tokens, model.context // ROOM)
    for n in range(len(turns) - 1):
        pieces, _ = prompt_of(turns[n:])
        if model.count(pieces) + room <= model.context:
            return n
    return len(turns) - 1
