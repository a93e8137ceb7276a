"""A generation: one FAISS index over all shards, checked, reported on, and published at once.

It is written aside, measured as the file that will be searched, and renamed into place; then the
catalog and the table of errors follow, and the manifest that names them all goes last. Whatever
interrupts this, the folder holds what it held before. The generation before the new one stays, for
readers that are just opening it; older ones are removed.
"""

import logging
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np

from ..encoders.modality import Modality, Vectors
from ..errors import IndexFolderError
from ..files import atomic_path, remove, sha256_file
from . import faiss_index
from .catalog import fill_catalog
from .embeddings import Embeddings
from .factory import POINTS_PER_LIST, choose_factory
from .layout import CATALOG, GENERATIONS, generation_folder
from .manifest import Generation, Json, Manifest
from .measure import QuerySet, measure, query_sets, recall_of, similarity_histogram
from .report import Probe, Report
from .shards import iter_rows, write_errors

logger = logging.getLogger(__name__)

RECALL_TARGET = 0.95  # recall@10 that the worst query modality has to reach
CENTRE_DIGITS = 7  # after the point; vectors are float32
SEED = 0  # of the training sample, the queries and FAISS's clustering


def build_generation(
    folder: Path,
    *,
    queries: Mapping[str, Vectors] | None = None,
    centres: Mapping[Modality, Vectors] | None = None,
    figures: Mapping[str, Json] | None = None,
) -> Manifest:
    """Build, check and publish the FAISS index of a folder whose shards are complete.

    Args:
        folder: An index folder.
        queries: Unit rows ``(n, dim)`` by modality, encoded from items that are not indexed (for
            text: captions), to measure recall with. Indexed vectors with noise are added for the
            index's own modality if it has none here.
        centres: Mean vectors ``(dim,)`` by modality, as the encoder brings them; that of the
            index is computed from its rows, that of text from its queries, when there are any.
        figures: Facts of the encoding (seconds, items a second, ...) to put into the report.

    Returns:
        The manifest of the finished index, as saved.

    Raises:
        IndexFolderError: Nothing was indexed, a shard is damaged, or the disk is full.
    """
    manifest = Manifest.load(folder)
    embeddings = Embeddings(folder, manifest.shards, manifest.encoder.dim)
    if not len(embeddings):
        raise IndexFolderError(
            f"nothing to search in {folder}: none of {manifest.counts.input} items was indexed"
        )
    number = 1 if manifest.generation is None else manifest.generation.number + 1
    place = generation_folder(number)
    index_name = f"{manifest.modality}.index"
    infos_name = f"{manifest.modality}.json"
    factory = choose_factory(len(embeddings))

    errors = write_errors(folder, manifest.shards)
    with atomic_path(folder / place) as aside:
        aside.mkdir()
        index, centroid, seconds = _fill(embeddings, factory)
        sets = query_sets(embeddings, manifest.modality, queries or {}, seed=SEED)
        nprobe, front = _choose_nprobe(index, embeddings, sets)
        if nprobe is not None:
            faiss_index.set_nprobe(index, nprobe)
        faiss_index.save(index, aside / index_name)

        n_bytes = (aside / index_name).stat().st_size
        index = faiss_index.load(aside / index_name, n_bytes=n_bytes)  # as it will be searched
        measured = {
            name: measure(index, embeddings, centroid, asked, nprobe=nprobe)
            for name, asked in sets.items()
        }
        generation = Generation(
            number=number,
            index=f"{place}/{index_name}",
            factory=factory,
            search={} if nprobe is None else {"nprobe": nprobe},
            recall_at_10=round(min(f.recall_at_10 for f in measured.values()), 4),
            sha256=sha256_file(aside / index_name),
            bytes=n_bytes,
        )
        edges, counts = similarity_histogram(sets)
        report = Report(
            generation=generation,
            encoder=manifest.encoder,
            modality=manifest.modality,
            source=manifest.source,
            counts=manifest.counts,
            errors=dict(errors.most_common()),
            rows=len(embeddings),
            recall_target=RECALL_TARGET,
            queries=measured,
            front=front,
            similarity_edges=edges,
            similarity_counts=counts,
            build={**(figures or {}), **seconds},
            cpus=os.cpu_count() or 1,
            faiss=faiss.__version__,
            created=manifest.created,
            anybind=manifest.anybind,
        )
        (aside / "report.json").write_text(report.to_json(), encoding="utf-8")
        (aside / "report.html").write_text(report.to_html(), encoding="utf-8")
        (aside / infos_name).write_text(report.infos(), encoding="utf-8")

    with atomic_path(folder / CATALOG) as path:
        fill_catalog(path, iter_rows(folder, manifest.shards))
    for name in (index_name, infos_name):
        _link(folder / name, f"{place}/{name}")
    finished = replace(
        manifest,
        state="complete",
        generation=generation,
        centres=_centres(centres or {}, sets, manifest.modality, centroid),
    )
    finished.save(folder)
    _remove_older(folder, number)
    logger.info(
        "built index rows=%d factory=%s recall_at_10=%.4f",
        *(len(embeddings), factory, generation.recall_at_10),
    )
    return finished


