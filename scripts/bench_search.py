"""What searches cost: rows, filters, copies left out, in processor time of one thread.

Over the random vectors and the index of ``bench_cache.py``, with captions of nine random words.

    python scripts/bench_search.py
    python scripts/bench_search.py --rows 1000000
"""

import argparse
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import faiss
import numpy as np
from bench_cache import NPROBE, opened, vectors_of

from anybind.index.catalog import fill_catalog
from anybind.index.embeddings import Embeddings
from anybind.index.factory import choose_factory
from anybind.index.faiss_index import Ids
from anybind.index.filters import Filter
from anybind.index.layout import CATALOG
from anybind.index.measure import perturbed
from anybind.index.shards import ROWS_PER_SHARD, Row

WORDS = "a the red train dog cat snow on in with field river bird wooden Überraschung żółw".split()
SIDES = (100, 2000)  # of the pictures, px
BATCHES = (1, 8, 16)
KS = (10, 1000, 3000)
REPEATS = 20
SEED = 0
FILTERS: Mapping[str, object] = {
    "caption contains train": {"caption": {"contains": "train"}},
    "width > 512": {"width": {"gt": 512}},
    "width > 1990": {"width": {"gt": 1990}},
    "url is": {"url": "https://example.org/77.jpg"},
    "key is": {"key": "000000077"},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--rows", type=int, default=100_000)
    add("--dim", type=int, default=256)
    add("--folder", type=Path, default=Path("build/bench_cache"))
    args = parser.parse_args()

    faiss.omp_set_num_threads(1)
    folder = args.folder / f"{args.rows}x{args.dim}"
    manifest = vectors_of(folder, args.rows, args.dim)
    embeddings = Embeddings(folder, manifest.shards, args.dim)
    fill_catalog(folder / CATALOG, drawn_rows(args.rows))
    factory = choose_factory(args.rows)
    index, _ = opened(folder, manifest, embeddings, factory)
    queries = perturbed(embeddings, REPEATS * max(BATCHES), seed=SEED)
    rng = np.random.default_rng(SEED)

    print(f"{args.rows} vectors of {args.dim}, {factory}, nprobe {NPROBE}, ", end="")
    print(f"{platform.machine()}, FAISS {faiss.__version__}\n\n| | ms |\n| --- | --- |")
    index.rows([0])  # opens the database
    for n in BATCHES:
        ids = [rng.choice(args.rows, 10 * n, replace=False) for _ in range(REPEATS)]

        def several(i: int, n: int = n) -> object:
            return index.search(queries[i * n : i * n + n], 10)

        def rows(i: int, ids: Sequence[Ids] = ids) -> object:
            return index.rows(ids[i])

        show(f"{n} searches, k 10", several)
        show(f"rows of {10 * n} items", rows)
        show(f"rows of {10 * n} items, again", rows)
    for name, mapping in FILTERS.items():
        chosen = Filter.parse(mapping)

        def filtered(i: int, chosen: Filter = chosen) -> object:
            return index.search(queries[i : i + 1], 10, filter=chosen)

        show(f"{name}: 1 search, k 10", filtered, repeats=1)
        show(f"{name}: the next", filtered)
    for k in KS:

        def nearest(i: int, k: int = k) -> object:
            return index.search(queries[i : i + 1], k)

        show(f"k {k}", nearest, repeats=5)

        def distinct(i: int, k: int = k) -> object:
            return index.search_distinct(queries[i : i + 1], k, threshold=0.94)

        show(f"k {k}, dedup 0.94", distinct, repeats=5)


def show(what: str, work: Callable[[int], object], *, repeats: int = REPEATS) -> None:
    """One line of the table: the mean processor time of a work that is told its number."""
    start = time.process_time()
    for i in range(repeats):
        work(i)
    print(f"| {what} | {1000 * (time.process_time() - start) / repeats:.2f} |", flush=True)


def drawn_rows(n: int) -> Iterator[list[Row]]:
    """What a catalog of ``n`` pictures might hold."""
    rng = np.random.default_rng(SEED)
    for start in range(0, n, ROWS_PER_SHARD):
        ids = range(start, min(start + ROWS_PER_SHARD, n))
        words = rng.integers(len(WORDS), size=(len(ids), 9)).tolist()
        sides = rng.integers(*SIDES, size=(len(ids), 2)).tolist()
        yield [
            Row(
                id=i,
                key=f"{i:09d}",
                caption=" ".join(WORDS[word] for word in of_caption),
                url=f"https://example.org/{i}.jpg",
                image_path=f"{i // ROWS_PER_SHARD:05d}.tar#{i:09d}.jpg",
                width=width,
                height=height,
                sha256=rng.bytes(32).hex(),
            )
            for i, of_caption, (width, height) in zip(ids, words, sides, strict=True)
        ]


if __name__ == "__main__":
    main()
