"""How many requests of a kind may be in work, and are."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ..errors import Overloaded
from .metrics import Metrics
from .settings import Settings

ITEMS = "/v1/items/"  # in front of what is asked of one item


class Work(StrEnum):
    """What a request costs; each kind has room for a number of its own."""

    SEARCH = "search"
    ANSWER = "answer"
    ITEM = "item"


WORK: Mapping[str, Work] = {  # of what is posted
    "/v1/search": Work.SEARCH,
    "/v1/embed": Work.SEARCH,
    "/v1/embeddings": Work.SEARCH,
    "/knn-service": Work.SEARCH,
    "/metadata": Work.SEARCH,
    "/v1/ask": Work.ANSWER,
    "/v1/chat/completions": Work.ANSWER,
}


def work_of(method: str, path: str) -> Work | None:
    """What a request to a route costs; ``None``: next to nothing."""
    if method == "POST":
        return WORK.get(path)
    return Work.ITEM if path.startswith(ITEMS) else None


@dataclass(eq=False)
class Room:
    """Places of one kind of work."""

    limit: int
    taken: int = 0

    @property
    def full(self) -> bool:
        """Whether no place is left."""
        return self.taken >= self.limit

    @property
    def refusal(self) -> Overloaded:
        """What one request too many is told."""
        return Overloaded(
            f"{self.limit} requests of this kind are in work and {self.limit} may be; "
            "try again soon"
        )


class Rooms:
    """The places of a server.

    Args:
        settings: How many there are.
        metrics: Where those that are taken are shown.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._rooms = {
            Work.SEARCH: Room(settings.max_searches),
            Work.ANSWER: Room(settings.max_answers),
            Work.ITEM: Room(settings.max_items),
        }
        metrics.gauges(
            "anybind_in_work",
            "Requests that are being answered",
            "work",
            lambda: {str(work): room.taken for work, room in self._rooms.items()},
        )

    def __getitem__(self, work: Work) -> Room:
        return self._rooms[work]
