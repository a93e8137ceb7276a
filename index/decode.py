"""Decoding in other processes: places of media in, arrays ready for the encoder out, in order.

A worker is a bare Python that imports numpy and Pillow, and what else a medium needs when the first
one comes. It is started as a
program of its own, not through ``multiprocessing``, which would import the caller's script again in
each worker. It ends when its connection closes, so none outlives the build, however that ends.
"""

import hashlib
import io
import os
import re
import stat
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Self

from PIL import Image, ImageOps

from ..encoders.audio import RATE, AudioPreprocessor, load_resampled, load_sound
from ..encoders.clouds import PointsPreprocessor, load_cloud
from ..encoders.images import FORMATS, ImagePreprocessor, open_image
from ..encoders.maps import DepthPreprocessor
from ..encoders.media import Waveform
from ..encoders.modality import Modality
from ..encoders.preprocess import Prepared, Preprocessor
from ..encoders.video import VideoPreprocessor, read_timeline
from ..errors import AnyBindError, MediaError
from .sources.base import Media, Sample
from .thumbnails import SIDE, encode_thumbnail

CHUNK = 16  # samples sent to a worker at once: about 40 ms of work when pictures are small
CHUNK_OF = {Modality.AUDIO: 2, Modality.VIDEO: 1}  # of many clips: megabytes each, and slow
CHUNKS_AHEAD = 4  # a worker: decoded samples waiting are at most this many chunks a worker
MAX_MEDIA_BYTES = 512 * 2**20  # of one medium, as it lies on the disk
MAX_DEATHS = 2  # workers one item may kill before it is given up
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
_NAME = re.compile(r"^<[^<>]*>:? ?")  # what loaders call bytes and arrays in their messages
NICENESS = 10  # workers give way to the encoder, which waits for them when it has nothing to do


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What is made of every medium of a build; it travels to the workers."""

    modality: Modality  # of the media
    prepare: Preprocessor  # the encoder's preparation of one
    thumbnails: bool  # whether to make small pictures as well


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is seen of a medium while it is decoded."""

    width: int | None = None  # of a picture, px, whole and upright
    height: int | None = None
    duration: float | None = None  # of a sound or a video, seconds
    n_points: int | None = None  # of a cloud, as read from its file


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """A medium, ready to be encoded and described."""

    prepared: Prepared  # what the encoder's preprocessor makes of it
    facts: Facts
    sha256: str  # of its bytes, hexadecimal
    thumbnail: bytes | None  # WebP


Outcome = Decoded | str  # or why there is none, one line


def decode(media: Media, recipe: Recipe) -> Outcome:
    """Read and decode one medium once, for the encoder and for the thumbnail."""
    try:
        content = read(media)
    except MediaError as error:
        return str(error)
    try:
        prepared, facts, thumbnail = (
            _decode_picture(content, recipe.prepare, recipe)
            if isinstance(recipe.prepare, ImagePreprocessor)
            else _decode_other(content, recipe)
        )
    except MediaError as error:
        return _NAME.sub("", str(error))
    except MemoryError:
        return "there is not enough memory to decode it"
    digest = hashlib.sha256(content).hexdigest()
    return Decoded(prepared=prepared, facts=facts, sha256=digest, thumbnail=thumbnail)


def _decode_picture(
    content: bytes, prepare: ImagePreprocessor, recipe: Recipe
) -> tuple[Prepared, Facts, bytes | None]:
    """A picture is decoded no larger than the encoder and the thumbnail need it."""
    image = open_image(content, reference=prepare.reference, min_side=prepare.min_side)
    with Image.open(io.BytesIO(content), formats=FORMATS) as header:
        width, height = header.size  # a JPEG may have been decoded smaller
    if (width > height) != (image.width > image.height):
        width, height = height, width  # and turned upright
    shown = ImageOps.exif_transpose(image) if prepare.reference else image
    thumbnail = encode_thumbnail(shown) if recipe.thumbnails else None
    return prepare.crop(image), Facts(width=width, height=height), thumbnail


