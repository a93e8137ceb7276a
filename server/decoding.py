"""Decoding media that nobody vouches for, in processes that may die.

A decoder is a large C library, and a file may be made to crash it, to stall it or to fill the
memory. So each item is prepared in a worker process with a limit of memory and of time; whatever
becomes of the worker, the server lives, that one item is refused, and a new worker takes its place.

The wire carries raw bytes both ways, never a pickle, and only bytes are sent: what a request holds
is never taken for the name of a file. A worker keeps no file, no core dump and no environment.
Limits of memory and of files hold on Linux.
"""

import asyncio
import json
import logging
import math
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import TypedDict

import numpy as np

from ..encoders.media import label, one_line
from ..encoders.modality import Modality
from ..encoders.preprocess import Prepared, Preprocessor
from ..errors import AnyBindError, MediaError, UsageError

logger = logging.getLogger(__name__)

# Imported once, before the workers are forked off, so that a replaced one starts at once.
PRELOADED = ("anybind.server.decoding", "PIL.JpegImagePlugin", "av", "soundfile", "trimesh")
START_SECONDS = 60.0  # for a worker to come up on a busy machine
GRACE_SECONDS = 1.0  # after which a worker whose server is gone ends by itself
MAX_FILES = 64  # open at once in a worker
MAX_HEAD_BYTES = 65_536  # of what a worker says about its result
MAX_PREPARED_BYTES = 64 * 2**20  # of a result: a video of 15 clips at 224 pixels has 18 MB
READY = b"ready"
WORKER_NAME = "anybind-decoder"  # of the processes


class DecoderDied(MediaError):
    """The worker ended while it decoded an item: the item crashed the decoder."""


class DecodedTooLong(MediaError):
    """An item was not decoded within its time, and its worker was ended."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one item may take."""

    memory_bytes: int  # above what a worker holds once everything is imported
    seconds: float  # from sending the item to having its result

    def __post_init__(self) -> None:
        if self.memory_bytes < 1 or not 0 < self.seconds < math.inf:
            raise ValueError(f"{self} leaves nothing to decode with")


class Head(TypedDict, total=False):
    """What a worker says about its result, in JSON: either an array follows, or why none does."""

    shape: list[int]
    dtype: str  # numpy's
    refused: str  # what is wrong with the item
    failed: str  # an error that no loader should let through
    trace: str  # of that error


