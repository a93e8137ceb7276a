"""A server of anybind, used as the library is: the same names, the same arguments and results.

What is asked and how an answer is read is said in :mod:`.wire`; the two clients here, for threads
and for asyncio, differ only in how they wait.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from types import TracebackType
from typing import Literal, NoReturn, Self, TypeVar, Unpack, overload

import httpx
from tqdm import tqdm

from .answers import Answer, AnswerStream
from .encoders.media import one_line
from .encoders.modality import Vectors
from .errors import AnyBindError, UsageError
from .index.cache import Cache
from .index.mixing import Mixing
from .pipeline import Hit, Input, Media, Mixture, Query, only_medium
from .server.schemas import IndicesModel, ItemModel
from .wire import (
    KEY_VARIABLE,
    MOST_INPUTS,
    Asking,
    OneOfMany,
    Readiness,
    RemoteTurn,
    Request,
    Requests,
    Searching,
    Told,
    error_of,
    is_error,
    joined,
    parts_of,
    retry_after,
)

ADDRESS = "http://127.0.0.1:8000"  # where `anybind serve` listens unless told otherwise
TIMEOUT_SECONDS = 60.0  # without a byte from the server
RETRIES = 2  # of a request that the server had no room for
SPREAD = 0.5  # of a wait, at random on top: clients turned away together do not return together

T = TypeVar("T")


class _Base:
    """What both clients have: where the server is, who asks, and when to ask again."""

    def __init__(
        self,
        base_url: str = ADDRESS,
        *,
        key: str | None = None,
        index: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise UsageError(f"the server's address is {base_url!r}; write it as {ADDRESS}")
        key = os.environ.get(KEY_VARIABLE) if key is None else key
        self._address = base_url
        self._headers = {} if not key else {"Authorization": f"Bearer {key}"}
        self._timeout = timeout
        self._retries = retries
        self._requests = Requests(index)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say in the library's words that the server cannot be reached, or does not answer."""
        try:
            yield
        except httpx.TimeoutException:
            raise AnyBindError(
                f"{self._address} said nothing for {self._timeout:g} s; give a longer timeout="
            ) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise AnyBindError(
                f"{self._address} cannot be reached ({one_line(error)}); is the server running? "
                "anybind serve DIR"
            ) from None

    def _built(self, http: httpx.Client | httpx.AsyncClient, asked: Request[T]) -> httpx.Request:
        return http.build_request(
            asked.method,
            asked.path,
            content=asked.content,
            params=asked.params,
            headers={} if asked.content is None else {"Content-Type": "application/json"},
        )

    def _wait(self, response: httpx.Response, n_tried: int) -> float | None:
        """Seconds after which to ask again; ``None``: this is the answer.

        Only what the server did not begin comes with a time to wait, so asking again is safe.
        """
        wait = retry_after(response)
        busy = response.status_code in (
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        )
        if not busy or wait is None or n_tried >= self._retries or wait > self._timeout:
            return None
        return wait * (1 + random.uniform(0, SPREAD))


def _bar(media: Media, batch_size: int | None, progress: bool | None) -> "tqdm[NoReturn]":
    """Counts the items that were embedded, on stderr or nowhere."""
    modality, value = only_medium(media)
    n_items = len(value) if isinstance(value, list | tuple) else 1
    several = n_items > (batch_size or MOST_INPUTS)
    show = several and sys.stderr.isatty() if progress is None else progress
    return tqdm(total=n_items, unit=f" {modality}", disable=not show)


