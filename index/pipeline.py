"""Building an index: samples in, shards out, then a FAISS index over all of them.

Worker processes decode, this thread encodes, another one writes. In memory are at most the shard
being filled, the one being written (vectors, rows, thumbnails), a batch of decoded media, and the
decoded chunks that wait (``decode.CHUNKS_AHEAD`` a worker). A shard counts once the manifest lists
it, so a build that was stopped goes on after its last complete shard.
"""

import fcntl
import hashlib
import logging
import os
import queue
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Never, TypeVar

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from ..encoders.maps import DepthPreprocessor
from ..encoders.modality import Modality, Vectors
from ..encoders.preprocess import CLIPPED, Prepared
from ..errors import AnyBindError, IndexFolderError, UsageError
from ..files import writing
from .decode import CHUNK, CHUNK_OF, Decoded, Decoders, Outcome, Recipe
from .generation import build_generation
from .layout import MANIFEST, erase
from .manifest import Counts, EncoderId, Json, Manifest, SourceInfo
from .measure import MAX_QUERIES
from .protocols import Encoder
from .shards import (
    ROWS_PER_SHARD,
    Row,
    SkippedItem,
    read_skipped,
    reading,
    shard_problems,
    write_shard,
)
from .sources import open_source
from .sources.base import NOUN_OF, Sample, Source, count

logger = logging.getLogger(__name__)

ENCODE_ITEMS = 64  # items (of sounds and videos: clips) handed to the encoder at once: full
# matrices, and often enough a sign of life
REASONS_SHOWN = 5  # kinds of failure named at the end; errors.parquet has every item
SEED = 0  # of the captions that recall is measured with
_NUMBERS = re.compile(r"\d[\d,]*")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build, and where."""

    source: str  # one of sources.KINDS
    inputs: tuple[str, ...] = ()  # paths, globs, braces; for the world the name of a split
    out: Path  # the index folder
    modality: Modality = Modality.IMAGE  # what the items are
    limit: int | None = None  # samples read at most
    batch_size: int | None = None  # items the encoder sees at once; None: it decides
    workers: int | None = None  # decoding processes; None: one a core
    thumbnails: bool = True  # keep 256 px pictures in the index
    restart: bool = False  # discard what is in the folder

    def __post_init__(self) -> None:
        if self.modality not in list(Modality):
            raise UsageError(
                f"modality {self.modality!r} is unknown; there are {', '.join(Modality)}"
            )
        object.__setattr__(self, "modality", Modality(self.modality))  # it may be a plain string
        for name in ("limit", "batch_size", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; give at least 1")


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What came of a build."""

    folder: str
    state: str  # "built", or "already built"
    modality: str  # of the items
    source: str  # what was read
    input: int  # items of the source: those indexed and those skipped
    indexed: int
    corrupt: int  # skipped; errors.parquet names each
    errors: Mapping[str, int] = field(default_factory=dict[str, int])  # commonest reasons
    encoded: int = 0  # items that this run encoded; the others were there already
    seconds: float = 0.0  # of this run's decoding and encoding
    items_per_second: float = 0.0
    generation: int  # number of the FAISS index
    factory: str  # what kind it is
    recall_at_10: float  # against exact search, of the query modality that fares worst

    def to_dict(self) -> dict[str, Json]:
        """For ``--json``."""
        return asdict(self)

    def __str__(self) -> str:
        """For a terminal."""
        noun = NOUN_OF[Modality(self.modality)]
        lines = [
            f"{self.folder}: {self.state}, {count(self.indexed, noun)} of {self.input:,} from "
            f"{self.source}"
        ]
        if self.encoded:
            lines.append(
                f"encoded {self.encoded:,} in {self.seconds:.1f} s "
                f"({self.items_per_second:.1f} items/s)"
            )
        if self.corrupt:
            lines.append(f"skipped {count(self.corrupt, 'item')}, listed in errors.parquet:")
            lines += [f"  {n:,} x {reason}" for reason, n in self.errors.items()]
        lines.append(
            f"index {self.generation}: {self.factory}, recall@10 {self.recall_at_10:.3f} "
            "against exact search"
        )
        return "\n".join(lines)


