"""The outermost layer: what is decided about a request before its body is read.

Whether a strange page sent it (:mod:`.browsers`), who asks (a key), how often (a rate), whether
there is room (requests in work, by kind), and how large the body is. A request that is turned away
costs one small response. All others are numbered, timed, counted and logged here.
"""

import asyncio
import base64
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect

from ..errors import Overloaded
from .browsers import Browsers
from .keys import Key, Keys, RateLimiter, Role
from .logs import new_number, request_id_of
from .metrics import Metrics
from .problems import Problem, as_json, media_type_of, problem_of, route_path
from .rooms import WORK, Rooms, Work, work_of
from .settings import Settings

Scope = MutableMapping[str, Any]  # ASGI's, https://asgi.readthedocs.io/en/stable/specs/www.html
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

access = logging.getLogger("anybind.access")

OPEN = frozenset({"/", "/docs", "/redoc", "/openapi.json", "/healthz", "/readyz"})  # without a key
OPEN_FOLDERS = ("/page/", "/static-offline-docs/")  # the files of these pages
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,64}")  # one that a client may choose
LENGTH = re.compile(rb"[0-9]{1,18}")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-site"),
)
PLACE = "anybind.place"  # an extension of a scope: the connection took a place for it already

_NOBODY = Key(name="-", role=Role.USER)


class Edge:
    """An ASGI application in front of another.

    Args:
        app: The application.
        settings: Limits.
        metrics: Where requests are counted.
        keys: Who may ask; ``None``: everybody.
        rooms: How many requests may be in work; by default as the settings say.
    """

    def __init__(
        self,
        app: App,
        settings: Settings,
        metrics: Metrics,
        keys: Keys | None,
        rooms: Rooms | None = None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._keys = keys
        self._limiter = RateLimiter(settings.rate, settings.burst) if settings.rate else None
        self._rooms = rooms or Rooms(settings, metrics)
        if (limiter := self._limiter) is not None:
            metrics.gauge("anybind_callers", "Whose rate is counted", lambda: len(limiter))
        self._browsers = Browsers(settings, keys=keys is not None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or turn it away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        number = given.decode() if REQUEST_ID.fullmatch(given) else new_number()
        scope["request_id"] = number
        if self._settings.root_path:
            scope["root_path"] = self._settings.root_path
        path = route_path(scope)
        work = work_of(scope["method"], path)
        room = None if work is None else self._rooms[work]
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    *HEADERS,
                    *self._browsers.readable(headers.get(b"origin")),
                    (b"x-request-id", number.encode()),
                ]
            await send(message)

        token = request_id_of.set(number)
        begun = PLACE in scope.get("extensions", ())
        try:
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                allowed, more = self._browsers.preflight(headers.get(b"origin"))
                await answer({"type": "http.response.start", "status": allowed, "headers": more})
                await answer({"type": "http.response.body", "body": b""})
                return
            self._browsers.check(scope["method"], headers)
            if room is not None and not begun and room.full:
                raise room.refusal
            self._admit(scope, path, headers, work)
            if room is not None and not begun:
                room.taken += 1
                begun = True
            await self._app(scope, self._bounded(receive), answer)
        except ClientDisconnect:  # in the middle of the body; there is nobody to tell
            pass
        except Exception as error:
            problem = problem_of(error)  # which logs what nobody foresaw
            if status:  # the response has begun: all that is left is to break it off
                raise
            if isinstance(error, Overloaded):
                self._metrics.refused(problem.kind)
            if begun and room is not None:  # now: whoever does not read holds nobody up
                room.taken -= 1
                begun = False
            await _refuse(answer, problem, path, number)
        finally:
            if begun and room is not None:
                room.taken -= 1
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", None) or (path if path in WORK else "other")
            self._metrics.request(route, status or 499, seconds)
            access.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": path,
                    "status": status or 499,  # the client left
                    "ms": round(1000 * seconds, 2),
                    "key": scope.get("key", _NOBODY).name,
                },
            )
            request_id_of.reset(token)

    def _admit(
        self, scope: Scope, path: str, headers: Mapping[bytes, bytes], work: Work | None
    ) -> None:
        """Turn a request away, if it must be.

        Raises:
            Overloaded: Too often.
            Problem: No key, or too large.
        """
        length = headers.get(b"content-length", b"0")
        if not LENGTH.fullmatch(length) or int(length) > self._settings.max_body_bytes:
            raise _too_large(self._settings.max_body_bytes)
        name = (scope.get("client") or ("-",))[0]
        if self._keys is not None and not (path in OPEN or path.startswith(OPEN_FOLDERS)):
            key = self._keys.check(_token(headers))
            if key is None:
                raise Problem(
                    HTTPStatus.UNAUTHORIZED,
                    "this server asks for a key; send it as Authorization: Bearer ab_…",
                    kind="key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            scope["key"] = key
            name = key.name
        if self._limiter is not None and work in (Work.SEARCH, Work.ANSWER):
            wait = self._limiter.take(name)
            if wait > 0:
                raise Overloaded(
                    f"{name} has asked more often than {self._settings.rate:g} times a second; "
                    f"wait {math.ceil(wait)} s",
                    retry_after=wait,
                )

    def _bounded(self, receive: Receive) -> Receive:
        """Read a body up to the limit of its length, which may not be announced, and of time: who
        sends a byte now and then would keep a place for ever."""
        n_bytes, end = 0, False
        deadline = asyncio.get_running_loop().time() + self._settings.upload_seconds

        async def bounded() -> Message:
            nonlocal n_bytes, end
            try:
                async with asyncio.timeout_at(None if end else deadline):
                    message = await receive()
            except TimeoutError:
                raise _too_slow(self._settings.upload_seconds) from None
            end = end or not message.get("more_body", False)
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._settings.max_body_bytes:
                raise _too_large(self._settings.max_body_bytes)
            return message

        return bounded


def _token(headers: Mapping[bytes, bytes]) -> str:
    """The key a request brings: as a bearer's, or as other servers call it."""
    given = headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, token = given.partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if scheme.lower() == "basic":  # what http://x:KEY@host/ sends, for clients that know no other
        with suppress(ValueError):
            return base64.b64decode(token).decode().partition(":")[2]
    return headers.get(b"api-key", headers.get(b"x-api-key", b"")).decode("latin-1")


def _too_large(limit: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {limit} bytes, or does not say how long it is; send less",
        kind="too-large",
    )


def _too_slow(seconds: float) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_TIMEOUT,
        f"the body did not arrive within {seconds:g} s; send less, or over a faster line",
        kind="too-slow",
        headers={"Connection": "close"},
    )


def refusal(problem: Problem, path: str, number: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of an error that ends a request here."""
    body = as_json(problem, instance=path, request_id=number)
    headers = [
        (b"content-type", media_type_of(path).encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    return headers, body


async def _refuse(send: Send, problem: Problem, path: str, number: str) -> None:
    headers, body = refusal(problem, path, number)
    await send({"type": "http.response.start", "status": int(problem.status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
