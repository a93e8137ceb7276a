"""Parts of a query as people write them: in options of the command line, in fields of a form.

Parts have positions, counted for each modality in the order given, those that are taken away
included; a weight is for all parts of a modality (``audio=0.6``) or for one of them
(``text:0=0.5``).
"""

import math
import operator
from collections.abc import Sequence
from typing import NamedTuple, SupportsIndex, cast

from .encoders.modality import Modality
from .errors import UsageError

ID = "id"  # a part that is an item of the index
EMBEDDING = "embedding"  # a part that is a vector already
KINDS: tuple[str, ...] = (*Modality, ID, EMBEDDING)


class Given(NamedTuple):
    """One part as it was given."""

    kind: str  # of KINDS
    value: object
    minus: bool  # taken away


class Weight(NamedTuple):
    """One weight as it was given."""

    kind: str
    position: int | None  # among the parts of its kind; None: all of them
    weight: float

    def __str__(self) -> str:
        place = "" if self.position is None else f":{self.position}"
        return f"{self.kind}{place}={self.weight:g}"


def parse_weight(text: str) -> Weight:
    """Read ``audio=0.6`` or ``text:0=0.6``.

    Raises:
        UsageError: It is not written so.
    """
    name, _, number = text.partition("=")
    kind, colon, position = name.partition(":")
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if kind not in KINDS or not math.isfinite(weight):
        raise UsageError(f"{text!r}: write it as audio=0.6 or text:0=0.6")
    if colon and not position.isdecimal():
        raise UsageError(f"{text!r}: a position is a whole number, from 0")
    return Weight(kind=kind, position=int(position) if colon else None, weight=weight)


def signed_weights(given: Sequence[Given], weights: Sequence[Weight]) -> list[float]:
    """What each part counts: 1 unless a weight says otherwise, negative where it is taken away.

    A weight of one part is stronger than that of its modality.

    Raises:
        UsageError: A weight is for a part that was not given.
    """
    found = [1.0] * len(given)
    for asked in sorted(weights, key=lambda w: w.position is not None):
        places = [i for i, part in enumerate(given) if part.kind == asked.kind]
        if not places:
            kinds = ", ".join(dict.fromkeys(part.kind for part in given)) or "nothing"
            raise UsageError(f"weight {asked}: there is no {asked.kind}, but {kinds}")
        if asked.position is not None and asked.position >= len(places):
            raise UsageError(
                f"weight {asked}: positions of {asked.kind} run from 0 to {len(places) - 1}"
            )
        for place in places if asked.position is None else [places[asked.position]]:
            found[place] = asked.weight
    return [-weight if part.minus else weight for part, weight in zip(given, found, strict=True)]


def row_number(value: object) -> int:
    """The row of the index that an id is.

    Raises:
        UsageError: It is no whole number.
    """
    try:
        return operator.index(cast(SupportsIndex, value))
    except TypeError:
        raise UsageError(f"id {value!r} is no row number; ids are whole numbers from 0") from None