def build_index(options: BuildOptions, encoder: Encoder, *, progress: bool = True) -> BuildReport:
    """Build the index of a collection, or go on with one that was stopped.

    Args:
        options: What to build, and where.
        encoder: What makes the vectors; if it encodes text, recall is measured with captions too.
        progress: Show a bar on stderr, if that is a terminal.

    Returns:
        Counts, rates and recall; also when the index was finished before and nothing was done.

    Raises:
        UsageError: The inputs hold no such collection, or the encoder cannot encode it.
        IndexFolderError: The folder holds an index of another encoder, modality, input or other
            options; another build is writing to it; or the disk is full.
        AnyBindError: Nothing could be indexed.
    """
    recipe = Recipe(
        modality=options.modality,
        prepare=encoder.preprocessor(options.modality),
        thumbnails=options.thumbnails,
    )
    folder = options.out
    with _locked(folder):
        there = _there(options, recipe, encoder)
        source = open_source(
            options.source,
            options.inputs,
            modality=options.modality,
            out=folder,
            limit=options.limit,
            progress=progress and sys.stderr.isatty(),
        )
        manifest = (
            _begin(options, recipe, encoder, source)
            if there is None
            else _go_on(options, there, source)
        )
        if manifest.state == "complete" and _has_index(folder, manifest):
            return _report(folder, manifest, source, state="already built")
        manifest = _without_damage(folder, manifest)
        n_before = manifest.counts.input
        start = time.perf_counter()
        manifest = _encode(options, encoder, recipe, source, manifest, progress=progress)
        seconds = time.perf_counter() - start
        encoded = manifest.counts.input - n_before
        if not manifest.counts.indexed:
            reasons = ", ".join(_reasons(folder, manifest)) or "it has no samples"
            noun = NOUN_OF[options.modality]
            raise AnyBindError(
                f"none of {count(manifest.counts.input, noun)} from {source.description} could "
                f"be indexed: {reasons}"
            )
        rate = encoded / seconds
        manifest = build_generation(
            folder,
            queries=_caption_queries(folder, manifest, encoder),
            centres=encoder.centres,
            figures={"encoded": encoded, "seconds": round(seconds, 3), "items_per_second": rate},
        )
        report = _report(folder, manifest, source, state="built")
        return replace(report, encoded=encoded, seconds=seconds, items_per_second=rate)


# ------------------------------------------------------------------------- the folder to build in


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other builds out of a folder; the lock ends with the process, however it ends."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IndexFolderError(
                f"another build is writing to {folder}; wait for it, or choose another folder"
            ) from None
        yield
    finally:
        os.close(descriptor)
        with suppress(OSError):
            folder.rmdir()  # it is empty when nothing came of the build


def _there(options: BuildOptions, recipe: Recipe, encoder: Encoder) -> Manifest | None:
    """The manifest that lies in the folder, if it fits what is asked for; None: begin anew.

    Raises:
        IndexFolderError: It is of another encoder, kind of source, or other options.
    """
    folder = options.out
    if not (folder / MANIFEST).exists():
        return None
    if options.restart:
        erase(folder, _modality_there(folder) or options.modality)
        return None
    there = Manifest.load(folder)
    there.check_encoder(folder, encoder)
    was = {"source": there.source.kind, "modality": there.modality, **there.settings}
    now: dict[str, Json] = {"source": options.source, "modality": str(options.modality)}
    now |= _settings(options, recipe)
    _refuse(
        folder,
        [f"{key} was {was.get(key)}, now {now[key]}" for key in now if was.get(key) != now[key]],
    )
    return there


def _modality_there(folder: Path) -> str | None:
    """What a folder holds an index of, if its manifest can be read."""
    try:
        return Manifest.load(folder).modality
    except IndexFolderError:
        return None


