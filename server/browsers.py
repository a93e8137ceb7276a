"""What pages in somebody's browser may do here.

A browser is inside the network, and runs programs of whomever its user visits. A page of another
origin may send requests but not read the answers (CORS), and may not even send those that do
something (POST), unless the operator lets it. A name of the attacker's that suddenly leads here
(DNS rebinding) makes its page one of our own origin; so a server that listens to this machine
alone, without keys, answers to this machine's names only.
"""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from .problems import Problem
from .settings import Settings, is_loopback

Headers = Mapping[bytes, bytes]

ANY = "*"
SAME = frozenset({b"same-origin", b"none"})  # of Sec-Fetch-Site; none: typed by the user


class Browsers:
    """Which origins and which names of the server are right.

    Args:
        settings: Allowed origins and hosts, and where the server listens.
        keys: Whether requests must bring keys. A page under a rebound name has none, so only
            ``allowed_hosts`` limit the names then.
    """

    def __init__(self, settings: Settings, *, keys: bool) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._guarded = bool(self._hosts) or (is_loopback(settings.host) and not keys)

    def check(self, method: str, headers: Headers) -> None:
        """Refuse what a strange page sends.

        Args:
            method: Of the request.
            headers: Their names in lower case.

        Raises:
            Problem: The server is asked under a strange name (421), or by a page of another origin
                to do something (403).
        """
        host = headers.get(b"host", b"").decode("latin-1")
        if self._guarded and host and not self._is_ours(host):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"this server is not called {host[:100]!r}; ask for localhost, or start it with "
                "--allowed-hosts",
                kind="host",
            )
        origin = headers.get(b"origin")
        if method != "POST" or origin is None or self._is_allowed(origin):
            return
        site = headers.get(b"sec-fetch-site")
        if site in SAME if site is not None else _host_of(origin) == host.lower():
            return
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "a page of another origin may not ask this server; its operator can let it in with "
            "--cors-origins",
            kind="origin",
        )

    def readable(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """The headers that let a page of another origin read a response."""
        if origin is None or not self._is_allowed(origin):
            return []
        return [
            (b"access-control-allow-origin", b"*" if ANY in self._origins else origin),
            (b"access-control-expose-headers", b"x-request-id, retry-after"),
            (b"vary", b"origin"),
        ]

    def preflight(self, origin: bytes | None) -> tuple[HTTPStatus, list[tuple[bytes, bytes]]]:
        """What a browser hears that asks whether a page of another origin may ask."""
        if not self.readable(origin):
            return HTTPStatus.FORBIDDEN, []
        return HTTPStatus.NO_CONTENT, [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"authorization, content-type"),
            (b"access-control-max-age", b"600"),
        ]

    def _is_allowed(self, origin: bytes) -> bool:
        return ANY in self._origins or origin.decode("latin-1") in self._origins

    def _is_ours(self, host: str) -> bool:
        """Whether a server may be asked under a name, which may have a port behind it."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return ANY in self._hosts or name in self._hosts or is_loopback(name)


def _host_of(origin: bytes) -> str:
    """Host and port of an origin, as Host names them."""
    return origin.decode("latin-1").lower().partition("://")[2]