class Client(_Base):
    """A server of anybind, with the methods of :class:`.AnyBind`. Safe to call from many threads.

    Media are paths, bytes, file objects, PIL images, arrays or tensors, as the library takes them,
    or ``http://`` and ``https://`` addresses, which the server fetches if it is allowed to.

    Args:
        base_url: Where the server is, with the prefix that a proxy may give it.
        key: The server's API key, if it asks for one; by default ``ANYBIND_API_KEY``.
        index: The name of the index that is asked; by default the server's first.
        timeout: Seconds to wait for a byte of the server.
        retries: How often to ask again when the server is busy, after the time it says.
        transport: Carries the requests, instead of a network.

    Raises:
        UsageError: The address is no http URL. Of every method: the request is wrong, there is no
            such item or index, or the key is missing.
        MediaError: Of every method with media: one cannot be read.
        Overloaded: Of every method: the server is busy, also after all retries.
        IndexFolderError: The index is not open.
        WeightsError: The weights of the server do not fit.
        AnyBindError: The server cannot be reached, or failed.
    """

    def __init__(
        self,
        base_url: str = ADDRESS,
        *,
        key: str | None = None,
        index: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(base_url, key=key, index=index, timeout=timeout, retries=retries)
        with self._reaching():
            self._http = httpx.Client(
                base_url=base_url, headers=self._headers, timeout=timeout, transport=transport
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def embed(
        self,
        *,
        scaled: bool = False,
        batch_size: int | None = None,
        progress: bool | None = None,
        **media: Unpack[Media],
    ) -> Vectors:
        """Embed one item, or a list of items, of one modality.

        Args:
            scaled: ImageBind's own scale instead of unit length.
            batch_size: Items sent at once, at most; 16 if not given.
            progress: A bar on stderr; by default for several requests, on a terminal.
            media: The modality by name, with the item or the list.

        Returns:
            float32 ``(dim,)`` for one item, ``(n, dim)`` for a list; unit rows.
        """
        rows: list[Vectors] = []
        with _bar(media, batch_size, progress) as bar:
            for asked in self._requests.embed(media, batch_size, scaled):
                rows.append(self._do(asked))
                bar.update(len(rows[-1]))
        return joined(media, rows)

    def mix(
        self,
        *inputs: Input,
        centre: bool = False,
        mixing: str | Mixing = "anybind",
        cache: Cache | None = None,
        **query: Unpack[Query],
    ) -> Mixture:
        """Mix inputs into one vector; arguments and result are those of :meth:`.AnyBind.mix`."""
        return self._do(self._requests.mix(inputs, centre, mixing, cache, query))

    def search(self, *inputs: Input, **asked: Unpack[Searching]) -> list[Hit]:
        """Find the items nearest to one query, as :meth:`.AnyBind.search` does."""
        return self._do(self._requests.search(inputs, asked))

    def search_many(self, queries: Sequence[OneOfMany]) -> list[list[Hit]]:
        """Search with several queries, each a dictionary of the arguments of :meth:`search`.

        Parts with weights of their own are under ``inputs``.
        """
        found = [self._do(asked) for asked in self._requests.search_many(queries)]
        return [hits for some in found for hits in some]

    @overload
    def ask(
        self,
        question: str,
        *inputs: Input,
        stream: Literal[False] = False,
        **asked: Unpack[Asking],
    ) -> Answer: ...

    @overload
    def ask(
        self, question: str, *inputs: Input, stream: Literal[True], **asked: Unpack[Asking]
    ) -> AnswerStream: ...

    def ask(
        self, question: str, *inputs: Input, stream: bool = False, **asked: Unpack[Asking]
    ) -> Answer | AnswerStream:
        """Answer a question about media, as :meth:`.AnyBind.ask` does.

        Returns:
            The answer; or its pieces as they are drawn, and closing them stops the drawing. The
            vector of its query stays on the server and is empty here.
        """
        chat = self.chat()
        if stream:
            return chat.ask(question, *inputs, stream=True, **asked)
        return chat.ask(question, *inputs, **asked)

    def chat(self) -> "ClientChat":
        """Begin a conversation, whose turns may each show media of their own."""
        return ClientChat(self, self._requests)

    def item(self, id: int) -> ItemModel:
        """What the index knows of an item."""
        return self._do(self._requests.item(id))

    def image(self, id: int, size: int | None = None) -> bytes:
        """An item's picture: the original where the server has it; with a longer side of ``size``,
        or without an original, the small one that the index keeps, as WebP."""
        return self._do(self._requests.image(id, size))

    def indices(self) -> IndicesModel:
        """The indices that are served, and what can be asked."""
        return self._do(self._requests.indices())

    def reload(self) -> list[str]:
        """Swap to the newest generations; of one index if the client names one.

        Returns:
            The names of the indices that changed.
        """
        return self._do(self._requests.reload())

    def healthz(self) -> bool:
        """Whether the server answers."""
        try:
            return self._do(self._requests.healthz())
        except AnyBindError:
            return False

    def readyz(self) -> Readiness:
        """How far the parts of the server are."""
        return self._do(self._requests.readyz())

    def _do(self, asked: Request[T]) -> T:
        return asked.read(self._sent(asked))

    def _sent(self, asked: Request[T], *, stream: bool = False) -> httpx.Response:
        """The response to a request, asked again as often as it may be; no error."""
        n_tried = 0
        while True:
            with self._reaching():
                response = self._http.send(self._built(self._http, asked), stream=stream)
                wait = self._wait(response, n_tried)
                if wait is None:
                    if is_error(response, asked):
                        response.read()
                        raise error_of(response)
                    return response
                response.close()
            time.sleep(wait)
            n_tried += 1

    def _stream(self, asked: Request[Answer], done: Callable[[Answer], None]) -> AnswerStream:
        told = Told()
        pieces = self._pieces(asked, told)
        next(pieces, None)  # an empty one, where the answer begins
        return AnswerStream(pieces, told.begun, done)

    def _pieces(self, asked: Request[Answer], told: Told) -> Generator[str, None, None]:
        response = self._sent(asked, stream=True)
        try:
            with self._reaching():
                for chunk in response.iter_bytes():
                    yield from told.pieces(chunk)
        finally:
            response.close()
        told.check()


class AsyncClient(_Base):
    """As :class:`Client`, for asyncio; files are read and packed in threads."""

    def __init__(
        self,
        base_url: str = ADDRESS,
        *,
        key: str | None = None,
        index: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(base_url, key=key, index=index, timeout=timeout, retries=retries)
        with self._reaching():
            self._http = httpx.AsyncClient(
                base_url=base_url, headers=self._headers, timeout=timeout, transport=transport
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def embed(
        self,
        *,
        scaled: bool = False,
        batch_size: int | None = None,
        progress: bool | None = None,
        **media: Unpack[Media],
    ) -> Vectors:
        """As :meth:`Client.embed`."""
        with _bar(media, batch_size, progress) as bar:
            asked = self._requests.embed(media, batch_size, scaled)
            rows = await self._each(asked, lambda found: bar.update(len(found)))
        return joined(media, rows)

    async def mix(
        self,
        *inputs: Input,
        centre: bool = False,
        mixing: str | Mixing = "anybind",
        cache: Cache | None = None,
        **query: Unpack[Query],
    ) -> Mixture:
        """As :meth:`Client.mix`."""
        built = self._requests.mix
        return await self._do(await asyncio.to_thread(built, inputs, centre, mixing, cache, query))

    async def search(self, *inputs: Input, **asked: Unpack[Searching]) -> list[Hit]:
        """As :meth:`Client.search`."""
        return await self._do(await asyncio.to_thread(self._requests.search, inputs, asked))

    async def search_many(self, queries: Sequence[OneOfMany]) -> list[list[Hit]]:
        """As :meth:`Client.search_many`."""
        found = await self._each(self._requests.search_many(queries))
        return [hits for some in found for hits in some]

    @overload
    async def ask(
        self,
        question: str,
        *inputs: Input,
        stream: Literal[False] = False,
        **asked: Unpack[Asking],
    ) -> Answer: ...

    @overload
    async def ask(
        self, question: str, *inputs: Input, stream: Literal[True], **asked: Unpack[Asking]
    ) -> "AsyncAnswerStream": ...

    async def ask(
        self, question: str, *inputs: Input, stream: bool = False, **asked: Unpack[Asking]
    ) -> "Answer | AsyncAnswerStream":
        """As :meth:`Client.ask`; a stream is read with ``async for``."""
        chat = self.chat()
        if stream:
            return await chat.ask(question, *inputs, stream=True, **asked)
        return await chat.ask(question, *inputs, **asked)

    def chat(self) -> "AsyncClientChat":
        """As :meth:`Client.chat`."""
        return AsyncClientChat(self, self._requests)

    async def item(self, id: int) -> ItemModel:
        """As :meth:`Client.item`."""
        return await self._do(self._requests.item(id))

    async def image(self, id: int, size: int | None = None) -> bytes:
        """As :meth:`Client.image`."""
        return await self._do(self._requests.image(id, size))

    async def indices(self) -> IndicesModel:
        """As :meth:`Client.indices`."""
        return await self._do(self._requests.indices())

    async def reload(self) -> list[str]:
        """As :meth:`Client.reload`."""
        return await self._do(self._requests.reload())

    async def healthz(self) -> bool:
        """As :meth:`Client.healthz`."""
        try:
            return await self._do(self._requests.healthz())
        except AnyBindError:
            return False

    async def readyz(self) -> Readiness:
        """As :meth:`Client.readyz`."""
        return await self._do(self._requests.readyz())

    async def _do(self, asked: Request[T]) -> T:
        return asked.read(await self._sent(asked))

    async def _each(
        self, asked: Iterator[Request[T]], done: Callable[[T], object] = lambda answer: None
    ) -> list[T]:
        """The answers to several requests, each of which is made ready when the one before is
        answered; ``done`` is called with each."""
        found: list[T] = []
        while (one := await asyncio.to_thread(next, asked, None)) is not None:
            found.append(await self._do(one))
            done(found[-1])
        return found

    async def _sent(self, asked: Request[T], *, stream: bool = False) -> httpx.Response:
        """As :meth:`Client._sent`."""
        n_tried = 0
        while True:
            with self._reaching():
                response = await self._http.send(self._built(self._http, asked), stream=stream)
                wait = self._wait(response, n_tried)
                if wait is None:
                    if is_error(response, asked):
                        await response.aread()
                        raise error_of(response)
                    return response
                await response.aclose()
            await asyncio.sleep(wait)
            n_tried += 1

    async def _stream(
        self, asked: Request[Answer], done: Callable[[Answer], None]
    ) -> "AsyncAnswerStream":
        told = Told()
        pieces = self._pieces(asked, told)
        await anext(pieces, None)  # an empty one, where the answer begins
        return AsyncAnswerStream(pieces, told.begun, done)

    async def _pieces(self, asked: Request[Answer], told: Told) -> AsyncGenerator[str, None]:
        response = await self._sent(asked, stream=True)
        try:
            with self._reaching():
                async for chunk in response.aiter_bytes():
                    for piece in told.pieces(chunk):
                        yield piece
        finally:
            await response.aclose()
        told.check()


class AsyncAnswerStream(AsyncIterator[str]):
    """As :class:`.AnswerStream`, read with ``async for``."""

    def __init__(
        self,
        pieces: AsyncGenerator[str, None],
        begun: Answer,
        done: Callable[[Answer], None],
    ) -> None:
        self._pieces = pieces
        self._answer = begun
        self._done: Callable[[Answer], None] | None = done

    @property
    def answer(self) -> Answer:
        """As far as it was read; its citations are there from the start."""
        return self._answer

    async def __anext__(self) -> str:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            if self._done is not None:
                self._done(self._answer)
            self._done = None
            raise
        self._answer = replace(self._answer, text=self._answer.text + piece)
        return piece

    async def aclose(self) -> None:
        """Stop the drawing."""
        self._done = None
        await self._pieces.aclose()


class _Conversation:
    """The turns of a conversation. They are sent with each question: the server keeps none."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._turns: list[RemoteTurn] = []

    @property
    def turns(self) -> tuple[RemoteTurn, ...]:
        """What was asked and answered, the oldest first."""
        return tuple(self._turns)

    def reset(self) -> None:
        """Begin anew: nothing asked, nothing shown."""
        self._turns.clear()

    def _begin(
        self, question: str, inputs: Sequence[Input], asked: Asking, stream: bool
    ) -> tuple[Request[Answer], Callable[[Answer], None]]:
        """A question as a request, and what to call with its whole answer."""
        parts = parts_of(inputs, asked)

        def done(answer: Answer) -> None:
            turn = RemoteTurn(question=question, inputs=tuple(parts), answer=answer)
            self._turns.append(turn)

        return self._requests.ask(question, parts, asked, self._turns, stream=stream), done


class ClientChat(_Conversation):
    """A conversation with a server; see :meth:`Client.chat`. Each thread needs its own."""

    def __init__(self, client: Client, requests: Requests) -> None:
        super().__init__(requests)
        self._client = client

    @overload
    def ask(
        self,
        question: str,
        *inputs: Input,
        stream: Literal[False] = False,
        **asked: Unpack[Asking],
    ) -> Answer: ...

    @overload
    def ask(
        self, question: str, *inputs: Input, stream: Literal[True], **asked: Unpack[Asking]
    ) -> AnswerStream: ...

    def ask(
        self, question: str, *inputs: Input, stream: bool = False, **asked: Unpack[Asking]
    ) -> Answer | AnswerStream:
        """Answer a question, as :meth:`.Chat.ask` does.

        A stream that is not read to its end leaves the conversation as it was.
        """
        request, done = self._begin(question, inputs, asked, stream)
        if stream:
            return self._client._stream(request, done)
        answer = self._client._do(request)
        done(answer)
        return answer


class AsyncClientChat(_Conversation):
    """A conversation with a server, for asyncio; see :meth:`AsyncClient.chat`."""

    def __init__(self, client: AsyncClient, requests: Requests) -> None:
        super().__init__(requests)
        self._client = client

    @overload
    async def ask(
        self,
        question: str,
        *inputs: Input,
        stream: Literal[False] = False,
        **asked: Unpack[Asking],
    ) -> Answer: ...

    @overload
    async def ask(
        self, question: str, *inputs: Input, stream: Literal[True], **asked: Unpack[Asking]
    ) -> AsyncAnswerStream: ...

    async def ask(
        self, question: str, *inputs: Input, stream: bool = False, **asked: Unpack[Asking]
    ) -> Answer | AsyncAnswerStream:
        """As :meth:`ClientChat.ask`."""
        request, done = await asyncio.to_thread(self._begin, question, inputs, asked, stream)
        if stream:
            return await self._client._stream(request, done)
        answer = await self._client._do(request)
        done(answer)
        return answer
