"""Unseen scenes as vectors of any modality, for the scripts that measure an encoder.

Rendering 20,000 scenes takes minutes, so vectors are kept on disk, a thousand to a file, under a
name that says which modality, size and scenes they are of, what the first, the middle and the last
of those scenes look or sound like, and what the encoder makes of them: a file is used again only
while all of that is the same. A tower that was trained anew leaves those of the others in use.
"""

import argparse
import hashlib
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from anybind.cores import available_cores
from anybind.encoders.encoder import Encoder
from anybind.encoders.modality import Modality, Vectors
from anybind.files import atomic_path
from anybind.world.media import medium
from anybind.world.scene import Place, Scene, scene
from anybind.world.splits import split_ids
from anybind.world.workers import map_in_order

T = TypeVar("T")
Ids = npt.NDArray[np.int64]

CACHE = Path("runs/gallery")
SEED_STRIDE = 100_000  # test scenes from one seed to the next
CHUNK = 1000  # scenes a file of the cache
PROBED = 2  # decimals of the probed vectors that enter the name: more than rounding ever moves
TASK = 25  # scenes a worker takes at once


def evaluation_parser(description: str | None, *, queries: int) -> argparse.ArgumentParser:
    """The options that every script has which measures an encoder; the first test scenes from
    ``SEED_STRIDE * seed`` on are the index, and queries come after them.

    Args:
        description: The script's.
        queries: Of each kind, unless asked otherwise.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--encoder", default="imagebind-mini")
    add("--images", type=int, default=20_000, help="of the index")
    add("--queries", type=int, default=queries, help="of each kind")
    add("--seed", type=int, default=0, help=f"which test scenes: from {SEED_STRIDE:,} x seed on")
    add("--cache", type=Path, default=CACHE, help="folder that keeps vectors between runs")
    add("--json", type=Path, metavar="OUT", help="write the figures there too")
    return parser


def map_media(
    function: Callable[[object], T],
    modality: Modality,
    scenes: Sequence[Scene],
    *,
    size: int,
    workers: int,
) -> Iterator[T]:
    """Make each scene's medium in other processes, and yield what ``function`` makes of it.

    Args:
        function: Picklable: a function of a module, or an encoder's preprocessor.
        modality: Of the media.
        scenes: In the order of the results.
        size: Pixels a side.
        workers: Processes; with 0 the work is done in this one.
    """
    ids = [of.id for of in scenes]
    tasks = (ids[start : start + TASK] for start in range(0, len(ids), TASK))
    work = partial(_map_task, function=function, modality=modality, size=size)
    for results in map_in_order(work, tasks, workers):
        yield from results


def _map_task(
    ids: Sequence[int], function: Callable[[object], T], modality: Modality, size: int
) -> list[T]:
    """What a worker does with some scenes."""
    return [function(medium(modality, scene(number), size)) for number in ids]


def size_of(encoder: Encoder, modality: Modality) -> int:
    """Pixels a side that the encoder's tower for a modality reads; its image tower's otherwise."""
    maps = {Modality.DEPTH: encoder.config.depth, Modality.THERMAL: encoder.config.thermal}
    tower = maps.get(modality) or encoder.config.vision
    return tower.size if tower is not None else 96


def embed(
    encoder: Encoder,
    modality: Modality,
    scenes: Sequence[Scene],
    *,
    cache: Path | None = CACHE,
) -> Vectors:
    """Render a modality of scenes, one process a core, and encode it, with a bar on stderr.

    Args:
        encoder: Has a tower for ``modality``.
        modality: Text is the primary caption; a cloud is of the first object.
        scenes: In the order of the rows.
        cache: Where vectors are kept; None keeps none.

    Returns:
        Unit rows, float32 ``(n, dim)``.
    """
    size = size_of(encoder, modality)
    out = np.empty((len(scenes), encoder.dim), np.float32)
    with tqdm(total=len(scenes), unit=f" {modality}", leave=False) as bar:
        for start in range(0, len(scenes), CHUNK):
            chunk = scenes[start : start + CHUNK]
            path = None if cache is None else _path(cache, encoder, modality, chunk, size)
            rows = out[start : start + len(chunk)]
            if path is not None and path.exists():
                rows[:] = np.load(path)
                bar.update(len(chunk))
                continue
            with one_thread():
                _encode(encoder, modality, chunk, size, rows, bar.update)
            if path is not None:
                with atomic_path(path) as part, part.open("wb") as file:
                    np.save(file, rows)
    return out


@contextmanager
def one_thread() -> Iterator[None]:
    """In this block torch computes in one thread: the processes that render have the cores, and
    threads that wait for one another beside them slow both down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _encode(
    encoder: Encoder,
    modality: Modality,
    scenes: Sequence[Scene],
    size: int,
    rows: Vectors,
    done: Callable[[int], object],
) -> None:
    """Fill ``rows`` with the vectors of scenes, a batch at a time."""
    step = encoder.batch_size(modality)
    prepared = map_media(
        encoder.preprocessor(modality), modality, scenes, size=size, workers=available_cores()
    )
    batch: list[npt.NDArray[np.generic]] = []
    end = 0
    for item in prepared:
        batch.append(item)
        if len(batch) == step or end + len(batch) == len(scenes):
            rows[end : end + len(batch)] = encoder.encode_prepared(modality, batch)
            end += len(batch)
            done(len(batch))
            batch = []


def _path(
    cache: Path, encoder: Encoder, modality: Modality, scenes: Sequence[Scene], size: int
) -> Path:
    """The file that keeps the vectors of these scenes."""
    probes = sorted({0, len(scenes) // 2, len(scenes) - 1})
    media = [medium(modality, scenes[place], size) for place in probes]
    facts = {
        "modality": modality,
        "size": size,
        "ids": [of.id for of in scenes],
        "media": [hashlib.sha256(pickle.dumps(each)).hexdigest() for each in media],
        "vectors": np.round(encoder.encode(modality, media), PROBED).tolist(),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return cache / f"{modality}-{digest[:24]}.npy"


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """Scenes that are searched, by exact search over one vector each."""

    scenes: Sequence[Scene]
    vectors: Vectors  # unit rows, one a scene

    @classmethod
    def of(cls, encoder: Encoder, ids: Sequence[int], *, cache: Path | None = CACHE) -> "Gallery":
        """Embed the pictures of scenes, by id; arguments as :func:`embed`."""
        scenes = [scene(number) for number in ids]
        return cls(scenes=scenes, vectors=embed(encoder, Modality.IMAGE, scenes, cache=cache))

    def nearest(self, queries: Vectors, k: int) -> Ids:
        """Places of the ``k`` scenes nearest to queries ``(n, dim)``, best first, ``(n, k)``."""
        scores = queries @ self.vectors.T
        top = np.argpartition(-scores, np.arange(k), axis=1)[:, :k]
        return top.astype(np.int64)


def holds(
    of: Scene, *, category: str | None = None, colour: str | None = None, place: Place | None = None
) -> bool:
    """Whether a scene is at a place and has one object of both the category and the colour."""
    return (place is None or of.place == place) and any(
        category in (None, item.category) and colour in (None, item.colour) for item in of.objects
    )


def single_object_scenes(n: int, *, split: str = "test", offset: int = 0) -> list[Scene]:
    """The first ``n`` scenes of one object of a split, from ``offset`` after its first id on."""
    later = map(scene, split_ids(split, 2 * n + 100, offset=offset))
    return [of for of in later if len(of.objects) == 1][:n]
