"""Refusing at the door: what a server under a multiple of its load mostly does.

A request that passes uvicorn, Starlette and the edge only to hear that there is no room costs a
quarter of a search by vector, so a flood of them would leave little time to search. Here the
connection itself says so, as soon as the headers are complete and in the edge's very words. That is
for plain requests alone: whatever has to be looked at more closely (a page's origin, a number that
the client chose) goes the usual way, and is refused there.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from .edge import HEADERS, PLACE, refusal
from .logs import new_number
from .metrics import Metrics
from .problems import problem_of
from .rooms import WORK, Room, Rooms

access = logging.getLogger("anybind.access")

CLOSER = frozenset({b"origin", b"x-request-id", b"expect", b"upgrade"})  # headers to be looked at
LOG_SECONDS = 1.0  # whose refusals are one line of the log
CLOSE = b"connection: close\r\n"


class Route:
    """A route of which requests are refused at the door, while its room is full.

    Args:
        path: Of the route.
        room: Its places.
        metrics: Where refused requests are counted.
    """

    def __init__(self, path: str, room: Room, metrics: Metrics) -> None:
        self.room = room
        self._path = path
        problem = problem_of(room.refusal)
        number = new_number()
        headers, body = refusal(problem, path, number)
        self._status = int(problem.status)
        self._headers = b"".join(b"%s: %s\r\n" % each for each in (*headers, *HEADERS))
        self._body = body.split(number.encode())
        self._count = metrics.refusing(path, self._status, problem.kind)
        self._n_to_log = 0

    def response(self, more: bytes, number: bytes) -> bytes:
        """All of a response, with more headers, and the number of the request."""
        head = (
            STATUS_LINE[self._status],
            more,
            self._headers,
            b"x-request-id: ",
            number,
            b"\r\n\r\n",
        )
        return b"".join((*head, number.join(self._body)))

    def count(self, seconds: float) -> None:
        """Count one that was refused; the log hears of it within a second."""
        self._count(seconds)
        if not self._n_to_log:
            asyncio.get_running_loop().call_later(LOG_SECONDS, self.log)
        self._n_to_log += 1

    def log(self) -> None:
        """Say how many were refused since the last time."""
        if self._n_to_log:
            facts = {"method": "POST", "path": self._path, "status": self._status}
            access.info("refused", extra={**facts, "n": self._n_to_log})
            self._n_to_log = 0


class Refusals:
    """What the connections of a server know of its rooms.

    Args:
        rooms: Of the server.
        metrics: Where refused requests are counted.
        root_path: A prefix that a proxy may put in front of a path.
        take: Whether a connection takes the place of a request too, before the edge is asked:
            hundreds may come in one turn of the event loop, and would all pass. Not where the edge
            turns some away for another reason, as for want of a key: those should take nothing.
    """

    def __init__(
        self, rooms: Rooms, metrics: Metrics, *, root_path: str = "", take: bool = True
    ) -> None:
        self.take = take
        routes = {path: Route(path, rooms[work], metrics) for path, work in WORK.items()}
        self.routes = {  # by the address that is asked for
            f"{prefix}{path}".encode(): route
            for path, route in routes.items()
            for prefix in ("", root_path)
        }
        self._general: Sequence[tuple[bytes, bytes]] = ()
        self._general_bytes = b""

    def general(self, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """uvicorn's own headers, which it makes anew every second, as they are sent."""
        if headers is not self._general:
            self._general = headers
            self._general_bytes = b"".join(b"%s: %s\r\n" % each for each in headers)
        return self._general_bytes

    def log(self) -> None:
        """Say what the log has not heard of yet."""
        for route in self.routes.values():
            route.log()

    @property
    def protocol(self) -> type[asyncio.Protocol]:
        """What uvicorn calls for each connection, as it would a class of its own."""
        return cast("type[asyncio.Protocol]", partial(Connection, self))


class Connection(HttpToolsProtocol):
    """A connection that refuses requests for which there is no room.

    Args:
        refusals: What it knows of rooms.
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: Of the application's lifespan.
        _loop: The event loop.
    """

    def __init__(
        self,
        refusals: Refusals,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._refusals = refusals
        self._is_refused = False  # the request that is being received

    def data_received(self, data: bytes) -> None:
        """Bytes came. A body that nobody reads does not keep an idle connection open."""
        super().data_received(data)
        if self._is_refused and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_refused = False

    def on_headers_complete(self) -> None:
        """Refuse a request that there is no room for; one that is not plain is left to the edge."""
        route = self._refusals.routes.get(self.url)
        if route is None or not self._is_plain():
            super().on_headers_complete()
        elif route.room.full:
            self._is_refused = True
            self._refuse(route)
        else:
            if self._refusals.take:
                route.room.taken += 1
                self.scope["extensions"] = {PLACE: {}}
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body came."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come whole."""
        if not self._is_refused:
            super().on_message_complete()

    def _is_plain(self) -> bool:
        """Whether nothing but room decides whether the application is asked at once."""
        return (
            _of(self).get_method() == b"POST"
            and (self.cycle is None or self.cycle.response_complete)  # none is being answered
            and self.limit_concurrency is None
            and not any(name in CLOSER for name, _ in self.headers)
        )

    def _refuse(self, route: Route) -> None:
        started = time.perf_counter()
        parser = _of(self)
        keep = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        more = self._refusals.general(self.server_state.default_headers)
        self.transport.write(route.response(more if keep else more + CLOSE, new_number().encode()))
        if not keep:
            self.transport.close()
        self.on_response_complete()
        route.count(time.perf_counter() - started)


def _of(connection: HttpToolsProtocol) -> httptools.HttpRequestParser:
    """The parser, which is gone once the connection is lost."""
    assert connection.parser is not None
    return connection.parser