def _decode_other(content: bytes, recipe: Recipe) -> tuple[Prepared, Facts, bytes | None]:
    """Any other medium; what its loader gives serves the preprocessor and the drawing alike."""
    item: object = content
    facts = Facts()
    scale: dict[str, float] = {}
    match recipe.prepare:
        case AudioPreprocessor(reference=True):
            item = sound = load_sound(content)
            facts = Facts(duration=sound.samples.shape[1] / sound.rate)
        case AudioPreprocessor():
            item = sound = Waveform(samples=load_resampled(content)[None], rate=RATE)
            facts = Facts(duration=sound.samples.shape[1] / sound.rate)
        case VideoPreprocessor():
            facts = Facts(duration=read_timeline(content).duration)
        case PointsPreprocessor():
            item = points = load_cloud(content)
            facts = Facts(n_points=len(points))
        case DepthPreprocessor(depth_scale=depth_scale):
            scale = {"depth_scale": depth_scale}
        case _ if recipe.modality is Modality.TEXT:
            item = _text(content)
    prepared = recipe.prepare(item)
    if not recipe.thumbnails:
        return prepared, facts, None
    from ..drawings import draw

    return prepared, facts, encode_thumbnail(draw(recipe.modality, item, SIDE, **scale))


def _text(content: bytes) -> str:
    """The text in a file."""
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise MediaError("is not text in UTF-8") from None
    if not text:
        raise MediaError("is an empty text")
    return text


def read(media: Media) -> bytes:
    """The bytes of a medium, wherever they are.

    Raises:
        MediaError: They cannot be read, are too many, or end early.
    """
    if isinstance(media, bytes):
        return media
    try:
        if not stat.S_ISREG(os.stat(media.file).st_mode):  # a pipe might never end
            raise MediaError("is no ordinary file")
        with open(media.file, "rb") as file:
            size = media.size
            if size is None:
                size = os.fstat(file.fileno()).st_size
            if size > MAX_MEDIA_BYTES:
                raise MediaError(f"has {size:,} bytes; at most {MAX_MEDIA_BYTES:,}")
            file.seek(media.offset)
            content = file.read(size)
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror or error}") from None
    if len(content) != size:
        raise MediaError("ends early: the file was changed while it was read")
    return content


def serve(descriptor: int) -> None:
    """A worker's life: decode what comes over the connection until it is closed."""
    os.nice(NICENESS)
    with Connection(descriptor) as connection, suppress(EOFError, ConnectionError):
        recipe: Recipe = connection.recv()
        connection.send(None)  # ready
        while True:
            chunk: list[Media] = connection.recv()
            connection.send([decode(media, recipe) for media in chunk])


@dataclass(slots=True)
class _Chunk:
    """Samples that are handed on together, once all have an outcome."""

    samples: Sequence[Sample]
    outcomes: dict[int, Outcome] = field(default_factory=dict[int, "Outcome"])  # by position


@dataclass(slots=True)
class _Task:
    """Samples of one chunk for one worker."""

    chunk: _Chunk
    positions: list[int]
    deaths: int = 0  # workers that died of it


class _Worker:
    """One process and the connection to it."""

    def __init__(self, recipe: Recipe) -> None:
        self.connection, theirs = Pipe()
        program = f"from {serve.__module__} import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            pass_fds=[theirs.fileno()],
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the builder's is for its result
            process_group=0,  # Ctrl-C goes to the builder alone
        )
        theirs.close()
        self._ready = False
        with suppress(ConnectionError):  # told by receive
            self.connection.send(recipe)

    def send(self, media: list[Media | None]) -> None:
        """Give it something to decode."""
        with suppress(ConnectionError):  # it died in the meantime: told by receive
            self.connection.send(media)

    def receive(self) -> list[Outcome] | None:
        """What came of it; None when the process died of it.

        Raises:
            AnyBindError: The process did not even start.
        """
        try:
            if not self._ready:
                self.connection.recv()
                self._ready = True
            outcomes: list[Outcome] = self.connection.recv()
        except (EOFError, OSError):
            if not self._ready:
                raise AnyBindError(
                    f"a decoding process could not start ({sys.executable}); what it said is above"
                ) from None
            return None
        return outcomes

    def kill(self) -> None:
        """End the process, whatever it is doing; :meth:`receive` then gives None."""
        self._process.kill()

    def close(self) -> None:
        """End the process and the connection."""
        self._process.kill()
        self._process.wait()
        self.connection.close()


