"""Fetching by URL: each way of sending the server to where it must not go, by name.

The resolver and the transport are given, so that nothing leaves this process or its loopback, even
if the guard breaks.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest

from anybind.errors import MediaError
from anybind.server.fetching import Fetcher, FetchLimits, is_public, resolve

PUBLIC = "93.184.215.14"
OTHER = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
LIMITS = FetchLimits(max_bytes=1000, seconds=5)

Handler = Callable[[httpx.Request], httpx.Response]


class Names:
    """A resolver of given names that counts how often it is asked."""

    def __init__(self, table: Mapping[str, Sequence[str]]) -> None:
        self.table = table
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(f"{host}:{port}")
        return self.table[host]


class Web(httpx.AsyncBaseTransport):
    """A transport that answers itself and keeps what it was asked."""

    def __init__(self, answer: Handler | None = None) -> None:
        self.answer = answer or (lambda request: httpx.Response(200, content=b"picture"))
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)


def fetch(
    url: str,
    web: httpx.AsyncBaseTransport,
    names: Names | None = None,
    limits: FetchLimits = LIMITS,
) -> bytes:
    """Fetch with a resolver that knows one public host, unless another is given."""
    names = names or Names({"example.com": [PUBLIC]})
    return asyncio.run(Fetcher(limits, resolver=names, transport=web).fetch(url))


def refused(
    url: str,
    web: Web,
    names: Names | None = None,
    limits: FetchLimits = LIMITS,
    n_requests: int = 0,
) -> str:
    """The message of a refusal that came before more than ``n_requests`` were sent."""
    with pytest.raises(MediaError) as caught:
        fetch(url, web, names, limits)
    assert len(web.requests) == n_requests, url
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


def test_the_connection_goes_to_the_checked_address_in_the_name_of_the_host() -> None:
    """The name stands in Host and in the certificate's check; it is resolved once."""
    web, names = Web(), Names({"example.com": [PUBLIC, OTHER]})
    assert fetch("https://example.com/a.jpg?size=1#part", web, names) == b"picture"
    (request,) = web.requests
    assert str(request.url) == f"https://{PUBLIC}/a.jpg?size=1"
    assert request.headers["Host"] == "example.com"
    assert request.extensions["sni_hostname"] == "example.com"
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in request.headers and "Authorization" not in request.headers
    assert names.asked == ["example.com:443"]


