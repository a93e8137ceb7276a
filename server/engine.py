"""Everything that routes ask for, without holding up the event loop.

A request's media are decoded in worker processes, encoded in batches with those of other requests,
and mixed, searched and answered in worker threads. Vectors of media that come again are remembered.
"""

import asyncio
import gc
import hashlib
import importlib
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from ..encoders.modality import Modality, Vectors
from ..errors import UsageError
from ..parts import EMBEDDING, ID
from .batching import Batcher
from .decoding import DecodePool, Limits
from .fetching import Fetcher
from .hub import LOADING, READY, Collection, Hub, reason_of
from .inputs import Part, Url
from .metrics import Metrics, Stage
from .problems import Problem
from .settings import Settings

if TYPE_CHECKING:
    from ..answers import Answer, CacheChoice
    from ..answers import Prepared as PreparedQuestion
    from ..encoders.encoder import Encoder
    from ..encoders.preprocess import Prepared
    from ..index.cache import Cache
    from ..index.filters import Filter
    from ..llm.config import Generation
    from ..llm.model import LanguageModel
    from ..llm.serving import ContinuousBatch, Said, Ticket
    from ..pipeline import Hit, Input, Mixture

logger = logging.getLogger(__name__)

DECODERS = "decoders"  # a part of the server
SEARCH_BATCH = 32  # searches done together
ITEM_THREADS = 2  # that read items and their pictures
WAITING_BATCHES = 4  # that may wait for an encoder or the search; more is refused
VECTOR_OVERHEAD = 200  # bytes that a remembered vector costs beside its numbers

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """One search."""

    inputs: "Sequence[Input]"  # media in them are embedded already
    k: int
    offset: int = 0
    dedup: float | None = None
    filter: "Filter | None" = None
    cache: "Cache | None" = None
    centre: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One question, with what was said before."""

    text: str
    inputs: "Sequence[Input]"
    history: "Sequence[tuple[str, str, Sequence[Input]]]"  # question, answer, and what was shown
    cache: "CacheChoice"
    centre: bool
    settings: "Generation"


class Drawing:
    """Pieces of an answer, from the thread that draws them to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ticket: Ticket | None = None  # there once the answer is asked for
        self._loop = loop
        self._said: asyncio.Queue[Said] = asyncio.Queue()

    def put(self, said: "Said") -> None:
        """Called in the thread that draws."""
        self._loop.call_soon_threadsafe(self._said.put_nowait, said)

    async def get(self) -> "Said":
        """The next piece; ``None`` at the end; an error."""
        return await self._said.get()