class Decoders:
    """A pool of workers.

    Args:
        recipe: What is made of every medium.
        n_workers: Processes.
    """

    def __init__(self, recipe: Recipe, *, n_workers: int) -> None:
        self._recipe = recipe
        self._n_ahead = CHUNKS_AHEAD * n_workers
        self._stopped = False
        self._workers = [self._new_worker() for _ in range(n_workers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.close()

    def stop(self) -> None:
        """End :meth:`run` soon, from another thread: what is being decoded is given up."""
        self._stopped = True
        for worker in self._workers:
            worker.kill()

    def run(self, chunks: Iterable[Sequence[Sample]]) -> Iterator[list[tuple[Sample, Outcome]]]:
        """Decode chunks of samples; they come out in the order they went in.

        A worker that dies takes nothing with it: the samples it had are tried again one at a time,
        and one that kills ``MAX_DEATHS`` workers is given up.
        """
        source = iter(chunks)
        window: deque[_Chunk] = deque()  # all that was read and not yet handed on
        tasks: deque[_Task] = deque()
        idle = list(self._workers)
        busy: dict[Connection, tuple[_Worker, _Task]] = {}
        while True:
            while len(window) < self._n_ahead and (samples := next(source, None)) is not None:
                chunk = _Chunk(samples)
                window.append(chunk)
                known = {i: s.problem for i, s in enumerate(samples) if s.media is None}
                chunk.outcomes.update(known)
                if open_ := [i for i in range(len(samples)) if i not in known]:
                    tasks.append(_Task(chunk, open_))
                self._assign(tasks, idle, busy)
            if not window:
                return
            if len(window[0].outcomes) == len(window[0].samples):
                chunk = window.popleft()
                yield [(sample, chunk.outcomes[i]) for i, sample in enumerate(chunk.samples)]
                continue
            self._assign(tasks, idle, busy)
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker, task = busy.pop(connection)
                outcomes = worker.receive()
                if self._stopped:
                    return
                if outcomes is None:
                    tasks.extendleft(reversed(self._retry(task)))
                    worker = self._replace(worker)
                else:
                    task.chunk.outcomes.update(zip(task.positions, outcomes, strict=True))
                idle.append(worker)

    def _assign(
        self,
        tasks: deque[_Task],
        idle: list[_Worker],
        busy: dict[Connection, tuple[_Worker, _Task]],
    ) -> None:
        """Give tasks to idle workers, one each."""
        while tasks and idle:
            worker, task = idle.pop(), tasks.popleft()
            busy[worker.connection] = worker, task
            worker.send([task.chunk.samples[i].media for i in task.positions])

    def _retry(self, task: _Task) -> list[_Task]:
        """What to do again after a worker died of a task: its samples one at a time, or nothing."""
        if len(task.positions) > 1:
            return [_Task(task.chunk, [position]) for position in task.positions]
        if task.deaths + 1 < MAX_DEATHS:
            return [_Task(task.chunk, task.positions, task.deaths + 1)]
        task.chunk.outcomes[task.positions[0]] = "decoding it ends the process that tries"
        return []

    def _replace(self, worker: _Worker) -> _Worker:
        """A new worker in the place of a dead one."""
        worker.close()
        new = self._new_worker()
        self._workers[self._workers.index(worker)] = new
        return new

    def _new_worker(self) -> _Worker:
        return _Worker(self._recipe)