def test_dns_rebinding_finds_no_second_look_up() -> None:
    """A name that is public when asked first and loopback when asked again: it is asked once."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    web = Web()
    assert asyncio.run(
        Fetcher(LIMITS, resolver=rebinding, transport=web).fetch("http://a.example/")
    )
    assert asked == ["a.example"] and web.requests[0].url.host == PUBLIC


@pytest.mark.parametrize(
    ("attack", "address"),
    [
        ("loopback", "127.0.0.1"),
        ("loopback, another", "127.8.9.10"),
        ("this host", "0.0.0.0"),
        ("private 10", "10.0.0.1"),
        ("private 172", "172.31.255.254"),
        ("private 192", "192.168.1.1"),
        ("link-local, metadata of AWS, GCP and Azure", "169.254.169.254"),
        ("metadata of AWS ECS", "169.254.170.2"),
        ("metadata of Alibaba, carrier-grade NAT", "100.100.100.200"),
        ("metadata of Oracle", "192.0.0.192"),
        ("host of Azure, though public", "168.63.129.16"),
        ("documentation", "192.0.2.1"),
        ("benchmarks", "198.18.0.1"),
        ("6to4 relay", "192.88.99.1"),
        ("multicast", "224.0.0.1"),
        ("reserved", "240.0.0.1"),
        ("broadcast", "255.255.255.255"),
        ("loopback v6", "::1"),
        ("unspecified v6", "::"),
        ("unique local", "fd12:3456::1"),
        ("metadata of AWS v6", "fd00:ec2::254"),
        ("link-local v6", "fe80::1"),
        ("link-local v6 with its zone", "fe80::1%eth0"),
        ("public v6 with a zone", f"{OTHER}%1"),
        ("site-local v6", "fec0::1"),
        ("multicast v6", "ff02::1"),
        ("mapped v4", "::ffff:127.0.0.1"),
        ("mapped v4 that is public", f"::ffff:{PUBLIC}"),
        ("compatible v4", "::127.0.0.1"),
        ("translated v4 (NAT64)", "64:ff9b::7f00:1"),
        ("translated v4 (NAT64), local prefix", "64:ff9b:1::7f00:1"),
        ("6to4 of loopback", "2002:7f00:1::"),
        ("Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        ("ISATAP of a private address", "2606:2800::5efe:10.0.0.1"),
        ("ISATAP of a private address, unique", "2606:2800::200:5efe:10.0.0.1"),
        ("documentation v6", "2001:db8::1"),
        ("discard", "100::1"),
        ("not an address", "example.com"),
        ("no address", ""),
    ],
)
def test_names_of_inner_addresses_are_refused(attack: str, address: str) -> None:
    """The addresses are those of IANA's registries and of the clouds' manuals."""
    assert not is_public(address), attack
    names = Names({"inner.example": [address]})
    message = refused("http://inner.example/latest/meta-data/", Web(), names)
    assert "not at a public address" in message
    assert not address or address not in message  # what a name means inside is no one's business


def test_one_inner_address_among_public_ones_refuses_the_name() -> None:
    """Else a client could try until the connection falls on it."""
    names = Names({"mixed.example": [PUBLIC, "10.0.0.1"]})
    assert "not at a public address" in refused("http://mixed.example/", Web(), names)


def test_public_addresses_pass() -> None:
    """A guard that refuses everything would pass the other tests."""
    for address in (PUBLIC, OTHER, "8.8.8.8", "1.1.1.1", "2a00:1450:4001:81b::200e"):
        assert is_public(address), address


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",  # 127.0.0.1 in one number
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",  # octal
        "127.1",
        "127.0.0.01",
        "127.0.0.1.",
        "0x7f.0x0.0x0.0x1",
        "4294967297",
        "1.2.3.0x",
        "example.com.",
        "example%2ecom",
        "[fe80::1%25eth0]",
    ],
)
def test_oddly_written_hosts_are_refused_before_they_are_resolved(host: str) -> None:
    """Shortened, octal, hexadecimal and decimal addresses, trailing dots, escapes, zones."""
    names = Names({})
    message = refused(f"http://{host}/", Web(), names)
    assert "oddly written" in message or "given as a URL is none" in message
    assert names.asked == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:7f00:1]", "169.254.169.254", "[64:ff9b::a9fe:a9fe]"],
)
def test_addresses_as_hosts_are_checked_like_names(host: str) -> None:
    """They need no resolver, and none is asked."""
    names = Names({})
    assert "not at a public address" in refused(f"http://{host}/", Web(), names)
    assert names.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "ftp://example.com/a.jpg",
        "gopher://example.com/_",
        "unix:///run/docker.sock",
        "dict://example.com:11211/stats",
        "data:image/png;base64,AAAA",
        "//example.com/a.jpg",
        "/etc/passwd",
        "example.com/a.jpg",
        "http://",
        "http:///etc/passwd",
        "",
    ],
)
def test_other_schemes_and_paths_are_refused(url: str) -> None:
    """Only http and https to a host."""
    assert "only http and https" in refused(url, Web(), Names({}))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com\\@127.0.0.1/",  # a browser's host and another parser's differ
        "http://example.com /",
        "http://example.com/\r\nX-Injected: 1",
        "http://example.com/\t",
        "http://example.com/\0",
        "http://exаmple.com/",  # the а is Cyrillic
        "http://①②⑦.⓪.⓪.①/",  # digits to IDNA
        "http://example。com/",
        "http://example.com/" + "a" * 3000,
        "http://[::1/",
        "http://example.com:99x/",
    ],
)
def test_urls_that_parsers_read_differently_are_refused(url: str) -> None:
    """Control characters, backslashes, look-alikes, and what is no URL at all."""
    refused(url, Web(), Names({}))


def test_user_names_are_refused_and_not_repeated() -> None:
    """A message must not carry a password into a log; nor what stands in a query."""
    for url in ("http://ann:secret@example.com/", "http://example.com:secret@127.0.0.1/"):
        message = refused(url, Web())
        assert "user name" in message and "secret" not in message
    web = Web(lambda request: httpx.Response(404))
    message = refused("http://example.com/a?token=secret", web, n_requests=1)
    assert "404" in message and "secret" not in message


def test_other_ports_are_refused_unless_allowed() -> None:
    """A scan of inner services; the operator may name other ports."""
    for port in (22, 6379, 8000, 0):
        assert "allowed are 80, 443" in refused(f"http://example.com:{port}/", Web())
    web = Web()
    open_limits = FetchLimits(max_bytes=1000, seconds=5, ports=frozenset({8080}))
    assert fetch("http://example.com:8080/", web, limits=open_limits) == b"picture"
    assert web.requests[0].headers["Host"] == "example.com:8080"


def answering(status: int, headers: Mapping[str, str]) -> Web:
    """A web whose every answer is the same."""
    return Web(lambda request: httpx.Response(status, headers=headers))


def redirecting(target: str, status: int = 302) -> Web:
    """A web whose every answer redirects to the same place."""
    return answering(status, {"Location": target})


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://127.0.0.1/", "not at a public address"),
        ("http://169.254.169.254/latest/meta-data/", "not at a public address"),
        ("http://inner.example/", "not at a public address"),
        ("//inner.example/", "not at a public address"),
        ("http://[::ffff:127.0.0.1]/", "not at a public address"),
        ("http://2130706433/", "oddly written"),
        ("file:///etc/passwd", "only http and https"),
        ("gopher://example.com/", "only http and https"),
        ("http://example.com:6379/", "port 6379"),
        ("http://a:b@example.com/", "user name"),
        ("http://[::1", "no URL"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_pass_the_same_gate(target: str, why: str, status: int) -> None:
    """From a public host to each place that is refused at once; one request was sent."""
    names = Names({"example.com": [PUBLIC], "inner.example": ["10.1.2.3"]})
    assert why in refused("http://example.com/", redirecting(target, status), names, n_requests=1)


def test_a_redirect_is_resolved_and_pinned_again() -> None:
    """Relative and absolute, up to three."""
    names = Names({"a.example": [PUBLIC], "b.example": [OTHER]})

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["Host"] == "b.example":
            return httpx.Response(200, content=b"picture")
        target = "https://b.example/x" if request.url.path == "/2" else "/2"
        return httpx.Response(302, headers={"Location": target, "Set-Cookie": "a=b"})

    web = Web(answer)
    assert fetch("https://a.example/1", web, names) == b"picture"
    assert [request.url.host for request in web.requests] == [PUBLIC, PUBLIC, OTHER]
    assert [request.url.path for request in web.requests] == ["/1", "/2", "/x"]
    assert not any("Cookie" in request.headers for request in web.requests)


def test_endless_redirects_end() -> None:
    """Three are followed: four requests."""
    message = refused("http://example.com/", redirecting("/again"), n_requests=4)
    assert "more than 3 redirects" in message


def test_a_redirect_from_https_to_http_is_refused() -> None:
    """What was asked for over a checked connection is not taken from an open one."""
    web = redirecting("http://example.com/")
    assert "from https to http" in refused("https://example.com/", web, n_requests=1)


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 100


def test_an_endless_body_is_cut_at_the_limit() -> None:
    """One that says how long it is, is refused before it is read."""

    class Body(httpx.AsyncByteStream):
        n_read = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in _endless():
                Body.n_read += len(piece)
                yield piece

    web = Web(lambda request: httpx.Response(200, stream=Body()))
    assert "more than 1,000 bytes" in refused("http://example.com/", web, n_requests=1)
    assert Body.n_read == 1100
    for length in ("1001", "9" * 400):
        web = answering(200, {"Content-Length": length})
        assert "more than 1,000 bytes" in refused("http://example.com/", web, n_requests=1)
    web = Web(lambda request: httpx.Response(200, content=b"x" * 1000))
    assert len(fetch("http://example.com/", web)) == 1000


@pytest.mark.parametrize("packed", ["gzip", "br", "deflate", "identity, gzip", "zstd"])
def test_packed_answers_are_refused(packed: str) -> None:
    """A decompression bomb, which was not asked for."""
    headers = {"Content-Encoding": packed}
    web = Web(lambda request: httpx.Response(200, headers=headers, stream=httpx.ByteStream(b"x")))
    assert "packed" in refused("http://example.com/", web, n_requests=1)


@pytest.mark.parametrize("status", [204, 206, 300, 304, 401, 404, 500])
def test_other_answers_are_no_files(status: int) -> None:
    """Only 200 brings the whole file; an error's page is none."""
    web = Web(lambda request: httpx.Response(status, content=b"x"))
    assert str(status) in refused("http://example.com/", web, n_requests=1)