class Answering:
    """An answer that is being drawn.

    Attributes:
        begun: What it draws on, and how many turns had no room.
    """

    def __init__(self, begun: "Answer", drawing: Drawing, metrics: Metrics) -> None:
        self.begun = begun
        self._drawing = drawing
        self._metrics = metrics

    @property
    def ticket(self) -> "Ticket":
        """Its place among the answers; tells how many tokens there are, and why it ended."""
        assert self._drawing.ticket is not None
        return self._drawing.ticket

    async def text(self) -> str:
        """The whole answer; its task's end stops the drawing."""
        async with aclosing(self.pieces()) as pieces:
            return "".join([piece async for piece in pieces])

    async def pieces(self) -> AsyncGenerator[str]:
        """The answer as it is drawn. Closing the iterator, or its task's end, stops the drawing.

        Raises:
            AnyBindError: What ended the answer early.
        """
        try:
            with self._metrics.time(Stage.GENERATE):
                while (said := await self._drawing.get()) is not None:
                    if isinstance(said, Exception):
                        raise said
                    yield said
        finally:
            self.ticket.cancel()
            self._metrics.tokens(self.ticket.n_tokens)


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What one search found."""

    mixture: "Mixture"
    hits: "list[Hit]"


class Engine:
    """Encodes, searches and answers for all routes. For one event loop.

    Args:
        hub: What is served.
        settings: The operator's limits.
        metrics: Where stages and batches are counted.
        fetcher: Fetches inputs that are URLs; ``None`` refuses them.
        n_decoders: Processes that decode media.
    """

    def __init__(
        self,
        hub: Hub,
        settings: Settings,
        metrics: Metrics,
        fetcher: Fetcher | None,
        *,
        n_decoders: int,
    ) -> None:
        self.hub = hub
        self.settings = settings
        self.metrics = metrics
        self._fetcher = fetcher
        self._n_decoders = n_decoders
        self._decoders: dict[str, DecodePool] = {}  # by the encoder's fingerprint
        self._answers: dict[LanguageModel, ContinuousBatch] = {}
        self._decoding = LOADING
        self._threads = ThreadPoolExecutor(thread_name_prefix="engine")
        self._item_threads = ThreadPoolExecutor(ITEM_THREADS, thread_name_prefix="items")
        self._fetching = asyncio.Semaphore(settings.max_fetches)
        self._reloading = asyncio.Lock()
        self._encoders: dict[tuple[str, str, bool], Batcher[object, Vectors]] = {}
        self._searches = self._batcher(self._search_batch, "search", max_batch=SEARCH_BATCH)
        self._vectors = _Remembered(settings.embedding_cache_bytes)
        metrics.gauges(
            "anybind_index_generation", "Of each index", "index", lambda: dict(hub.generations)
        )
        metrics.gauge("anybind_answers_running", "Answers that are being drawn", self._n_running)
        metrics.gauges("anybind_waiting", "Items that wait for a batch", "work", self._waiting)

    async def inputs(
        self,
        collection: Collection,
        parts: Sequence[Part],
        places: asyncio.Semaphore | None = None,
        *,
        scaled: bool = False,
    ) -> "list[Input]":
        """Parts with their media embedded, all at the same time.

        Args:
            collection: Whose encoder embeds.
            parts: Any number.
            places: How many parts of one request may be in work at once. More of them wait here,
                so that a large request is never one too many for a queue.
            scaled: In ImageBind's own scale instead of unit length.

        Raises:
            UsageError: The encoder has no tower for a part, a text is empty, or URLs are refused.
            MediaError: A part cannot be fetched or read.
            Overloaded: Too many inputs wait.
        """
        from ..pipeline import Encoded, Input

        async def one(part: Part) -> Input:
            value: object = part.value
            if isinstance(value, list) and part.modality != EMBEDDING:
                value = Encoded(np.asarray(value, np.float32))
            elif part.modality not in (ID, EMBEDDING):
                async with places or nullcontext():
                    value = Encoded(await self._vector(collection.ab.encoder, part, scaled))
            return Input(part.modality, value, weight=part.weight)

        return await all_of([one(part) for part in parts])

    async def search(self, collection: Collection, wanted: Sequence[Wanted]) -> list[Found]:
        """The neighbours of queries, and what they were mixed to.

        Raises:
            UsageError: As :meth:`.pipeline.AnyBind.search`.
            Overloaded: Too many queries wait.
        """
        with self.metrics.time(Stage.SEARCH):
            return await self._searches.submit([(collection, each) for each in wanted])

    async def read_items(self, work: Callable[[], Result]) -> Result:
        """Read items or their pictures, in threads of their own: searches do not wait for them."""
        return await _in(self._item_threads, work)

    async def mix(
        self,
        collection: Collection,
        inputs: "Sequence[Input]",
        *,
        centre: bool,
        mixing: str,
        cache: "Cache | None",
    ) -> "Mixture":
        """Inputs as one vector.

        Raises:
            UsageError: As :meth:`.pipeline.AnyBind.mix`.
        """
        return await self.in_thread(
            lambda: collection.ab.mix(*inputs, centre=centre, mixing=mixing, cache=cache)
        )

    async def ask(self, collection: Collection, question: Question) -> Answering:
        """Begin an answer.

        Raises:
            UsageError: As :meth:`.pipeline.AnyBind.ask`.
            Problem: The language model is not loaded.
            Overloaded: Too many answers wait.
        """
        from ..answers import Chat
        from ..llm.presets import Task

        self.hub.check_answers()
        chat = Chat(collection.ab, Task.CHAT if question.history else Task.ASK)

        def prepare() -> "PreparedQuestion":
            for asked, answer, inputs in question.history:
                chat.remember(asked, answer, *inputs, cache=question.cache, centre=question.centre)
            return chat.prepare(
                question.text,
                *question.inputs,
                cache=question.cache,
                centre=question.centre,
                settings=question.settings,
            )

        prepared = await self.in_thread(prepare)
        drawing = Drawing(asyncio.get_running_loop())
        batch = self._batch_of(chat.model)
        submitting = asyncio.ensure_future(
            self.in_thread(
                lambda: batch.submit(
                    prepared.pieces, prepared.vectors, prepared.settings, on_piece=drawing.put
                )
            )
        )
        try:
            drawing.ticket = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            submitting.add_done_callback(_give_up)
            raise
        return Answering(begun=prepared.begun, drawing=drawing, metrics=self.metrics)

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Do something that blocks in a thread."""
        return await _in(self._threads, work)

    @property
    def parts(self) -> Mapping[str, str]:
        """How far each part of the server is: ``ready``, ``loading``, or why it failed."""
        return {**self.hub.parts, DECODERS: self._decoding}

    async def load(self) -> None:
        """Open the indices and start the decoders; then load the language model, whose many imports
        would hold up the first search."""
        loop = asyncio.get_running_loop()
        warming: list[Future[None]] = []  # of the first index, beside the opening of the others

        def begin(collection: Collection) -> None:
            warming.append(asyncio.run_coroutine_threadsafe(self._warm(collection), loop))

        imports = asyncio.to_thread(importlib.import_module, "torch")  # beside the indices
        await asyncio.gather(imports, asyncio.to_thread(self.hub.open_indices, begin))
        if not warming:
            self._decoding = "they start with an index, and none could be opened"
        for each in warming:
            await asyncio.wrap_future(each)
        await asyncio.to_thread(self.hub.load_language_model)
        await asyncio.to_thread(_settle)

    async def reload(self, name: str | None = None) -> list[str]:
        """Swap to the newest generations, as :meth:`Hub.reload`; one reload at a time.

        Returns:
            The names of the indices that changed.

        Raises:
            Problem: There is no such index (404); or some cannot be opened, and their running
                generations stay (503).
        """
        async with self._reloading:
            none = not self.hub.generations
            changed, failed = await asyncio.to_thread(self.hub.reload, name)
            if none and changed:
                await self._warm(self.hub.get(changed[0]))
                await asyncio.to_thread(self.hub.load_language_model)
            if changed:
                await asyncio.to_thread(_settle)
        if failed:
            reasons = "; ".join(
                f"{each} could not be opened: {reason}" for each, reason in failed.items()
            )
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{reasons}; reloaded: {', '.join(changed) or 'nothing'}",
                kind="index",
            )
        return changed

    async def close(self) -> None:
        """Let go of threads and processes; what runs is finished."""
        for batch in self._answers.values():
            await asyncio.to_thread(partial(batch.close, drain=True))
        for pool in self._decoders.values():
            await asyncio.to_thread(pool.close)
        for threads in (self._threads, self._item_threads):
            await asyncio.to_thread(threads.shutdown)

    async def _warm(self, collection: Collection) -> None:
        """Start the decoders, and read the tower that most queries need."""
        try:
            text = Part(modality=str(Modality.TEXT), value="a picture", weight=1.0)
            await all_of(
                [self._pool(collection.ab.encoder).started(), self._warm_up(collection, text)]
            )
        except Exception as error:
            self._decoding = reason_of(error, DECODERS)
        else:
            self._decoding = READY

    async def _warm_up(self, collection: Collection, part: Part) -> None:
        await self.inputs(collection, [part])

    # ------------------------------------------------------------------------------ embedding

    async def _vector(self, encoder: "Encoder", part: Part, scaled: bool) -> Vectors:
        """The vector of a text or a medium ``(dim,)``."""
        value = part.value
        if isinstance(value, Url):
            async with self._fetching:  # until it is decoded: files in memory are few
                part = replace(part, value=await self._fetched(value))
                return await self._vector(encoder, part, scaled)
        assert isinstance(value, str | bytes)  # a file that is never a path
        key = _key(encoder, f"{part.modality}{' scaled' if scaled else ''}", value)
        vector = self._vectors.get(key)
        self.metrics.remembered(vector is not None)
        if vector is None:
            modality = Modality(part.modality)
            prepared: object = value
            if isinstance(value, bytes):
                with self.metrics.time(Stage.DECODE):
                    prepared = await self._pool(encoder).prepare(modality, value)
            elif not value.strip():
                raise UsageError("the text is empty; say what to look for")
            with self.metrics.time(Stage.ENCODE):
                (vector,) = await self._encoder(encoder, modality, scaled).submit([prepared])
            vector = vector.copy()  # a view would keep its whole batch in memory
            self._vectors.put(key, vector)
        return vector

    def _pool(self, encoder: "Encoder") -> DecodePool:
        """The processes that prepare media for an encoder."""
        key = encoder.fingerprint
        if key not in self._decoders:
            self._decoders[key] = DecodePool(
                {m: encoder.preprocessor(m) for m in encoder.modalities if m != Modality.TEXT},
                n_workers=self._n_decoders,
                limits=Limits(
                    memory_bytes=self.settings.decode_bytes, seconds=self.settings.decode_seconds
                ),
            )
        return self._decoders[key]

    async def _fetched(self, url: Url) -> bytes:
        if self._fetcher is None:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "this server fetches no URLs (start it with --allow-url-fetch); send the file "
                "itself as data",
                kind="url-fetch",
            )
        with self.metrics.time(Stage.FETCH):
            return await self._fetcher.fetch(url.address)

    def _encoder(
        self, encoder: "Encoder", modality: Modality, scaled: bool
    ) -> Batcher[object, Vectors]:
        """The batches of one tower's modality, at unit length or in ImageBind's own scale."""
        key = (encoder.fingerprint, str(modality), scaled)
        if key not in self._encoders:
            most = self.settings.encode_batch or encoder.batch_size(modality)

            def work(items: list[object]) -> Sequence[Vectors]:
                if modality is Modality.TEXT:
                    return list(encoder.encode(modality, items, batch_size=most, scaled=scaled))
                prepared = cast("list[Prepared]", items)
                return list(
                    encoder.encode_prepared(modality, prepared, batch_size=most, scaled=scaled)
                )

            self._encoders[key] = self._batcher(work, str(modality), max_batch=most)
        return self._encoders[key]

    def _batcher(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        name: str,
        *,
        max_batch: int,
    ) -> Batcher[Item, Result]:
        return Batcher(
            work,
            self._threads,
            max_batch=max_batch,
            max_waiting=WAITING_BATCHES * max(max_batch, self.settings.max_parts),
            name=name,
            observe=self.metrics.batch(name),
        )

    def _waiting(self) -> dict[str, float]:
        """Items that wait, by the work they wait for."""
        waiting = {"search": float(self._searches.n_waiting)}
        for (_, modality, _), batcher in self._encoders.items():
            waiting[modality] = waiting.get(modality, 0) + batcher.n_waiting
        for batch in self._answers.values():
            waiting["answer"] = waiting.get("answer", 0) + batch.n_waiting
        return waiting

    def _n_running(self) -> int:
        return sum(batch.n_running for batch in self._answers.values())

    # ------------------------------------------------------------------- searching and answering

    def _batch_of(self, model: "LanguageModel") -> "ContinuousBatch":
        """Where the answers of a language model are drawn together."""
        from ..llm.serving import ContinuousBatch

        if model not in self._answers:
            self._answers[model] = ContinuousBatch(
                model,
                max_batch=self.settings.answer_batch,
                max_waiting=self.settings.max_answers,
                observe=self.metrics.batch("answer"),
            )
        return self._answers[model]

    def _search_batch(self, asked: list[tuple[Collection, Wanted]]) -> list[Found]:
        """Searches of any indices; those of one are done together."""
        from ..pipeline import Asked

        found: dict[int, Found] = {}
        for collection in dict.fromkeys(collection for collection, _ in asked):
            places = [i for i, (own, _) in enumerate(asked) if own is collection]
            some = [asked[i][1] for i in places]
            ab = collection.ab
            mixtures = [ab.mix(*each.inputs, centre=each.centre) for each in some]
            pulled = [
                (i, each.cache)
                for i, each in enumerate(some)
                if each.cache is not None and ab.is_pulled(each.inputs, each.cache)
            ]
            if pulled:
                before = [mixtures[i] for i, _ in pulled]
                after = ab.enhance(before, [cache for _, cache in pulled])
                for (i, _), mixture in zip(pulled, after, strict=True):
                    mixtures[i] = mixture
            hits = ab.neighbours(
                [
                    Asked(
                        vector=mixture.vector,
                        k=each.k,
                        offset=each.offset,
                        dedup=each.dedup,
                        filter=each.filter,
                    )
                    for mixture, each in zip(mixtures, some, strict=True)
                ]
            )
            for place, mixture, own in zip(places, mixtures, hits, strict=True):
                found[place] = Found(mixture=mixture, hits=own)
        return [found[i] for i in range(len(asked))]


