"""Fetching what a request names by URL, from public addresses alone.

A server that fetches for others can be sent to places that only it can reach. So a name is resolved
once, every address it has must be public, and the connection goes to one of exactly these addresses
(certificate and ``Host`` are still the name's): a name that changes its mind between the check
and the connection gains nothing. Every redirect passes the same gate. One parser reads the URL, and
what it read is what is checked and connected to.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx

from ..encoders.media import one_line
from ..errors import MediaError

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]  # host and port to addresses
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = frozenset({80, 443})
MAX_REDIRECTS = 3
MAX_ADDRESSES = 3  # of one name that are tried, in their order
MAX_URL = 2048  # characters
SHOWN_URL = 120  # characters of it in messages
REDIRECTS = frozenset({301, 302, 303, 307, 308})
USER_AGENT = "anybind"

# Never fetched from, whatever the version of the standard library says of them.
# Source: https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-.
REFUSED_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' own (CGNAT); metadata of Alibaba Cloud
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's host, reachable from each of its machines alone
            "169.254.0.0/16",  # link-local; metadata of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocols; metadata of Oracle Cloud
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")  # all that is assigned; nothing else is fetched from
REFUSED_V6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocols; 2001::/32 is Teredo, which wraps IPv4
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which wraps IPv4
            "3fff::/20",  # documentation
        ),
    )
)
ISATAP = (0x00005EFE, 0x02005EFE)  # third quarter of an address that wraps IPv4 in its last


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """What one fetch may take, redirects included."""

    max_bytes: int  # of the body
    seconds: float  # from the name to the last byte
    ports: frozenset[int] = PORTS


def is_public(text: str) -> bool:
    """Whether an address belongs to the public internet.

    IPv6 that wraps IPv4 (mapped, NAT64, 6to4, Teredo, ISATAP) does not, whatever it wraps.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in REFUSED_V4)
    return (
        address.scope_id is None
        and address in PUBLIC_V6
        and address.is_global
        and not any(address in network for network in REFUSED_V6)
        and (int(address) >> 32) & 0xFFFFFFFF not in ISATAP
    )


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system knows them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Fetcher:
    """Fetches files by URL.

    Args:
        limits: What one fetch may take.
        resolver: Names to addresses.
        transport: What sends a request; the host in its URL is an address that was checked, the
            name stands in ``Host`` and in the extension ``sni_hostname``.
    """

    def __init__(
        self,
        limits: FetchLimits,
        *,
        resolver: Resolver = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.limits = limits
        self._resolve = resolver
        # No connection is kept: the next request to an address may be for another name.
        self._transport = transport or httpx.AsyncHTTPTransport(
            trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def fetch(self, url: str) -> bytes:
        """The file at a URL.

        Raises:
            MediaError: The URL is not http(s) to an allowed port of a public address, here or where
                it redirects to; the answer is an error, too large, packed or too slow.
        """
        place = _parse(url, self.limits.ports)
        try:
            async with asyncio.timeout(self.limits.seconds):
                for _ in range(MAX_REDIRECTS + 1):
                    found = await self._hop(place)
                    if isinstance(found, bytes):
                        return found
                    place = found
        except TimeoutError:
            raise MediaError(
                f"{shown(place)} takes more than {self.limits.seconds:g} s to fetch; "
                "send the file itself"
            ) from None
        raise MediaError(f"{shown(place)} is the end of more than {MAX_REDIRECTS} redirects")

    async def _hop(self, place: httpx.URL) -> bytes | httpx.URL:
        """The file at a place, or where it says that the file is."""
        response = await self._connect(place, await self._addresses(place))
        try:
            if response.status_code in REDIRECTS:
                return self._redirect(place, response)
            if response.status_code != 200:
                raise MediaError(f"{shown(place)} answered with status {response.status_code}")
            return await self._body(place, response)
        except httpx.HTTPError as error:
            raise MediaError(f"{shown(place)} broke off: {one_line(error)}") from None
        finally:
            await response.aclose()

    async def _addresses(self, place: httpx.URL) -> Sequence[str]:
        """The addresses of a host, all of them public."""
        try:
            known = _is_address(place.host)
            addresses = [place.host] if known else await self._resolve(place.host, _port(place))
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise MediaError(f"{shown(place)} has a host that cannot be found")
        if not all(map(is_public, addresses)):  # which address it is, the client need not know
            raise MediaError(
                f"{shown(place)} is not at a public address; send the file itself instead"
            )
        return addresses[:MAX_ADDRESSES]

    async def _connect(self, place: httpx.URL, addresses: Sequence[str]) -> httpx.Response:
        """The answer of the first address that can be reached, its body still to be read."""
        headers = {
            "Host": place.netloc.decode("ascii"),
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        reason = "no address"
        for address in addresses:
            seconds = self.limits.seconds / len(addresses)
            request = httpx.Request(
                "GET",
                place.copy_with(host=address, fragment=None),
                headers=headers,
                extensions={
                    "sni_hostname": place.host,
                    "timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds),
                },
            )
            try:
                return await self._transport.handle_async_request(request)
            except (httpx.HTTPError, OSError) as error:
                reason = one_line(error)
        raise MediaError(f"{shown(place)} cannot be reached: {reason}")

    def _redirect(self, place: httpx.URL, response: httpx.Response) -> httpx.URL:
        """Where an answer sends us, if that is no weaker than where we are."""
        target = response.headers.get("Location", "")
        try:
            url = str(place.join(target))
        except (httpx.InvalidURL, ValueError):
            raise MediaError(f"{shown(place)} redirects to what is no URL") from None
        following = _parse(url, self.limits.ports)
        if place.scheme == "https" and following.scheme != "https":
            raise MediaError(f"{shown(place)} redirects from https to http, which is not followed")
        return following

    async def _body(self, place: httpx.URL, response: httpx.Response) -> bytes:
        """The body, as it travels; what arrives packed is refused."""
        packed = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            raise MediaError(f"{shown(place)} arrives packed with {packed!r}, unasked")
        limit = self.limits.max_bytes
        too_large = MediaError(f"{shown(place)} has more than {limit:,} bytes; shrink it")
        promised = response.headers.get("Content-Length", "0")
        if promised.isdecimal() and (len(promised) > 18 or int(promised) > limit):
            raise too_large
        body = bytearray()
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for piece in response.stream:
            body += piece
            if len(body) > limit:
                raise too_large
        return bytes(body)


def shown(place: httpx.URL) -> str:
    """A URL for messages and logs: without its query, which may hold a secret."""
    text = str(place.copy_with(query=None, fragment=None, userinfo=b""))
    return text if len(text) <= SHOWN_URL else f"{text[:SHOWN_URL]}…"


def _port(place: httpx.URL) -> int:
    if place.port is not None:
        return place.port
    return 443 if place.scheme == "https" else 80


def _parse(text: str, ports: frozenset[int]) -> httpx.URL:
    """A URL that may be fetched, as far as its text tells.

    Raises:
        MediaError: It is malformed, of another scheme or port, has a user name, or an oddly written
            host: octal, hexadecimal and shortened addresses mean other hosts to other programs.
    """
    if len(text) > MAX_URL or not text.isascii() or re.search(r"[\s\\\x00-\x1f\x7f]", text):
        raise MediaError(
            f"a URL has at most {MAX_URL} characters of ASCII, none of them a space, a backslash "
            "or a control character; write others as %XX, and names in punycode"
        )
    try:
        place = httpx.URL(text)
        host = place.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        raise MediaError("what is given as a URL is none; give http://host/path") from None
    if place.scheme not in ("http", "https") or not host:
        raise MediaError(f"a URL of scheme {place.scheme[:20]!r}: only http and https are fetched")
    if place.userinfo:
        raise MediaError(f"{shown(place)} comes with a user name; only public files are fetched")
    if _port(place) not in ports:
        allowed = ", ".join(map(str, sorted(ports)))
        raise MediaError(f"{shown(place)} is at port {_port(place)}; allowed are {allowed}")
    if host.endswith(".") or "%" in host or (_ends_in_number(host) and not _is_plain_v4(host)):
        raise MediaError(f"{shown(place)} has an oddly written host; write it plainly")
    return place


def _is_address(host: str) -> bool:
    """Whether a host is an address itself, which needs no resolving."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ends_in_number(host: str) -> bool:
    """Whether programs may take a host for an IPv4 address in some notation.

    Source: https://url.spec.whatwg.org/#ends-in-a-number-checker.
    """
    if ":" in host:  # of IPv6 there is one notation, which may end in one of IPv4
        return False
    last = host.rpartition(".")[2].lower()
    return last.isdecimal() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def _is_plain_v4(host: str) -> bool:
    """Whether a host is four decimal numbers without leading zeros."""
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False