def _begin(options: BuildOptions, recipe: Recipe, encoder: Encoder, source: Source) -> Manifest:
    """A new index folder with nothing in it yet."""
    manifest = Manifest(
        modality=str(options.modality),
        encoder=EncoderId.of(encoder),
        source=_source_info(options, source),
        settings={**_settings(options, recipe), **_listing(source)},
    )
    manifest.save(options.out)
    return manifest


def _go_on(options: BuildOptions, there: Manifest, source: Source) -> Manifest:
    """The manifest of a folder that was begun with the same input.

    Raises:
        IndexFolderError: The input has changed.
    """
    was, now = there.settings, _listing(source)
    if any(was.get(name) != now[name] for name in now):
        how = "" if was.get("bytes") != now["bytes"] else " with other names or sizes"
        _refuse(
            options.out,
            [
                f"the input was {was.get('files')} files of {was.get('bytes')} bytes, now it is "
                f"{now['files']} of {now['bytes']}{how}"
            ],
        )
    return replace(there, source=_source_info(options, source))  # it may lie elsewhere now


def _refuse(folder: Path, differences: list[str]) -> None:
    """Raise if what is asked for differs from what the folder was begun with."""
    if differences:
        raise IndexFolderError(
            f"{folder} was begun with something else: {'; '.join(differences)}; repeat what it "
            "was begun with, choose another folder, or begin anew with --restart"
        )


def _settings(options: BuildOptions, recipe: Recipe) -> dict[str, Json]:
    """The options that the content of the index depends on."""
    settings: dict[str, Json] = {
        "limit": options.limit,
        "batch_size": options.batch_size,
        "thumbnails": options.thumbnails,
    }
    if isinstance(recipe.prepare, DepthPreprocessor):
        settings["depth_scale"] = recipe.prepare.depth_scale
    return settings


def _source_info(options: BuildOptions, source: Source) -> SourceInfo:
    """Where the items come from, for the manifest."""
    return SourceInfo(kind=source.kind, input=options.inputs, root=_root(source.root, options.out))


def _listing(source: Source) -> dict[str, Json]:
    """The source's files in short, to notice when the input has changed."""
    digest = hashlib.sha256()
    n_files = n_bytes = 0
    for name, size in source.files():
        digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
        n_files += 1
        n_bytes += size
    return {"files": n_files, "bytes": n_bytes, "listing": f"sha256:{digest.hexdigest()}"}


def _root(root: Path, folder: Path) -> str:
    """The source's root: from the index folder if they share more than the root of the disk."""
    there, here = os.path.realpath(root), os.path.realpath(folder)
    shared = os.path.commonpath([there, here])
    return there if shared == os.path.dirname(shared) else os.path.relpath(there, here)


def _has_index(folder: Path, manifest: Manifest) -> bool:
    """Whether the FAISS file that a finished manifest names is there."""
    return manifest.generation is not None and (folder / manifest.generation.index).exists()