class DecodePool:
    """Worker processes that prepare media for an encoder. Safe to call from many event loops.

    Args:
        preprocessors: ``Encoder.preprocessor(modality)`` of each modality that may come.
        n_workers: Items decoded at once; more wait in the order of their arrival.
        limits: What one item may take.
    """

    def __init__(
        self, preprocessors: Mapping[Modality, Preprocessor], *, n_workers: int, limits: Limits
    ) -> None:
        if n_workers < 1:
            raise ValueError(f"{n_workers} workers decode nothing; give at least 1")
        self.preprocessors = dict(preprocessors)
        self.limits = limits
        self._closed = False
        self._workers = [_Worker(self.preprocessors, limits) for _ in range(n_workers)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(n_workers, thread_name_prefix="decode")
        self._starting = [self._threads.submit(self._start, worker) for worker in self._workers]

    async def started(self) -> None:
        """Wait until every worker has imported what it needs, which begins by itself.

        Raises:
            AnyBindError: A worker does not come up, for example for want of memory.
        """
        await asyncio.gather(*map(asyncio.wrap_future, self._starting))

    async def prepare(self, modality: Modality, content: bytes) -> Prepared:
        """Prepare the content of one file.

        If the waiting task is cancelled, an item that has not begun is dropped; one that has is
        finished for nobody.

        Raises:
            MediaError: It is damaged, too large, not what it claims to be, or one of
                :class:`DecoderDied` and :class:`DecodedTooLong`.
            UsageError: There is no decoder for ``modality``.
            TypeError: ``content`` is not bytes; a string would be opened as a path.
        """
        if not isinstance(content, bytes):
            raise TypeError(f"content is {type(content).__name__}; only bytes are decoded")
        if modality not in self.preprocessors:
            known = ", ".join(self.preprocessors)
            raise UsageError(f"{modality} cannot be decoded here; there are {known}")
        return await asyncio.wrap_future(self._threads.submit(self._decode, modality, content))

    def close(self) -> None:
        """End all workers; what they were decoding is refused."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.end()

    def _start(self, worker: "_Worker") -> None:
        """Start a worker; in a thread of the pool, which decodes afterwards."""
        try:
            worker.start()
            worker.wait_until_ready()
        finally:
            self._idle.put(worker)

    def _decode(self, modality: Modality, content: bytes) -> Prepared:
        """Prepare one item with whichever worker is free; in a thread of the pool."""
        worker = self._idle.get()
        try:
            worker.start()
            worker.wait_until_ready()
            return worker.decode(modality, content)
        finally:
            try:
                if not self._closed:
                    with suppress(AnyBindError):  # which the next item will meet, and tell
                        worker.start()
            finally:
                self._idle.put(worker)


class _Worker:
    """One process after another, and the wire to the present one; used by one thread at a time."""

    def __init__(self, preprocessors: Mapping[Modality, Preprocessor], limits: Limits) -> None:
        self._preprocessors = preprocessors
        self._limits = limits
        self._process: BaseProcess | None = None
        self._ready = False
        self._broken = False

    def start(self) -> None:
        """Start a process, unless one runs already, in the place of one that has ended.

        Raises:
            AnyBindError: The system lets no process start.
        """
        if self._process is not None:
            if not self._broken and self._process.is_alive() and not self._hung_up():
                return
            self.end()
        # Never a plain fork: a copy of a process whose threads hold locks may wait for ever.
        posix = os.name == "posix"
        context = get_context("forkserver") if posix else get_context("spawn")
        context.set_forkserver_preload(list(PRELOADED))
        arguments = (self._preprocessors, self._limits)
        try:
            self._wire, theirs = context.Pipe()
            process = context.Process(
                target=serve, args=(theirs, *arguments), name=WORKER_NAME, daemon=True
            )
            process.start()
        except (OSError, EOFError) as error:
            raise AnyBindError(
                f"no decoder process can be started: {one_line(error)}; free memory and processes"
            ) from None
        theirs.close()
        self._process = process
        self._ready = self._broken = False

    def _hung_up(self) -> bool:
        """Whether an idle process has ended, or says something unasked; its wire tells first."""
        try:
            return self._ready and self._wire.poll(0)
        except OSError:
            return True

    def wait_until_ready(self) -> None:
        """Wait until everything is imported, which does not count as an item's time.

        Raises:
            AnyBindError: The process does not come up.
        """
        if self._ready:
            return
        with suppress(EOFError, OSError):
            self._ready = self._wire.poll(START_SECONDS) and self._wire.recv_bytes() == READY
        if not self._ready:
            self._broken = True
            raise AnyBindError("a decoder process does not come up; look at the log and the memory")

    def kill(self) -> None:
        """End the process at once, which ends whatever waits for it with an error."""
        self._broken = True
        if self._process is not None:
            with suppress(ValueError):  # its own thread has just put it away
                self._process.kill()

    def end(self) -> None:
        """End the process and leave nothing of it; by the thread that uses it."""
        self.kill()
        if self._process is not None:
            self._process.join()
            self._process.close()
            self._process = None
            self._wire.close()

    def decode(self, modality: Modality, content: bytes) -> Prepared:
        """Prepare one item; raises as :meth:`DecodePool.prepare`."""
        what = f"{label(content)} of {modality}"
        late = threading.Event()

        def expire() -> None:
            late.set()
            self.kill()  # which ends the waiting for the wire

        clock = threading.Timer(self._limits.seconds, expire)
        clock.start()
        try:
            self._wire.send_bytes(modality.encode())
            self._wire.send_bytes(content)
            head: Head = json.loads(self._wire.recv_bytes(MAX_HEAD_BYTES))
            if not isinstance(head, dict):
                raise TypeError("its answer is no head")
            if "shape" in head and "dtype" in head:
                body = self._wire.recv_bytes(MAX_PREPARED_BYTES)
                return np.frombuffer(body, np.dtype(head["dtype"])).reshape(head["shape"])
        except Exception as error:  # one that was taken over may answer anything
            self._broken = True
            if late.is_set():
                raise DecodedTooLong(
                    f"{what} takes more than {self._limits.seconds:g} s to decode; cut or shrink it"
                ) from None
            logger.warning(
                "decoder died modality=%s bytes=%d exit=%s error=%r",
                *(modality, len(content), self._exit_code(), error),
            )
            raise DecoderDied(
                f"the decoder died on {what}; the file is damaged or too large"
            ) from None
        finally:
            clock.cancel()
            clock.join()  # so that it cannot end the next item's process
        if "refused" in head:
            raise MediaError(_printable(head["refused"]))
        logger.error("decoder failed modality=%s\n%s", modality, head.get("trace"))
        raise AnyBindError(f"the decoder failed on {what}: {_printable(head.get('failed'))}")

    def _exit_code(self) -> int | None:
        """How the process ended: minus the signal that ended it; None if it runs on."""
        if self._process is None:
            return None
        self._process.join(GRACE_SECONDS)
        return self._process.exitcode


def _printable(message: object) -> str:
    """What a worker said, in one line that a terminal only shows: it may quote the file."""
    line = " ".join(str(message).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def serve(wire: Connection, preprocessors: Mapping[Modality, Preprocessor], limits: Limits) -> None:
    """What a worker does: prepare items until the server hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which ends its workers
    warnings.simplefilter("ignore")  # of numbers that overflow in a damaged file
    os.environ.clear()  # no decoder needs it, and it may hold keys
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, should a .pt file make it come
    if sys.platform == "linux":
        _confine(limits.memory_bytes)
    with open(os.devnull, "w") as nowhere:  # C libraries print what is wrong with a file
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    with suppress(EOFError, OSError):
        wire.send_bytes(READY)
        while True:
            modality = Modality(wire.recv_bytes().decode())
            content = wire.recv_bytes()
            if os.name == "posix":  # an alarm ends a process, also one that is deep in a C library
                signal.setitimer(signal.ITIMER_REAL, limits.seconds + GRACE_SECONDS)
            head, body = _attempt(preprocessors[modality], content, limits)
            if os.name == "posix":
                signal.setitimer(signal.ITIMER_REAL, 0)
            wire.send_bytes(json.dumps(head).encode())
            if body is not None:
                wire.send_bytes(body)


def _attempt(
    prepare: Preprocessor, content: bytes, limits: Limits
) -> tuple[Head, memoryview | None]:
    """Prepare one item: what became of it, and the bytes of its array."""
    try:
        array = np.ascontiguousarray(prepare(content))
    except MemoryError:
        megabytes = limits.memory_bytes // 2**20
        refused = f"{label(content)} needs more than {megabytes} MiB to decode; cut or shrink it"
        return Head(refused=refused), None
    except MediaError as error:
        return Head(refused=str(error)[: MAX_HEAD_BYTES // 8]), None
    except Exception as error:
        failed = f"{type(error).__name__}: {one_line(error)}"
        trace = traceback.format_exc()
        cut = MAX_HEAD_BYTES // 16  # a character may take six in JSON
        return Head(failed=failed[:cut], trace=trace[-cut:]), None
    head = Head(shape=list(array.shape), dtype=array.dtype.str)
    return head, array.reshape(-1).view(np.uint8).data


def _confine(memory_bytes: int) -> None:
    """Limit this process to ``memory_bytes`` above what it has, few files, and none written.

    The limit counts memory that is written (RLIMIT_DATA), not the addresses that threads reserve
    and never touch, of which many cores would take gigabytes.
    """
    import resource

    status = Path("/proc/self/status").read_text()
    words = status.partition("VmData:")[2].split()
    held = int(words[0]) * 1024
    bounds = {
        resource.RLIMIT_DATA: held + memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: MAX_FILES,
    }
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            bound = min(bound, hard)
        resource.setrlimit(kind, (bound, bound))