def test_a_name_that_does_not_exist_is_said() -> None:
    """As the system's resolver says it, and as one that finds nothing."""

    async def missing(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("unknown")

    with pytest.raises(MediaError, match="cannot be found"):
        asyncio.run(Fetcher(LIMITS, resolver=missing, transport=Web()).fetch("http://no.example/"))
    assert "cannot be found" in refused("http://no.example/", Web(), Names({"no.example": []}))


def test_the_next_address_is_tried_when_one_cannot_be_reached() -> None:
    """All were checked before the first was tried; three of them are enough."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host != OTHER:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=b"picture")

    web = Web(answer)
    assert fetch("http://a.example/", web, Names({"a.example": [PUBLIC, OTHER]})) == b"picture"
    many = Names({"a.example": [PUBLIC, "8.8.8.8", "1.1.1.1", OTHER]})
    assert "cannot be reached" in refused("http://a.example/", Web(answer), many, n_requests=3)


class Loopback(httpx.AsyncBaseTransport):
    """The real transport, which reaches a port of this machine whatever address it is given."""

    def __init__(self, port: int) -> None:
        self.port = port
        context = ssl.create_default_context()
        self.real = httpx.AsyncHTTPTransport(verify=context, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return await self.real.handle_async_request(request)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """A server on the loopback; its port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def fetch_from(serve: Serve, limits: FetchLimits = LIMITS) -> bytes:
    """Fetch from a real server on the loopback, through the real transport."""

    async def run() -> bytes:
        async with serving(serve) as port:
            names = Names({"example.com": [PUBLIC]})
            fetcher = Fetcher(limits, resolver=names, transport=Loopback(port))
            try:
                return await fetcher.fetch("http://example.com/a.jpg")
            finally:
                await fetcher.aclose()

    return asyncio.run(run())


def test_a_file_comes_over_a_real_connection() -> None:
    """The request line and Host as the server sees them."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        writer.close()

    assert fetch_from(serve) == b"abc"
    assert heard[0].startswith(b"GET /a.jpg HTTP/1.1\r\nHost: example.com\r\n")


@pytest.mark.parametrize("attack", ["drips its head", "drips its body", "says nothing"])
def test_a_slow_server_is_left_in_time(attack: str) -> None:
    """A byte now and then resets a time-out for each read, but not the one for the whole."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if attack == "drips its body":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while attack != "says nothing" and not writer.is_closing():
            writer.write(b"H" if attack == "drips its body" else b"HTTP/1.1 200 OK\r\nA: b\r\n")
            await asyncio.sleep(0.05)
        await reader.read()
        writer.close()

    with pytest.raises(MediaError, match="takes more than 0.5 s"):
        fetch_from(serve, FetchLimits(max_bytes=1000, seconds=0.5))


def test_an_endless_head_is_left() -> None:
    """A head is read up to 100 KB, which is the transport's limit."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(3000):
            writer.write(b"X-Filler: " + b"y" * 100 + b"\r\n")
        writer.close()

    with pytest.raises(MediaError, match="cannot be reached"):
        fetch_from(serve)


def test_a_body_that_breaks_off_is_no_file() -> None:
    """Ten bytes are promised, three come."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        writer.close()

    with pytest.raises(MediaError, match="broke off"):
        fetch_from(serve)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name again, out of our sight: the request still comes here."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        writer.close()

    assert fetch_from(serve) == b"abc"


def test_the_systems_resolver_reads_addresses_as_they_are() -> None:
    """A literal address needs no name server, so this stays on the machine."""
    assert asyncio.run(resolve("127.0.0.1", 80)) == ["127.0.0.1"]