class _Remembered:
    """Vectors of inputs that came before, the latest used kept, up to a number of bytes."""

    def __init__(self, n_bytes: int) -> None:
        self._limit = n_bytes
        self._bytes = 0
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()

    def get(self, key: bytes) -> Vectors | None:
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: bytes, vector: Vectors) -> None:
        if key not in self._vectors:
            self._bytes += vector.nbytes + VECTOR_OVERHEAD
        self._vectors[key] = vector
        while self._bytes > self._limit:
            _, oldest = self._vectors.popitem(last=False)
            self._bytes -= oldest.nbytes + VECTOR_OVERHEAD


def _key(encoder: "Encoder", kind: str, value: str | bytes) -> bytes:
    """What tells inputs apart."""
    content = value.encode() if isinstance(value, str) else value
    head = f"{encoder.fingerprint} {kind} {type(value).__name__} ".encode()
    return hashlib.blake2b(head + content, digest_size=16).digest()


async def _in(threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    run = copy_context().run  # its log lines carry the number of this request
    return await asyncio.get_running_loop().run_in_executor(threads, run, work)


def _settle() -> None:
    """Tell the garbage collector that what is loaded stays. It would look at all of it again and
    again while requests wait: a fifth of a second each time, once torch is imported."""
    gc.unfreeze()  # what was swapped out may go
    gc.collect()
    gc.freeze()


def _give_up(submitting: "asyncio.Future[Ticket]") -> None:
    """Stop an answer that was asked for while its client left."""
    if not submitting.cancelled() and submitting.exception() is None:
        submitting.result().cancel()


async def all_of(work: Sequence[Coroutine[object, object, Result]]) -> list[Result]:
    """Results of things done at the same time; when one fails, the others are cancelled."""
    if len(work) == 1:
        return [await work[0]]
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