def _fill(embeddings: Embeddings, factory: str) -> tuple[faiss.Index, Vectors, dict[str, float]]:
    """Train an index on a random sample and add every vector, a shard at a time.

    Returns:
        The index, the mean of its vectors ``(dim,)``, and the seconds of both steps.
    """
    index = faiss_index.make(factory, embeddings.dim)
    start = time.perf_counter()
    if (n_lists := faiss_index.n_lists(index)) is not None:
        size = min(len(embeddings), POINTS_PER_LIST * n_lists)
        sample = np.random.default_rng(SEED).choice(len(embeddings), size, replace=False)
        index.train(embeddings.take(np.sort(sample)))
    trained = time.perf_counter()
    total = np.zeros(embeddings.dim)
    for _, chunk in embeddings.iter_chunks():
        index.add(chunk)
        total += chunk.sum(axis=0)
    seconds = {
        "index_train_seconds": round(trained - start, 3),
        "index_add_seconds": round(time.perf_counter() - trained, 3),
    }
    return index, (total / len(embeddings)).astype(np.float32), seconds


def _choose_nprobe(
    index: faiss.Index, embeddings: Embeddings, sets: Mapping[str, QuerySet]
) -> tuple[int | None, list[Probe]]:
    """The smallest power of two that meets the recall for every query modality.

    Returns:
        nprobe, None for an index without lists; and what each value tried gave.
    """
    n_lists = faiss_index.n_lists(index)
    if n_lists is None:
        return None, []
    front: list[Probe] = []
    nprobe = 1
    while True:
        found = {
            name: recall_of(index, embeddings, asked, nprobe=nprobe) for name, asked in sets.items()
        }
        front.append(Probe(nprobe=nprobe, recall_at_10=found))
        if min(found.values()) >= RECALL_TARGET or nprobe >= n_lists:
            return nprobe, front
        nprobe *= 2


def _centres(
    given: Mapping[Modality, Vectors],
    sets: Mapping[str, QuerySet],
    modality: str,
    centroid: Vectors,
) -> dict[str, tuple[float, ...]]:
    """The mean vector of each modality: of this collection where it tells, else as given."""
    centres = {str(name): centre for name, centre in given.items()}
    if Modality.TEXT in sets:
        centres[Modality.TEXT] = sets[Modality.TEXT].queries.mean(axis=0)
    centres[modality] = centroid
    return {
        str(name): tuple(round(float(x), CENTRE_DIGITS) for x in centre)
        for name, centre in centres.items()
    }


def _remove_older(folder: Path, number: int) -> None:
    """Remove the generations before the one before ``number``; one that resists is left."""
    for path in (folder / GENERATIONS).iterdir():
        if path.name.isdecimal() and int(path.name) < number - 1:
            with suppress(OSError):
                remove(path)


def _link(path: Path, target: str) -> None:
    """Make ``path`` a relative link to a file of the folder; a copy where links do not exist."""
    with atomic_path(path) as temporary:
        try:
            temporary.symlink_to(target)
        except OSError:
            shutil.copyfile(path.parent / target, temporary)
