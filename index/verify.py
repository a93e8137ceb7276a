"""Checking an index folder to the last byte, and saying what it holds."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from ..encoders.modality import Modality
from ..errors import IndexFolderError
from ..files import sha256_file
from .layout import ERRORS, size_in_bytes
from .manifest import Json, Manifest
from .search import Index
from .shards import iter_rows, reading, shard_problems
from .sources.base import NOUN_OF, count

SAMPLED_ITEMS = 64  # compared between shards and FAISS, and their thumbnails decoded
SAMPLED_SHARDS = 16  # whose rows are compared with the catalog
SEED = 0  # of the samples
SAME = 0.999  # cosine of a vector with itself after quantisation to float16 residuals


def verify(folder: Path) -> Iterator[str]:
    """Every problem of an index folder, a line each; nothing when it is as it was built.

    Every checksum is computed again; alignment between shards, FAISS, catalog and thumbnails is
    checked on a seeded sample.

    Raises:
        IndexFolderError: There is no index, or its manifest cannot be read.
    """
    manifest = Manifest.load(folder)
    first_id = n_inputs = 0
    sound = True
    for entry in manifest.shards:
        for problem in shard_problems(folder, entry, first_id=first_id, dim=manifest.encoder.dim):
            yield problem
            sound = False
        first_id += entry.rows
        n_inputs += entry.inputs
    counts = manifest.counts
    if (n_inputs, first_id) != (counts.input, counts.indexed) or (
        counts.indexed + counts.corrupt != counts.input
    ):
        yield (
            f"manifest.json: counts {counts.input} = {counts.indexed} + {counts.corrupt}, its "
            f"shards {n_inputs} = {first_id} + {n_inputs - first_id}"
        )
    generation = manifest.generation
    if manifest.state != "complete" or generation is None:
        yield (
            f"the build stopped after {counts.input} items; "
            "run the same build-index command again to finish it"
        )
        return
    try:
        actual = sha256_file(folder / generation.index)
    except OSError as error:
        yield f"{generation.index}: {error.strerror}"
        return
    if actual != generation.sha256:
        yield (
            f"{generation.index}: its sha256 is {actual[:12]}…, the manifest says "
            f"{generation.sha256[:12]}…"
        )
        return
    link = folder / Path(generation.index).name
    if not link.is_file() or sha256_file(link) != generation.sha256:
        yield f"{link.name}: it is not the index of generation {generation.number}"
    try:
        with reading(folder / ERRORS) as path:
            n_errors = pq.read_metadata(path).num_rows
        if n_errors != counts.corrupt:
            yield f"{ERRORS}: {n_errors} rows, the manifest says {counts.corrupt}"
        if sound:
            yield from _misalignments(Index.open(folder))
    except IndexFolderError as error:
        yield str(error)


def describe(folder: Path) -> dict[str, Json]:
    """The facts of an index folder, finished or not, for showing.

    Raises:
        IndexFolderError: There is no index, or its manifest cannot be read.
    """
    manifest = Manifest.load(folder)
    facts: dict[str, Json] = {
        "folder": str(folder),
        "state": manifest.state,
        "holds": count(manifest.counts.indexed, NOUN_OF[Modality(manifest.modality)]),
        "modality": manifest.modality,
        "encoder": manifest.encoder.name,
        "fingerprint": manifest.encoder.fingerprint,
        "dim": manifest.encoder.dim,
        "reference": manifest.encoder.reference,
        "source": manifest.source.kind,
        "input": list(manifest.source.input),
        "inputs": manifest.counts.input,
        "indexed": manifest.counts.indexed,
        "corrupt": manifest.counts.corrupt,
        "shards": len(manifest.shards),
        "thumbnails": any(entry.thumbnails for entry in manifest.shards),
        "centres": list(manifest.centres),
    }
    if manifest.generation is not None:
        facts |= {
            "generation": manifest.generation.number,
            "factory": manifest.generation.factory,
            "search": dict(manifest.generation.search),
            "recall_at_10": manifest.generation.recall_at_10,
            "report": str((folder / manifest.generation.index).with_name("report.html")),
        }
    return facts | {
        "bytes": size_in_bytes(folder, manifest.modality),
        "created": manifest.created,
        "anybind": manifest.anybind,
    }


def _misalignments(index: Index) -> Iterator[str]:
    """Items whose vector, row or thumbnail belongs to another item."""
    rng = np.random.default_rng(SEED)
    items = rng.choice(len(index), min(SAMPLED_ITEMS, len(index)), replace=False)
    vectors = index.stored(items)  # of the shards, since the index itself is in question
    found = index.search(vectors, 1).ids[:, 0]
    cosines = np.einsum("nd,nd->n", vectors, index.stored(found))
    for item in items[cosines < SAME]:
        yield f"item {item}: searching with its vector finds another item"
    for item in items:
        if problem := _thumbnail_problem(index, int(item)):
            yield f"item {item}: {problem}"
    shards = index.manifest.shards
    for number in rng.choice(len(shards), min(SAMPLED_SHARDS, len(shards)), replace=False):
        rows = next(iter_rows(index.folder, [shards[number]]))
        if index.rows([row.id for row in rows]) != rows:
            yield f"catalog.sqlite: its rows differ from {shards[number].metadata}"


def _thumbnail_problem(index: Index, item: int) -> str | None:
    """Why an item's thumbnail cannot be shown; None when it can, or when there is none."""
    picture = index.thumbnail(item)
    if picture is None:
        return None
    try:
        Image.open(io.BytesIO(picture), formats=["WEBP"]).load()
    except (OSError, ValueError, SyntaxError) as error:
        return f"its thumbnail cannot be read ({error})"
    return None