def _without_damage(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest without its last shard, if that is not as it was written."""
    if not manifest.shards:
        return manifest
    *before, last = manifest.shards
    first_id = manifest.counts.indexed - last.rows
    problems = list(shard_problems(folder, last, first_id=first_id, dim=manifest.encoder.dim))
    if not problems:
        return manifest
    logger.warning("encoding the last shard again: %s", "; ".join(problems))
    manifest = replace(manifest, shards=(), counts=Counts())
    for entry in before:
        manifest = manifest.with_shard(entry)
    return manifest


# ----------------------------------------------------------------------------------- the encoding


@dataclass(slots=True)
class _Shard:
    """A shard that is being filled."""

    modality: Modality
    number: int
    first_input: int  # position in the source of its first sample
    first_id: int  # id of its first row
    n_inputs: int = 0
    rows: list[Row] = field(default_factory=list[Row])
    skipped: list[SkippedItem] = field(default_factory=list[SkippedItem])
    thumbnails: dict[int, bytes] = field(default_factory=dict[int, bytes])
    prepared: list[Prepared] = field(default_factory=list[Prepared])  # not encoded yet
    n_passes: int = 0  # items, or clips, in that list
    vectors: list[Vectors] = field(default_factory=list[Vectors])

    def add(self, sample: Sample, outcome: Outcome) -> None:
        """Account for the next input."""
        position = self.first_input + self.n_inputs
        self.n_inputs += 1
        if not isinstance(outcome, Decoded):
            self.skipped.append(
                SkippedItem(input=position, key=sample.key, path=sample.path, reason=outcome)
            )
            return
        is_picture = self.modality is Modality.IMAGE
        facts = outcome.facts
        row = Row(
            id=self.first_id + len(self.rows),
            key=sample.key,
            caption=sample.caption,
            url=sample.url,
            image_path=sample.path if is_picture else None,
            path=None if is_picture else sample.path,
            width=facts.width,
            height=facts.height,
            duration=facts.duration,
            n_points=facts.n_points,
            sha256=outcome.sha256,
            extra=sample.extra,
        )
        self.rows.append(row)
        self.prepared.append(outcome.prepared)
        self.n_passes += len(outcome.prepared) if self.modality in CLIPPED else 1
        if outcome.thumbnail is not None:
            self.thumbnails[row.id] = outcome.thumbnail


def _encode(
    options: BuildOptions,
    encoder: Encoder,
    recipe: Recipe,
    source: Source,
    manifest: Manifest,
    *,
    progress: bool,
) -> Manifest:
    """Read the rest of the source into shards; the manifest lists each once it is complete."""
    done = manifest.counts
    samples = source.samples(done.input)
    if options.limit is not None:
        samples = islice(samples, options.limit - done.input)
    shard = _Shard(options.modality, len(manifest.shards), done.input, done.indexed)
    chunks = _chunks(samples, CHUNK_OF.get(options.modality, CHUNK))
    saving: Future[Manifest] | None = None
    n_corrupt = done.corrupt
    with (
        _bar(source, options.limit, done.input, show=progress) as bar,
        ThreadPoolExecutor(1, "shard-writer") as writer,
        Decoders(recipe, n_workers=options.workers or os.cpu_count() or 1) as decoders,
        _ahead(decoders.run(chunks), decoders.stop) as decoded,
    ):
        for chunk in decoded:
            for sample, outcome in chunk:
                shard.add(sample, outcome)
                full = shard.n_inputs == ROWS_PER_SHARD
                if full or shard.n_passes >= (options.batch_size or ENCODE_ITEMS):
                    _encode_pending(encoder, shard, options.batch_size)
                    if n_skipped := n_corrupt + len(shard.skipped):
                        bar.set_postfix_str(f"{n_skipped:,} skipped", refresh=False)
                    bar.update(shard.first_input + shard.n_inputs - bar.n)
                if full:
                    manifest = saving.result() if saving else manifest
                    saving = writer.submit(_save_shard, options, manifest, shard)
                    n_corrupt += len(shard.skipped)
                    shard = _Shard(
                        options.modality,
                        shard.number + 1,
                        shard.first_input + shard.n_inputs,
                        shard.first_id + len(shard.rows),
                    )
        manifest = saving.result() if saving else manifest
        if shard.n_inputs:
            _encode_pending(encoder, shard, options.batch_size)
            bar.update(shard.first_input + shard.n_inputs - bar.n)
            manifest = _save_shard(options, manifest, shard)
    return manifest


def _encode_pending(encoder: Encoder, shard: _Shard, batch_size: int | None) -> None:
    """Encode what has gathered in a shard."""
    if shard.prepared:
        vectors = encoder.encode_prepared(shard.modality, shard.prepared, batch_size=batch_size)
        shard.vectors.append(vectors)
        shard.prepared = []
        shard.n_passes = 0


def _save_shard(options: BuildOptions, manifest: Manifest, shard: _Shard) -> Manifest:
    """Write a shard, and the manifest that lists it."""
    empty = np.empty((0, manifest.encoder.dim), np.float32)
    entry = write_shard(
        options.out,
        options.modality,
        shard.number,
        np.concatenate([empty, *shard.vectors]),
        shard.rows,
        thumbnails=shard.thumbnails if options.thumbnails else None,
        skipped=shard.skipped,
    )
    manifest = manifest.with_shard(entry)
    manifest.save(options.out)
    return manifest


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


@contextmanager
def _ahead(items: Iterator[T], interrupt: Callable[[], None]) -> Iterator[Iterator[T]]:
    """Run an iterator in a thread of its own, at most one item ahead of who takes them.

    Args:
        items: The iterator.
        interrupt: Called in the end, to wake the thread if it waits for an item.
    """
    ready: queue.Queue[T | BaseException | None] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def put(item: T | BaseException | None) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    def take() -> Iterator[T]:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=work, name="decoding", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stop.set()
        interrupt()
        thread.join()


def _bar(source: Source, limit: int | None, done: int, *, show: bool) -> "tqdm[Never]":
    """A progress bar over the samples; tqdm shows none where stderr is no terminal."""
    estimate = source.estimate() if show and sys.stderr.isatty() else None
    total = min((n for n in (estimate, limit) if n is not None), default=None)
    return tqdm(
        total=total, initial=done, unit=" items", smoothing=0.05, disable=None if show else True
    )


# ------------------------------------------------------------------------------------ the reports


def _caption_queries(folder: Path, manifest: Manifest, encoder: Encoder) -> dict[str, Vectors]:
    """Vectors of some captions, drawn from all rows; empty where there is no text to encode.

    The captions of texts are the texts themselves, which ask for nothing but what is indexed.
    """
    if Modality.TEXT not in encoder.modalities or manifest.modality == Modality.TEXT:
        return {}
    rng = np.random.default_rng(SEED)
    n_rows = manifest.counts.indexed
    chosen = np.sort(rng.choice(n_rows, min(n_rows, MAX_QUERIES), replace=False))
    captions: list[str] = []
    first = 0
    for entry in manifest.shards:
        rows = chosen[(first <= chosen) & (chosen < first + entry.rows)] - first
        first += entry.rows
        if len(rows):
            with reading(folder / entry.metadata) as path:
                column = pq.read_table(path, columns=["caption"])["caption"]
                captions += [text for row in rows if (text := column[int(row)].as_py())]
    if not captions:
        return {}
    prepare = encoder.preprocessor(Modality.TEXT)
    prepared = [prepare(caption) for caption in captions]
    return {str(Modality.TEXT): encoder.encode_prepared(Modality.TEXT, prepared)}


def _reasons(folder: Path, manifest: Manifest) -> dict[str, int]:
    """The commonest reasons for skipping an item, with numbers in them blotted out."""
    reasons: Counter[str] = Counter()
    for entry in manifest.shards:
        if entry.inputs > entry.rows:
            reasons.update(_NUMBERS.sub("N", s.reason) for s in read_skipped(folder, entry))
    return dict(reasons.most_common(REASONS_SHOWN))


def _report(folder: Path, manifest: Manifest, source: Source, *, state: str) -> BuildReport:
    """What a finished manifest says."""
    generation = manifest.generation
    assert generation is not None, "a complete manifest names a generation"
    return BuildReport(
        folder=str(folder),
        state=state,
        modality=manifest.modality,
        source=f"{source.kind}: {source.description}",
        input=manifest.counts.input,
        indexed=manifest.counts.indexed,
        corrupt=manifest.counts.corrupt,
        errors=_reasons(folder, manifest),
        generation=generation.number,
        factory=generation.factory,
        recall_at_10=generation.recall_at_10,
    )
